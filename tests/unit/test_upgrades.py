"""Airflow is upgraded while the server runs: routes, tools, schemas and plans follow, and clients hear of it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from mcp.types import ToolListChangedNotification

from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.policy.rules import parse_policy
from tests.unit.assistant import A_TOKEN, ERAS, Assistant, Clock, assistant
from tests.unit.fake_airflow import HTML_404, FakeAirflow, Reply, Sent
from tests.unit.samples import dag, dag_v1, page, task_instance

pytestmark = pytest.mark.anyio
PATIENCE = 30.0  # seconds after which a test gives up waiting; none measures time
CATALOG = load_catalog()


class Upgraded(FakeAirflow):
    """An Airflow that becomes another version; both versions' replies are given beforehand."""

    def __init__(self, before: FakeAirflow, after: FakeAirflow) -> None:
        super().__init__()
        self.now, self._next = before, after
        self.url = before.url

    async def answer(self, request: Any) -> Any:
        return await self.now.answer(request)

    def upgrade(self) -> None:
        """Be the other version from now on."""
        self.now, self._next = self._next, self.now

    @property
    def versions_asked(self) -> int:
        """How often it was asked for its version, by the route that it has."""
        both = (*self.now.seen, *self._next.seen)
        return len([sent for sent in both if sent.path.endswith("/version")])


def furnished(version: str) -> FakeAirflow:
    """One version, with a DAG and a pool."""
    one = dag_v1(dag_id="etl") if version.startswith("2.") else dag(dag_id="etl")
    airflow = FakeAirflow(version).on("GET", "/dags", page("dags", [one])).on("GET", "/dags/etl", one)
    airflow.on("PATCH", "/dags/etl", {**one, "is_paused": True})
    airflow.on("GET", "/pools/small", {"name": "small", "slots": 3}).on("DELETE", "/pools/small", None)
    airflow.on("GET", "/dags/etl/dagRuns/r/taskInstances/t/logs/1", Reply(200, "one line\n"))
    return airflow


async def tools(someone: Assistant) -> dict[str, Any]:
    """The schemas that are listed now, by tool: not those that the client keeps."""
    return {tool.name: tool.input_schema for tool in (await someone.client.list_tools(cache_mode="bypass")).tools}


def upgraded(before: str, after: str) -> Upgraded:
    return Upgraded(furnished(before), furnished(after))


@pytest.mark.parametrize(("before", "after"), [("2.11.2", "3.3.2"), ("3.3.2", "2.11.2")])
async def test_a_read_that_meets_another_generation_is_repeated_once_with_its_routes(before: str, after: str) -> None:
    airflow = upgraded(before, after)
    async with assistant(airflow) as someone:
        await someone.ask("get_dag", dag_id="etl")
        airflow.upgrade()
        assert (await someone.ask("get_dag", dag_id="etl"))["dag_id"] == "etl"
        generation = "v2" if after.startswith("3") else "v1"
        assert airflow.now.seen[-1].path == f"/api/{generation}/dags/etl"
        asked = airflow.versions_asked
        await someone.ask("get_dag", dag_id="etl")
        assert airflow.versions_asked == asked


async def test_a_version_is_asked_again_after_ten_minutes_and_not_before() -> None:
    airflow, clock = upgraded("3.1.8", "3.3.2"), Clock()
    async with assistant(airflow, clock=clock, toolsets=("all",)) as someone:
        before = await tools(someone)
        airflow.upgrade()
        clock.wait(599)
        assert (await tools(someone)).keys() == before.keys()
        assert airflow.versions_asked == 1
        clock.wait(1)
        assert before.keys() < (await tools(someone)).keys()
        assert airflow.versions_asked == 2


async def test_schemas_follow_the_version() -> None:
    airflow, clock = upgraded("2.11.2", "3.3.2"), Clock()

    async with assistant(airflow, clock=clock, toolsets=("all",), allow=("*",)) as someone:
        old = await tools(someone)
        airflow.upgrade()
        clock.wait(600)
        new = await tools(someone)
    async with assistant(furnished("3.3.2"), toolsets=("all",), allow=("*",)) as someone:
        assert new == await tools(someone)
    assert new != old


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize("body", [HTML_404, "", "null", "[]", '{"error": "gone"}', '{"title": "Not Found"}'])
async def test_an_answer_that_is_not_airflows_asks_for_the_version_at_most_once_a_minute(
    status: int, body: str
) -> None:
    airflow, clock = furnished("3.3.2").on("GET", "/dags/etl", Reply(status, body)), Clock()
    async with assistant(airflow, clock=clock) as someone:
        for _ in range(3):
            await someone.refused("get_dag", dag_id="etl")
        if status == 405:
            assert airflow.lines() == ["GET /dags/etl"] * 3, "no version is new, so nothing is repeated"
        assert versions(airflow) == 2
        clock.wait(59)
        await someone.refused("get_dag", dag_id="etl")
        assert versions(airflow) == 2
        clock.wait(1)
        await someone.refused("get_dag", dag_id="etl")
        assert versions(airflow) == 3


def versions(airflow: FakeAirflow) -> int:
    return len([sent for sent in airflow.seen if sent.path.endswith("/version")])


@pytest.mark.parametrize("version", ["2.11.2", "3.3.2"])
async def test_airflows_own_404_asks_for_nothing(version: str) -> None:
    airflow = furnished(version)
    async with assistant(airflow) as someone:
        await someone.refused("get_dag", dag_id="other")
    assert versions(airflow) == 1 + (version.startswith("2"))


async def test_a_log_that_meets_another_generation_is_read_once_more_with_its_routes() -> None:
    before, after = furnished("2.11.2"), furnished("3.3.2")
    airflow = Upgraded(before, after)

    def upgrade(sent: Sent) -> Reply:
        airflow.upgrade()
        return Reply(200, task_instance("t"))

    place = "/dags/etl/dagRuns/r/taskInstances/t"
    before.on("GET", place, upgrade)
    after.on("GET", f"{place}/logs/1", Reply(200, '{"event": "it broke", "level": "error"}\n'))
    async with assistant(airflow) as someone:
        await someone.ask("read_task_log", dag_id="etl", dag_run_id="r", task_id="t", try_number=1)
    assert [sent.path for sent in after.seen if "/logs/" in sent.path] == [
        f"/api/{one}{place}/logs/1" for one in ("v1", "v2")
    ]


async def test_a_change_is_never_repeated() -> None:
    airflow = upgraded("2.11.2", "3.3.2")
    async with assistant(airflow, allow=("pause_dag",)) as someone:
        await someone.ask("get_dag", dag_id="etl")
        airflow.upgrade()
        await someone.client.call_tool("pause_dag", {"dag_id": "etl"})  # its outcome is read back with the new routes
        assert [sent.method for sent in airflow.now.seen if sent.method != "GET"] == ["PATCH"]
        await someone.ask("pause_dag", dag_id="etl")
    assert airflow.now.seen[-1].path == "/api/v2/dags/etl"


async def test_a_change_prepared_for_another_version_is_not_sent() -> None:
    """What a change reads first shows that Airflow was upgraded."""
    before = furnished("2.11.2")
    airflow = Upgraded(before, furnished("3.3.2"))

    def upgrade(sent: Sent) -> Reply:
        airflow.upgrade()
        return Reply(404, HTML_404, {"content-type": "text/html"})

    before.on("GET", "/pools/small", upgrade)
    async with assistant(airflow, allow=("update_pool",)) as someone:
        sentence = await someone.refused("update_pool", pool_name="small", slots=5)
    assert "Airflow is 3.3 now, and was 2.11" in sentence
    assert [sent.method for sent in (*before.seen, *airflow.now.seen) if sent.method != "GET"] == []


async def test_a_plan_of_the_old_version_is_refused() -> None:
    airflow, clock = upgraded("3.0.6", "3.3.2"), Clock()
    async with assistant(airflow, clock=clock) as someone:
        assert someone.instances is not None
        someone.instances.enforce(parse_policy(("delete_pool",), CATALOG))
        plan = (await someone.ask("delete_pool", pool_name="small"))["plan"]
        airflow.upgrade()
        clock.wait(600)
        sentence = await someone.refused("delete_pool", pool_name="small", plan=plan)
        assert "this plan is for Airflow 3.0, and this is Airflow 3.3 now" in sentence
        again = (await someone.ask("delete_pool", pool_name="small"))["plan"]
        await someone.ask("delete_pool", pool_name="small", plan=again)
    assert airflow.now.lines().count("DELETE /pools/small") == 1


async def test_a_version_that_cannot_be_asked_for_leaves_the_last_one_and_is_tried_again_in_a_minute() -> None:
    airflow, clock = furnished("3.3.2"), Clock()
    async with assistant(airflow, clock=clock) as someone:
        await someone.ask("get_dag", dag_id="etl")
        airflow.on("GET", "/version", Reply(503, "starting")).on("GET", "/dags", Reply(503, "starting"))
        clock.wait(600)
        for _ in range(3):
            await someone.ask("get_dag", dag_id="etl")
        assert versions(airflow) == 1 + 2, "both generations were asked once"
        airflow.on("GET", "/version", {"version": "3.3.2"})
        clock.wait(60)
        await someone.ask("get_dag", dag_id="etl")
        assert versions(airflow) == 1 + 2 + 1


async def test_health_and_calls_know_the_same_version() -> None:
    airflow = upgraded("2.11.2", "3.3.2")
    client = AirflowClient(airflow.url, A_TOKEN, transport=airflow.transport)
    assert str(await client.version()) == "2.11"
    airflow.upgrade()
    assert str(await client.refresh_version()) == "3.3"
    assert str(await client.version()) == "3.3"


@pytest.mark.parametrize("mode", ERAS)
async def test_clients_hear_that_tools_changed_with_the_version_and_with_the_rules(mode: str) -> None:
    airflow, clock = upgraded("2.11.2", "3.3.2"), Clock()
    heard = anyio.Semaphore(0)

    async def note(message: Any) -> None:
        if isinstance(message, ToolListChangedNotification):
            heard.release()

    async with assistant(airflow, mode=mode, clock=clock, heard=note if mode == "legacy" else None) as someone:
        capabilities = someone.client.server_capabilities
        assert capabilities.tools is not None
        assert capabilities.tools.list_changed is True
        await someone.ask("get_dag", dag_id="etl")
        assert someone.instances is not None
        async with anyio.create_task_group() as group:
            if mode == "auto":
                listening = anyio.Event()
                group.start_soon(listen, someone, listening, heard)
                await listening.wait()
            with anyio.fail_after(PATIENCE):
                airflow.upgrade()
                clock.wait(600)
                await someone.ask("get_dag", dag_id="etl")
                await heard.acquire()
                someone.instances.enforce(parse_policy(("pause_dag",), CATALOG))
                await heard.acquire()
                assert "pause_dag" in await someone.tools()
            await someone.ask("get_dag", dag_id="etl")
            group.cancel_scope.cancel()
        assert heard.value == 0, "nothing else was told"


async def listen(someone: Assistant, listening: anyio.Event, heard: anyio.Semaphore) -> None:
    async with someone.client.listen(tools_list_changed=True) as events:
        listening.set()
        async for _ in events:
            heard.release()
