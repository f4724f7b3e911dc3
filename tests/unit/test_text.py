"""Text that others wrote loses every character that hides or repaints; ids stay exactly what they are."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_mcp.text import clean, shorten
from tests.unit.assistant import ERAS, assistant, table, talking, text_of
from tests.unit.fake_airflow import FakeAirflow, Reply
from tests.unit.samples import dag_run, page

pytestmark = pytest.mark.anyio

HIDDEN = {
    "zero width space": "\u200b",
    "zero width joiner": "\u200d",
    "word joiner": "\u2060",
    "byte order mark": "\ufeff",
    "soft hyphen": "\u00ad",
    "right-to-left override": "\u202e",
    "left-to-right isolate": "\u2066",
    "Arabic letter mark": "\u061c",
    "tag letters": "\U000e0069\U000e0067\U000e006e",
    "variation selector beyond the plane": "\U000e0101",
    "Hangul filler": "\u3164",
    "bell": "\x07",
    "null": "\x00",
    "backspace": "\x08",
    "C1 control": "\x85",
    "carriage return": "\r",
    "delete": "\x7f",
    "colour": "\x1b[31m",
    "cursor": "\x1b[2J",
    "colour in one byte": "\x9b31m",
    "window title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;https://elsewhere.example\x1b\\",
    "charset": "\x1b(0",
}
SEEN = ["Grüße", "日本語", "🙂", "a\tb\nc", "עברית", "الله", "e\u0301", "½", " ", ""]


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize("mode", ERAS)
async def test_hidden_characters_of_a_note_are_gone_from_records_and_lists(name: str, mode: str) -> None:
    run = dag_run("r", note=f"all{HIDDEN[name]} well", conf={f"k{HIDDEN[name]}": [f"v{HIDDEN[name]}"]})
    airflow = FakeAirflow().on("GET", "/dags/etl/dagRuns/r", run)
    airflow.on("GET", "/dags/etl/dagRuns", page("dag_runs", [run]))
    async with assistant(airflow, mode=mode) as someone:
        one = await someone.ask("get_dag_run", dag_id="etl", dag_run_id="r")
        many = table(await someone.ask("list_dag_runs", dag_id="etl", fields=["note", "conf"]))
    for shown in (one, many[0]):
        assert shown["note"] == "all well"
        assert shown["conf"] == {"k": ["v"]}


async def test_hidden_characters_of_airflows_own_words_are_gone_from_errors() -> None:
    airflow = FakeAirflow().otherwise(Reply(409, {"detail": "no\x1b[31m \u202eway\U000e0041"}))
    async with assistant(airflow) as someone:
        sentence = await someone.refused("get_health")
    assert "Airflow says: no way" in sentence
    assert clean(sentence) == sentence


async def test_half_a_surrogate_pair_does_not_break_an_answer() -> None:
    body = b'{"dag_run_id": "r", "dag_id": "etl", "state": "failed", "note": "half \\ud83d of it"}'
    airflow = FakeAirflow().on("GET", "/dags/etl/dagRuns/r", Reply(200, body))
    async with assistant(airflow) as someone:
        result = await someone.client.call_tool("get_dag_run", {"dag_id": "etl", "dag_run_id": "r"})
    assert b"half  of it" in text_of(result).encode()


ANY_ID = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@pytest.mark.parametrize("mode", ERAS)
def test_ids_are_never_altered(mode: str) -> None:
    airflow = FakeAirflow()
    with talking(airflow, mode=mode) as call:

        @given(run_id=ANY_ID, task_id=ANY_ID)
        @example(run_id="2026-11-21T00:00:00.123456+00:00", task_id="token=abcdefgh")
        @example(run_id="scheduled__2026-11-21T00:00:00+00:00", task_id="x" * 250)
        @example(run_id="a\u200bb\x1b[31mc", task_id="https://ann:pw@host/x")
        def every_id_stays(run_id: str, task_id: str) -> None:
            row: dict[str, Any] = {"dag_id": "etl", "dag_run_id": run_id, "task_id": task_id, "state": "failed"}
            airflow.otherwise(page("task_instances", [row, row | {"task_id": "other"}]))
            result = call("list_task_instances", dag_id="etl", dag_run_id="~")
            assert result.structured_content is not None
            shown = table(result.structured_content)[0]
            assert (shown["dag_run_id"], shown["task_id"]) == (run_id, task_id)
            airflow.otherwise(row)
            one = call("get_task_instance", dag_id="etl", dag_run_id="r", task_id="t").structured_content
            assert one is not None
            assert (one["dag_run_id"], one["task_id"]) == (run_id, task_id)

        every_id_stays()


@given(
    parts=st.lists(st.one_of(st.sampled_from(SEEN), st.sampled_from([*HIDDEN.values()]), st.text()), max_size=8),
)
def test_clean_text_shows_nothing_hidden_and_stays_as_it_is(parts: list[str]) -> None:
    cleaned = clean("".join(parts))
    assert clean(cleaned) == cleaned
    assert not [char for char in cleaned if unicodedata.category(char) in ("Cc", "Cs") and char not in "\t\n"]
    assert not [char for char in cleaned if char in "\u200b\u200d\u202e\u2066\u2060\ufeff\u00ad"]
    assert not [char for char in cleaned if 0xE0000 <= ord(char) <= 0xE0FFF]


@pytest.mark.parametrize("text", SEEN)
def test_text_that_people_can_read_is_not_changed(text: str) -> None:
    assert clean(text) == text
    assert clean(f"{HIDDEN['colour']}{text}\x1b[0m") == text


@given(text=st.text(), size=st.integers(0, 60), keep_end=st.booleans())
def test_a_shortened_text_has_the_size_and_the_start_or_the_end(text: str, size: int, keep_end: bool) -> None:
    short = shorten(text, size, keep_end=keep_end)
    assert len(short) <= max(size, 0)
    if len(text) <= size:
        assert short == text
    elif size > 0:
        kept = short.removeprefix("…") if keep_end else short.removesuffix("…")
        assert len(kept) == size - 1
        assert text.endswith(kept) if keep_end else text.startswith(kept)
