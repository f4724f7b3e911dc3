"""Text that others wrote loses every character that hides or repaints; an id shows each, and is read back."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_mcp.text import clean, escape, shorten, unescape
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


ANY_ID = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40),
    st.lists(st.sampled_from(["\\", "u", "{", "}", "5C", "\u202e", "\u200b", "\n", "a"]), min_size=1).map("".join),
)
# DerivedCoreProperties.txt of Unicode 16: Default_Ignorable_Code_Point
DEFAULT_IGNORABLE = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
UNSEEN = {
    *(chr(code) for first, last in DEFAULT_IGNORABLE for code in range(first, last + 1)),
    *(
        chr(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp") and chr(code) not in "\t\n"
    ),
}


def test_every_unseen_character_of_unicode_is_gone_from_text_and_written_out_in_ids() -> None:
    every = "".join(sorted(UNSEEN))
    assert clean(every.replace("\x1b", "").replace("\x9b", "")) == ""
    assert all(escape(sign) == f"\\u{{{ord(sign):X}}}" for sign in UNSEEN)
    spaces = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Zs" and code != 0x20]
    assert all(escape(sign) == f"\\u{{{ord(sign):X}}}" for sign in [*spaces, "\t", "\n", "\u2800"])


@given(text=st.one_of(st.text(), ANY_ID, st.text(st.sampled_from(sorted(UNSEEN)))))
@example(text="\\u{202E}")
@example(text="\\\\u{5C}u{")
@example(text="\\u\u200b{41}")
@example(text="\ud800\x00")
def test_id_that_is_shown_is_read_back_as_itself(text: str) -> None:
    shown = escape(text)
    assert unescape(shown) == text
    assert not UNSEEN & {*shown}


@given(text=st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters="\\" + "".join(UNSEEN))))
@example(text=r"a\b\u\x{1}")
@example(text="Grüße 日本語 🙂 ~ % scheduled__2026-11-21T00:00:00+00:00")
def test_id_without_unseen_characters_is_shown_as_it_is(text: str) -> None:
    text = "".join(sign for sign in text if sign not in UNSEEN and sign != "\u2800")
    assert escape(text) == text


@pytest.mark.parametrize("mode", ERAS)
def test_every_id_is_shown_whole_and_taken_back(mode: str) -> None:
    airflow = FakeAirflow()
    with talking(airflow, mode=mode) as call:

        @given(run_id=ANY_ID, task_id=ANY_ID)
        @example(run_id="scheduled__2026-11-21T00:00:00.123456+00:00", task_id="x" * 250)
        @example(run_id="a\u200bb\x1b[31mc", task_id="a\\u{202E}b")
        def every_id_comes_back(run_id: str, task_id: str) -> None:
            row: dict[str, Any] = {"dag_id": "etl", "dag_run_id": run_id, "task_id": task_id, "state": "failed"}
            airflow.otherwise(page("task_instances", [row, row | {"task_id": "other"}]))
            result = call("list_task_instances", dag_id="etl", dag_run_id="~")
            assert result.structured_content is not None
            shown = table(result.structured_content)[0]
            assert (shown["dag_run_id"], shown["task_id"]) == (escape(run_id), escape(task_id))
            airflow.otherwise(page("task_instances", [row])).sent.clear()
            call("list_task_instances", dag_id="~", dag_run_id="~", dag_run_ids=[shown["dag_run_id"]])
            assert airflow.last().body["dag_run_ids"] == [run_id]
            airflow.otherwise(row)
            one = call("get_task_instance", dag_id="etl", dag_run_id="r", task_id="t").structured_content
            assert one is not None
            assert (one["dag_run_id"], one["task_id"]) == (escape(run_id), escape(task_id))

        every_id_comes_back()


SECRET_URI = "postgres://ann:hunter2-of-ann@db.example/orders"


@pytest.mark.parametrize("mode", ERAS)
async def test_id_that_holds_a_credential_is_masked_and_not_taken_back(mode: str) -> None:
    rows = [{"id": 7, "name": "orders", "uri": SECRET_URI}, {"id": 8, "name": "rows", "uri": "s3://rows"}]
    airflow = FakeAirflow().on("GET", "/assets", page("assets", rows)).on("GET", "/assets/7", rows[0])
    dags = page("dags", [{"dag_id": SECRET_URI}])
    airflow.on("GET", "/dags", dags)
    async with assistant(airflow, mode=mode) as someone:
        many = await someone.ask("list_assets")
        one = await someone.ask("get_asset", asset_id=7)
        of_dags = await someone.ask("list_dags", links=True)
        sent = len(airflow.sent)
        refused = [
            await someone.refused("get_asset", asset_uri=table(many)[0]["uri"]),
            await someone.refused("get_dag", dag_id=table(of_dags)[0]["dag_id"]),
        ]
    for answer in (many, one, of_dags):
        assert "hunter2" not in str(answer)
    assert table(many)[1]["uri"] == "s3://rows"
    assert "asset_id" in many["hint"]
    assert "asset_id" in one["hint"]
    assert "UI" in of_dags["hint"]
    assert "asset_id" in refused[0]
    assert "UI" in refused[1]
    assert len(airflow.sent) == sent


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
