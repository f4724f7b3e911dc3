"""A link of Airflow's UI, of either generation, becomes ids and the call to make; and rows get links that lead back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mcp.catalog.versions import Generation
from airflow_mcp.dispatch.operations.ui_links import build_link, parse_link, read_link
from airflow_mcp.errors import InvalidArgumentsError
from tests.permissions.support import NO_PAYROLL, connected
from tests.unit.assistant import GENERATIONS, Json, assistant, calls_of, table
from tests.unit.fake_airflow import FakeAirflow, Reply, line_of_run
from tests.unit.samples import dag, dag_run, dag_run_v1, page, task_instance

pytestmark = pytest.mark.anyio
HERE = "http://airflow.example:8080"
RUN_ID = "manual__2026-01-01T00:00:00+00:00"
QUOTED = "manual__2026-01-01T00%3A00%3A00%2B00%3A00"
DAG, RUN = {"dag_id": "etl"}, {"dag_id": "etl", "dag_run_id": RUN_ID}
TASK = RUN | {"task_id": "load"}
MAPPED = TASK | {"map_index": 3}
DATED: Json = DAG | {"task_id": "load", "logical_date": "2026-01-01T00:00:00+00:00"}
ANY_ID = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)

FORMS: list[tuple[str, Json]] = [
    # 3.x
    ("/dags/etl", DAG),
    ("/dags/etl/", DAG),
    ("/dags/etl/runs", DAG),
    ("/dags/etl/code?version_number=2", DAG),
    (f"/dags/etl/runs/{QUOTED}", RUN),
    (f"/dags/etl/runs/{RUN_ID}/", RUN),
    (f"/dags/etl/runs/{QUOTED}/events", RUN),
    (f"/dags/etl/runs/{QUOTED}/tasks/load", TASK),
    (f"/dags/etl/runs/{QUOTED}/tasks/load?try_number=2", TASK | {"try_number": 2}),
    (f"/dags/etl/runs/{QUOTED}/tasks/load/xcom", TASK),
    (f"/dags/etl/runs/{QUOTED}/tasks/load/mapped", TASK),
    (f"/dags/etl/runs/{QUOTED}/tasks/load/mapped/3?try_number=1", MAPPED | {"try_number": 1}),
    (f"/dags/etl/runs/{QUOTED}/tasks/load/mapped/3/details", MAPPED),
    (f"/dags/etl/runs/{QUOTED}/tasks/group/stage", RUN | {"task_group_id": "stage"}),
    (f"/dags/etl/runs/{QUOTED}/tasks/group/mapped/3", RUN | {"task_id": "group", "map_index": 3}),
    ("/dags/etl/tasks/load", DAG | {"task_id": "load"}),
    ("/dags/etl/tasks/group/stage", DAG | {"task_group_id": "stage"}),
    ("/dags/runs/runs/tasks/tasks/dags", {"dag_id": "runs", "dag_run_id": "tasks", "task_id": "dags"}),
    ("/assets/17", {"asset_id": 17}),
    # 2.x
    ("/dags/etl/grid", DAG),
    ("/dags/etl/grid?num_runs=25&run_state=failed&base_date=2026-01-02T00%3A00%3A00Z", DAG),
    (f"/dags/etl/grid?dag_run_id={QUOTED}", RUN),
    (f"/dags/etl/grid?dag_run_id={RUN_ID}&tab=graph", RUN),
    (f"/dags/etl/grid?dag_run_id={QUOTED}&task_id=load&map_index=-1&tab=logs", TASK),
    (f"/dags/etl/grid?dag_run_id={QUOTED}&task_id=load&map_index=3&base_date=2026-01-02&tab=logs", MAPPED),
    (f"/dags/etl/graph?run_id={QUOTED}&execution_date=2026-01-01T00%3A00%3A00%2B00%3A00", RUN),
    ("/dags/etl/graph?execution_date=2026-01-01T00:00:00%2B00:00&task_id=load", DATED),
    ("/log?dag_id=etl&task_id=load&execution_date=2026-01-01T00%3A00%3A00%2B00%3A00&map_index=-1", DATED),
    ("/log?execution_date=2026-01-01T00:00:00+00:00&task_id=load&dag_id=etl", DATED),
    (
        "/task?dag_id=etl&task_id=load&execution_date=2026-01-01T00%3A00%3A00%2B00%3A00&map_index=3",
        DATED | {"map_index": 3},
    ),
    (f"/dagrun_details?dag_id=etl&run_id={QUOTED}", RUN),
    ("/tree?dag_id=etl", DAG),
    (f"/dagrun/list/?_flt_3_dag_id=etl&_flt_3_run_id={QUOTED}", RUN),
    (f"/confirm?task_id=load&dag_id=etl&dag_run_id={QUOTED}&upstream=false", TASK),
    ("/datasets?uri=s3%253A%252F%252Fbucket%252Fa.csv", {"asset_uri": "s3://bucket/a.csv"}),
    ("/datasets?uri=s3%3A%2F%2Fbucket%2Fa.csv", {"asset_uri": "s3://bucket/a.csv"}),
    # an id is decoded once
    ("/dags/a%2520b/runs/c%252Fd/tasks/e%2Ff", {"dag_id": "a%20b", "dag_run_id": "c%2Fd", "task_id": "e/f"}),
    ("/dags/gr%C3%B6%C3%9Fe/grid?dag_run_id=a+b%2Bc", {"dag_id": "größe", "dag_run_id": "a b+c"}),
]


@pytest.mark.parametrize("prefix", [HERE, "https://elsewhere.example/some/deployment", "", "airflow.example:8080"])
@pytest.mark.parametrize(("form", "ids"), FORMS)
def test_every_form_of_link_names_its_ids_behind_any_prefix(form: str, ids: Json, prefix: str) -> None:
    link = read_link(f" <{prefix}{form}> ", HERE)
    assert link.ids == ids
    assert link.is_here is (not prefix.startswith("https:"))


@pytest.mark.parametrize("base", ["https://a.example/dags/prod", "https://a.example/dags/prod/"])
def test_a_prefix_of_our_own_that_looks_like_a_dag_is_known(base: str) -> None:
    assert read_link("https://a.example/dags/prod/dags/etl/runs/r", base).ids == {"dag_id": "etl", "dag_run_id": "r"}
    assert read_link("https://a.example:443/dags/prod", base).page == "dags"


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://a.example/two/dags/etl", "https://a.example/one"),
        ("https://a.example/oneself/dags/etl", "https://a.example/one"),
        ("https://a.example:8443/dags/etl", "https://a.example"),
        ("https://a.example.evil/dags/etl", "https://a.example"),
        ("https://a.example@evil.example/dags/etl", "https://a.example"),
    ],
)
def test_another_host_port_or_prefix_is_another_airflow(url: str, base: str) -> None:
    link = read_link(url, base)
    assert (link.ids, link.is_here) == (DAG, False)


@pytest.mark.parametrize("base", ["https://a.example", "https://a.example/one/", "https://a.example/dags/x"])
@pytest.mark.parametrize("generation", ["v1", "v2"])
def test_any_ids_come_back_from_their_link(generation: Generation, base: str) -> None:
    @given(dag=ANY_ID, run=st.none() | ANY_ID, task=st.none() | ANY_ID, index=st.none() | st.integers(0, 9999))
    def they_come_back(dag: str, run: str | None, task: str | None, index: int | None) -> None:
        given = {"dag_id": dag, "dag_run_id": run, "task_id": task, "map_index": index if run and task else None}
        ids = {name: value for name, value in given.items() if value is not None}
        url = build_link(base, generation, ids)
        assert url is not None
        link = parse_link(url, base)
        assert (link.ids, link.is_here) == (ids, True)

    they_come_back()


@pytest.mark.parametrize(
    ("generation", "name", "values"), [("v1", "asset_uri", ANY_ID), ("v2", "asset_id", st.integers(0, 10**6))]
)
def test_any_asset_comes_back_from_its_link(generation: Generation, name: str, values: st.SearchStrategy[Any]) -> None:
    @given(value=values)
    def it_comes_back(value: Any) -> None:
        url = build_link(HERE, generation, {name: value})
        assert url is not None
        assert parse_link(url, HERE).ids == {name: value}

    it_comes_back()


def test_the_number_of_a_try_is_in_links_of_3x_only() -> None:
    ids = MAPPED | {"try_number": 2}
    assert build_link(HERE, "v2", ids) == f"{HERE}/dags/etl/runs/{QUOTED}/tasks/load/mapped/3?try_number=2"
    assert build_link(HERE, "v1", ids) == f"{HERE}/dags/etl/grid?dag_run_id={QUOTED}&task_id=load&map_index=3&tab=logs"


def test_nothing_a_person_may_paste_ends_in_anything_but_ids_or_a_sentence() -> None:
    @given(url=st.text(max_size=60) | st.text("/?&=%:@[]dagsrun.tk ~#+", max_size=60))
    def it_does_not(url: str) -> None:
        sentence = ""
        try:
            link = read_link(url, HERE)
        except InvalidArgumentsError as error:
            sentence = str(error)
        else:
            assert link.ids or link.page
        assert not sentence or "https://airflow.example.com/dags/etl/runs/" in sentence

    it_does_not()


@pytest.mark.parametrize(
    "url",
    [
        "etl",
        "https://example.com/",
        "https://[bad",
        "https://a:b/dags/x",
        "mailto:a@b.c",
        "/log?task_id=x",
        "/users/list",
        " ",
    ],
)
async def test_a_link_to_nothing_known_is_refused_with_examples_and_nothing_is_sent(url: str) -> None:
    airflow = FakeAirflow()
    async with assistant(airflow) as someone:
        sentence = await someone.refused("resolve_url", url=url)
    assert "/dags/etl/runs/manual__1/tasks/load (3.x)" in sentence
    assert "/dags/etl/grid?dag_run_id=manual__1" in sentence
    assert airflow.sent == []


async def resolved(airflow: FakeAirflow, form: str, prefix: str = HERE) -> Json:
    async with assistant(airflow) as someone:
        return await someone.ask("resolve_url", url=prefix + form)


NEXT: list[tuple[str, str, Json]] = [
    ("/dags/etl", "get_dag_overview", DAG),
    ("/dags/etl/grid", "get_dag_overview", DAG),
    ("/dags/etl/code", "get_dag_source", DAG),
    ("/dags/etl/grid?tab=code", "get_dag_source", DAG),
    (f"/dags/etl/runs/{QUOTED}/tasks/load?try_number=2", "read_task_log", TASK | {"try_number": 2}),
    (f"/dags/etl/runs/{QUOTED}/tasks/load/mapped/3", "read_task_log", MAPPED),
    (f"/dags/etl/grid?dag_run_id={QUOTED}&task_id=load&tab=logs", "read_task_log", TASK),
    (f"/dags/etl/grid?dag_run_id={QUOTED}&task_id=load&tab=xcom", "list_xcoms", TASK),
    (f"/dags/etl/runs/{QUOTED}/tasks/load/details", "get_task_instance", TASK),
    (f"/dags/etl/runs/{QUOTED}/tasks/group/stage", "list_task_instances", RUN),
    ("/home", "list_dags", {}),
    ("/", "list_dags", {}),
    ("/dag_runs?state=failed", "list_dag_runs", {"dag_id": "~", "state": ["failed"]}),
    ("/dagrun/list/?_flt_3_dag_id=etl&_flt_3_state=failed", "list_dag_runs", DAG | {"state": ["failed"]}),
    ("/task_instances", "list_task_instances", {"dag_id": "~", "dag_run_id": "~"}),
    ("/pools", "list_pools", {}),
]


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize(("form", "tool", "arguments"), NEXT)
async def test_the_call_to_make_follows_from_the_link_alone(
    version: str, form: str, tool: str, arguments: Json
) -> None:
    airflow = FakeAirflow(version)
    answer = await resolved(airflow, form)
    assert calls_of(answer) == [(tool, arguments)]
    assert "hint" not in answer
    assert airflow.sent == []


@pytest.mark.parametrize(("version", "arguments"), [("2.11.2", RUN), ("3.3.2", TASK)])
async def test_the_instances_of_a_mapped_task_are_listed_as_far_as_airflow_can(version: str, arguments: Json) -> None:
    answer = await resolved(FakeAirflow(version), f"/dags/etl/runs/{QUOTED}/tasks/load/mapped")
    assert calls_of(answer) == [("list_task_instances", arguments)]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_task_without_a_run_is_looked_at_over_its_runs_where_airflow_can(version: str) -> None:
    answer = await resolved(FakeAirflow(version), "/dags/etl/tasks/load")
    over_runs = ("list_task_instances", {"dag_id": "etl", "task_id": "load", "dag_run_id": "~"})
    overview = ("get_dag_overview", DAG)
    assert calls_of(answer) == [over_runs if version.startswith("3") else overview]


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize(
    ("state", "tool"),
    [
        ("failed", "diagnose_dag_run"),
        ("running", "wait_for_dag_run"),
        ("queued", "why_not_running"),
        ("success", "get_dag_run"),
    ],
)
async def test_what_to_do_about_a_run_depends_on_its_state(version: str, state: str, tool: str) -> None:
    airflow = FakeAirflow(version).on("GET", f"/dags/etl/dagRuns/{QUOTED}", dag_run(RUN_ID, state))
    answer = await resolved(airflow, f"/dags/etl/runs/{QUOTED}")
    assert answer == RUN | {"state": state, "next": answer["next"]}
    assert calls_of(answer) == [(tool, RUN)]
    assert airflow.lines() == [line_of_run(version, f"/dags/etl/dagRuns/{QUOTED}")]


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize(
    "date", ["2026-01-01T00%3A00%3A00%2B00%3A00", "2026-01-01T00:00:00+00:00", "2026-01-01+00:00:00"]
)
async def test_a_link_with_a_date_only_finds_its_run_in_one_read(version: str, date: str) -> None:
    run = dag_run if version.startswith("3") else dag_run_v1
    airflow = FakeAirflow(version).on("GET", "/dags/etl/dagRuns", page("dag_runs", [run(RUN_ID, "failed")]))
    answer = await resolved(airflow, f"/log?dag_id=etl&task_id=load&execution_date={date}")
    assert answer == TASK | {"state": "failed", "next": answer["next"]}
    assert calls_of(answer) == [("read_task_log", TASK)]
    name = "logical_date" if version.startswith("3") else "execution_date"
    (sent,) = airflow.sent
    moments = {sent.asked[f"{name}_gte"], sent.asked[f"{name}_lte"]}
    assert moments <= {"2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00Z"}
    assert len(moments) == 1


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_date_that_no_run_has_is_said_and_the_rest_resolved(version: str) -> None:
    airflow = FakeAirflow(version).on("GET", "/dags/etl/dagRuns", page("dag_runs", [])).on("GET", "/dags/etl", dag())
    answer = await resolved(airflow, "/log?dag_id=etl&task_id=load&execution_date=2026-01-01T00:00:00Z")
    assert (answer["dag_id"], answer["task_id"], answer["logical_date"]) == ("etl", "load", "2026-01-01T00:00:00Z")
    assert calls_of(answer) == [("list_dag_runs", DAG)]
    assert "no run of 'etl' has this logical date" in answer["hint"]
    assert len(airflow.sent) <= 2


async def test_a_date_that_is_none_is_refused() -> None:
    async with assistant(FakeAirflow()) as someone:
        sentence = await someone.refused("resolve_url", url=f"{HERE}/log?dag_id=a&task_id=b&execution_date=yesterday")
    assert "'yesterday' is no moment such as 2026-11-21T08:30:00+00:00" in sentence


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_link_elsewhere_is_resolved_with_a_warning_and_never_fetched(version: str) -> None:
    airflow = FakeAirflow(version)
    answer = await resolved(airflow, f"/dags/etl/runs/{QUOTED}", "https://ann:secret-of-ann@prod.example/x")
    assert {name: answer[name] for name in RUN} == RUN
    assert calls_of(answer) == [("get_dag_run", RUN)]
    assert "The link leads to prod.example, this Airflow is airflow.example:8080" in answer["hint"]
    assert "looking them up failed" in answer["hint"]
    assert "secret-of-ann" not in str(answer)
    assert {sent.headers["host"] for sent in airflow.seen} == {"airflow.example:8080"}


def asset(version: str, *scheduled: str, writer: str = "maker") -> Json:
    key = "scheduled_dags" if version.startswith("3") else "consuming_dags"
    named = {"name": "sales"} if version.startswith("3") else {}
    dags = [{"dag_id": one} for one in scheduled]
    return named | {"id": 17, "uri": "s3://b/a", key: dags, "producing_tasks": [{"dag_id": writer, "task_id": "t"}]}


async def test_an_asset_of_3x_is_told_with_the_dags_around_it() -> None:
    airflow = FakeAirflow().on("GET", "/assets/17", asset("3.3.2", "report"))
    answer = await resolved(airflow, "/assets/17")
    assert calls_of(answer) == [("get_dag_overview", {"dag_id": "maker"})]
    assert answer == {
        "asset_id": 17,
        "asset_uri": "s3://b/a",
        "asset_name": "sales",
        "dag_ids": ["maker", "report"],
        "next": answer["next"],
    }
    assert airflow.lines() == ["GET /assets/17"]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_dataset_is_found_by_its_uri_on_both_generations(version: str) -> None:
    name = "assets" if version.startswith("3") else "datasets"
    other = asset(version) | {"uri": "s3://b/a/b"}
    airflow = FakeAirflow(version).on("GET", f"/{name}", page(name, [other, asset(version, "report")]))
    answer = await resolved(airflow, "/datasets?uri=s3%253A%252F%252Fb%252Fa")
    assert (answer["asset_uri"], answer["dag_ids"]) == ("s3://b/a", ["maker", "report"])
    assert airflow.last().asked["uri_pattern"] == "s3://b/a"
    missing = await resolved(airflow, "/datasets?uri=s3%253A%252F%252Fnone")
    assert "there is no asset 's3://none'" in missing["hint"]
    assert "next" not in missing


async def test_an_asset_id_means_nothing_to_2x_and_that_is_said() -> None:
    answer = await resolved(FakeAirflow("2.11.2"), "/assets/17")
    assert "the argument asset_id needs Airflow 3.0 or newer; this is Airflow 2.11" in answer["hint"]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_nothing_is_read_of_a_dag_that_policy_hides(version: str) -> None:
    airflow = FakeAirflow(version).otherwise(Reply(500, {"detail": "must not be asked"}))
    async with connected(airflow, {"deny": [NO_PAYROLL]}) as someone:
        answer = await someone.ask("resolve_url", url=f"{HERE}/dags/payroll_x/runs/r")
        assert "denies it" in answer["hint"]
        assert "state" not in answer
    assert airflow.sent == []


async def test_dags_that_policy_hides_are_not_told_beside_an_asset() -> None:
    airflow = FakeAirflow().on("GET", "/assets/17", asset("3.3.2", "payroll_x"))
    async with connected(airflow, {"deny": [NO_PAYROLL]}) as someone:
        answer = await someone.ask("resolve_url", url=f"{HERE}/assets/17")
    assert "payroll" not in str(answer)


LINKED: list[tuple[str, Json, str, str]] = [  # tool, arguments, its page on 2.x and on 3.x
    ("list_dags", {}, "/dags/etl/grid", "/dags/etl"),
    ("list_dag_runs", {"dag_id": "etl"}, "/dags/etl/grid?dag_run_id=r%201", "/dags/etl/runs/r%201"),
    ("get_dag_run", {"dag_id": "etl", "dag_run_id": "r 1"}, "/dags/etl/grid?dag_run_id=r%201", "/dags/etl/runs/r%201"),
    (
        "list_task_instances",
        {"dag_id": "etl", "dag_run_id": "r 1"},
        "/dags/etl/grid?dag_run_id=r%201&task_id=load&map_index=3&tab=logs",
        "/dags/etl/runs/r%201/tasks/load/mapped/3",
    ),
    (
        "get_task_instance",
        {"dag_id": "etl", "dag_run_id": "r 1", "task_id": "load", "map_index": 3},
        "/dags/etl/grid?dag_run_id=r%201&task_id=load&map_index=3&tab=logs",
        "/dags/etl/runs/r%201/tasks/load/mapped/3",
    ),
]


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize(("tool", "arguments", "old", "new"), LINKED)
async def test_links_are_added_to_records_when_asked_for(
    version: str, tool: str, arguments: Json, old: str, new: str
) -> None:
    run = dag_run("r 1", dag_id="etl")
    task = task_instance("load", dag_run_id="r 1", map_index=3)
    airflow = FakeAirflow(version, prefix="/team").on("GET", "/dags", page("dags", [dag(dag_id="etl")]))
    airflow.on("GET", "/dags/etl/dagRuns", page("dag_runs", [run])).on("GET", "/dags/etl/dagRuns/r%201", run)
    path = "/dags/etl/dagRuns/r%201/taskInstances"
    airflow.on("GET", path, page("task_instances", [task])).on("GET", f"{path}/load/3", task)
    async with assistant(airflow) as someone:
        plain = await someone.ask(tool, **arguments)
        linked = await someone.ask(tool, **arguments, links=True)
        assert await someone.ask(tool, **arguments, links=False) == plain
    wanted = f"{HERE}/team{new if version.startswith('3') else old}"
    if "rows" in plain:
        assert linked["columns"] == [*plain["columns"], "ui"]
        assert linked["rows"] == [[*row, wanted] for row in plain["rows"]]
    else:
        assert linked == plain | {"ui": wanted}
    assert not any("links" in dict(sent.query) for sent in airflow.sent)


async def test_a_link_in_a_list_is_whole_however_small_the_answer() -> None:
    long = "a" * 250
    airflow = FakeAirflow().on("GET", "/dags", page("dags", [dag(dag_id=long) for _ in range(20)]))
    async with assistant(airflow) as someone:
        answer = await someone.ask("list_dags", links=True, max_chars=1_000)
    assert [row["ui"] for row in table(answer)] == [f"{HERE}/dags/{long}"]
    assert answer["left_out"] == 19


async def test_links_are_no_argument_of_other_tools() -> None:
    async with assistant(FakeAirflow()) as someone:
        assert "unknown argument 'links'" in await someone.refused("get_dag", dag_id="etl", links=True)
