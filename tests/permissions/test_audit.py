"""Every call leaves its line, a change one before it begins; what cannot be written down is not done."""

from __future__ import annotations

import contextlib
import json
import stat
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from mcp.types import ElicitResult

from airflow_mcp.cli.main import main
from airflow_mcp.errors import SettingsError
from tests.permissions.support import ADMIN, NO_PAYROLL, Json, changes, changing, connected, open_instances, whole_call
from tests.permissions.world import World
from tests.unit.assistant import ERAS, GENERATIONS
from tests.unit.fake_airflow import Reply

pytestmark = pytest.mark.anyio
ALL: Json = {"allow": [{"tools": ["*"], "confirm": "never"}], "deny": [NO_PAYROLL]}
PLANNED: Json = {"allow": [{"tools": ["*"], "confirm": "plan"}]}
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")


def lines_of(file: Path) -> list[Json]:
    """The trail, each line of which is one JSON object."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def text_of(file: Path) -> str:
    """The trail as it lies there."""
    return file.read_bytes().decode()


def mode_of(file: Path) -> int:
    """Who may read and write it."""
    return stat.S_IMODE(file.stat().st_mode)


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_read_leaves_one_line_with_all_there_is_to_know(trail: Path, version: str, mode: str) -> None:
    world = World(version)
    async with connected(world.airflow, ALL, mode=mode, audit=str(trail)) as someone:
        await someone.ask("get_dag", dag_id="etl_a")
        await someone.ask("list_dags")
    first, second = lines_of(trail)
    assert first.pop("time").endswith("+00:00")
    assert first.pop("request_id") != second["request_id"]
    assert 0 <= first.pop("seconds") < 60
    assert first.pop("rule") == "allow rule 1"
    assert first == {
        "phase": "ends",
        "caller": "local",
        "instance": "default",
        "tool": "get_dag",
        "class": "read",
        "arguments": {"dag_id": "etl_a"},
        "decision": "allowed",
        "affected": 0,
        "status": 200,
    }
    assert second["tool"] == "list_dags"


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_change_is_written_down_before_it_is_sent_and_again_at_its_end(trail: Path, version: str) -> None:
    world = World(version)
    known: list[list[Json]] = []

    def paused(sent: Any) -> Json:
        known.append(lines_of(trail))
        return {"dag_id": "etl_a", "is_paused": True}

    world.airflow.on("PATCH", "/dags/etl_a", paused)
    async with connected(world.airflow, ALL, audit=str(trail)) as someone:
        await someone.ask("pause_dag", dag_id="etl_a")
    ((begun,),) = known
    assert (begun["phase"], begun["tool"], begun["decision"]) == ("begins", "pause_dag", "allowed")
    begins, ends = lines_of(trail)
    assert begins == begun
    assert (ends["phase"], ends["status"], ends["request_id"]) == ("ends", 200, begins["request_id"])


async def test_a_plan_and_its_targets_are_found_from_preview_to_end(trail: Path) -> None:
    world = World()
    clear: Json = {"dag_id": "etl_a", "dag_run_id": "r1", "dry_run": False}
    async with connected(world.airflow, PLANNED, audit=str(trail)) as someone:
        plan = (await someone.ask("clear_task_instances", **clear))["plan"]
        await someone.ask("clear_task_instances", **clear, plan=plan)
        await someone.refused("clear_task_instances", **clear, plan=plan)
    previewed, begins, ends, refused = lines_of(trail)
    assert [line["decision"] for line in (previewed, begins, ends, refused)] == [
        "previewed",
        "allowed",
        "allowed",
        "refused",
    ]
    assert len({line["plan"] for line in (previewed, begins, ends, refused)}) == 1
    for line in (previewed, begins, ends):
        assert (line["targets"], line["affected"]) == (["etl_a/r1/load"], 1)
    assert plan not in text_of(trail), "who reads the trail gets no plan to present"
    assert "used already" in refused["error"]


@pytest.mark.parametrize("mode", ERAS)
async def test_a_no_of_the_human_is_in_the_trail(trail: Path, mode: str) -> None:
    async def no(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="decline")

    policy: Json = {"allow": [{"tools": ["*"], "confirm": "human"}]}
    async with connected(World().airflow, policy, mode=mode, human=no, audit=str(trail)) as someone:
        await someone.refused("delete_dag", dag_id="etl_a")
    lines = lines_of(trail)
    assert {line["decision"] for line in lines} == {"asked"}
    assert "decline" in lines[-1]["error"]
    assert "begins" not in {line["phase"] for line in lines}


REFUSED: list[tuple[str, Json, str]] = [
    ("pause_dag", {"dag_id": "payroll_a"}, "deny rule 2"),
    ("get_dag", {"dag_id": "payroll_a"}, "deny rule 2"),
    ("delete_dag", {"dag_id": "etl_a"}, "deny rule 1"),
    ("pause_dag", {"dag": "etl_a"}, ""),
    ("pause_dag", {"dag_id": "no-such-dag"}, "allow rule 1"),
]


@pytest.mark.parametrize(("tool", "arguments", "rule"), REFUSED)
async def test_a_call_that_was_refused_is_in_the_trail_with_its_reason(
    trail: Path, tool: str, arguments: Json, rule: str
) -> None:
    policy: Json = {**ALL, "deny": [{"tools": ["delete_*"]}, NO_PAYROLL]}
    async with connected(World().airflow, policy, audit=str(trail)) as someone:
        sentence = (await someone.refused(tool, **arguments)).splitlines()[0]  # calls to make next stand below it
    line = lines_of(trail)[-1]
    assert (line["phase"], line["tool"], line["arguments"], line["error"]) == ("ends", tool, arguments, sentence)
    assert line.get("rule", "").startswith(rule)


async def test_a_call_that_names_no_airflow_or_a_wrong_one_is_in_the_trail(trail: Path) -> None:
    places = {"staging": World().airflow, "prod": World().airflow}
    async with connected(places, ALL, audit=str(trail)) as someone:
        await someone.refused("pause_dag", dag_id="etl_a")
        await someone.refused("pause_dag", dag_id="etl_a", instance="prd")
        await someone.ask("pause_dag", dag_id="etl_a", instance="prod")
    lines = lines_of(trail)
    assert [line["phase"] for line in lines] == ["ends", "ends", "begins", "ends"]
    assert lines[-1]["instance"] == "prod"


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_failure_of_airflow_is_in_the_trail_with_its_status(trail: Path, version: str) -> None:
    world = World(version)
    world.airflow.on("PATCH", "/dags/etl_a", Reply(409, {"detail": "busy; password=hunter2-of-prod"}))
    async with connected(world.airflow, ALL, audit=str(trail)) as someone:
        await someone.refused("pause_dag", dag_id="etl_a")
    begins, ends = lines_of(trail)
    assert (begins["phase"], ends["status"]) == ("begins", 409)
    assert "busy" in ends["error"]
    assert "hunter2" not in text_of(trail)


async def test_secrets_in_arguments_and_targets_are_masked_even_for_who_may_see_them(trail: Path) -> None:
    world = World()
    world.runs["etl_a"] = ["r1"]
    policy: Json = {"allow": [{"tools": ["*", "@secret"], "confirm": "plan"}]}
    conf = {"password": "hunter2", "url": "http://ann:hunter2@db.example", "note": 'x {"api_key": "hunter2"}'}
    async with connected(world.airflow, policy, audit=str(trail)) as someone:
        await someone.ask("trigger_dag_run", dag_id="etl_a", conf=conf, note="token=hunter2")
        await someone.refused("trigger_dag_run", dag_id="etl_a", conf=conf, plan="hunter2", extra="secret=hunter2")
        await someone.ask("delete_dag_run", dag_id="etl_a", dag_run_id="manual__token=hunter2")
    text = text_of(trail).replace('"plan":"hunter2"', "")
    assert "hunter2" not in text
    assert text.count("***") >= 8


async def test_no_argument_writes_a_line_of_its_own(trail: Path) -> None:
    forged = '{"phase":"ends","tool":"forged"}'
    async with connected(World().airflow, ALL, audit=str(trail)) as someone:
        await someone.refused("get_dag", dag_id=f"x\n{forged}\u2028{forged}\r\n{forged}\u202e\x1b[2J")
    raw = text_of(trail)
    assert raw.count("\n") == 1
    assert json.loads(raw)["tool"] == "get_dag"
    assert not {"\u202e", "\x1b"} & set(raw)


async def test_a_long_list_of_targets_is_counted_and_cut(trail: Path) -> None:
    world = World()
    task: Json = {"dag_id": "etl_a", "dag_run_id": "r1", "map_index": -1}
    world.affected = [{**task, "task_id": f"t{number}"} for number in range(499)]
    async with connected(world.airflow, PLANNED, audit=str(trail)) as someone:
        await someone.ask("clear_dag_run", dag_id="etl_a", dag_run_id="r1", dry_run=False)
    (line,) = lines_of(trail)
    assert (line["affected"], len(line["targets"])) == (500, 100)


async def test_the_trail_is_for_its_owner_alone(trail: Path) -> None:
    await open_instances(World().airflow, ALL, audit=str(trail)).aclose()
    assert mode_of(trail) == 0o600


async def test_the_trail_is_added_to_and_never_begun_anew(trail: Path) -> None:
    for tool in ("get_version", "list_dags"):
        async with connected(World().airflow, ALL, audit=str(trail)) as someone:
            await someone.ask(tool)
    assert [line["tool"] for line in lines_of(trail)] == ["get_version", "list_dags"]


@pytest.mark.parametrize("where", [".", "no/such/folder/audit.jsonl"])
def test_a_start_with_a_trail_that_cannot_be_written_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    file = tmp_path / where
    with pytest.raises(SettingsError, match="AIRFLOW_MCP_AUDIT"):
        open_instances(World().airflow, ALL, audit=str(file))
    monkeypatch.setenv("AIRFLOW_MCP_AUDIT", str(file))
    monkeypatch.setattr(sys, "argv", ["airflow-mcp"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert f"AIRFLOW_MCP_AUDIT: {file} cannot be written" in said.err


@needs_full
@pytest.mark.parametrize("confirm", ["never", "plan"])
@pytest.mark.parametrize("version", GENERATIONS)
async def test_on_a_full_disk_nothing_is_changed_and_reads_go_on(
    caplog: pytest.LogCaptureFixture, version: str, confirm: str
) -> None:
    world = World(version)
    policy: Json = {"allow": [{"tools": ADMIN, "confirm": confirm}]}
    async with connected(world.airflow, policy, audit=str(FULL)) as someone:
        for tool in changing(version):
            arguments = whole_call(tool)
            result = await someone.client.call_tool(tool.name, arguments)
            if plan := (result.structured_content or {}).get("plan"):
                result = await someone.client.call_tool(tool.name, {**arguments, "plan": plan})
            assert result.is_error, tool.name
            assert "audit" in str(result.content)
        assert changes(world.airflow) == []
        assert (await someone.ask("get_dag", dag_id="etl_a"))["dag_id"] == "etl_a"
    assert "cannot be written" in caplog.text


@contextlib.contextmanager
def stderr_on_a_full_disk() -> Generator[None]:
    """Where a service's stderr is a file beside its audit file, both disks are full at once."""
    full = FULL.open("w", buffering=1, encoding="utf-8")
    with contextlib.redirect_stderr(full):
        yield
    with contextlib.suppress(OSError):
        full.close()


@needs_full
@pytest.mark.parametrize("audit", [str(FULL), "-"])
async def test_a_disk_that_is_full_for_stderr_too_loses_no_answer_and_lets_nothing_through(audit: str) -> None:
    world = World()
    with stderr_on_a_full_disk():
        async with connected(world.airflow, ALL, audit=audit) as someone:
            assert (await someone.ask("get_dag", dag_id="etl_a"))["dag_id"] == "etl_a"
            assert "audit" in await someone.refused("pause_dag", dag_id="etl_a")
            assert "not allowed" in await someone.refused("pause_dag", dag_id="payroll_a")
    assert changes(world.airflow) == []


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_change_that_needs_no_confirmation_is_written_down_with_what_it_names(
    trail: Path, version: str
) -> None:
    async with connected(World(version).airflow, ALL, audit=str(trail)) as someone:
        await someone.ask("pause_dag", dag_id="etl_a")
        await someone.ask("delete_pool", pool_name="small")
        await someone.refused("pause_dag", dag_id="payroll_a")
    lines = lines_of(trail)
    assert [line.get("targets") for line in lines] == [["dag etl_a"]] * 2 + [["pool small"]] * 2 + [["dag payroll_a"]]
    assert {line.get("affected") for line in lines if line["phase"] == "begins"} == {None}, "it was not counted"


async def test_the_trail_can_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    async with connected(World().airflow, ALL, audit="-") as someone:
        await someone.ask("get_version")
    said = capsys.readouterr()
    assert json.loads(said.err)["tool"] == "get_version"
    assert said.out == ""


@pytest.mark.parametrize("given", [{}, {"note": "because of the outage"}])
@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_triggered_run_carries_a_note_that_names_the_caller(version: str, given: Json) -> None:
    world = World(version)
    async with connected(world.airflow, ALL) as someone:
        await someone.ask("trigger_dag_run", dag_id="etl_a", **given)
    note = world.airflow.last("POST").body["note"]
    assert "local" in note
    assert given.get("note", "") in note


async def test_a_cleared_run_carries_the_note_where_airflow_takes_one() -> None:
    notes: dict[str, Any] = {}
    for version in ("2.11.2", "3.2.0", "3.3.2"):
        world = World(version)
        async with connected(world.airflow, ALL) as someone:
            await someone.ask("clear_task_instances", dag_id="etl_a", dag_run_id="r1", dry_run=False)
        notes[version] = changes(world.airflow)[0].body.get("note")
    assert notes == {"2.11.2": None, "3.2.0": None, "3.3.2": "by local, through airflow-mcp"}
