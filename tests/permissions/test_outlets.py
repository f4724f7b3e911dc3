"""A secret of any shape leaves through no outlet: answers, errors, log, audit, spans, previews and questions."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from airflow_mcp.server.telemetry.logs import JsonFormatter, TextFormatter
from airflow_mcp.server.telemetry.spans import RedactingExporter
from tests.permissions.support import connected
from tests.permissions.test_human import NOES, POLICY, Person
from tests.permissions.world import World
from tests.unit.fake_airflow import FakeAirflow, Reply
from tests.unit.redaction import MASKED, parts_of

pytestmark = pytest.mark.anyio
TEXTS = {name: (value, secret) for name, (value, secret) in MASKED.items() if isinstance(value, str)}
SAMPLE = sorted(TEXTS)[::9]
XCOM = {"dag_id": "etl_a", "task_id": "load", "run_id": "r1", "key": "k", "map_index": -1}


async def answer(text: str, folder: Path) -> str:
    airflow = FakeAirflow().otherwise(XCOM | {"value": text})
    async with connected(airflow) as someone:
        return str(
            await someone.client.call_tool(
                "get_xcom", {"dag_id": "etl_a", "dag_run_id": "r1", "task_id": "load", "xcom_key": "k"}
            )
        )


async def error(text: str, folder: Path) -> str:
    airflow = FakeAirflow().otherwise(Reply(400, {"detail": text}))
    async with connected(airflow) as someone:
        return await someone.refused("get_dag", dag_id="etl_a")


async def log(text: str, folder: Path) -> str:
    record = logging.LogRecord("airflow_mcp", logging.WARNING, __file__, 1, "a call failed:\n%s", (text,), None)
    return TextFormatter().format(record) + json.loads(JsonFormatter().format(record))["message"]


async def audit(text: str, folder: Path) -> str:
    trail = folder / "audit.jsonl"
    async with connected(World().airflow, {"allow": [{"tools": ["trigger_dag_run"]}]}, audit=str(trail)) as someone:
        arguments = {"dag_id": "etl_a", "conf": {"text": text}, "note": text}
        await someone.client.call_tool("trigger_dag_run", arguments)
    lines = trail.read_text(encoding="utf-8").splitlines()
    assert lines
    return "\n".join(str(json.loads(line)) for line in lines)


async def span(text: str, folder: Path) -> str:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(RedactingExporter(kept, ["get_dag"])))
    with provider.get_tracer("test").start_as_current_span("tools/call get_dag") as one:
        one.set_attribute("text", text)
    (left,) = kept.get_finished_spans()
    return str(dict(left.attributes or {}))


async def preview(text: str, folder: Path) -> str:
    pool = {"name": "small", "slots": 3, "description": text}
    airflow = FakeAirflow().otherwise(pool)
    async with connected(airflow, {"allow": [{"tools": ["delete_pool"]}]}) as someone:
        shown = await someone.ask("delete_pool", pool_name="small")
    assert "plan" in shown
    return str(shown)


async def question(text: str, folder: Path) -> str:
    world = World()
    person = Person(world, NOES["decline"])
    async with connected(world.airflow, POLICY, human=person) as someone:
        await someone.refused("trigger_dag_run", dag_id="etl_a", conf={"text": text})  # a note is signed behind its end
    (asked,) = person.questions
    return asked


OUTLETS: list[Callable[[str, Path], Awaitable[str]]] = [answer, error, log, audit, span, preview, question]


@pytest.mark.parametrize("outlet", OUTLETS, ids=lambda outlet: outlet.__name__)
async def test_a_secret_of_any_shape_leaves_through_no_outlet(
    outlet: Callable[[str, Path], Awaitable[str]], tmp_path: Path
) -> None:
    leaks: list[str] = []
    for number, name in enumerate(SAMPLE):
        text, secret = TEXTS[name]
        folder = tmp_path / str(number)
        folder.mkdir()
        left = await outlet(text, folder)
        assert left
        if any(part in left for part in parts_of(secret)):
            leaks.append(name)
    assert leaks == []
    assert len(SAMPLE) > 40
