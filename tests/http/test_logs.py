"""The log: lines for a person or objects for a collector, an id for each request, and no secret in either."""

from __future__ import annotations

import io
import json
import logging
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_mcp.server.telemetry.logs import JsonFormatter
from tests.http.serving import Served, accepted, serving
from tests.unit.assistant import ERAS
from tests.unit.fake_airflow import FakeAirflow
from tests.unit.test_redact import PLANTED, SECRET

pytestmark = pytest.mark.anyio
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
ACCEPT = {"Accept": "application/json, text/event-stream"}
CANARY = "canary-in-an-argument"
NEW = re.compile(r"[0-9a-f]{32}")


def lines_of(served: Served) -> list[dict[str, Any]]:
    """Every line of stderr as the object it is."""
    return [json.loads(line) for line in served.said]


@needs_full
@pytest.mark.parametrize("mode", ERAS)
async def test_every_line_is_an_object_that_says_which_request_and_whose(
    airflow: FakeAirflow, tmp_path: Path, mode: str
) -> None:
    settings = {"log_format": "json", "log_level": "INFO", "audit": str(FULL)}
    with serving(airflow, tmp_path, config=accepted("alice", "t"), **settings) as served:
        async with served.assistant("t", mode=mode, headers={"X-Request-Id": "req-1"}) as alice:
            await alice.ask("list_dags")
        with socket.create_connection(("127.0.0.1", urlsplit(served.url).port or 0)) as raw:
            raw.sendall(b"nonsense\r\n\r\n")
            served.hear(" 400 ")
    lines = lines_of(served)
    assert {"time", "level", "logger", "message"} <= set.intersection(*(set(line) for line in lines))
    (notice,) = [line for line in lines if line["message"].startswith("serving http")]
    assert (notice["level"], "caller" in notice, "request_id" in notice) == ("INFO", False, False)
    (failed,) = [line for line in lines if "cannot be written" in line["message"]]
    assert (failed["level"], failed["caller"], failed["request_id"]) == ("ERROR", "alice", "req-1")
    assert [line["logger"] for line in lines if "can be read" in line["message"]] == [
        "airflow_mcp.server.http.refusals"
    ]
    requests = [line for line in lines if line["logger"] == "airflow_mcp.server.http.request_log"]
    assert {line["request_id"] for line in requests if line["message"].startswith("POST")} == {"req-1"}
    assert [line for line in requests if re.fullmatch(r"POST /mcp 200 \d+\.\d{3} s from 127\.0\.0\.1", line["message"])]
    assert {line.get("caller") for line in requests if " 200 " in line["message"]} == {"alice"}


async def test_a_request_has_its_id_in_the_answer_and_in_the_audit_line(airflow: FakeAirflow, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    with serving(airflow, tmp_path, audit=str(audit)) as served:
        async with served.assistant(headers={"X-Request-Id": "trace/me:1.2=3"}) as someone:
            await someone.ask("list_dags")
        async with served.assistant() as someone:
            await someone.ask("list_dags")
        for path in ("/healthz", "/nothing", "/metrics"):
            assert NEW.fullmatch(served.request("GET", path).headers["x-request-id"])
        refused = served.request("POST", "/mcp", json=PING, headers={"Host": "evil.example", "X-Request-Id": "mine"})
        assert (refused.status_code, refused.headers["x-request-id"]) == (421, "mine")
    given, new = (json.loads(line) for line in audit.read_text().splitlines())
    assert given["http_request_id"] == "trace/me:1.2=3"
    assert NEW.fullmatch(new["http_request_id"])
    assert given["request_id"] not in ("", given["http_request_id"]), "the id of the MCP message stands beside it"


@pytest.mark.parametrize(
    "given", ["", "x" * 65, "two words", "a\tb", '{"a":1}', "<b>", f"password={SECRET}", "amcp_" + "a" * 30]
)
def test_an_id_that_is_no_short_harmless_word_is_replaced(server: Served, given: str) -> None:
    answer = server.request("GET", "/healthz", headers={"X-Request-Id": given})
    assert NEW.fullmatch(answer.headers["x-request-id"])


async def test_unless_it_is_asked_for_a_request_leaves_no_line(airflow: FakeAirflow, tmp_path: Path) -> None:
    with serving(airflow, tmp_path) as served:
        async with served.assistant() as someone:
            await someone.ask("list_dags")
            await someone.refused("get_dag", dag_id=CANARY)
    assert len(served.said) == 1
    assert served.said[0].startswith("airflow-mcp: serving http://127.0.0.1:")


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("mode", ERAS)
async def test_the_most_that_can_be_logged_holds_no_argument_no_answer_and_no_token(
    airflow: FakeAirflow, tmp_path: Path, mode: str, form: str
) -> None:
    config = accepted("alice", "amcp_token-of-alice-0123456789")
    settings = {"log_format": form, "log_level": "DEBUG"}
    with serving(airflow, tmp_path, config=config, **settings) as served:
        async with served.assistant("amcp_token-of-alice-0123456789", mode=mode) as alice:
            await alice.refused("get_dag", dag_id=CANARY)
            await alice.refused("create_pool", pool_name=f"password={SECRET}")
            await alice.ask("list_dags", dag_id_pattern=CANARY)
        served.request("GET", f"/nothing?token={SECRET}")
        served.request("POST", "/mcp", json=PING, headers={**ACCEPT, "Authorization": f"Bearer {SECRET}"})
    assert "GET /nothing 404" in served.stderr
    for planted in (CANARY, SECRET, "token-of-alice", "a-token-of-the-operator", "payroll"):
        assert planted not in served.stderr


@pytest.mark.parametrize("path", ["/x%0Aairflow-mcp: ERROR forged", "/cb/eyJ" + "h" * 90 + ".pppppppppp.ssss"])
def test_a_path_forges_no_line_and_brings_no_secret_in(airflow: FakeAirflow, tmp_path: Path, path: str) -> None:
    with serving(airflow, tmp_path, log_level="INFO") as served:
        assert served.request("GET", path).status_code == 404
        line = served.hear(" 404 ")
    assert line.startswith("airflow-mcp: INFO GET /")
    assert "hhhh" not in line
    assert not any(line.startswith("airflow-mcp: ERROR") for line in served.said)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_whose_arguments_do_not_fit_shows_none_of_them(form: str) -> None:
    script = "import logging, sys; from airflow_mcp.server.telemetry.logs import set_up_logging; "
    script += "set_up_logging(sys.argv[1]); "
    script += "logging.getLogger('x').error('%d of %d', 'password=hunter2hunter2')"
    done = subprocess.run([sys.executable, "-c", script, form], capture_output=True, text=True, check=True)
    assert len(done.stderr.splitlines()) == 1
    assert "cannot be told: '%d of %d'" in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("form", PLANTED)
def test_a_crash_is_one_object_and_shows_no_secret(form: str) -> None:
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    handler.setFormatter(JsonFormatter())
    logger = logging.Logger("somebody's library")
    logger.addHandler(handler)
    try:
        raise ValueError(PLANTED[form])
    except ValueError:
        logger.exception("request failed:\n%s\u202e\x1b[31m", PLANTED[form])
    (line,) = said.getvalue().splitlines()
    told = json.loads(line)
    assert told["message"].startswith("request failed:\n")
    assert "ValueError" in told["traceback"]
    assert SECRET not in line
    assert not {"\u202e", "\x1b"} & set(told["message"])


@pytest.mark.parametrize(("name", "words"), [("log_format", "'text' or 'json'"), ("log_level", "'DEBUG', 'INFO'")])
def test_a_setting_of_the_log_that_does_not_exist_is_refused(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words), serving(None, tmp_path, **{name: "loud"}):
        pass
