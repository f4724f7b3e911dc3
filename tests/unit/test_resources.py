"""Resources are read through the same door as tools: same policy, same redaction, same audit, same words for errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client, MCPError
from mcp.shared.uri_template import UriTemplate
from mcp.types import INVALID_PARAMS, ResourceTemplateReference, TextResourceContents

from airflow_mcp.server.resources import KINDS
from airflow_mcp.text import escape
from tests.permissions.support import NO_PAYROLL, connected
from tests.unit.assistant import ERAS, GENERATIONS, Assistant, Json, assistant
from tests.unit.fake_airflow import FakeAirflow, Reply
from tests.unit.samples import dag, dag_run, page, task_instance

pytestmark = pytest.mark.anyio
SOURCE = 'password = "hunter2-hunter2"\nprint("hello")\n'
RUN = "/dags/etl/dagRuns/manual__2026-11-21T00%3A00%3A00%2B00%3A00"
RUN_ID = "manual__2026-11-21T00:00:00+00:00"
LOG: Json = {"dag_id": "etl", "dag_run_id": RUN_ID, "task_id": "load", "max_chars": 8000}
ANY_ID = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\x00"), min_size=1, max_size=20).filter(
    lambda text: text not in (".", "..")
)


def with_etl(version: str = "3.3.2") -> FakeAirflow:
    """An Airflow with DAG etl, a run of it and a log of its task."""
    airflow = FakeAirflow(version).on("GET", "/dags/etl", dag(dag_id="etl", file_token="tok"))
    airflow.on("GET", "/dags/etl/details", dag(dag_id="etl", params={}))
    source = {"dag_id": "etl", "content": SOURCE, "version_number": 1}
    airflow.on("GET", "/dagSources/etl" if version.startswith("3") else "/dagSources/tok", source)
    airflow.on("GET", "/dags", page("dags", [dag(dag_id="etl"), dag(dag_id="etl_two"), dag(dag_id="my_etl")]))
    airflow.on("GET", RUN, dag_run(RUN_ID, conf={"api_token": "hunter2", "rows": 3}))
    airflow.on("GET", "/dags/etl/dagRuns", page("dag_runs", [dag_run(RUN_ID), dag_run("scheduled__x")]))
    airflow.on("GET", "/dags/etl/tasks", page("tasks", [{"task_id": "load"}, {"task_id": "check"}]))
    airflow.on("GET", f"{RUN}/taskInstances/load", task_instance("load", try_number=2))
    airflow.on("GET", f"{RUN}/taskInstances/load/3", task_instance("load", try_number=2, map_index=3))
    line: Any = "ValueError: token=hunter2 is wrong\n"
    if version.startswith("3"):
        line = json.dumps({"event": "ValueError: token=hunter2 is wrong", "level": "error"}) + "\n"
    for path in (f"{RUN}/taskInstances/load/logs/2", f"{RUN}/taskInstances/load/logs/1"):
        airflow.on("GET", path, Reply(200, line))
    return airflow


async def read(someone: Assistant, uri: str) -> tuple[str, str | None]:
    """A resource's text and its MIME type."""
    (content,) = (await someone.client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    return content.text, content.mime_type


async def refused(client: Client, uri: str) -> tuple[int, str]:
    with pytest.raises(MCPError) as caught:
        await client.read_resource(uri)
    return caught.value.code, caught.value.message


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_source_is_the_file_as_it_is_but_for_secrets(version: str, mode: str) -> None:
    async with assistant(with_etl(version), mode=mode) as someone:
        text, kind = await read(someone, "airflow://default/dags/etl/source")
    assert kind == "text/x-python"
    assert text == SOURCE.replace("hunter2-hunter2", "***")


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize(
    ("uri", "tool", "arguments"),
    [
        ("airflow://default/dags/etl", "get_dag_overview", {"dag_id": "etl"}),
        (f"airflow://default{RUN.replace('dagRuns', 'runs')}", "get_dag_run", {"dag_id": "etl", "dag_run_id": RUN_ID}),
        (
            f"airflow://default/dags/etl/runs/{RUN_ID}/tasks/load/log",
            "read_task_log",
            LOG,
        ),
        (
            f"airflow://default/dags/etl/runs/{RUN_ID}/tasks/load/log?try_number=1&map_index=3",
            "read_task_log",
            {
                "dag_id": "etl",
                "dag_run_id": RUN_ID,
                "task_id": "load",
                "try_number": 1,
                "map_index": 3,
                "max_chars": 8000,
            },
        ),
    ],
)
async def test_a_resource_is_what_its_tool_answers(
    version: str, mode: str, uri: str, tool: str, arguments: Json
) -> None:
    async with assistant(with_etl(version), mode=mode) as someone:
        text, kind = await read(someone, uri)
        answer = await someone.ask(tool, **arguments)
    assert kind == "application/json"
    assert json.loads(text) == answer
    assert "hunter2" not in text


@pytest.mark.parametrize("mode", ERAS)
async def test_what_there_is_is_listed_as_templates(mode: str) -> None:
    async with assistant(FakeAirflow(), mode=mode) as someone:
        listed = (await someone.client.list_resource_templates()).resource_templates
        assert (await someone.client.list_resources()).resources == []
    assert [template.uri_template for template in listed] == [template.uri for template in KINDS.values()]
    assert all(template.title and template.description for template in listed)
    assert {template.mime_type for template in listed} == {"application/json", "text/x-python"}


async def test_any_id_that_a_template_expands_to_arrives_as_that_id() -> None:
    airflow = FakeAirflow().otherwise(dag_run())
    template = UriTemplate.parse(KINDS["run"].uri)
    async with assistant(airflow) as someone:
        for ids in _examples():
            airflow.sent.clear()
            uri = template.expand({"instance": "default", **{name: escape(text) for name, text in ids.items()}})
            await read(someone, uri)
            path = f"/dags/{quote(ids['dag_id'], safe='')}/dagRuns/{quote(ids['dag_run_id'], safe='')}"
            listed, sent = airflow.sent  # the list that should hold the run, and the run
            assert listed.asked["run_id_pattern"] == ids["dag_run_id"]
            assert (listed.path, sent.path) == (path.rpartition("/")[0], path)


def _examples() -> list[dict[str, str]]:
    """Ids that hypothesis thinks of."""
    found: list[dict[str, str]] = [{"dag_id": "c:evil", "dag_run_id": "a..b"}]

    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], derandomize=True, database=None)
    @given(st.fixed_dictionaries({"dag_id": ANY_ID, "dag_run_id": ANY_ID}))
    def collect(ids: dict[str, str]) -> None:
        found.append(ids)

    collect()
    return found


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("airflow://other/dags/etl/source", "no Airflow 'other' here; it is one of default."),
        ("airflow://default/dags/elt/source", "Did you mean etl?"),
        ("airflow://default/dags/etl/runs/q", "has no run 'q'"),
        ("airflow://default/nothing", "Unknown resource"),
    ],
)
async def test_what_is_not_there_is_said_in_the_words_of_the_tool(mode: str, uri: str, words: str) -> None:
    async with assistant(with_etl(), mode=mode) as someone:
        code, message = await refused(someone.client, uri)
    assert code == INVALID_PARAMS
    assert words in message


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("airflow://default/dags/%2E%2E/source", "dag_id must not be '..'"),
        ("airflow://default/dags/a%2Fb/source", "dag_id must not contain '/'"),
        (f"airflow://default/dags/etl/runs/{RUN_ID}/tasks/load/log?map_index=two", "map_index must be a whole number"),
        (f"airflow://default/dags/etl/runs/{RUN_ID}/tasks/load/log?try_number=9", "the latest try is 2"),
    ],
)
async def test_what_cannot_be_read_is_refused_in_the_words_of_the_tool(mode: str, uri: str, words: str) -> None:
    async with assistant(with_etl(), mode=mode) as someone:
        _, message = await refused(someone.client, uri)
    assert words in message


@pytest.mark.parametrize("mode", ERAS)
async def test_a_crash_shows_nothing_of_itself(mode: str) -> None:
    def crash(sent: object) -> Reply:
        raise RuntimeError("postgresql://ann:hunter2@db/prod is not reachable")

    airflow = with_etl().on("GET", RUN, crash).on("GET", RUN.rpartition("/")[0], crash)
    async with assistant(airflow, mode=mode) as someone:
        _, message = await refused(someone.client, f"airflow://default/dags/etl/runs/{RUN_ID}")
    assert "hunter2" not in message
    assert "RuntimeError" not in message


@pytest.mark.parametrize("mode", ERAS)
async def test_a_crash_while_listing_or_completing_shows_nothing_of_itself(mode: str) -> None:
    def crash(sent: object) -> Reply:
        raise RuntimeError("postgresql://ann:hunter2@db/prod is not reachable")

    airflow = FakeAirflow().on("GET", "/version", crash).on("GET", "/dags", crash)
    async with assistant(airflow, mode=mode) as someone:
        with pytest.raises(MCPError) as listing:
            await someone.client.list_tools()
        with pytest.raises(MCPError) as completing:
            await completed(someone, "dag_id", "e")
    assert "log" in str(listing.value)
    for error in (listing.value, completing.value):
        assert "hunter2" not in str(error)
        assert "RuntimeError" not in str(error)


async def test_policy_and_audit_hold_for_resources(tmp_path: Path) -> None:
    trail = tmp_path / "audit.jsonl"
    airflow = with_etl()
    async with connected(airflow, {"deny": [NO_PAYROLL]}, audit=str(trail)) as someone:
        _, message = await refused(someone.client, "airflow://default/dags/payroll_x/runs/r")
        assert "denies it" in message
        assert airflow.sent == []
        await read(someone, f"airflow://default/dags/etl/runs/{RUN_ID}")
    lines = [json.loads(line) for line in trail.read_text().splitlines()]
    assert [(line["tool"], line["arguments"]["dag_id"]) for line in lines] == [
        ("get_dag_run", "payroll_x"),
        ("get_dag_run", "etl"),
    ]


async def test_a_template_is_not_listed_for_whom_its_tool_is_denied() -> None:
    policy: Json = {"deny": [{"tools": ["get_dag_source", "read_task_log"]}]}
    async with connected(FakeAirflow(), policy) as someone:
        listed = (await someone.client.list_resource_templates()).resource_templates
        assert [template.name for template in listed] == ["dag", "run"]
        assert "denies it" in (await refused(someone.client, "airflow://default/dags/etl/source"))[1]


async def test_with_several_airflows_the_uri_says_which() -> None:
    one, two = with_etl(), FakeAirflow("2.11.2").on("GET", RUN, dag_run(RUN_ID, "success"))
    async with connected({"one": one, "two": two}) as someone:
        text, _ = await read(someone, f"airflow://two/dags/etl/runs/{RUN_ID}")
        assert (json.loads(text)["instance"], json.loads(text)["state"]) == ("two", "success")
        assert one.sent == []
        assert "it is one of one, two." in (await refused(someone.client, "airflow://default/dags/etl/runs/r"))[1]


async def test_a_source_beyond_the_ceiling_says_what_is_left_out() -> None:
    source = "x = 1\n" * 1000
    airflow = with_etl().on("GET", "/dagSources/etl", {"dag_id": "etl", "content": source})
    async with assistant(airflow, max_chars=2000) as someone:
        text, _ = await read(someone, "airflow://default/dags/etl/source")
    kept, _, said = text.rpartition("\n# ")
    left = int(said.split()[0])
    assert len(kept) + left == len(source)
    assert "the operator's ceiling is 2000" in said


async def completed(someone: Assistant, name: str, value: str, **chosen: str) -> list[str]:
    ref = ResourceTemplateReference(type="ref/resource", uri=KINDS["log"].uri)
    argument = {"name": name, "value": value}
    return (await someone.client.complete(ref, argument, context_arguments=chosen or None)).completion.values


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("version", GENERATIONS)
async def test_ids_are_completed_from_what_there_is(version: str, mode: str) -> None:
    airflow = with_etl(version)
    async with assistant(airflow, mode=mode) as someone:
        assert await completed(someone, "dag_id", "etl") == ["etl", "etl_two", "my_etl"]
        assert airflow.last("GET", "/dags").asked["dag_id_pattern"] == "etl"
        assert await completed(someone, "dag_id", "") == ["etl", "etl_two", "my_etl"]
        assert await completed(someone, "dag_run_id", "sched", dag_id="etl") == ["scheduled__x"]
        assert await completed(someone, "task_id", "", dag_id="etl") == ["load", "check"]
        assert await completed(someone, "instance", "d") == ["default"]
        asked = len(airflow.sent)
        assert await completed(someone, "dag_run_id", "") == []
        assert await completed(someone, "map_index", "1", dag_id="etl") == []
        assert len(airflow.sent) == asked


async def test_a_completion_shows_only_what_policy_does_and_never_fails() -> None:
    airflow = with_etl().on("GET", "/dags", page("dags", [dag(dag_id="etl"), dag(dag_id="payroll_x")]))
    async with connected(airflow, {"deny": [NO_PAYROLL]}) as someone:
        assert await completed(someone, "dag_id", "") == ["etl"]
        assert await completed(someone, "dag_run_id", "", dag_id="payroll_x") == []
    async with assistant(airflow.on("GET", "/dags", Reply(500, {"detail": "broken"}))) as someone:
        assert await completed(someone, "dag_id", "e") == []


async def test_a_completion_asks_the_airflow_that_was_chosen() -> None:
    one, two = with_etl(), with_etl("2.11.2").on("GET", "/dags", page("dags", [dag(dag_id="elsewhere")]))
    async with connected({"one": one, "two": two}) as someone:
        assert await completed(someone, "dag_id", "e", instance="two") == ["elsewhere"]
        assert await completed(someone, "instance", "") == ["one", "two"]
