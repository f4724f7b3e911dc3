"""The time that masking takes grows with the length of a text, and with nothing else that its writer decides."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable

import pytest

from airflow_mcp.redact import redact_text
from airflow_mcp.redact.command_lines import COMMANDS
from airflow_mcp.redact.names import SENSITIVE, WHOLE_WORDS
from airflow_mcp.redact.token_forms import TOKEN_FORMS
from airflow_mcp.text import clean

SIZE = 4_000  # characters; and eight times as many
TIMES = 8
MOST = 24  # times the CPU: linear work takes 8 times as long, quadratic work 64 times
WORTH_MEASURING = 0.02  # seconds of CPU; below, the clock decides more than the work

OPENINGS = ["password=", '"password": ', "PASSWORD "]
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
LITERALS = sorted(TOKEN_FORMS)
TEXTS = [
    *PIECES,
    *(opening + material for opening, material in itertools.product(OPENINGS, MATERIAL)),
    *(opening + "a" for opening in ("<password>", "a://u:", "Authorization: ", "--password ", "Cookie: ")),
    "kind: Secret\n",
    "kind: Secret\ndata:\n",
    "kind: Secret\ndata:\n  a: b\n---\n",
    "password=<<A\n",
    *("".join(f"password=<<{chr(97 + at % 26)}{chr(97 + at // 26)}\n" for at in range(300)),),
    "conf.set('a', 'password', ",
    "password\n  a [type=b, input_value=",
    '-e "password=a ',
    "password='a'\"b\"",
    "- value: a\n  name: password\n",
    ":\\/\\/a",
    "a%3A//a%3A",
    "<cookie a=",
    "password:\n  type: string\n  default: a\n",
    "password: f(help='a', '--a', {'a': ",
    "=".join((*SENSITIVE, *WHOLE_WORDS)),
    " ".join(LITERALS),
    "".join(f"{literal.upper()}a-" for literal in LITERALS),
    " -p -u ".join(COMMANDS),
    "mysql -p -u ",
]


def seconds(text: str, mask: Callable[[str], str] = redact_text) -> float:
    """Measure the CPU of this process while a text is masked."""
    before = time.process_time()
    mask(clean(text))
    return time.process_time() - before


def growth(piece: str, mask: Callable[[str], str] = redact_text) -> float:
    """Measure how many times the CPU eight times the text takes; 0 where both are too short to measure."""
    short, long = ((piece * size)[:size] + "'}@" for size in (SIZE, SIZE * TIMES))
    if (longest := seconds(long, mask)) <= WORTH_MEASURING:
        return 0
    least = min(seconds(short, mask) for _ in range(3))
    if longest > MOST * least:  # another process may have been in the way
        longest = min(longest, seconds(long, mask))
    return longest / max(least, 1e-4)


@pytest.mark.parametrize("piece", TEXTS)
def test_eight_times_the_text_takes_no_more_than_eight_times_the_work(piece: str) -> None:
    assert growth(piece) < MOST


def test_the_measure_tells_a_quadratic_reader_from_a_linear_one() -> None:
    """A reader that looks through the rest of the text at every place where a secret may begin."""
    assert growth("a=", lambda text: re.sub(r"=[^;]*;", "", text)) > MOST
    assert growth("password=a ", lambda text: re.sub(r"=[^;]*;?", "", text)) < MOST
