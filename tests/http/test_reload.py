"""SIGHUP: the rules and tokens of the file hold from the next call on; what is wrong changes nothing, and is said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.context import ClientRequestContext
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitRequestParams, ElicitResult, ToolListChangedNotification

from tests.http.conftest import furnished
from tests.http.serving import PATIENCE, Served, accepted, environment_of, serving
from tests.http.upstream import upstream
from tests.unit.assistant import ERAS, Assistant
from tests.unit.fake_airflow import FakeAirflow, Sent

pytestmark = pytest.mark.anyio
PAUSING = '[[policy.allow]]\ntools = ["pause_dag"]\n'
DELETING = '[[policy.allow]]\ntools = ["delete_pool"]\n'
NO_PAYROLL = '[[policy.deny]]\ntools = ["*"]\ndags = ["payroll"]\n'
IN_FORCE = "read again and are in force"
WORKERS = {
    "http_workers": "2",
    "http_stateless": "true",
    "shared_key": "a-key-that-all-workers-of-the-tests-share",
    "redis_url": "redis://127.0.0.1:9/0",  # reads do not ask it
}


def reload(served: Served, folder: Path, config: str, words: str = IN_FORCE, times: int = 1) -> str:
    """Rewrite the file, send the signal, and wait until that many lines with these words are said; gives the first."""
    (folder / "airflow-mcp.toml").write_text(config)
    before = len(served.said)

    def lines() -> list[str]:
        return [line for line in served.said[before:] if words in line]

    served.process.send_signal(signal.SIGHUP)
    with served.spoke:
        assert served.spoke.wait_for(lambda: len(lines()) >= times, PATIENCE), served.stderr
    return lines()[0]


@pytest.mark.parametrize("mode", ERAS)
async def test_new_rules_hold_for_the_next_call_of_a_connection(
    airflow: FakeAirflow, tmp_path: Path, mode: str
) -> None:
    with serving(airflow, tmp_path, config=PAUSING) as served:
        async with served.assistant(mode=mode) as someone:
            assert "pause_dag" in await someone.tools()
            await someone.ask("pause_dag", dag_id="etl")
            reload(served, tmp_path, NO_PAYROLL)
            assert "not allowed here" in await someone.refused("pause_dag", dag_id="etl")
            assert "pause_dag" not in await someone.tools()
            assert "denies it" in await someone.refused("get_dag", dag_id="payroll")
            reload(served, tmp_path, PAUSING)
            await someone.ask("pause_dag", dag_id="payroll")


@pytest.mark.parametrize("mode", ERAS)
async def test_a_client_with_a_stream_open_hears_that_tools_changed(
    airflow: FakeAirflow, tmp_path: Path, mode: str
) -> None:
    heard = anyio.Event()

    async def note(message: Any) -> None:
        if isinstance(message, ToolListChangedNotification):
            heard.set()

    async def listen(client: Client) -> None:
        async with client.listen(tools_list_changed=True) as changes:
            async for _ in changes:
                heard.set()

    with serving(airflow, tmp_path, config=PAUSING) as served:
        transport = streamable_http_client(f"{served.url}/mcp")
        async with Client(transport, mode=mode, message_handler=note) as client, anyio.create_task_group() as group:
            if mode == "auto":
                group.start_soon(listen, client)
            with anyio.fail_after(PATIENCE):
                while not heard.is_set():  # which stream is open already, only its end knows
                    await anyio.to_thread.run_sync(reload, served, tmp_path, NO_PAYROLL)
                    await client.list_tools(cache_mode="bypass")
            group.cancel_scope.cancel()


async def test_a_limit_of_calls_is_new_too(airflow: FakeAirflow, tmp_path: Path) -> None:
    with serving(airflow, tmp_path, config="[policy.per_minute]\nread = 1\n") as served:
        async with served.assistant() as someone:
            await someone.ask("list_dags")
            assert "1 a minute" in await someone.refused("list_dags")
            reload(served, tmp_path, "[policy.per_minute]\nread = 2\n")
            await someone.ask("list_dags")
            assert "2 a minute" in await someone.refused("list_dags")


async def test_a_token_that_is_added_is_accepted_and_one_that_is_removed_is_not(
    airflow: FakeAirflow, tmp_path: Path
) -> None:
    with serving(airflow, tmp_path, config=accepted("alice", "token-of-alice")) as served:
        async with served.assistant("token-of-alice") as alice:
            await alice.ask("list_dags")
        reload(served, tmp_path, accepted("bob", "token-of-bob"))
        async with served.assistant("token-of-bob") as bob:
            await bob.ask("list_dags")
        assert status_of(served, "token-of-alice") == 401
        reload(served, tmp_path, "# nobody")
        assert status_of(served, "token-of-bob") == 401


def status_of(served: Served, token: str) -> int:
    """What the bearer of a token gets for a list of tools."""
    headers = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {token}"}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    return served.request("POST", "/mcp", json=body, headers=headers).status_code


def test_a_server_that_was_open_to_its_machine_stays_so_until_a_restart(airflow: FakeAirflow, tmp_path: Path) -> None:
    with serving(airflow, tmp_path, config=PAUSING) as served:
        said = reload(served, tmp_path, accepted("alice", "t"), "until a restart nobody needs a token")
        assert "SIGHUP" in said


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            '[[policy.allow]]\n\ntools = ["pause_dga"]\n',
            "airflow-mcp.toml, line 3: allow rule 1: 'pause_dga' matches",
        ),
        ("[policy\n", "is not TOML"),
        (f"allow = {'[' * 5000}", "stay in force"),
        (
            '[[policy.deny]]\ntools = ["*"]\ndag = ["x"]\n',
            "airflow-mcp.toml, line 3: deny rule 1: dag is not a key",
        ),
        ('[tokens.bob]\nsha256 = "short"\n', "airflow-mcp.toml, line 2: tokens.bob.sha256"),
    ],
)
async def test_a_file_that_is_wrong_keeps_the_old_rules_and_tokens_and_says_where(
    airflow: FakeAirflow, tmp_path: Path, config: str, words: str
) -> None:
    wrong = config if "[policy\n" in config or "[[[" in config else f"{config}{NO_PAYROLL}"
    with serving(airflow, tmp_path, config=f"{PAUSING}{accepted('alice', 't')}") as served:
        said = reload(served, tmp_path, wrong, "SIGHUP")
        assert "ERROR SIGHUP: the rules and tokens of before stay in force" in said
        assert words in said
        async with served.assistant("t") as alice:
            await alice.ask("pause_dag", dag_id="payroll")
        reload(served, tmp_path, f"{NO_PAYROLL}{accepted('alice', 't')}")
        async with served.assistant("t") as alice:
            assert "denies it" in await alice.refused("get_dag", dag_id="payroll")


async def test_rules_for_other_airflows_than_are_served_are_not_taken(airflow: FakeAirflow, tmp_path: Path) -> None:
    """The file no longer says what is denied on the one that is still served."""

    def config(name: str) -> str:
        return f'[instances.{name}]\nurl = "{airflow.url}"\ntoken = "t"\n'

    with serving(airflow, tmp_path, config=f"{config('one')}{NO_PAYROLL}") as served:
        said = reload(served, tmp_path, config("other"), "SIGHUP")
        assert "what differs is instances.one, instances.other: a restart is needed" in said
        elsewhere = config("one").replace(airflow.url, "http://127.0.0.1:9")
        assert "what differs is instances.one: a restart" in reload(served, tmp_path, elsewhere, "SIGHUP")
        async with served.assistant() as someone:
            assert "denies it" in await someone.refused("get_dag", dag_id="payroll")


def test_a_file_that_is_gone_keeps_the_old_rules(airflow: FakeAirflow, tmp_path: Path) -> None:
    with serving(airflow, tmp_path, config=PAUSING) as served:
        (tmp_path / "airflow-mcp.toml").rename(tmp_path / "elsewhere.toml")
        served.process.send_signal(signal.SIGHUP)
        assert "AIRFLOW_MCP_CONFIG names no file" in served.hear("SIGHUP")
        assert served.request("GET", "/healthz").status_code == 200


def test_what_no_reload_changes_is_named_and_needs_a_restart(airflow: FakeAirflow, tmp_path: Path) -> None:
    config = f'max_chars = 5000\n[instances.one]\nurl = "{airflow.url}"\ntoken = "first"\n'
    with serving(airflow, tmp_path, "--port", "0", config=config) as served:
        changed = f'max_chars = 6000\n[instances.one]\nurl = "{airflow.url}"\ntoken = "second"\nallow = []\n'
        said = reload(served, tmp_path, changed, "restart")
        assert said.endswith("has changed: max_chars, instances.one.token.\n")
        before = len(served.said)
        reload(served, tmp_path, config)
        assert "restart" not in "".join(served.said[before:])


async def test_rules_of_one_of_several_airflows_are_new_too(airflow: FakeAirflow, tmp_path: Path) -> None:
    def config(tools: str) -> str:
        start = f'[instances.one]\nurl = "{airflow.url}"\ntoken = "t"\n'
        return f'{start}allow = [{{ tools = ["{tools}"] }}]\n[instances.two]\nurl = "{airflow.url}"\ntoken = "t"\n'

    with serving(airflow, tmp_path, config=config("pause_dag")) as served:
        async with served.assistant() as someone:
            await someone.ask("pause_dag", dag_id="etl", instance="one")
            said = reload(served, tmp_path, config("pause_dga"), "SIGHUP")
            assert "line 4: one: allow rule 1: " in said
            reload(served, tmp_path, config("unpause_dag"))
            assert "not allowed" in await someone.refused("pause_dag", dag_id="etl", instance="one")


async def test_an_audit_file_that_was_renamed_is_followed_by_a_new_one(airflow: FakeAirflow, tmp_path: Path) -> None:
    trail, older = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    with serving(airflow, tmp_path, config=PAUSING, audit=str(trail)) as served:
        async with served.assistant() as someone:
            await someone.ask("get_dag", dag_id="etl")
            trail.rename(older)
            await someone.ask("get_dag", dag_id="payroll")
            reload(served, tmp_path, PAUSING)
            await someone.ask("pause_dag", dag_id="etl")
            trail.rename(tmp_path / "audit.jsonl.2")
            trail.mkdir()
            reload(served, tmp_path, PAUSING, "cannot be opened again, so the old one is kept")
            await someone.ask("pause_dag", dag_id="payroll")
    assert tools_in(older) == ["get_dag", "get_dag"]
    assert tools_in(tmp_path / "audit.jsonl.2") == ["pause_dag"] * 4


def tools_in(trail: Path) -> list[str]:
    """The tools that the lines of an audit file name; of a change there are two, its begin and its end."""
    return [json.loads(line)["tool"] for line in trail.read_text().splitlines()]


async def test_a_plan_from_before_is_decided_again(airflow: FakeAirflow, tmp_path: Path) -> None:
    with serving(airflow, tmp_path, config=DELETING) as served:
        async with served.assistant() as someone:
            before = airflow.lines().count("DELETE /pools/small")
            first = await someone.ask("delete_pool", pool_name="small")
            second = await someone.ask("delete_pool", pool_name="small")
            reload(served, tmp_path, PAUSING)
            plan = {"pool_name": "small", "plan": first["plan"]}
            assert "not allowed here" in await someone.refused("delete_pool", **plan)
            reload(served, tmp_path, f'{DELETING}[[policy.deny]]\ntools = ["@destructive"]\npools = ["sm*"]\n')
            assert "denies it" in await someone.refused("delete_pool", **plan)
            assert airflow.lines().count("DELETE /pools/small") == before
            reload(served, tmp_path, DELETING)
            assert (await someone.ask("delete_pool", pool_name="small", plan=second["plan"]))["done"] is True


@pytest.mark.parametrize("mode", ERAS)
async def test_a_human_who_says_yes_after_the_rules_have_changed_is_not_obeyed(
    airflow: FakeAirflow, tmp_path: Path, mode: str
) -> None:
    asking = '[[policy.allow]]\ntools = ["pause_dag"]\nconfirm = "human"\n'

    async def changes_them_and_says_yes(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        await anyio.to_thread.run_sync(reload, served, tmp_path, NO_PAYROLL)
        return ElicitResult(action="accept", content={"confirm": True})

    before = len(airflow.sent)
    with serving(airflow, tmp_path, config=asking) as served:
        async with served.assistant(mode=mode, human=changes_them_and_says_yes) as someone:
            words = "not allowed here" if mode == "auto" else "the rules changed while this waited for an answer"
            assert words in await someone.refused("pause_dag", dag_id="etl")
    assert [sent.line for sent in airflow.sent[before:] if sent.method != "GET"] == []


async def test_a_wrong_toolset_and_an_odd_variable_are_told_in_the_form_of_the_log(
    airflow: FakeAirflow, tmp_path: Path
) -> None:
    with serving(airflow, tmp_path, config=PAUSING, log_format="json", alow="x") as served:
        before = len(served.said)
        reload(served, tmp_path, f'toolsets = ["nonsense"]\n{DELETING}', "SIGHUP")
        told = [json.loads(line)["message"] for line in served.said[before:]]
        assert any("AIRFLOW_MCP_ALOW is not a setting" in one for one in told)
        assert any("stay in force" in one and "nonsense" in one for one in told)
        async with served.assistant() as someone:
            await someone.ask("pause_dag", dag_id="etl")


async def test_a_call_in_flight_finishes_under_the_rules_that_it_began_with(tmp_path: Path) -> None:
    asked, go_on = threading.Event(), threading.Event()

    async def slow(sent: Sent) -> Any:
        asked.set()
        await anyio.to_thread.run_sync(go_on.wait, PATIENCE)
        return {"dags": [{"dag_id": name} for name in ("etl", "payroll")], "total_entries": 2}

    answers: list[Any] = []
    with (
        upstream(furnished().on("GET", "/dags", slow)) as airflow,
        serving(airflow, tmp_path, config="# all") as served,
    ):
        async with served.assistant() as someone, anyio.create_task_group() as group:

            async def ask() -> None:
                answers.append(await someone.ask("list_dags"))

            group.start_soon(ask)
            await anyio.to_thread.run_sync(asked.wait, PATIENCE)
            reload(served, tmp_path, NO_PAYROLL)
            go_on.set()
        async with served.assistant() as someone:
            answers.append(await someone.ask("list_dags"))
    assert [[row[0] for row in answer["rows"]] for answer in answers] == [["etl", "payroll"], ["etl"]]


@pytest.mark.parametrize("mode", ERAS)
async def test_over_stdio_too(airflow: FakeAirflow, tmp_path: Path, mode: str) -> None:
    environment = environment_of(airflow, tmp_path, PAUSING, {})
    process = f"echo $$ > {tmp_path}/pid; exec {sys.executable} -m airflow_mcp"
    heard, said = os.pipe()
    with os.fdopen(heard) as stderr, os.fdopen(said, "w") as errlog:
        transport = stdio_client(StdioServerParameters(command="sh", args=["-c", process], env=environment), errlog)
        async with Client(transport, mode=mode) as client:
            someone = Assistant(client)
            await someone.ask("pause_dag", dag_id="etl")
            for config, words in ((NO_PAYROLL, "are in force"), ("[policy\n", "ERROR SIGHUP")):
                (tmp_path / "airflow-mcp.toml").write_text(config)
                os.kill(int((tmp_path / "pid").read_text()), signal.SIGHUP)
                with anyio.fail_after(PATIENCE):
                    assert words in await anyio.to_thread.run_sync(stderr.readline)
                assert "not allowed here" in await someone.refused("pause_dag", dag_id="etl")
                assert "denies it" in await someone.refused("get_dag", dag_id="payroll")


async def test_workers_change_their_rules_together_and_none_ends(airflow: FakeAirflow, tmp_path: Path) -> None:
    with serving(airflow, tmp_path, config="# all", **WORKERS) as served:
        await each_of(served, 2, lambda someone: someone.ask("get_dag", dag_id="payroll"))
        processes = workers_of(served)
        assert len(processes) == 2
        reload(served, tmp_path, NO_PAYROLL, times=2)
        await each_of(served, 4, lambda someone: someone.refused("get_dag", dag_id="payroll"))
        before = len(served.said)
        said = reload(served, tmp_path, '[[policy.deny]]\ntools = ["no_such_tool"]\n', "SIGHUP")
        assert "airflow-mcp.toml, line 2: deny rule 1: 'no_such_tool' matches no tool" in said
        await each_of(served, 4, lambda someone: someone.refused("get_dag", dag_id="payroll"))
        assert workers_of(served) == processes
        assert sum("SIGHUP" in line for line in served.said[before:]) == 1


async def test_a_worker_that_dies_is_replaced_by_one_with_the_rules_that_were_last_good(
    airflow: FakeAirflow, tmp_path: Path
) -> None:
    with serving(airflow, tmp_path, config="# all", **WORKERS) as served:
        await each_of(served, 1, lambda someone: someone.ask("get_dag", dag_id="payroll"))
        reload(served, tmp_path, NO_PAYROLL, times=2)
        reload(served, tmp_path, "[policy\n", "ERROR SIGHUP")
        processes = workers_of(served)
        assert len(processes) == 2
        for process in processes:
            os.kill(process, signal.SIGKILL)
        await each_of(served, 2, lambda someone: someone.refused("get_dag", dag_id="payroll"))
        assert not workers_of(served) & processes


async def each_of(served: Served, times: int, job: Callable[[Assistant], Any]) -> None:
    """Do it over as many new connections."""
    for _ in range(times):
        async with served.assistant() as someone:
            await job(someone)


def workers_of(served: Served) -> set[int]:
    """The process numbers of a server's workers."""
    # -ww, or lines end where a terminal of somebody's would
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "ppid=,pid=,args="], capture_output=True, text=True, check=True)
    lines = [line.split() for line in listed.stdout.splitlines() if "spawn_main" in line]
    return {int(pid) for parent, pid, *_ in lines if int(parent) == served.process.pid}


@pytest.mark.parametrize("outlives", [False, True])
def test_whoever_closes_the_terminal_of_a_server_ends_it_as_ever(
    airflow: FakeAirflow, tmp_path: Path, *, outlives: bool
) -> None:
    """The signal is that of an operator; what differs is that the terminal is gone. Under nohup the server goes on."""
    ours, terminal = os.openpty()
    heard, errors = os.pipe()
    take = "import fcntl, os, signal, sys, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    take += "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" if outlives else ""
    take += "os.execv(sys.argv[1], sys.argv[1:])"
    serve = [sys.executable, "-m", "airflow_mcp", "serve", "--transport", "http", "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-c", take, *serve],
        stdin=terminal,
        stdout=terminal,
        stderr=errors,
        start_new_session=True,
        env=environment_of(airflow, tmp_path, PAUSING, {}),
    )
    os.close(terminal)
    os.close(errors)

    def said_until(words: str) -> str:
        said = b""
        while words.encode() not in said:
            said += (piece := os.read(heard, 1000))
            assert piece, said
        return said.decode()

    try:
        url = said_until("/mcp").split("serving ")[1].split("/mcp")[0]
        process.send_signal(signal.SIGHUP)
        said_until(IN_FORCE)
        os.close(ours)
        if outlives:
            said_until(IN_FORCE)
            assert httpx2.get(f"{url}/healthz", timeout=PATIENCE, trust_env=False).status_code == 200
        else:
            assert process.wait(PATIENCE) == -signal.SIGTERM
    finally:
        os.close(heard)
        process.kill()
        process.wait(PATIENCE)
