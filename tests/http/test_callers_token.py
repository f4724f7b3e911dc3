"""identity = "caller": Airflow is asked with the Airflow token that each caller sends, and with no other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import anyio
import pytest

from tests.http.issuer import Issuer, issuing
from tests.http.people import People
from tests.http.serving import Served, accepted, environment_of, serving
from tests.http.upstream import upstream
from tests.unit.assistant import ERAS, Assistant, Json

pytestmark = pytest.mark.anyio
CONFIG = f"""
identity = "caller"
{accepted("alice", "token-of-alice")}
{accepted("bob", "token-of-bob")}
{accepted("eve", "token-of-eve")}
[[policy.deny]]
tools = ["*"]
callers = ["eve"]
dags = ["payroll"]
"""
OWN = {"alice": "airflow-token-of-ann", "bob": "airflow-token-of-ben", "eve": "airflow-token-of-eva"}
USERS = {"alice": "ann", "bob": "ben", "eve": "eva"}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
ACCEPT = {"Accept": "application/json, text/event-stream"}


def user_of(token: str) -> str:
    return token.removeprefix("airflow-token-of-") if token.startswith("airflow-token-of-") else ""


def sent_by(name: str) -> dict[str, str]:
    return {"X-Airflow-Token": OWN[name]}


def dags(answer: Json) -> list[str]:
    return [row[0] for row in answer["rows"]]


@pytest.fixture
def people() -> Generator[People]:
    people = People(user_of)
    with upstream(people.airflow):
        yield people


@pytest.fixture
def server(people: People, tmp_path: Path) -> Generator[Served]:
    audit = tmp_path / "audit.jsonl"
    with serving(None, tmp_path, config=CONFIG, url=people.airflow.url, audit=str(audit)) as served:
        yield served
        for token in OWN.values():
            assert token not in served.stderr
            assert token not in audit.read_text()


@pytest.mark.parametrize("mode", ERAS)
async def test_callers_at_once_get_their_own_rows(server: Served, people: People, mode: str) -> None:
    answers: dict[str, list[list[str]]] = {"alice": [], "bob": []}

    async def work(name: str) -> None:
        async with (
            server.assistant(f"token-of-{name}", mode=mode, headers=sent_by(name)) as assistant,
            anyio.create_task_group() as group,
        ):
            for _ in range(12):
                group.start_soon(ask, name, assistant)

    async def ask(name: str, assistant: Assistant) -> None:
        answers[name].append(dags(await assistant.ask("list_dags")))

    async with anyio.create_task_group() as group:
        group.start_soon(work, "alice")
        group.start_soon(work, "bob")
    assert answers == {"alice": [["ann_0", "ann_1", "payroll"]] * 12, "bob": [["ben_0", "ben_1", "payroll"]] * 12}
    assert people.cookies == {}, "who is asking is said with each request, and by nothing else"
    assert people.bearers == {OWN["alice"], OWN["bob"]}, "nothing but their own tokens ever got to Airflow"


@pytest.mark.parametrize("mode", ERAS)
async def test_a_caller_without_a_token_is_told_how_to_send_one(server: Served, people: People, mode: str) -> None:
    async with server.assistant("token-of-alice", mode=mode) as alice:
        assert "list_dags" in await alice.tools()
        assert "in the header X-Airflow-Token." in await alice.refused("list_dags")
        assert (await alice.ask("find_tools", query="list dags"))["tools"], "what needs no Airflow works without"
    assert people.airflow.sent == []


async def test_an_expired_token_is_its_callers_trouble_alone(server: Served, people: People) -> None:
    async with (
        server.assistant("token-of-alice", headers=sent_by("alice")) as alice,
        server.assistant("token-of-bob", headers=sent_by("bob")) as bob,
    ):
        await alice.ask("list_dags")
        await bob.ask("list_dags")
        people.expired.add(OWN["alice"])
        sentence = await alice.refused("list_dags")
        assert "does not accept the token that came with this call (X-Airflow-Token). It may have expired" in sentence
        assert OWN["alice"] not in sentence
        assert dags(await bob.ask("list_dags"))[0] == "ben_0"
        assert "It is not tried again for" in await alice.refused("list_dags"), "a refused token rests"
        assert dags(await bob.ask("list_dags"))[0] == "ben_0"


async def test_a_new_token_in_the_same_session_is_used_from_then_on(server: Served, people: People) -> None:
    headers = sent_by("alice")
    async with server.assistant("token-of-alice", headers=headers, mode="legacy") as alice:
        await alice.ask("list_dags")
        headers["X-Airflow-Token"] = OWN["bob"]
        await alice.ask("list_dags")
        del headers["X-Airflow-Token"]
        assert "X-Airflow-Token" in await alice.refused("list_dags")
    assert people.users == ["ann", "ben"]


async def test_policy_narrows_whatever_the_airflow_token_may(server: Served, people: People) -> None:
    async with server.assistant("token-of-eve", headers=sent_by("eve")) as eve:
        assert dags(await eve.ask("list_dags")) == ["eva_0", "eva_1"]
        assert "denies it" in await eve.refused("get_dag", dag_id="payroll")
    assert [sent.path for sent in people.airflow.sent] == ["/dags"]


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ([("X-Airflow-Token", "token-of-alice")], "holds a token for this server"),
        ([("X-Airflow-Token", "token-of-bob")], "holds a token for this server"),
        ([("X-Airflow-Token", "amcp_of-somebody-whose-token-is-gone")], "holds a token for this server"),
        ([("X-Airflow-Token", "one"), ("X-Airflow-Token", "two")], "came twice"),
        ([("X-Airflow-Token", "two words")], "must be one token"),
        ([("X-Airflow-Token", "")], "must be one token"),
        ([("X-Airflow-Token-staging", "one")], "x-airflow-token-staging is not taken here; what is: x-airflow-token."),
    ],
)
def test_a_token_that_must_not_or_cannot_get_to_airflow_stops_at_the_gate(
    server: Served, people: People, headers: list[tuple[str, str]], words: str
) -> None:
    sent = [*ACCEPT.items(), ("Authorization", "Bearer token-of-alice"), *headers]
    answer = server.request("POST", "/mcp", json=PING, headers=sent)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert people.airflow.seen == []


async def test_no_header_says_where_airflow_is(server: Served, people: People) -> None:
    strange = {"X-Airflow-Url": "http://127.0.0.1:9", "X-Airflow-Host": "evil.example", "X-Forwarded-Host": "evil"}
    async with server.assistant("token-of-alice", headers=sent_by("alice") | strange) as alice:
        assert dags(await alice.ask("list_dags"))[0] == "ann_0"


async def test_who_need_not_say_who_they_are_bring_no_token(people: People, tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match=r"who say who they are: write \[tokens.NAME\] or \[oauth\]"),
        serving(None, tmp_path, config='identity = "caller"', url=people.airflow.url),
    ):
        pass


@pytest.mark.parametrize(("command", "words"), [("serve", "over stdio use"), ("call list_dags", "serve over HTTP")])
def test_over_stdio_and_at_a_terminal_nobody_brings_a_token(
    people: People, tmp_path: Path, command: str, words: str
) -> None:
    kept = environment_of(None, tmp_path, CONFIG, {"url": people.airflow.url})
    done = subprocess.run(
        [sys.executable, "-m", "airflow_mcp", *command.split()], env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert words in done.stderr


def test_the_doctor_does_not_log_in_where_each_caller_does(people: People, tmp_path: Path) -> None:
    kept = environment_of(None, tmp_path, CONFIG, {"url": people.airflow.url})
    command = [sys.executable, "-m", "airflow_mcp", "doctor"]
    done = subprocess.run(command, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "each caller logs in as itself, which is not tried here" in done.stdout
    assert people.airflow.sent == []


async def test_a_server_that_asks_in_its_own_name_takes_no_tokens(people: People, tmp_path: Path) -> None:
    config = accepted("alice", "token-of-alice")
    with serving(people.airflow, tmp_path, config=config) as served:
        sent = {**ACCEPT, "Authorization": "Bearer token-of-alice", **sent_by("alice")}
        answer = served.request("POST", "/mcp", json=PING, headers=sent)
        assert answer.status_code == 400
        assert "Airflow is asked in this server's own name" in answer.json()["error"]


async def test_each_of_several_airflows_gets_its_own_token(people: People, tmp_path: Path) -> None:
    other = People(user_of)
    with upstream(other.airflow):
        config = f"""
[instances.staging]
url = "{people.airflow.url}"
identity = "caller"
[instances.Prod]
url = "{other.airflow.url}"
identity = "caller"
{accepted("alice", "token-of-alice")}
"""
        with serving(None, tmp_path, config=config) as served:
            headers = {"X-Airflow-Token-staging": OWN["alice"], "X-Airflow-Token-Prod": OWN["bob"]}
            async with served.assistant("token-of-alice", headers=headers) as alice:
                assert dags(await alice.ask("list_dags", instance="staging"))[0] == "ann_0"
                assert dags(await alice.ask("list_dags", instance="Prod"))[0] == "ben_0"
            async with served.assistant("token-of-alice", headers={"X-Airflow-Token-staging": OWN["alice"]}) as alice:
                assert "X-Airflow-Token-Prod." in await alice.refused("list_dags", instance="Prod")
            sent = {**ACCEPT, "Authorization": "Bearer token-of-alice", **sent_by("alice")}
            assert served.request("POST", "/mcp", json=PING, headers=sent).status_code == 400
    assert people.bearers == {OWN["alice"]}
    assert other.bearers == {OWN["bob"]}


async def test_a_token_that_the_issuer_made_for_this_server_stops_at_the_gate_good_or_not_any_more(
    people: People, tmp_path: Path
) -> None:
    with issuing(Issuer()) as issuer:
        config = f'identity = "caller"\n{issuer.config(other_audiences=["airflow-mcp"])}'
        with serving(None, tmp_path, config=config, url=people.airflow.url) as served:

            def answer(own: str) -> str:
                sent = {**ACCEPT, "Authorization": f"Bearer {issuer.token()}", "X-Airflow-Token": own}
                return served.request("POST", "/mcp", json=PING, headers=sent).text

            for own in (issuer.token(), issuer.token(lasts=-900), issuer.token(aud=["x", "airflow-mcp"])):
                assert "holds a token for this server" in answer(own)
            assert "holds a token" not in answer(issuer.token(aud="airflow"))
    assert people.airflow.seen == []


def test_airflows_whose_names_make_no_header_stop_the_start(tmp_path: Path) -> None:
    table = '[instances."prod_eu"]\nurl = "http://127.0.0.1:9"\nidentity = "caller"\n[instances.test]\n'
    with (
        pytest.raises(AssertionError, match=r"instances\.prod_eu: its callers' tokens come in a header .* rename it"),
        serving(None, tmp_path, config=accepted("alice", "token-of-alice") + table),
    ):
        pass


def test_airflows_that_one_header_would_be_for_stop_the_start(tmp_path: Path) -> None:
    config = accepted("alice", "token-of-alice") + "".join(
        f'[instances.{name}]\nurl = "http://127.0.0.1:9"\nidentity = "caller"\n' for name in ("prod", "Prod")
    )
    with pytest.raises(AssertionError, match="rename one"), serving(None, tmp_path, config=config):
        pass
