"""Whatever Airflow answers, a caller gets JSON that any client can read, or a sentence: no value ends in a crash."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from airflow_mcp.catalog.loader import Tool, load_catalog
from airflow_mcp.catalog.versions import Version
from tests.unit.assistant import GENERATIONS, assistant, text_of
from tests.unit.fake_airflow import FakeAirflow, Reply
from tests.unit.test_ids import arguments_of

pytestmark = pytest.mark.anyio
CATALOG = load_catalog()


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


# As they stand in the body: most of them cannot be written by a JSON library that keeps to the rules.
VALUES = [
    '"a\\ud800b"', '"\\u202e\\u0000"', "NaN", "-Infinity", "1e999", "null", "true", "1.5", "9" * 400, '[1,[2]]',
    '{"a":{"b\\ud800":1},"a":2}', nested(100),
]  # fmt: skip
STRANGE_KEY = '"k\\ud800\\u202e":'
DEEP = [nested(300), nested(900), nested(1_000)]
READS = [
    pytest.param(tool, version, id=f"{tool.name}-{version}")
    for tool in CATALOG.tools.values()
    for version in GENERATIONS
    if tool.entry.access == "read" and tool.entry.record and tool.entry.since.has(Version.parse(version))
    if not tool.entry.python and not tool.entry.forwards
]


def bodies(tool: Tool, version: str) -> Iterator[str]:
    """Answers of this tool with strange values in every field of its record, and rows of strange kinds."""
    record = CATALOG.records[tool.entry.record or ""]
    paths = (path.partition(".")[0] for path in (*record.pluck.values(), *record.pluck_v1.values()))
    names = dict.fromkeys([*record.keep, *record.row, *record.rename, *record.rename_v1, *paths])

    def row(value: str) -> str:
        fields = [f"{json.dumps(name)}:{value}" for name in names]
        return "{" + ",".join([*fields, STRANGE_KEY + value]) + "}"

    key = tool.entry.rows_key(Version.parse(version).generation)
    if key is None:
        yield from (row(value) for value in (*VALUES, *DEEP))
        return
    lists = [",".join(map(row, VALUES)), *map(row, DEEP), "null", '"x"', "[1]", ""]
    yield from (f'{{"{key}":[{rows}],"total_entries":1}}' for rows in lists)
    yield from (f'{{"{key}":[{row("1")}],"total_entries":{total}}}' for total in ("null", '"1"', "1e999"))
    yield from (f'{{"{key}":{rows}}}' for rows in ("null", "{}", "3"))


@pytest.mark.parametrize(("tool", "version"), READS)
async def test_strange_answer_is_told_in_json_or_in_a_sentence(tool: Tool, version: str) -> None:
    airflow = FakeAirflow(version)
    async with assistant(airflow) as someone:
        for body in bodies(tool, version):
            airflow.otherwise(Reply(200, body.encode()))
            result = await someone.client.call_tool(tool.name, {**arguments_of(tool, {}), "fields": ["*"]})
            text = text_of(result)
            assert "failed inside this server" not in text, body[:300]
            text.encode()
            if not result.is_error:
                json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
