"""An answer fits its budget of characters, says what it left out, and how to get exactly that."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.assistant import ERAS, GENERATIONS, Json, assistant, table, talking, text_of
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent
from tests.unit.samples import dag, dag_run, page, pool

pytestmark = pytest.mark.anyio


def airflow_of(rows: list[Json], key: str = "dags", path: str = "/dags") -> FakeAirflow:
    """An Airflow that pages through these rows like the real one."""

    def pages(sent: Sent) -> Json:
        offset, limit = int(sent.asked.get("offset", 0)), int(sent.asked["limit"])
        return page(key, rows[offset : offset + min(limit, 100)], len(rows))

    return FakeAirflow().on("GET", path, pages)


@pytest.mark.parametrize("mode", ERAS)
async def test_a_list_comes_as_columns_and_rows_and_as_the_same_text(mode: str) -> None:
    async with assistant(airflow_of([dag(1, description="Größe"), dag(2)]), mode=mode) as someone:
        result = await someone.client.call_tool("list_dags", {"fields": ["description"]})
    answer = result.structured_content
    assert answer is not None
    assert answer["columns"][:2] == ["dag_id", "is_paused"]
    assert [row["dag_id"] for row in table(answer)] == [dag(1)["dag_id"], dag(2)["dag_id"]]
    assert answer["total"] == 2
    assert "next" not in answer
    assert "left_out" not in answer
    assert text_of(result) == json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
    assert "Größe" in text_of(result)


async def test_a_hundred_dags_fit_in_eight_thousand_characters() -> None:
    async with assistant(airflow_of([dag(number) for number in range(100)])) as someone:
        result = await someone.client.call_tool("list_dags", {})
    answer = result.structured_content
    assert answer is not None
    assert len(answer["rows"]) == 100
    assert set(answer["columns"]) >= {"dag_id", "is_paused", "timetable_summary", "tags"}
    assert len(text_of(result)) <= 8000


@pytest.mark.parametrize(("max_chars", "count"), [(400, 25), (700, 40), (3000, 130)])
async def test_following_more_brings_every_row_exactly_once(max_chars: int, count: int) -> None:
    dags = [dag(number) for number in range(count)]
    seen: list[str] = []
    arguments: dict[str, Any] = {}
    async with assistant(airflow_of(dags)) as someone:
        while True:
            answer = await someone.ask("list_dags", max_chars=max_chars, **arguments)
            assert answer["rows"], "a page without a row cannot be followed by another"
            seen += [row["dag_id"] for row in table(answer)]
            assert answer["total"] == count
            assert answer.get("left_out", 0) == count - len(seen)
            if "more" not in answer:
                break
            arguments = answer["more"]
    assert seen == [row["dag_id"] for row in dags]


async def test_a_list_airflow_does_not_page_is_paged_for_it() -> None:
    tasks = [{"task_id": f"task_{number:03d}", "downstream_task_ids": []} for number in range(250)]
    airflow = FakeAirflow().on("GET", "/dags/etl/tasks", {"tasks": tasks, "total_entries": 250})
    seen: list[str] = []
    arguments: dict[str, Any] = {}
    async with assistant(airflow) as someone:
        while "offset" in arguments or not seen:
            answer = await someone.ask("list_tasks", dag_id="etl", max_chars=1500, **arguments)
            seen += [row["task_id"] for row in table(answer)]
            arguments = answer.get("more", {})
        two = await someone.ask("list_tasks", dag_id="etl", limit=2, offset=248)
    assert seen == [task["task_id"] for task in tasks]
    assert [row["task_id"] for row in table(two)] == ["task_248", "task_249"]
    assert {sent.line: sent.query for sent in airflow.sent} == {"GET /dags/etl/tasks": []}


CELLS = st.one_of(st.none(), st.text(max_size=60), st.text(min_size=350, max_size=700), st.integers(), st.booleans())
ROWS = st.lists(st.builds(dag, st.integers(0, 999), description=CELLS, timetable_summary=CELLS), max_size=40)


def test_a_list_never_exceeds_what_was_asked_for() -> None:
    airflow = FakeAirflow()
    with talking(airflow, max_chars=12_000) as call:

        @given(rows=ROWS, more=st.integers(0, 10**6), max_chars=st.integers(400, 20_000))
        @example(rows=[dag(1, timetable_summary='"' * 5000)], more=0, max_chars=400)
        @example(rows=[dag(n) for n in range(100)], more=99_999, max_chars=400)
        def it_fits(rows: list[Json], more: int, max_chars: int) -> None:
            airflow.on("GET", "/dags", page("dags", rows, len(rows) + more))
            result = call("list_dags", max_chars=max_chars, fields=["description"])
            assert not result.is_error, text_of(result)
            assert len(text_of(result)) <= min(max_chars, 12_000)
            answer = result.structured_content
            assert answer is not None
            shown = len(answer["rows"])
            assert answer["total"] == len(rows) + more
            assert answer.get("left_out", 0) == answer["total"] - shown
            assert ("more" in answer) == (answer["total"] > shown)

        it_fits()


def test_one_record_never_exceeds_what_was_asked_for() -> None:
    airflow = FakeAirflow()
    with talking(airflow, max_chars=12_000) as call:

        @given(
            conf=st.dictionaries(st.text(max_size=20), st.text(max_size=300), max_size=20),
            note=st.text(max_size=3000),
            max_chars=st.integers(400, 20_000),
        )
        @example(conf={}, note='"' * 50_000, max_chars=400)
        @example(conf={"a": "x " * 25_000}, note="y " * 25_000, max_chars=400)
        def it_fits(conf: dict[str, str], note: str, max_chars: int) -> None:
            airflow.on("GET", "/dags/etl/dagRuns/manual__1", dag_run(conf=conf, note=note))
            result = call("get_dag_run", dag_id="etl", dag_run_id="manual__1", max_chars=max_chars)
            assert not result.is_error, text_of(result)
            assert len(text_of(result)) <= min(max_chars, 12_000)
            answer = result.structured_content
            assert answer is not None
            assert (answer["dag_id"], answer["dag_run_id"]) == ("etl", "manual__1")

        it_fits()


async def test_the_operators_ceiling_wins_over_what_a_call_asks_for() -> None:
    dags = [dag(number) for number in range(100)]
    async with assistant(airflow_of(dags), max_chars=1000) as someone:
        result = await someone.client.call_tool("list_dags", {"max_chars": 20_000})
    assert 800 < len(text_of(result)) <= 1000


async def test_a_record_with_a_text_of_sixty_thousand_characters_is_cut_and_says_so() -> None:
    airflow = FakeAirflow().on("GET", "/dags/etl/dagRuns/r", dag_run("r", note="no " * 20_000))
    async with assistant(airflow) as someone:
        answer = await someone.ask("get_dag_run", dag_id="etl", dag_run_id="r")
        assert 7000 < len(answer["note"]) < 8000
        assert answer["note"].endswith("…")
        assert answer["left_out"] == {"note": 60_000 - len(answer["note"])}
        assert answer["state"] == "failed"
        whole = await someone.ask("get_dag_run", dag_id="etl", dag_run_id="r", **answer["more"])
    assert whole["note"] == "no " * 20_000
    assert "left_out" not in whole


async def test_nothing_empty_takes_room() -> None:
    rows = [pool("a", description=None), pool("b", description=None)]
    airflow = FakeAirflow().on("GET", "/pools", page("pools", rows)).on("GET", "/pools/a", rows[0])
    async with assistant(airflow) as someone:
        many, one = await someone.ask("list_pools"), await someone.ask("get_pool", pool_name="a")
    assert "description" not in many["columns"]
    assert None not in one.values()
    assert one["include_deferred"] is False
    assert one["occupied_slots"] == 0


async def test_a_column_that_repeats_the_callers_own_argument_is_left_out() -> None:
    airflow = FakeAirflow().otherwise(page("dag_runs", [dag_run("a"), dag_run("b")]))
    async with assistant(airflow) as someone:
        of_one, of_all = (
            await someone.ask("list_dag_runs", dag_id="etl"),
            await someone.ask("list_dag_runs", dag_id="~"),
        )
    assert "dag_id" not in of_one["columns"]
    assert "dag_id" in of_all["columns"]


async def test_fields_adds_fields_and_a_star_adds_all() -> None:
    async with assistant(airflow_of([dag(1)]).on("GET", "/dags/etl", dag(1))) as someone:
        usual, wider = await someone.ask("list_dags"), await someone.ask("list_dags", fields=["owners", "fileloc"])
        assert wider["columns"] == [*usual["columns"], "owners", "fileloc"]
        every = await someone.ask("list_dags", fields=["*"])
        assert set(every["columns"]) == {name for name, value in dag(1).items() if value is not None}
        one = await someone.ask("get_dag", dag_id="etl", fields=["bundle_name"])
    assert one["bundle_name"] == "dags-folder"
    assert "relative_fileloc" not in one


@pytest.mark.parametrize("tool", ["list_dags", "get_dag"])
async def test_an_unknown_field_is_met_with_those_there_are(tool: str) -> None:
    async with assistant(airflow_of([dag(1)]).on("GET", "/dags/etl", dag(1))) as someone:
        sentence = await someone.refused(tool, fields=["ownrs"], **({} if tool == "list_dags" else {"dag_id": "etl"}))
    assert "ownrs" in sentence
    assert "relative_fileloc" in sentence
    assert len(sentence) <= 600


async def test_long_cells_are_shortened_and_their_columns_named() -> None:
    rows = [dag(1, timetable_summary="s" * 1000), dag(2)]
    async with assistant(airflow_of(rows)) as someone:
        answer = await someone.ask("list_dags")
    first, second = table(answer)
    assert answer["shortened"] == ["timetable_summary"]
    assert first["timetable_summary"] == "s" * (len(first["timetable_summary"]) - 1) + "…"
    assert 100 < len(first["timetable_summary"]) <= 300
    assert second["timetable_summary"] == rows[1]["timetable_summary"]


async def test_a_stack_trace_keeps_its_end_where_the_error_is() -> None:
    trace = (
        "Traceback (most recent call last):\n" + "  File x\n" * 2000 + "ModuleNotFoundError: No module named 'wares'"
    )
    row = {"import_error_id": 1, "filename": "a.py", "timestamp": "2026-11-21T22:46:02Z", "stack_trace": trace}
    airflow = FakeAirflow().on("GET", "/importErrors", page("import_errors", [row])).on("GET", "/importErrors/1", row)
    async with assistant(airflow) as someone:
        many = await someone.ask("list_import_errors")
        one = await someone.ask("get_import_error", import_error_id=1)
    for shown in (table(many)[0]["stack_trace"], one["stack_trace"]):
        assert shown.startswith("…")
        assert shown.endswith("No module named 'wares'")
    assert many["shortened"] == ["stack_trace"]
    assert one["left_out"].keys() == {"stack_trace"}


async def test_times_are_short_in_a_list_and_exact_in_a_record() -> None:
    run = dag_run("r", start_date="2026-11-21T22:46:39.796668+00:00")
    airflow = FakeAirflow().on("GET", "/dags/etl/dagRuns", page("dag_runs", [run]))
    async with assistant(airflow.on("GET", "/dags/etl/dagRuns/r", run)) as someone:
        many = table(await someone.ask("list_dag_runs", dag_id="etl"))
        one = await someone.ask("get_dag_run", dag_id="etl", dag_run_id="r")
    assert many[0]["start_date"] == "2026-11-21T22:46:39Z"
    assert one["start_date"] == "2026-11-21T22:46:39.796668Z"
    assert one["duration"] == 18.065


async def test_an_offset_beyond_the_end_says_how_many_there_are() -> None:
    async with assistant(airflow_of([dag(1), dag(2)])) as someone:
        answer = await someone.ask("list_dags", offset=10)
    assert answer["rows"] == []
    assert answer["total"] == 2
    assert "next" not in answer


@pytest.mark.parametrize(("pattern", "hinted"), [("etl*", True), ("etl?", True), ("etl%", False), ("etl", False)])
async def test_a_pattern_in_a_shells_syntax_is_answered_with_airflows(pattern: str, hinted: bool) -> None:
    airflow = FakeAirflow().on("GET", "/dags", page("dags", []))
    async with assistant(airflow) as someone:
        answer = await someone.ask("list_dags", dag_id_pattern=pattern)
    assert ("% stands for any characters" in str(answer.get("hint"))) is hinted


@pytest.mark.parametrize("version", GENERATIONS)
async def test_an_xcom_whose_value_is_none_says_so_and_its_key_may_be_left_out(version: str) -> None:
    entry = {"key": "return_value", "value": None, "dag_id": "etl", "task_id": "load", "run_id": "r", "map_index": -1}
    airflow = FakeAirflow(version).otherwise(entry)
    async with assistant(airflow) as someone:
        answer = await someone.ask("get_xcom", dag_id="etl", dag_run_id="r", task_id="load")
    assert answer["value"] is None
    assert airflow.last().path.endswith("/xcomEntries/return_value")


@pytest.mark.parametrize("index", [{}, {"map_index": 3}])
@pytest.mark.parametrize("tool", ["list_task_states", "list_task_instance_tries"])
async def test_an_empty_list_of_a_task_that_does_not_exist_is_an_error(tool: str, index: Json) -> None:
    """The index of a mapped task is an argument that the task's route can do without."""
    key = "task_state_store" if tool == "list_task_states" else "task_instances"
    airflow = FakeAirflow("3.3.2").otherwise(page(key, []))
    task = "/dags/etl/dagRuns/r/taskInstances/load"
    for path in (task, f"{task}/3"):
        airflow.on("GET", path, Reply(404, {"detail": "no such task instance"}))
    async with assistant(airflow) as someone:
        words = await someone.refused(tool, dag_id="etl", dag_run_id="r", task_id="load", **index)
    assert words == "Airflow does not know it (404). Airflow says: no such task instance."
