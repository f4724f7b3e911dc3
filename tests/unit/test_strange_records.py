"""Whatever Airflow's records hold that a workflow reads, or a change is answered with: the caller gets an answer."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from mcp.types import CallToolResult

from airflow_mcp.catalog.loader import Tool, load_catalog
from airflow_mcp.catalog.versions import Version
from tests.unit import samples
from tests.unit.assistant import GENERATIONS, assistant, text_of
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent
from tests.unit.test_ids import arguments_of
from tests.unit.test_strange_answers import DEEP, VALUES

pytestmark = pytest.mark.anyio
CATALOG = load_catalog()
Json = dict[str, Any]
ROUNDS = 4  # of each tool and version, each with other values at other places
SHARES = (0.02, 0.1, 0.5, 1.0)  # of the values that are strange, one round after the other
ABSENT = object()
UI = "http://airflow.example:8080/dags/etl/runs/manual__1/tasks/load"
IDS = {"dag_id": "etl", "dag_run_id": "manual__1"}
TASK = {**IDS, "task_id": "load"}
WORKFLOWS: dict[str, list[Json]] = {
    "diagnose_dag_run": [IDS, {"dag_id": "etl"}, {"url": UI}],
    "why_not_running": [IDS, {"dag_id": "etl"}, TASK],
    "health_report": [{}],
    "get_dag_overview": [{"dag_id": "etl"}],
    "read_task_log": [TASK, {**TASK, "from": "start"}],
    "resolve_url": [{"url": UI}, {"url": "http://airflow.example:8080/assets/7"}, {"url": UI.partition("/tasks")[0]}],
    "wait_for_dag_run": [{**IDS, "timeout_seconds": 1}],
    "wait_for_backfill": [{"backfill_id": 5, "timeout_seconds": 1}],
    "list_dags": [{"latest_run": True}],
    "list_event_logs": [{}],
    "create_backfill": [{"dag_id": "etl", "from_date": "2026-11-21T00:00:00Z", "to_date": "2026-11-22T00:00:00Z"}],
    "trigger_and_wait": [{"dag_id": "etl", "conf": {"rows": 1}, "timeout_seconds": 1}],
    "trigger_dag_run": [{"dag_id": "etl", "conf": {"rows": 1}}, IDS],
    "plan_recovery": [
        {"dag_ids": ["etl"], "since": "2026-11-21T00:00:00Z", "dry_run": True},
        {"dag_ids": ["etl"], "since": "2026-11-21T00:00:00Z", "dry_run": False},
        {"dag_ids": ["etl"], "since": "2026-11-21T00:00:00Z", "until": "2026-11-22T00:00:00Z", "mode": "backfill"},
    ],
    "answer_hitl_detail": [{**TASK, "chosen_options": ["Approve"], "params_input": {"rows": 1}}],
}
CHANGES = [
    pytest.param(tool, version, id=f"{tool.name}-{version}")
    for tool in CATALOG.tools.values()
    for version in GENERATIONS
    if tool.entry.access != "read" and tool.entry.record and tool.entry.since.has(Version.parse(version))
    if not tool.entry.python and not tool.entry.forwards
]
ASSETS = {"dag_id": "etl", "task_id": "load", "created_at": "2026-11-21T22:46:38Z"}
PARAM = {"value": 1, "schema": {"type": "integer", "minimum": 0}, "description": "how many"}
HEALTH = {"status": "healthy"} | {
    f"latest_{name}_heartbeat": "2026-11-21T22:46:38Z" for name in ("scheduler", "triggerer", "dag_processor")
}


def plain_row(version: str) -> Json:
    """One record of every kind at once: what any operation reads is in it."""
    old = version.startswith("2.")
    parts: list[Json] = [
        samples.pool(), {"import_error_id": 1, "filename": "etl.py", "stack_trace": "ValueError: no"},
        {"event": "failed", "when": "2026-11-21T22:46:38Z", "owner": "admin", "extra": "{}", "warning_type": "x"},
        {"uri": "s3://a", "id": 7, "producing_tasks": [ASSETS], "consuming_tasks": [ASSETS]},
        {"scheduled_dags": [ASSETS], "consuming_dags": [ASSETS]},
        {"last_asset_event": {"timestamp": "2026-11-21T22:46:38Z"}, "asset_id": 7},
        {"options": ["Approve"], "chosen_options": [], "responded_by_user": {"name": "a"}, "response_received": False},
        {"multiple": False, "params": {"rows": PARAM}, "params_input": {}, "asset_expression": {"any": ["s3://a"]}},
        {"downstream_task_ids": ["send"], "class_ref": {"class_name": "TriggerDagRunOperator"}, "retries": 1},
        {"retry_delay": {"days": 0, "seconds": 60}, "trigger_rule": "all_success", "is_mapped": False},
        {"dag_run_timeout": "PT1H", "timezone": "UTC", "catchup": False, "completed_at": None, "message": "odd"},
        {"queued_when": "2026-11-21T22:46:38Z", "trigger": {"classpath": "T", "triggerer_id": 1}, "is_active": True},
        {"metadatabase": HEALTH, "scheduler": HEALTH, "triggerer": HEALTH, "dag_processor": HEALTH, "reason": "x"},
        {"schedule_interval": {"__type": "TimeDelta", "days": 1, "seconds": 0}, "partition_key": None, "key": "k"},
        samples.task_instance(), samples.dag_v1() if old else samples.dag(),
        samples.dag_run_v1() if old else samples.dag_run(),
        {"dag_id": "etl", "rendered_fields": {"trigger_dag_id": "other"}, "is_paused": False},
    ]  # fmt: skip
    return {name: value for part in parts for name, value in part.items()}


LIST_KEYS = {  # by what a path ends in: the lists that Airflow answers there
    (route.path.rpartition("/")[2], key)
    for tool in CATALOG.operations.values()
    for route in (tool.entry.v1, tool.entry.v2)
    for generation in ("v1", "v2")
    if route and (key := tool.entry.rows_key(generation))
}
STATES = ("success", "failed", "running", "queued", "deferred", "up_for_retry", None)


class Mutation:
    """Writes records as JSON in which some values, chosen by the number of the round, are strange ones."""

    def __init__(self, number: int, states: tuple[str | None, ...] = STATES) -> None:
        self._states = states
        self._random = random.Random(number)
        self._share = SHARES[number % len(SHARES)]

    def body(self, row: Json, path: str) -> bytes:
        """An answer to anything: a page of what stands at this path, or one record."""
        end = path.rpartition("/")[2]
        keys = sorted(key for last, key in LIST_KEYS if last == end)
        if not keys:
            return self._row(row).encode()
        lists = "[" + ",".join(self._row(row) for _ in range(self._random.randint(0, 4))) + "]"
        pages = ",".join(f"{json.dumps(key)}:{self._rarely(lists)}" for key in keys)
        return f'{{{pages},"total_entries":{self._rarely("3")}}}'.encode()

    def _row(self, row: Json) -> str:
        if self._random.random() < self._share / 10:
            return self._strange()
        return self._object({**row, "state": self._random.choice(self._states)}, top=True)

    def _object(self, fields: Json, *, top: bool = False) -> str:
        written = [
            f"{json.dumps(name)}:{self._value(value)}"
            for name, value in fields.items()
            if not (top and self._random.random() < self._share / 4)
        ]
        return "{" + ",".join(written) + "}"

    def _value(self, value: Any) -> str:
        if self._random.random() < self._share:
            return self._strange()
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, list):
            return "[" + ",".join(map(self._value, value)) + "]"
        return json.dumps(value)

    def _strange(self) -> str:
        return self._random.choice([*VALUES, DEEP[0], '"2026-13-45T99:99:99Z"', '{"name":5}', "[{}]", "-1", "{}"])

    def _rarely(self, text: str) -> str:
        return self._strange() if self._random.random() < self._share / 20 else text


def answering(version: str, number: int, states: tuple[str | None, ...] = STATES) -> Callable[[Sent], Reply]:
    """What a stand-in of that version answers to every request of a round."""
    row, mutation = plain_row(version), Mutation(number, states)
    return lambda sent: Reply(200, mutation.body(row, sent.path))


def check_whole(result: CallToolResult, about: str) -> None:
    """The text of a result is JSON or a sentence of ours, and can be sent."""
    text = text_of(result)
    assert text, about
    assert "failed inside this server" not in text, about
    text.encode()
    json.dumps(result.structured_content, allow_nan=False, ensure_ascii=False).encode()
    if not result.is_error:
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON: {about}"))


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("name", WORKFLOWS)
async def test_workflow_answers_whatever_it_reads(name: str, version: str, caplog: pytest.LogCaptureFixture) -> None:
    if not CATALOG.tools[name].entry.since.has(Version.parse(version)):
        pytest.skip(f"{name} is not of {version}")
    airflow = FakeAirflow(version)
    async with assistant(airflow, allow=("@write", "@destructive")) as someone:
        for number in range(ROUNDS):
            for arguments in WORKFLOWS[name]:
                ended = STATES[:2] if "timeout_seconds" in arguments else STATES
                airflow.otherwise(answering(version, number, ended))
                result = await someone.client.call_tool(name, arguments)
                check_whole(result, f"round {number} of {name} {arguments}")
    crashes = [record.getMessage() for record in caplog.records if record.exc_info]
    assert not crashes  # the net is for what no test knows of


@pytest.mark.parametrize(("tool", "version"), CHANGES)
async def test_change_is_told_in_json_or_in_a_sentence(
    tool: Tool, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    airflow = FakeAirflow(version)
    async with assistant(airflow, allow=("@write", "@destructive", "@admin")) as someone:
        for number in range(ROUNDS // 2):
            airflow.otherwise(answering(version, number))
            check_whole(await someone.client.call_tool(tool.name, arguments_of(tool, {})), f"round {number}")
    assert not [record.getMessage() for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(("tool", "words"), [("get_pool", "its log"), ("delete_pool", "may or may not have happened")])
async def test_fault_of_the_server_is_a_sentence_and_in_its_log(
    tool: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    airflow = FakeAirflow().otherwise(RuntimeError("a fault that nobody expects"))
    async with assistant(airflow, allow=("@destructive",)) as someone:
        sentence = await someone.refused(tool, pool_name="small")
        airflow.otherwise(samples.pool())
        assert (await someone.ask("get_pool", pool_name="small"))["name"] == "small"
    assert words in sentence
    assert "nobody expects" not in sentence
    assert "nobody expects" in caplog.text
