"""What the connected Airflow lacks is neither listed nor sent, and which Airflow it is is found out without a guess."""

from __future__ import annotations

from typing import Any

import anyio
import httpx2
import pytest

from airflow_mcp.airflow.credentials import Credentials
from airflow_mcp.catalog.loader import Tool, load_catalog
from airflow_mcp.catalog.versions import Version
from tests.unit.assistant import ERAS, assistant
from tests.unit.fake_airflow import HTML_404, FakeAirflow, Reply
from tests.unit.samples import dag, page
from tests.unit.test_ids import a_value, arguments_of

pytestmark = pytest.mark.anyio
CATALOG = load_catalog()
READS = {tool.name for tool in CATALOG.tools.values() if tool.entry.access == "read"}
VERSIONS = [Version(2, 7), Version(2, 9), Version(2, 11), Version(3, 0), Version(3, 1), Version(3, 3)]
IDS = {"dag_id": "etl", "dag_run_id": "r", "task_id": "t", "pool_name": "small", "xcom_key": "k", "thing_id": "x"}


LACKED = [
    pytest.param(tool, use.name, version, id=f"{tool.name}-{use.name}-{version}")
    for tool in CATALOG.tools.values()
    for use in tool.entry.params
    for version in VERSIONS
    if tool.entry.since.has(version) and not use.in_schema(version)
]
MISSING = [
    pytest.param(tool, version, id=f"{tool.name}-{version}")
    for tool in CATALOG.tools.values()
    for version in VERSIONS
    if not tool.entry.since.has(version)
]


@pytest.mark.parametrize(("tool", "name", "version"), LACKED)
async def test_an_argument_the_version_lacks_is_refused_and_never_sent(tool: Tool, name: str, version: Version) -> None:
    described = {use.name: use.table for use in tool.entry.params}
    ids = {use.name: IDS[use.name] for use in tool.entry.params if use.required and use.name in IDS}
    here = [use.name for use in tool.entry.params if use.in_schema(version)]
    ids |= {one: "x" for one in [name for name in tool.entry.any_of if name in here][:1] if one == "uri"}
    lacked = {name: a_value(CATALOG.parameters[described[name]].json_schema)}
    airflow = FakeAirflow(f"{version}.1")
    async with assistant(airflow, allow=("*",)) as someone:
        sentence = await someone.refused(tool.name, **{**arguments_of(tool, ids), **lacked})
    assert f"the argument {name} needs Airflow" in sentence
    assert f"this is Airflow {version}" in sentence
    assert airflow.sent == []


@pytest.mark.parametrize(("tool", "version"), MISSING)
async def test_a_tool_the_version_lacks_is_not_listed_and_refused_by_name(tool: Tool, version: Version) -> None:
    airflow = FakeAirflow(f"{version}.1")
    ids = {use.name: IDS[use.name] for use in tool.entry.params if use.name in IDS and use.required}
    async with assistant(airflow, toolsets=("all",), allow=("*",)) as someone:
        listed = await someone.tools()
        sentence = await someone.refused(tool.name, **arguments_of(tool, ids))
    assert tool.name not in listed
    assert f"{tool.name} needs Airflow" in sentence
    assert f"this is Airflow {version}" in sentence
    assert airflow.sent == []


def test_both_kinds_of_lack_exist_so_that_the_tests_above_are_about_something() -> None:
    assert len(LACKED) >= 20
    assert {case.values[0].name for case in MISSING if isinstance(case.values[0], Tool)} >= {"list_dag_tags"}


@pytest.mark.parametrize(("version", "has"), [("2.7.3", False), ("2.10.0", True), ("3.0.0", True), ("3.3.2", True)])
async def test_the_list_follows_the_version(version: str, has: bool) -> None:
    async with assistant(FakeAirflow(version), toolsets=("all",)) as someone:
        listed = {tool.name: tool for tool in (await someone.client.list_tools()).tools}
    assert ("list_task_instance_tries" in listed) is has
    assert ("list_dag_tags" in listed) is version.startswith("3")
    assert ("tags_match_mode" in listed["list_dags"].input_schema["properties"]) is version.startswith("3")
    assert "limit" in listed["list_dags"].input_schema["properties"]


@pytest.mark.parametrize("mode", ERAS)
async def test_while_airflow_is_down_every_read_is_listed(mode: str) -> None:
    airflow = FakeAirflow().on("GET", "/version", httpx2.ConnectError("refused"))
    async with assistant(airflow, mode=mode, toolsets=("all",)) as someone:
        assert set(await someone.tools()) == READS


async def test_a_list_does_not_wait_for_an_airflow_that_says_nothing() -> None:
    airflow = FakeAirflow().on("GET", "/version", lambda _: anyio.sleep_forever())
    async with assistant(airflow, toolsets=("all",)) as someone:
        with anyio.fail_after(30):  # only so that a failure ends; the client's own timeout is 30 seconds a request
            assert set(await someone.tools()) == READS


async def test_once_airflow_is_up_the_list_is_that_of_its_version() -> None:
    airflow = FakeAirflow("2.7.3").on("GET", "/version", httpx2.ConnectError("refused"), {"version": "2.7.3"})
    async with assistant(airflow, mode="legacy", toolsets=("all",)) as someone:
        before, after = await someone.tools(), await someone.tools()
    gone = {name for name in READS if not CATALOG.tools[name].entry.since.has(Version(2, 7))}
    assert set(before) - set(after) == gone


async def test_a_call_while_airflow_is_down_says_so() -> None:
    airflow = FakeAirflow().on("GET", "/version", httpx2.ConnectError("refused"))
    async with assistant(airflow) as someone:
        sentence = await someone.refused("list_dags")
    assert "http://airflow.example:8080" in sentence
    assert "AIRFLOW_MCP_URL" in sentence


@pytest.mark.parametrize("version", ["2.6.3", "2.0.0", "1.10.15"])
async def test_an_airflow_that_is_too_old_is_refused_plainly(version: str) -> None:
    airflow = FakeAirflow("2.7.0").on("GET", "/version", {"version": version})
    async with assistant(airflow) as someone:
        sentence = await someone.refused("list_dags")
    short = version.rpartition(".")[0]
    assert sentence == f"This is Airflow {short}; airflow-mcp supports Airflow 2.7 and newer."
    assert airflow.sent == []


@pytest.mark.parametrize(
    ("said", "generation"),
    [("2.7.0", "v1"), ("2.11.2+composer", "v1"), ("3.0.0", "v2"), ("3.3.2+astro.1", "v2"), ("3.10.0rc1", "v2")],
)
async def test_the_generation_follows_from_the_version(said: str, generation: str) -> None:
    airflow = FakeAirflow("2.9.9" if generation == "v1" else "3.0.0").on("GET", "/version", {"version": said})
    airflow.on("GET", "/dags", page("dags", [dag()]))
    async with assistant(airflow) as someone:
        await someone.ask("list_dags")
    assert airflow.seen[-1].path == f"/api/{generation}/dags"


async def test_2x_is_recognised_behind_the_page_it_shows_for_v2() -> None:
    airflow = FakeAirflow("2.11.2").on("GET", "/dags", page("dags", [dag()]))
    async with assistant(airflow) as someone:
        await someone.ask("list_dags")
        await someone.ask("list_dags")
    paths = [sent.path for sent in airflow.seen]
    assert paths == ["/api/v2/version", "/api/v1/version", "/api/v1/dags", "/api/v1/dags"]
    assert not [sent for sent in airflow.seen[:2] if "authorization" in sent.headers]


@pytest.mark.parametrize("version", ["2.11.2", "3.3.2"])
async def test_a_path_prefix_of_the_address_is_kept(version: str) -> None:
    airflow = FakeAirflow(version, prefix="/team/airflow").on("GET", "/dags", page("dags", [dag()]))
    airflow.on("POST", "/auth/token", Reply(201, {"access_token": "a.b.c"}))
    async with assistant(airflow, credentials=Credentials(username="ann", password="secret-of-ann")) as someone:
        await someone.ask("list_dags")
    assert {sent.path.rpartition("/team/airflow")[1] for sent in airflow.seen} == {"/team/airflow"}
    assert ("/team/airflow/auth/token" in [sent.path for sent in airflow.seen]) is version.startswith("3")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(404, HTML_404),
        Reply(200, "<html>a login page</html>"),
        Reply(200, {"app": "something else"}),
        Reply(200, {"version": None}),
        Reply(200, ["3.3.2"]),
        Reply(200, {"version": "latest"}),
    ],
)
async def test_what_is_not_airflow_is_said_not_to_be(reply: Reply) -> None:
    airflow = FakeAirflow().on("GET", "/version", reply).otherwise(reply)
    async with assistant(airflow) as someone:
        sentence = await someone.refused("list_dags")
    assert "AIRFLOW_MCP_URL is not Airflow's API" in sentence
    assert "<" not in sentence


async def test_an_airflow_that_fails_to_say_its_version_is_said_to_fail() -> None:
    failing = Reply(503, "<html>oh no</html>")
    airflow = FakeAirflow().on("GET", "/version", failing).otherwise(failing)
    async with assistant(airflow) as someone:
        sentence = await someone.refused("list_dags")
    assert "503" in sentence
    assert "oh no" not in sentence


async def test_something_in_front_of_airflow_that_wants_a_login_gets_the_operators() -> None:
    airflow = FakeAirflow().on("GET", "/dags", page("dags", [dag()]))

    def guarded(sent: Any) -> Reply:
        known = sent.headers.get("authorization") == "Bearer a-token-of-the-operator"
        return Reply(200, {"version": "3.3.2"}) if known else Reply(401, "who are you?")

    async with assistant(airflow.on("GET", "/version", guarded)) as someone:
        await someone.ask("list_dags")
    assert airflow.lines() == ["GET /dags"]


async def test_many_calls_at_once_ask_for_the_version_once() -> None:
    airflow = FakeAirflow().on("GET", "/dags", page("dags", [dag()]))
    async with assistant(airflow) as someone, anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(someone.ask, "list_dags")
    assert len([sent for sent in airflow.seen if sent.path.endswith("/version")]) == 1
    assert len(airflow.sent) == 8
