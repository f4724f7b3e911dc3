"""Evidence of a failure for other workflows: one line, a key that groups, an excerpt within its size."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mcp.task_logs import DecisiveError, read_cause
from airflow_mcp.workflows.shared.evidence import read_evidence
from tests.unit.assistant import GENERATIONS, open_door, workflow_context
from tests.unit.fake_airflow import Reply
from tests.unit.logs import FORMS, PATHS, airflow_with, word
from tests.unit.samples import page

pytestmark = pytest.mark.anyio
every_version = pytest.mark.parametrize("version", GENERATIONS)


def signature_of(text: str) -> str:
    return read_cause(text).key


def what_of(text: str) -> str:
    return read_cause(text).describe()


async def evidence(version: str, log: Any, *, size: int = 800) -> DecisiveError:
    """What read_evidence makes of a log."""
    airflow = airflow_with(version, log).on("GET", "/eventLogs", page("event_logs", []))
    airflow.on("GET", "/dags/etl/dagRuns/r", {"dag_run_id": "r", "dag_id": "etl"})
    dispatcher = open_door(airflow)
    context = await workflow_context(dispatcher.client, "read_task_log", {})
    return await read_evidence(context, {**PATHS, "try_number": 1}, size=size)


@every_version
async def test_evidence_is_the_exception_its_place_and_the_lines_before_it(version: str) -> None:
    form = FORMS[version]
    log = [form.say(f"{word(number)} was read") for number in range(20)]
    found = await evidence(version, "".join(log) + form.fail(("ValueError", "bad row 3"), ("KeyError", "'amount'")))
    assert found.what == "ValueError: bad row 3 <- KeyError: 'amount'"
    assert found.key == "ValueError: bad row # <- KeyError: 'amount' @ etl.py:transform"
    first, *rest = found.excerpt.splitlines()
    assert first == "ValueError: bad row 3"
    assert "caused by KeyError: 'amount'" in rest
    assert rest[-1].endswith(f"{word(19)} was read")
    assert (found.at_line, found.died) == (21, False)
    assert found.lines >= 21


async def test_the_host_that_airflow_2_writes_first_is_no_line_of_the_task() -> None:
    form = FORMS["2.11.2"]
    found = await evidence(
        "2.11.2", "worker-7.example\n" + form.say("42 rows") + form.fail(("ValueError", "bad row 3"))
    )
    assert "worker-7.example" not in found.excerpt
    assert found.excerpt.endswith("42 rows")
    assert (found.at_line, found.what) == (3, "ValueError: bad row 3")


async def test_both_generations_give_one_failure_the_same_line_and_key() -> None:
    chain = [("RuntimeError", "cannot load crate 3"), ("ValueError", "crate 3 weighs -40 kg")]
    two, three = [await evidence(version, FORMS[version].fail(*chain)) for version in GENERATIONS]
    assert (two.what, two.key, two.excerpt) == (three.what, three.key, three.excerpt)


@every_version
async def test_a_death_is_evidence_too(version: str) -> None:
    form = FORMS[version]
    words = "Task exited with return code -9" if version == "2.11.2" else "Likely out of memory error (OOM)."
    found = await evidence(version, form.say("resizing") + form.say(words, "critical", "job.py:1"))
    assert found.what.startswith("Killed (SIGKILL)")
    assert found.key == found.what
    assert found.died
    assert "resizing" in found.excerpt
    silent = await evidence(version, form.say("rendered page 212"))
    assert silent.died
    assert silent.at_line is None
    assert silent.what.startswith("The log ends without an error")
    assert "rendered page 212" in silent.excerpt


@every_version
async def test_a_command_that_failed_is_told_apart_by_what_it_printed_last(version: str) -> None:
    form = FORMS[version]

    def ran(last: str) -> str:
        return (
            form.say("Output:")
            + form.say(last)
            + form.say("Command exited with return code 2")
            + form.fail(("AirflowException", "Bash command failed. The command returned a non-zero exit code 2."))
        )

    one, same, other = [await evidence(version, ran(last)) for last in ("no disk 1", "no disk 2", "no such host")]
    assert one.what.startswith("Last output: no disk 1 [AirflowException: Bash command failed.")
    assert one.key == same.key != other.key


@every_version
async def test_a_log_that_airflow_does_not_have_is_evidence_too(version: str) -> None:
    found = await evidence(version, Reply(404, {"detail": "gone", "title": "gone"}))
    assert found == DecisiveError(found.what, found.what, died=True)
    assert found.what.startswith("There is no log")


@every_version
@pytest.mark.parametrize("size", [200, 500, 3000])
async def test_an_excerpt_keeps_its_size(version: str, size: int) -> None:
    form = FORMS[version]
    chain = [(f"Wrapper{number}Error", "x" * 900) for number in range(5)]
    log = form.say("y" * 900) * 2 + form.say('"' * 900) + form.fail(*chain)
    found = await evidence(version, log, size=size)
    assert len(found.excerpt) <= size
    assert len(found.what) <= 300
    silent = await evidence(version, "".join(form.say(f"{word(at)} {'z' * 200}") for at in range(50)), size=size)
    assert len(silent.excerpt) <= size


TRACEBACK = """Broken DAG: [/opt/airflow/dags/{file}.py]
Traceback (most recent call last):
  File "<frozen importlib._bootstrap>", line 241, in _call_with_frames_removed
  File "/opt/airflow/dags/{file}.py", line {line}, in <module>
    import {module}
ModuleNotFoundError: No module named '{module}'
"""


def test_an_import_errors_traceback_has_one_line_and_a_key() -> None:
    text = TRACEBACK.format(file="etl", line=3, module="pandas")
    assert what_of(text) == "ModuleNotFoundError: No module named 'pandas'"
    assert signature_of(text) == "ModuleNotFoundError: No module named 'pandas' @ etl.py:<module>"
    assert signature_of(text) == signature_of(TRACEBACK.format(file="etl", line=99, module="pandas"))
    assert signature_of(text) != signature_of(TRACEBACK.format(file="etl", line=3, module="polars"))
    assert what_of("Pool 'a' does not exist") == "Pool 'a' does not exist"
    assert what_of("") == signature_of("") == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("row 3 of 12 is bad", "row 4711 of 9 is bad"),
        ("amount -40.00 is negative", "amount -1,250.5 is negative"),
        ("no file 'orders-1.csv'", "no file 'a b c'"),
        ('no file "orders.csv"', 'no file "x"'),
        ("object at 0x7f55f1c4dda0", "object at 0x1"),
        ("run 01a2004d-5817-7259-8b6a-226a277c961d", "run 33333333-5817-7259-8b6a-226a277c9999"),
        ("since 2026-11-21T22:58:19.037+00:00", "since 2024-01-01"),
        ("checksum is 0078b6a9, expected 5eed5eed", "checksum is 12345678, expected deadbeef"),
    ],
)
def test_messages_that_differ_in_their_data_only_have_one_key(one: str, other: str) -> None:
    frame = 'Traceback (most recent call last):\n  File "/opt/airflow/dags/etl.py", line 3, in load\n'
    for before in ("", frame):
        assert signature_of(f"{before}ValueError: {one}") == signature_of(f"{before}ValueError: {other}")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("KeyError: 'amount'", "KeyError: 'price'"),
        ("ModuleNotFoundError: No module named 'a'", "ModuleNotFoundError: No module named 'b'"),
        ("ValueError: bad row 3", "TypeError: bad row 3"),
        ("ValueError: bad row 3", "ValueError: bad column 3"),
    ],
)
def test_errors_that_are_different_have_different_keys(one: str, other: str) -> None:
    frame = 'Traceback (most recent call last):\n  File "/opt/airflow/dags/etl.py", line 3, in load\n'
    assert signature_of(frame + one) != signature_of(frame + other)


@given(st.text(max_size=200), st.integers(0, 10**9), st.integers(0, 10**9))
def test_numbers_never_part_a_group_and_a_key_is_never_long(text: str, one: int, other: int) -> None:
    keys = [signature_of(f"ValueError: {text} row {number} {text}") for number in (one, other)]
    assert keys[0] == keys[1]
    assert len(keys[0]) <= 300
    assert "\n" not in keys[0]
