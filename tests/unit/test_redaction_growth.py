"""The time that masking takes grows with the length of a text, and with nothing else that its writer decides."""

from __future__ import annotations

import itertools
import time

import pytest

from airflow_mcp.redact import redact_text
from airflow_mcp.redact.command_lines import COMMANDS
from airflow_mcp.redact.names import SENSITIVE, WHOLE_WORDS
from airflow_mcp.redact.token_forms import TOKEN_FORMS
from airflow_mcp.text import clean

SIZE = 2_000  # characters; and eight times as many
TIMES = 8
MOST = 24  # times the CPU: linear work takes 8 times as long, quadratic work 64 times
WORTH_MEASURING = 0.02  # seconds of CPU; below, the clock decides more than the work

OPENINGS = ["password=", '"password": ', "<password>", "a://u:", "Authorization: ", "--password ", "PASSWORD "]
MATERIAL = ["'", '"', "{", "[", "(", "`", "\\", '\\"', "a;", "a&b", "a@", "|\n", "a\n", "a b=", "{{", "${", "f(", 'f("']
PIECES = [
    *("eyJ-", "eyJ-eyJ-", "eyJaaaaaaaa.", "://", "a://", "a://@", "\"a://'a://", "-----BEGIN ", "Private-Lines: ", "-"),
    *("-----BEGIN PRIVATE KEY-----", "---- BEGIN", "bearer ", "Bearer aaaaaaaa", "Cookie: a; ", 'digest username="'),
    *(
        "%3a%2f%2fa%3a",
        "password%3d",
        "&quot;password&quot;:",
        "password for ",
        "password (",
        "password  ",
        "***",
        "***=",
    ),
    *(
        "password: str | ",
        "password: Optional[a[",
        "password=a\\ ",
        "password=a)",
        "password: !",
        "password: &a ",
        "\x1b[",
    ),
    *(
        "password:\n  a\n",
        "password:\n- ",
        "password:\n  a b\n",
        "<password1></a>",
        "<password>a</",
        "name: password\n",
    ),
    *('("password", ', '"name": "password", ', '{"value":"a","name":"password"}', "identified by ", "setenv password "),
    *("password='a''", "password 'a' + 'b' + ", "password='''", 'password="""', "password={a}}", "password={ab "),
    *(
        "passwords" * 9,
        "[[",
        '[{"a":',
        '{"a":',
        '{"a": "password="}',
        "\\u0022password\\u0022:",
        "sig=",
        "aaaa ",
        "\n",
        "\t",
    ),
]
TEXTS = [
    *PIECES,
    *(opening + material for opening, material in itertools.product(OPENINGS, MATERIAL)),
    *(f"{name}=" for name in (*SENSITIVE, *WHOLE_WORDS)),
    *TOKEN_FORMS,
    *(f"{literal.upper()}a-" for literal in TOKEN_FORMS),
    *(f"{command} -p -u " for command in COMMANDS),
]


def seconds(text: str) -> float:
    before = time.process_time()
    redact_text(clean(text))
    return time.process_time() - before


@pytest.mark.parametrize("piece", TEXTS)
def test_eight_times_the_text_takes_no_more_than_eight_times_the_work(piece: str) -> None:
    for end in ("", "'}@"):
        short = (piece * SIZE * TIMES)[:SIZE] + end
        long = (piece * SIZE * TIMES)[: SIZE * TIMES] + end
        if (longest := seconds(long)) > WORTH_MEASURING:
            ratio = min(longest, seconds(long)) / max(min(seconds(short) for _ in range(3)), 1e-4)
            assert ratio < MOST, f"{ratio:.0f} times the work for {TIMES} times {piece!r}"
