"""A task's log as a model needs it: the decisive error first, then the end, small however large the log is."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_mcp.catalog.versions import Generation
from airflow_mcp.task_logs.failure_text import describe
from airflow_mcp.task_logs.log_scan import LogScan
from airflow_mcp.workflows.shared.log_stream import FORMS as FORM_OF
from tests.unit.assistant import GENERATIONS, assistant, talking, text_of
from tests.unit.fake_airflow import FakeAirflow, Reply
from tests.unit.logs import FORMS, INSTANCE, PATHS, airflow_with, line, printed, raised, read, row, word
from tests.unit.samples import page, task_instance

pytestmark = pytest.mark.anyio
NEGATIVE = ("ValueError", "bad row 3: amount is negative")


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("position", [0, 12_345, 19_998, 19_999])
async def test_the_error_comes_first_wherever_it_stands_in_twenty_thousand_lines(version: str, position: int) -> None:
    say, fail = FORMS[version].say, FORMS[version].fail
    lines = [say(f"row {word(number)} of the daily export was read") for number in range(20_000)]
    lines[position] = fail(NEGATIVE)
    async with assistant(airflow_with(version, "".join(lines))) as someone:
        result = await someone.client.call_tool("read_task_log", PATHS)
    answer = result.structured_content
    assert answer is not None
    assert len(text_of(result)) <= 1500
    assert answer["error"].startswith("ValueError: bad row 3: amount is negative")
    assert "/opt/airflow/dags/etl.py:20 in transform" in answer["error"]
    assert answer["error_at_line"] == position + 1
    assert answer["state"] == "failed"
    assert list(answer).index("error") < list(answer).index("tail")
    if position < 19_000:
        assert answer["tail"].endswith(f"row {word(19_999)} of the daily export was read")
    traceback = 5 if "lines of traceback" in answer["tail"] else 0  # six lines told in one
    assert answer["left_out"] == answer["lines"] - len(answer["tail"].splitlines()) - traceback


@pytest.mark.parametrize("version", GENERATIONS)
async def test_the_last_error_with_a_traceback_wins_over_a_later_line_that_only_says_error(version: str) -> None:
    say, fail = FORMS[version].say, FORMS[version].fail
    log = fail(("KeyError", "'first'")) + fail(NEGATIVE) + say("retrying") + say("gave up", "error") + say("end")
    answer = await read(version, log)
    assert answer["error"].startswith("ValueError: bad row 3")
    assert "KeyError" not in answer["error"]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_without_a_traceback_the_last_line_logged_as_an_error_is_it(version: str) -> None:
    say = FORMS[version].say
    for level in ("error", "critical"):
        answer = await read(version, say("starting") + say("first", level) + say("disk is full", level) + say("end"))
        assert answer["error"] == "disk is full"
        assert answer["error_at_line"] == 3


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_chain_of_exceptions_is_told_from_the_raised_one_to_its_causes(version: str) -> None:
    fail = FORMS[version].fail
    chain = [("RuntimeError", "cannot load"), ("OSError", "no table"), ("KeyError", "'amount'")]
    error = (await read(version, fail(*chain)))["error"]
    assert error.startswith("RuntimeError: cannot load")
    assert error.index("caused by OSError: no table") < error.index("root cause: KeyError: 'amount'")


@pytest.mark.parametrize("version", GENERATIONS)
async def test_what_the_log_said_about_the_error_is_kept_where_it_adds_something(version: str) -> None:
    fail = FORMS[version].fail
    words = {"text": "order 17 is broken"} if version.startswith("2") else {"event": "order 17 is broken"}
    with_words, without = await read(version, fail(NEGATIVE, **words)), await read(version, fail(NEGATIVE))
    assert "logged as: order 17 is broken" in with_words["error"]
    assert "logged as" not in without["error"]


async def test_an_exception_with_a_message_of_several_lines_is_kept_whole() -> None:
    answer = await read("2.11.2", printed(("ValueError", "two\nlines of it")) + line("end"))
    assert answer["error"].startswith("ValueError: two\nlines of it")


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_log_without_an_error_is_its_end(version: str) -> None:
    say = FORMS[version].say
    answer = await read(version, "".join(say(f"step {number}: no error here") for number in range(3)))
    assert not {"error", "error_at_line"} & answer.keys()
    assert [text.partition(" ")[2] for text in answer["tail"].splitlines()] == [
        f"step {number}: no error here" for number in range(3)
    ]
    assert answer["lines"] == 3
    assert "left_out" not in answer
    assert (await read(version, ""))["lines"] == 0


@pytest.mark.parametrize("version", GENERATIONS)
async def test_very_long_lines_take_no_more_room_than_others(version: str) -> None:
    say, fail = FORMS[version].say, FORMS[version].fail
    log = say("long " * 100_000) + fail(("ValueError", "huge " * 100_000)) + say("long " * 100_000) + say("the end")
    async with assistant(airflow_with(version, log)) as someone:
        result = await someone.client.call_tool("read_task_log", PATHS)
    assert len(text_of(result)) <= 1500
    assert "the end" in (result.structured_content or {})["tail"]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_bytes_that_are_no_text_do_not_hide_the_error(version: str) -> None:
    say, fail = FORMS[version].say, FORMS[version].fail
    log = b"\xff\xfe\x80\n" + say("caf\u00e9").encode() + b"\xc3\n" + fail(NEGATIVE).encode() + b"\xf0\x9f"
    answer = await read(version, log)
    assert answer["error"].startswith("ValueError: bad row 3")


async def test_lines_of_3x_that_are_no_records_are_shown_as_they_are() -> None:
    answer = await read("3.3.2", '"only text"\n17\nnot json\n[1]\nnull\n' + row("end"))
    for text in ("not json", "17", "only text", "end"):
        assert text in answer["tail"]


def scanned(generation: Generation, pieces: list[bytes]) -> tuple[Any, ...]:
    scan = LogScan(FORM_OF[generation], 5000)
    for piece in pieces:
        scan.feed(piece)
    scan.finish()
    told = scan.verdict
    return scan.lines, scan.size, told, told.text and describe(told, 5000), scan.render_end(50_000)


WHOLE: dict[Generation, bytes] = {
    "v1": (line("größe ½") + printed(NEGATIVE, ("KeyError", "'é'")) + line("end")).encode(),
    "v2": (row("größe ½") + raised(NEGATIVE, ("KeyError", "'é'")) + row("end")).encode() + b"\xff",
}


@pytest.mark.parametrize("form", ["v1", "v2", "v1 as a list"])
def test_a_log_reads_the_same_wherever_it_is_broken_in_two(form: str) -> None:
    generation: Generation = "v2" if form == "v2" else "v1"
    whole = WHOLE[generation]
    if form == "v1 as a list":
        whole = repr([("vm", f"{whole.decode()} \\ \x07 \udfff \U000e0001")]).encode()
    expected = scanned(generation, [whole])
    for offset in range(len(whole) + 1):
        assert scanned(generation, [whole[:offset], whole[offset:]]) == expected, f"broken at {offset}"


PARTS = st.one_of(
    st.binary(max_size=30),
    st.sampled_from([WHOLE["v1"], WHOLE["v2"], b"\n", b"\r\n", b"x" * 70_000, b'{"level":"error","event":"a"}\n']),
)


@given(st.sampled_from(["v1", "v2"]), st.lists(PARTS, max_size=6), st.lists(st.integers(0, 150_000), max_size=6))
def test_a_log_reads_the_same_in_any_pieces(generation: Generation, parts: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(parts)
    ends = [*sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert b"".join(pieces) == whole
    assert scanned(generation, pieces) == scanned(generation, [whole])


@pytest.mark.parametrize("version", GENERATIONS)
def test_the_answer_fits_whatever_the_log_holds(version: str) -> None:
    airflow = FakeAirflow(version).on("GET", INSTANCE, task_instance("load"))
    say, fail = FORMS[version].say, FORMS[version].fail
    part = st.one_of(
        st.text(max_size=40), st.sampled_from(['"' * 300, "\\" * 300, "\x01" * 300, "é" * 300, "long " * 99])
    )

    with talking(airflow) as call:

        @given(parts=st.lists(part, max_size=12), error=part, max_chars=st.integers(400, 3000))
        @example(parts=['"' * 400] * 12, error='"' * 400, max_chars=400)
        def it_fits(parts: list[str], error: str, max_chars: int) -> None:
            log = "".join(say(text) for text in parts) + fail(("E", error)) + "".join(say(text) for text in parts)
            airflow.on("GET", f"{INSTANCE}/logs/1", Reply(200, log.encode("utf-8", "replace")))
            result = call("read_task_log", **PATHS, max_chars=max_chars)
            assert not result.is_error, text_of(result)
            assert len(text_of(result)) <= max_chars

        it_fits()


@pytest.mark.parametrize("version", GENERATIONS)
async def test_following_next_from_the_end_tells_the_whole_log_once(version: str) -> None:
    say = FORMS[version].say
    log = "".join(say(f"line {word(number)}") for number in range(150))
    async with assistant(airflow_with(version, log)) as someone:
        answer = await someone.ask("read_task_log", **PATHS)
        told = answer["tail"].splitlines()
        while "more" in answer:
            answer = await someone.ask("read_task_log", **PATHS, **answer["more"])
            told = [*answer["log"].splitlines(), *told]
    assert [text.partition("line ")[2] for text in told] == [word(number) for number in range(150)]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_two_hundred_megabytes_are_read_without_being_held(version: str) -> None:
    say, fail = FORMS[version].say, FORMS[version].fail
    block = "".join(say(f"{number} " + "x" * 2000) for number in range(500)).encode()
    unbroken = b"y" * 2**16

    async def log() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield block
        for _ in range(1600):
            yield unbroken
        yield b"\n" + fail(NEGATIVE).encode()

    told: list[str] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")

    airflow = FakeAirflow(version).on("GET", INSTANCE, task_instance("load"))
    airflow.on("GET", f"{INSTANCE}/logs/1", lambda _: Reply(200, log()))
    async with assistant(airflow) as someone:
        tracemalloc.start()
        try:
            result = await someone.client.call_tool("read_task_log", PATHS, progress_callback=progress)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert result.structured_content is not None, text_of(result)
    assert result.structured_content["error"].startswith("ValueError: bad row 3")
    assert peak < 30 * 2**20
    assert len(told) >= 10
    assert told[-1].endswith("MB read")


MAPPED = Reply(
    404, {"title": "Task not found", "detail": "Task instance is mapped, add the map_index value to the URL"}
)


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_mapped_task_without_its_index_is_met_with_the_failed_ones(version: str) -> None:
    rows = [task_instance("load", map_index=3), task_instance("load", map_index=7), task_instance("other", map_index=1)]
    airflow = FakeAirflow(version).on("GET", INSTANCE, MAPPED)
    airflow.on("GET", "/dags/etl/dagRuns/r/taskInstances", page("task_instances", rows))
    async with assistant(airflow) as someone:
        sentence = await someone.refused("read_task_log", **PATHS)
    assert "map_index is required; failed ones: 3, 7." in sentence


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_mapped_task_is_read_by_its_index(version: str) -> None:
    airflow = FakeAirflow(version).on("GET", f"{INSTANCE}/3", task_instance("load", map_index=3, try_number=2))
    airflow.on("GET", f"{INSTANCE}/logs/2", Reply(200, FORMS[version].fail(NEGATIVE)))
    async with assistant(airflow) as someone:
        answer = await someone.ask("read_task_log", **PATHS, map_index=3)
    assert answer["map_index"] == 3
    assert answer["try_number"] == 2
    assert airflow.last().asked == {"map_index": "3", "full_content": "true"}


@pytest.mark.parametrize(("version", "accept"), [("2.11.2", "text/plain"), ("3.3.2", "application/x-ndjson")])
async def test_the_latest_try_is_read_in_the_form_of_the_generation(version: str, accept: str) -> None:
    airflow = airflow_with(version, "", try_number=3).on(
        "GET", f"{INSTANCE}/logs/3", Reply(200, FORMS[version].say("a"))
    )
    async with assistant(airflow) as someone:
        assert (await someone.ask("read_task_log", **PATHS))["try_number"] == 3
        assert airflow.last("GET", f"{INSTANCE}/logs/3").headers["accept"] == accept
        assert (await someone.ask("read_task_log", **PATHS, try_number=1))["try_number"] == 1
        sentence = await someone.refused("read_task_log", **PATHS, try_number=4)
    assert sentence == "read_task_log: try_number 4 does not exist; the latest try is 3."
    assert [sent.path.rpartition("/")[2] for sent in airflow.sent if "/logs/" in sent.path] == ["3", "1"]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_task_that_never_started_is_said_to_have_no_log(version: str) -> None:
    airflow = FakeAirflow(version).on("GET", INSTANCE, task_instance("load", "skipped", try_number=0))
    async with assistant(airflow) as someone:
        answer = await someone.ask("read_task_log", **PATHS)
    assert answer["hint"] == "This task instance never started (state skipped), so it has no log."


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_log_that_breaks_off_is_an_error_and_no_half_answer(version: str) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield FORMS[version].say("first").encode()
        raise httpx2.ReadError("reset")

    airflow = FakeAirflow(version).on("GET", INSTANCE, task_instance("load"))
    airflow.on("GET", f"{INSTANCE}/logs/1", lambda _: Reply(200, breaking()))
    async with assistant(airflow) as someone:
        assert "broke the connection" in await someone.refused("read_task_log", **PATHS)
