"""read_task_log on real logs: the cause first wherever it stands, short, and for every kind of task instance."""

from __future__ import annotations

import pytest

from .harness import Json, Site, text_of

BROKEN_CRATE: Json = {"dag_id": "mapped", "dag_run_id": "map-1", "task_id": "load", "map_index": 3}
NOT_SAILED: Json = {"dag_id": "mapped", "dag_run_id": "map-1", "task_id": "sail"}
LOUD: Json = {"dag_id": "noisy", "dag_run_id": "loud-1", "task_id": "count_waves"}
DEFAULT_SIZE = 1_500


def test_the_log_of_a_mapped_failure_begins_with_its_exception_and_names_the_cause(site: Site) -> None:
    site.ended("mapped", "map-1")
    result = site.reader.result("read_task_log", BROKEN_CRATE)
    log = result.structured_content
    assert log is not None
    assert (log["state"], log["map_index"], log["try_number"]) == ("failed", 3, 1)
    first, place, cause, *_ = log["error"].splitlines()
    assert first == "RuntimeError: cannot load crate 3"
    assert "failing.py" in place
    assert place.endswith("in load")
    assert cause == "caused by ValueError: crate 3 weighs -40 kg"
    assert list(log).index("error") < list(log).index("tail")


def test_the_error_of_a_long_log_is_found_far_before_its_end_and_the_answer_stays_short(site: Site) -> None:
    site.ended("noisy", "loud-1")
    result = site.reader.result("read_task_log", LOUD)
    answer = result.structured_content
    assert answer is not None
    assert len(text_of(result)) <= DEFAULT_SIZE
    assert answer["lines"] > 20_000
    assert answer["error"].startswith("OSError: the tide gauge is dry\n")
    assert "swept deck 0" in answer["tail"]
    assert "more lines that differ only in numbers" in answer["tail"]
    assert "swept deck 399" in answer["tail"]


def test_a_long_log_can_be_read_window_by_window_each_line_once(site: Site) -> None:
    site.ended("noisy", "loud-1")
    answer = site.reader.ask("read_task_log", **LOUD, level="info", **{"from": "start"}, max_chars=20_000)
    shown, number = answer["shown"], answer["lines"]
    assert "wave 0 passed" in answer["log"]
    while "more" in answer:
        answer = site.reader.ask("read_task_log", **LOUD, level="info", max_chars=20_000, **answer["more"])
        shown += answer["shown"]
    assert shown == answer["matched"] == number
    assert "swept deck 399" in answer["log"]


def test_a_line_in_the_middle_of_a_long_log_is_found_with_those_around_it(site: Site) -> None:
    site.ended("noisy", "loud-1")
    answer = site.reader.ask("read_task_log", **LOUD, grep="wave 12345 ", context=1)
    before, found, after = answer["log"].splitlines()
    assert (answer["matched"], answer["shown"]) == (1, 3)
    assert before.endswith("wave 12344 passed")
    assert found.endswith("wave 12345 passed")
    assert after.endswith("wave 12346 passed")
    number = int(found.partition(":")[0])
    assert before.startswith(f"{number - 1}- ")
    assert site.reader.ask("read_task_log", **LOUD, grep="no such wave")["matched"] == 0


def test_only_records_of_a_level_are_given(site: Site) -> None:
    site.ended("noisy", "loud-1")
    answer = site.reader.ask("read_task_log", **LOUD, level="error")
    assert "OSError: the tide gauge is dry" in answer["log"]
    assert "passed" not in answer["log"]
    assert 0 < answer["matched"] < 300


def test_a_log_is_as_short_as_the_caller_wants_and_still_says_the_error(site: Site) -> None:
    site.ended("noisy", "loud-1")
    text = text_of(site.reader.result("read_task_log", LOUD | {"max_chars": 600}))
    assert len(text) <= 600
    assert "OSError: the tide gauge is dry" in text


def test_a_task_whose_upstream_failed_says_so_instead_of_an_error(site: Site) -> None:
    site.ended("mapped", "map-1")
    answer = site.reader.ask("read_task_log", **NOT_SAILED)
    assert (answer["state"], answer["try_number"]) == ("upstream_failed", 0)
    assert "error" not in answer
    assert "upstream" in answer.get("hint", "") + answer.get("tail", "")


def test_a_mapped_task_without_its_index_is_refused_with_the_indexes_that_failed(site: Site) -> None:
    site.ended("mapped", "map-1")
    words = site.reader.refusal("read_task_log", **{**BROKEN_CRATE, "map_index": -1})
    assert "map_index is required; failed ones: 3" in words
    without = {name: value for name, value in BROKEN_CRATE.items() if name != "map_index"}
    assert site.reader.refusal("read_task_log", **without) == words


def test_an_index_that_does_not_exist_is_refused(site: Site) -> None:
    site.ended("mapped", "map-1")
    words = site.reader.refusal("read_task_log", **{**BROKEN_CRATE, "map_index": 77})
    assert "404" in words or "77" in words


def test_a_try_beyond_the_latest_is_refused_naming_the_latest(site: Site) -> None:
    site.ended("noisy", "loud-1")
    words = site.reader.refusal("read_task_log", **LOUD, try_number=4)
    assert "try_number 4 does not exist; the latest try is 1" in words


def test_try_0_of_a_task_that_ran_does_not_say_that_it_never_started(site: Site) -> None:
    site.ended("noisy", "loud-1")
    result = site.reader.result("read_task_log", LOUD | {"try_number": 0})
    assert "never started" not in str(result.content)


@pytest.mark.parametrize("index", [0, 4])
def test_the_log_of_an_index_that_succeeded_is_its_own_and_holds_no_error(site: Site, index: int) -> None:
    site.ended("mapped", "map-1")
    answer = site.reader.ask("read_task_log", **{**BROKEN_CRATE, "map_index": index})
    assert (answer["state"], answer["map_index"]) == ("success", index)
    assert "error" not in answer
    assert f"Returned value was: {index * 10}" in answer["tail"]


def test_unicode_in_a_log_arrives_as_it_was_written(site: Site) -> None:
    site.ended("ok", "ok-1")
    answer = site.reader.ask("read_task_log", dag_id="ok", dag_run_id="ok-1", task_id="produce")
    assert "'city': 'Zürich', 'rocket': '🚀'" in answer["tail"]
    assert "'ключ'" in answer["tail"]
