"""Who the server says it is: logging in, once for all calls when a login ends, and never showing a secret."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import anyio
import pytest

from airflow_mcp.airflow.credentials import Credentials
from tests.unit.assistant import GENERATIONS, Clock, assistant
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent
from tests.unit.samples import dag, dag_v1

pytestmark = pytest.mark.anyio
ANN = Credentials(username="ann", password="s3cret-pass-of-ann")
FORBIDDEN = Reply(403, {"detail": "Forbidden"})
LOST = {
    "expired": Reply(401, {"detail": "Token Expired"}),
    "revoked": Reply(403, {"detail": "Invalid JWT token"}),
    "unknown": Reply(401, {"detail": "Not authenticated"}),
}


class Logins:
    """An Airflow 3 that gives tokens out and takes only the latest one; what else it answers is `lost`."""

    def __init__(self, lost: Reply = LOST["expired"], *, accepts: str = ANN.password) -> None:
        self.given = 0
        self.asked: list[Sent] = []
        self.airflow = FakeAirflow().on("POST", "/auth/token", self._log_in).on("GET", "/dags/etl", self._guarded)
        self._lost = lost
        self._accepts = accepts

    def _log_in(self, sent: Sent) -> Reply:
        self.asked.append(sent)
        if sent.body != {"username": "ann", "password": self._accepts}:
            return Reply(401, {"detail": "Invalid credentials"})
        self.given += 1
        return Reply(201, {"access_token": f"header.token-{self.given}.signature"})

    def _guarded(self, sent: Sent) -> Reply:
        known = sent.headers.get("authorization") == f"Bearer header.token-{self.given}.signature"
        return Reply(200, dag()) if known else self._lost

    def end_them(self) -> None:
        """Make every token so far worthless."""
        self.given += 1


async def test_a_user_of_3x_logs_in_once_for_many_calls() -> None:
    logins = Logins()
    async with assistant(logins.airflow, credentials=ANN) as someone:
        for _ in range(3):
            await someone.ask("get_dag", dag_id="etl")
    assert len(logins.asked) == 1
    assert logins.airflow.lines() == ["GET /dags/etl"] * 3


@pytest.mark.parametrize("lost", LOST)
async def test_a_login_that_ended_is_renewed_once_for_all_calls_at_once(lost: str) -> None:
    logins = Logins(LOST[lost])
    async with assistant(logins.airflow, credentials=ANN) as someone:
        await someone.ask("get_dag", dag_id="etl")
        logins.end_them()
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(lambda: someone.ask("get_dag", dag_id="etl"))
    assert len(logins.asked) == 2
    refused = [sent for sent in logins.airflow.sent if "token-1." in sent.headers["authorization"]][1:]
    assert len(refused) == 8
    assert len(logins.airflow.sent) == 1 + 8 + 8, "each call is sent once more, and only once"


@pytest.mark.parametrize("tool", ["get_dag", "pause_dag"])
async def test_an_airflow_that_keeps_refusing_new_logins_is_given_up(tool: str) -> None:
    airflow = FakeAirflow().otherwise(LOST["expired"]).on("POST", "/auth/token", Reply(201, {"access_token": "a.b.c"}))
    async with assistant(airflow, credentials=ANN, allow=("@write",)) as someone:
        sentence = await someone.refused(tool, dag_id="etl")
    assert "keeps refusing user 'ann'" in sentence
    assert len(airflow.sent) == 2


async def test_a_missing_permission_is_no_reason_to_log_in_again() -> None:
    logins = Logins()
    logins.airflow.on("GET", "/dags/etl", FORBIDDEN)
    async with assistant(logins.airflow, credentials=ANN) as someone:
        sentence = await someone.refused("get_dag", dag_id="etl")
    assert "Airflow refuses get_dag to the user this server acts as (403)" in sentence
    assert "permission" in sentence
    assert len(logins.asked) == 1
    assert len(logins.airflow.sent) == 1


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_wrong_password_is_named_but_never_shown(
    version: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    airflow = Logins(accepts="another").airflow if version.startswith("3") else FakeAirflow(version)
    if version.startswith("2"):
        airflow.otherwise(Reply(401, {"title": "Unauthorized", "detail": None}))
    async with assistant(airflow, credentials=ANN) as someone:
        sentence = await someone.refused("get_dag", dag_id="etl")
    assert "does not accept user 'ann'" in sentence
    assert "AIRFLOW_MCP_PASSWORD" in sentence
    said = capsys.readouterr()
    for place in (sentence, caplog.text, said.out, said.err):
        assert ANN.password not in place
    assert ANN.password not in repr(ANN)


async def test_eight_calls_that_wait_for_a_login_share_its_failure() -> None:
    asked: list[Sent] = []
    all_wait = anyio.Event()

    async def refuse(sent: Sent) -> Reply:
        asked.append(sent)
        await all_wait.wait()
        return Reply(401, {"detail": "Invalid credentials"})

    airflow = FakeAirflow().on("POST", "/auth/token", refuse)
    sentences: list[str] = []
    async with assistant(airflow, credentials=ANN) as someone:

        async def call() -> None:
            sentences.append(await someone.refused("get_dag", dag_id="etl"))

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            all_wait.set()
    assert len(sentences) == 8
    assert len(asked) == 1, "eight wrong logins in a row may lock the account"
    assert len(set(sentences)) == 1


async def test_a_login_works_again_after_the_operator_mended_it() -> None:
    logins = Logins()
    logins.airflow.on("POST", "/auth/token", Reply(401), Reply(201, {"access_token": "header.token-0.signature"}))
    clock = Clock()
    async with assistant(logins.airflow, credentials=ANN, clock=clock) as someone:
        await someone.refused("get_dag", dag_id="etl")
        clock.wait(60)
        await someone.ask("get_dag", dag_id="etl")


@pytest.mark.parametrize("status", [404, 405])
async def test_an_airflow_without_that_login_is_met_with_the_other_ways(status: int) -> None:
    airflow = FakeAirflow().on("POST", "/auth/token", Reply(status, "<html>no</html>"))
    async with assistant(airflow, credentials=ANN) as someone:
        sentence = await someone.refused("get_dag", dag_id="etl")
    assert str(status) in sentence
    assert "AIRFLOW_MCP_TOKEN" in sentence


@pytest.mark.parametrize("body", ["{}", "[]", "<html>", '{"token": "x"}', "null", '{"access_token": null}'])
async def test_a_login_that_gives_no_token_is_said_to_give_none(body: str) -> None:
    airflow = FakeAirflow().on("POST", "/auth/token", Reply(201, body)).on("GET", "/dags/etl", dag())
    async with assistant(airflow, credentials=ANN) as someone:
        assert "without a token" in await someone.refused("get_dag", dag_id="etl")
    assert airflow.sent == []


async def test_a_user_of_2x_sends_basic_authentication() -> None:
    airflow = FakeAirflow("2.11.2").on("GET", "/dags/etl", dag_v1())
    async with assistant(airflow, credentials=Credentials(username="änn", password="pä:ss")) as someone:
        await someone.ask("get_dag", dag_id="etl")
    assert airflow.last().headers["authorization"] == "Basic w6Rubjpww6Q6c3M="
    assert not [sent for sent in airflow.seen if sent.path == "/auth/token"]


NO_WORDS = Reply(403, {"title": "Forbidden", "detail": None})


async def test_on_2x_a_wrong_password_is_told_from_a_missing_permission() -> None:
    wrong = FakeAirflow("2.11.2").otherwise(NO_WORDS)
    lacking = FakeAirflow("2.11.2").on("GET", "/eventLogs", NO_WORDS).on("GET", "/dags", {"dags": []})
    async with assistant(wrong, credentials=ANN) as someone:
        assert "does not accept user 'ann'" in await someone.refused("list_event_logs")
    async with assistant(lacking, credentials=ANN) as someone:
        assert "refuses list_event_logs" in await someone.refused("list_event_logs")
        assert "refuses list_event_logs" in await someone.refused("list_event_logs")
    assert lacking.lines() == ["GET /eventLogs", "GET /dags"] * 2, "a login may end at any time"


async def test_a_token_that_expired_is_said_to_have() -> None:
    airflow = FakeAirflow().otherwise(LOST["expired"])
    token = Credentials(token="tok-of-the-operator")
    async with assistant(airflow, credentials=token) as someone:
        sentence = await someone.refused("get_dag", dag_id="etl")
    assert "AIRFLOW_MCP_TOKEN (any more): it may have expired" in sentence
    assert "tok-of-the-operator" not in sentence
    assert len(airflow.sent) == 1
    assert airflow.last().headers["authorization"] == "Bearer tok-of-the-operator"


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_token_is_sent_to_both_generations(version: str) -> None:
    airflow = FakeAirflow(version).on("GET", "/dags/etl", dag())
    async with assistant(airflow, credentials=Credentials(token="tok")) as someone:
        await someone.ask("get_dag", dag_id="etl")
    assert airflow.last().headers["authorization"] == "Bearer tok"


async def test_without_credentials_an_airflow_that_admits_everybody_is_used() -> None:
    airflow = FakeAirflow().on("GET", "/auth/token", Reply(201, {"access_token": "a.b.c"}))
    async with assistant(airflow.on("GET", "/dags/etl", dag()), credentials=Credentials()) as someone:
        await someone.ask("get_dag", dag_id="etl")
    assert airflow.last().headers["authorization"] == "Bearer a.b.c"


@pytest.mark.parametrize("version", GENERATIONS)
async def test_without_credentials_any_other_airflow_is_met_with_the_settings_to_make(version: str) -> None:
    airflow = FakeAirflow(version).on("GET", "/auth/token", FORBIDDEN)
    async with assistant(airflow, credentials=Credentials()) as someone:
        sentence = await someone.refused("get_dag", dag_id="etl")
    assert "no credentials are set" in sentence
    assert "AIRFLOW_MCP_USERNAME" in sentence
    assert airflow.sent == []


def script(folder: Path, program: str) -> Credentials:
    """Credentials by a command: a small program of its own."""
    file = folder / "give token.py"
    file.write_text(program, encoding="utf-8")
    return Credentials(token_command=(sys.executable, str(file)))


COUNTING = """
import pathlib, sys
count = pathlib.Path(__file__).with_suffix(".count")
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
print(f"tok-{number}")
"""


async def test_a_token_command_is_run_once_and_again_when_its_token_ends(tmp_path: Path) -> None:
    accepted = "tok-1"

    def guarded(sent: Sent) -> Reply:
        return Reply(200, dag()) if sent.headers["authorization"] == f"Bearer {accepted}" else LOST["expired"]

    airflow = FakeAirflow().on("GET", "/dags/etl", guarded)
    async with assistant(airflow, credentials=script(tmp_path, COUNTING)) as someone:
        await someone.ask("get_dag", dag_id="etl")
        await someone.ask("get_dag", dag_id="etl")
        accepted = "tok-2"
        await someone.ask("get_dag", dag_id="etl")
    assert (tmp_path / "give token.count").read_text() == "2"
    assert len(airflow.sent) == 4


async def test_a_token_command_is_run_without_a_shell(tmp_path: Path) -> None:
    credentials = script(tmp_path, "import json, sys; print('tok:' + sys.argv[1].replace(' ', '_'))")
    command = (*credentials.token_command, f"$HOME; touch {tmp_path}/made")
    airflow = FakeAirflow().on("GET", "/dags/etl", dag())
    async with assistant(airflow, credentials=Credentials(token_command=command)) as someone:
        await someone.ask("get_dag", dag_id="etl")
    assert airflow.last().headers["authorization"].startswith("Bearer tok:$HOME;_touch_")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import sys; sys.stderr.write('no session; run login first'); sys.exit(3)", "exit code 3"),
        ("import sys; sys.stderr.write('no session; run login first'); sys.exit(3)", "run login first"),
        ("import sys; sys.stderr.write('password=hunter2-of-prod'); sys.exit(1)", "password=***"),
        ("raise SystemExit(1)", "nothing"),
        ("print()", "must print one token"),
        ("print('two words')", "must print one token"),
        ("print('one'); print('two')", "must print one token"),
        ("print('\\x1b[31mtok')", "must print one token"),
    ],
)
async def test_a_token_command_that_gives_no_token_is_said_to(tmp_path: Path, program: str, words: str) -> None:
    airflow = FakeAirflow()
    async with assistant(airflow, credentials=script(tmp_path, program)) as someone:
        sentence = await someone.refused("get_dag", dag_id="etl")
    assert "AIRFLOW_MCP_TOKEN_COMMAND" in sentence
    assert words in sentence
    assert "hunter2" not in sentence
    assert airflow.sent == []


async def test_a_token_command_that_is_not_there_is_said_not_to_be(tmp_path: Path) -> None:
    missing = Credentials(token_command=(str(tmp_path / "nothing"),))
    async with assistant(FakeAirflow(), credentials=missing) as someone:
        assert "cannot be run: No such file or directory" in await someone.refused("get_dag", dag_id="etl")


async def test_what_a_token_command_prints_is_never_shown(tmp_path: Path) -> None:
    said = "tok-one tok-two"
    async with assistant(FakeAirflow(), credentials=script(tmp_path, f"print({said!r})")) as someone:
        result = await someone.client.call_tool("get_dag", {"dag_id": "etl"})
    assert "tok-one" not in json.dumps(result.model_dump(mode="json"))
