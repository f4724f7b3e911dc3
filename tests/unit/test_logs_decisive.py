"""Which error of a log is the decisive one: the one that ended the task, not one it survived, and not a mere word."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_mcp.task_logs.failure_text import describe
from airflow_mcp.task_logs.log_scan import LogScan, WindowScan
from airflow_mcp.task_logs.log_window import read_request
from tests.unit.assistant import GENERATIONS, assistant, calls_of
from tests.unit.fake_airflow import Reply
from tests.unit.logs import FORMS, INSTANCE, PATHS, airflow_with, line, printed, raised, read, row, word
from tests.unit.samples import task_instance

pytestmark = pytest.mark.anyio
every_version = pytest.mark.parametrize("version", GENERATIONS)
OVERFLOW = ("OverflowError", "order 88121 does not fit")
RESET = ("ConnectionResetError", "connection reset by peer")
MISSING = ("FileNotFoundError", "part-05000.lock")


@every_version
async def test_airflows_own_report_wins_over_every_error_the_task_logged_before_and_after_it(version: str) -> None:
    form = FORMS[version]
    noise = [
        form.handled(RESET, text="send failed, trying again"),
        form.handled(MISSING, text="sweeping failed", level="critical"),
        form.say("cannot reach the mail server", "error"),
        form.handled(MISSING, text="ignored", level="warning"),
        form.say("processed 10 rows, 0 errors, error_rate=0"),
    ]
    report = form.fail(OVERFLOW)
    for order in permutations(noise, 3):
        answer = await read(version, "".join([*order[:2], report, *order[2:], form.say("end")]))
        assert answer["error"].startswith("OverflowError: order 88121"), order
        assert "Connection" not in answer["error"]


@every_version
async def test_in_twenty_thousand_lines_a_report_in_the_middle_is_found_among_errors_that_were_survived(
    version: str,
) -> None:
    form = FORMS[version]
    lines = [
        form.say(f"row {word(number)} sent, no error" if number % 10 else "error_rate=0") for number in range(20_000)
    ]
    lines[4_000] = form.handled(RESET, text="send failed, trying again")
    lines[12_000] = form.fail(OVERFLOW)
    lines[17_000] = form.handled(MISSING, text="error while sweeping, ignored", level="warning")
    lines[18_000] = form.say("on_failure_callback: mail server refused", "error")
    answer = await read(version, "".join(lines))
    assert answer["error"].startswith("OverflowError: order 88121")
    assert answer["error_at_line"] == 12_001 + (0 if form.structured else 6)  # the first traceback has six lines
    assert "sent, no error" in answer["before_error"]


@every_version
@pytest.mark.parametrize(
    "text", ["0 errors found", "error_rate=0", "ERROR", "Exception handling is on", "no Traceback", "errors: []"]
)
async def test_the_word_error_alone_is_no_error(version: str, text: str) -> None:
    say = FORMS[version].say
    answer = await read(version, say("begin") + say(text) + say(text, "warning") + say("end"))
    assert "error" not in answer
    assert answer["verdict"].startswith("The log ends without an error")


@every_version
async def test_a_warning_with_a_traceback_is_no_error_since_its_writer_went_on(version: str) -> None:
    form = FORMS[version]
    answer = await read(version, form.handled(MISSING, text="ignored", level="warning") + form.say("going on"))
    assert "error" not in answer
    assert "ignored" in answer["tail"]
    assert ("6 lines of traceback" in answer["tail"]) == (version == "2.11.2")


@every_version
@pytest.mark.parametrize("state", ["success", "skipped"])
async def test_a_task_that_did_not_fail_has_no_error_but_says_how_many_were_logged(version: str, state: str) -> None:
    form = FORMS[version]
    log = form.handled(RESET, text="trying again") + form.say("bad row left out", "error") + form.say("done")
    answer = await read(version, log, state=state)
    assert not {"error", "verdict"} & answer.keys()
    assert answer["hint"] == "It did not fail. 2 records say error."
    assert calls_of(answer)[0][1]["level"] == "error"
    assert "hint" not in await read(version, form.say("done"), state=state)


async def test_what_went_to_stderr_counts_less_than_what_was_logged_as_an_error() -> None:
    """3.x logs every line on stderr as an error (supervisor.py), and many programs write plain messages there."""
    say = FORMS["3.3.2"].say
    stderr = say("100%|#####| 12/12 [00:01]", "error", "task.stderr")
    answer = await read("3.3.2", say("disk is full", "error", "etl") + stderr + say("end"))
    assert answer["error"] == "disk is full"
    assert (await read("3.3.2", stderr + say("end")))["error"].startswith("100%")


@every_version
async def test_a_command_that_failed_is_told_with_what_it_printed_last(version: str) -> None:
    form = FORMS[version]
    source = "airflow.task.hooks.airflow.providers.standard.hooks.subprocess.SubprocessHook"
    said = ["Running command: ['bash', '-c', 'dump']", "Output:", "dumping sales", 'error: no database "sales_eu"']
    log = [form.say(text, source=source if form.structured else "subprocess.py:106") for text in said]
    log.append(form.say("Command exited with return code 3", source=source if form.structured else "subprocess.py:110"))
    log.append(form.fail(("AirflowException", "Bash command failed. The command returned a non-zero exit code 3.")))
    answer = await read(version, "".join(log) + form.say("mail sent"))
    first, *rest = answer["error"].splitlines()
    assert first.startswith("AirflowException: Bash command failed.")
    assert rest[0] == '  output, line 4: error: no database "sales_eu"'
    assert "Running command" not in answer["error"]


@every_version
async def test_the_output_of_an_earlier_command_is_not_held_against_a_later_error(version: str) -> None:
    form = FORMS[version]
    log = [form.say("fine"), form.say("Command exited with return code 0")]
    log += [form.say(f"row {number}") for number in range(100)]
    answer = await read(version, "".join([*log, form.fail(OVERFLOW)]))
    assert "output:" not in answer["error"]


@every_version
@pytest.mark.parametrize("before", ["", "[base] ", "\t"])
async def test_a_traceback_that_was_printed_line_by_line_is_read_where_nothing_else_is_said(
    version: str, before: str
) -> None:
    form = FORMS[version]
    lines = [
        "Traceback (most recent call last):",
        '  File "/opt/airflow/dags/job.py", line 7, in main',
        "    go()",
        "KeyError: 'first'",
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        "Traceback (most recent call last):",
        '  File "/opt/airflow/dags/job.py", line 9, in main',
        "    raise RuntimeError",
        "RuntimeError: no luck",
    ]
    source = "task.stdout" if form.structured else "logging_mixin.py:190"
    log = "".join(form.say(f"{before}{text}", source=source) for text in lines)
    answer = await read(version, form.say("begin") + log + form.say("bye", source=source))
    told = answer["error"].splitlines()
    assert told[0] == "RuntimeError: no luck"
    assert told[1] == "  at /opt/airflow/dags/job.py:9 in main"
    assert told[2] == "while handling KeyError: 'first'"
    assert "bye" not in answer["error"]


@every_version
async def test_an_exception_that_only_followed_another_is_told_as_such_and_the_root_is_named(version: str) -> None:
    if version == "2.11.2":
        log = printed(("RuntimeError", "third"), ("OSError", "second"), ("KeyError", "'first'"))
        log = log.replace(
            "The above exception was the direct cause of the following exception",
            "During handling of the above exception, another exception occurred",
        )
    else:
        log = raised(("RuntimeError", "third"), ("OSError", "second"), ("KeyError", "'first'"))
        log = log.replace('"frames"', '"is_cause":false,"frames"')
    answer = await read(version, log)
    assert "while handling OSError: second" in answer["error"]
    assert "root cause: KeyError: 'first'" in answer["error"]


@every_version
async def test_the_root_of_a_long_chain_is_told_even_where_the_middle_has_no_room(version: str) -> None:
    chain = [(f"Wrapper{number}Error", "x" * 300) for number in range(9)]
    answer = await read(version, FORMS[version].fail(*chain, ("KeyError", "'amount'")), max_chars=1000)
    assert answer["error"].startswith("Wrapper0Error: xxx")
    assert "root cause: KeyError: 'amount'" in answer["error"]


async def test_an_exception_group_is_told_with_its_parts() -> None:
    text = "\n".join(
        [
            "  + Exception Group Traceback (most recent call last):",
            '  |   File "/opt/airflow/dags/etl.py", line 20, in transform',
            "  |     raise group",
            "  | ExceptionGroup: two rows (2 sub-exceptions)",
            "  +-+---------------- 1 ----------------",
            "    | Traceback (most recent call last):",
            '    |   File "/opt/airflow/dags/etl.py", line 5, in row',
            "    | ValueError: row 1",
            "    +---------------- 2 ----------------",
            "    | TypeError: row 2",
            "    +------------------------------------",
        ]
    )
    answer = await read("2.11.2", line("Task failed with exception", "ERROR") + text + "\n" + line("end"))
    told = answer["error"].splitlines()
    assert told[0] == "ExceptionGroup: two rows (2 sub-exceptions)"
    assert told[1] == "  at /opt/airflow/dags/etl.py:20 in transform"
    assert told[2:4] == ["  · ValueError: row 1", "  · TypeError: row 2"]
    inner = [[{"exc_type": kind, "exc_value": value, "frames": []}] for kind, value in (("A", "one"), ("B", "two"))]
    detail = [{"exc_type": "ExceptionGroup", "exc_value": "both", "frames": [], "is_group": True, "exceptions": inner}]
    answer = await read("3.3.2", row("Task failed with exception", "error", error_detail=detail))
    assert answer["error"].splitlines() == ["ExceptionGroup: both", "  · A: one", "  · B: two"]


async def test_notes_of_an_exception_are_told_with_it() -> None:
    detail = [{"exc_type": "ValueError", "exc_value": "bad", "exc_notes": ["in file orders.csv"], "frames": []}]
    answer = await read("3.3.2", row("Task failed with exception", "error", error_detail=detail))
    assert answer["error"] == "ValueError: bad\nin file orders.csv"
    text = line("Task failed with exception", "ERROR") + "Traceback (most recent call last):\n"
    answer = await read("2.11.2", text + "ValueError: bad\nin file orders.csv\n")
    assert answer["error"] == "ValueError: bad\nin file orders.csv"


async def test_where_a_file_cannot_be_parsed_is_told() -> None:
    broken = (
        "  File \"/opt/airflow/dags/other.py\", line 3\n    def f(\n         ^\nSyntaxError: '(' was never closed\n"
    )
    text = line("Task failed with exception", "ERROR") + f"Traceback (most recent call last):\n{broken}"
    assert (await read("2.11.2", text))["error"].splitlines() == [
        "SyntaxError: '(' was never closed",
        "  at /opt/airflow/dags/other.py:3",
    ]


async def test_an_exceptions_type_is_told_without_its_module_as_airflow_3_does() -> None:
    answer = await read("2.11.2", printed(("airflow.exceptions.AirflowException", "a.b: no")) + line("end"))
    assert answer["error"].startswith("AirflowException: a.b: no")


@every_version
async def test_a_record_too_long_to_be_read_whole_still_tells_its_exception(version: str) -> None:
    form = FORMS[version]
    answer = await read(version, form.fail(("ValueError", 'huge "value" ' * 50_000)) + form.say("end"))
    assert answer["error"].startswith('ValueError: huge "value" huge')


async def test_a_log_of_2x_is_understood_where_3x_serves_it() -> None:
    """After an upgrade 3.x gives every line of an old log as a record without a level (file_task_handler.py)."""
    old = line("begin") + line("broken", "ERROR") + printed(OVERFLOW) + line("Task exited with return code 1")
    log = "".join(row(text).replace(',"level":"info","logger":"task"', "") for text in old.splitlines())
    answer = await read("3.3.2", log)
    assert answer["error"].splitlines()[0] == "OverflowError: order 88121 does not fit"
    assert answer["error"].splitlines()[1] == "  at /opt/airflow/dags/etl.py:20 in transform"
    assert answer["error_at_line"] == 3
    assert "lines of traceback" in answer["tail"]


@every_version
async def test_frames_of_libraries_are_left_out_and_where_there_are_no_others_the_innermost_is_enough(
    version: str,
) -> None:
    fail = FORMS[version].fail
    error = (await read(version, fail(OVERFLOW)))["error"]
    assert error.count("  at ") == 1
    assert "site-packages" not in error
    only = fail(OVERFLOW).replace("/opt/airflow/dags/etl.py", "/opt/venv/lib/python3.11/site-packages/pandas/io.py")
    assert (await read(version, only))["error"].splitlines()[1:] == ["  at …/pandas/io.py:20 in transform"]


@every_version
async def test_airflows_own_start_is_told_as_how_many_lines_it_has_but_not_its_warnings(version: str) -> None:
    form = FORMS[version]
    begin = "::group::Pre Execute" if form.structured else "::group::Pre task execution logs"
    log = [form.say(begin), form.say("Filling up the DagBag"), form.say("deprecated", "warning"), form.say("one more")]
    log += [form.say("::endgroup::"), form.say("mine"), form.fail(OVERFLOW)]
    answer = await read(version, "".join(log))
    told = answer["tail"].splitlines()
    assert told[0] == "  … 2 lines of Airflow's own"
    assert told[1].endswith("WARNING deprecated")
    assert told[2] == "  … 2 lines of Airflow's own"
    assert told[3].endswith("mine")
    assert "left_out" not in answer


async def test_the_reason_why_airflow_2_has_no_log_is_shown() -> None:
    words = "*** Could not read served logs: 403 Client Error: FORBIDDEN for url: http://vm:8793/log/attempt=1.log"
    answer = await read("2.11.2", f"vm\n INFO - ::group::Log message source details\n{words}\n INFO - ::endgroup::\n")
    assert words in answer["tail"]
    assert answer["lines"] == 4


async def test_an_earlier_try_is_judged_by_its_log_and_not_by_the_latest_state() -> None:
    for version in GENERATIONS:
        form = FORMS[version]
        airflow = airflow_with(version, form.fail(OVERFLOW), state="success", try_number=2)
        async with assistant(airflow) as someone:
            answer = await someone.ask("read_task_log", **PATHS, try_number=1)
        assert answer["error"].startswith("OverflowError")


_NAMES = [
    "event", "level", "timestamp", "logger", "error_detail", "exc_type", "exc_value", "frames", "exc_notes",
    "syntax_error", "exceptions", "filename", "is_cause", "password", "other",
]  # fmt: skip
_WORDS = [
    "error", "critical", "task", "Task failed with exception", "Traceback (most recent call last):", "\ud800x", "",
    "Task exited", "exit_code=3", "2026-11-21T22:58:19Z", "a\nb", "Command exited with return code 2",
]  # fmt: skip
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(_WORDS), st.text(max_size=9)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_NAMES), inner, max_size=5)),
    max_leaves=20,
)


@given(st.lists(st.one_of(_VALUES, st.fixed_dictionaries({"event": _VALUES, "level": _VALUES})), max_size=8))
@example([{"event": "x", "level": "error", "error_detail": [{"exc_notes": 5, "exceptions": 7, "frames": {"a": 1}}]}])
@example([{"event": "Task exited", "level": "error", "exit_code": "\ud800", "logger": "task"}])
def test_no_record_of_3x_whatever_its_shape_stops_the_reading(rows: list[Any]) -> None:
    log = "".join(json.dumps(row) + "\n" for row in rows).encode()
    scan = LogScan("ndjson", 600)
    scan.feed(log)
    scan.finish()
    told = scan.verdict
    assert not told.text or len(describe(told, 600)) <= 600
    assert scan.render_end(600).covered == scan.lines or scan.lines > scan.render_end(600).covered > 0
    window = WindowScan("ndjson", read_request({}, {"grep": ".", "level": "debug"}), 600)
    window.feed(log)
    window.finish()
    assert window.window.get_result()[0].covered >= 0


@every_version
@pytest.mark.parametrize("depth", [100, 900, 5_000])
async def test_a_record_nested_deeper_than_python_likes_is_read_all_the_same(version: str, depth: int) -> None:
    form = FORMS[version]
    deep = "[" * depth + "]" * depth
    odd = row("deep", "error", other=1).replace(":1}", f":{deep}}}") + deep.replace("[]", '["token"]') + "\n"
    log = form.say(deep) + odd + form.fail(OVERFLOW)
    assert (await read(version, log))["error"].startswith("OverflowError")
    assert (await read(version, log, grep="Overflow"))["matched"] >= 1


async def test_what_airflow_3_writes_behind_the_error_counts_as_printed_before_it() -> None:
    form = FORMS["3.3.2"]
    log = [form.fail(("RuntimeError", "import stopped")), form.say("::group::Post Execute")]
    log += [form.say("file 3 of 7 is encrypted", source="task.stdout"), form.say("::endgroup::")]
    answer = await read("3.3.2", "".join(log))
    assert answer["error"].startswith("RuntimeError: import stopped")
    assert answer["printed"] == 1
    ended = row("Task exited", "error", exit_code=3) + "".join(log[1:])
    answer = await read("3.3.2", ended)
    assert "exit code 3" in answer["verdict"]
    assert "file 3 of 7 is encrypted" in answer["cause"]


@every_version
async def test_a_message_that_is_long_keeps_both_ends(version: str) -> None:
    form = FORMS[version]
    text = f"payload rejected: {'x' * 90_000} reason: field 'iban' is not valid"
    answer = await read(version, form.fail(("ValueError", text)) + form.say("end"))
    assert answer["error"].startswith("ValueError: payload rejected: xxx")
    assert "reason: field 'iban' is not valid" in answer["error"]


@every_version
async def test_the_cause_of_a_command_is_told_beside_the_error_with_its_place(version: str) -> None:
    form = FORMS[version]
    logger = "airflow.task.hooks.airflow.providers.standard.hooks.subprocess.SubprocessHook"
    source = logger if form.structured else "subprocess.py:106"
    said = ["Output:", 'Exception in thread "main" java.lang.RuntimeException: cannot open orders']
    said += [
        "\tat Load.main(Load.java:9)",
        "Caused by: java.io.IOException: disk is full",
        "\tat Load.open(Load.java:3)",
    ]
    log = "".join(form.say(text, source=source) for text in [*said, "Command exited with return code 1"])
    answer = await read(version, log + form.fail(("AirflowException", "Bash command failed. The command returned 1.")))
    assert answer["cause"].startswith("IOException: disk is full [led to RuntimeException: cannot open orders]")
    assert "output, line 2: RuntimeException: cannot open orders" in answer["error"]
    assert answer["printed"] == 4
    assert answer["lines"] >= 7


@every_version
async def test_the_name_of_a_mapped_instance_and_its_tries_are_told(version: str) -> None:
    log = FORMS[version].fail(OVERFLOW)
    airflow = airflow_with(version, log, map_index=3, rendered_map_index="eu/west", try_number=2)
    airflow.on("GET", f"{INSTANCE}/3", task_instance("load", map_index=3, rendered_map_index="eu/west", try_number=2))
    airflow.on("GET", f"{INSTANCE}/logs/2", Reply(200, log))
    async with assistant(airflow) as someone:
        answer = await someone.ask("read_task_log", **PATHS, map_index=3)
    assert (answer["rendered_map_index"], answer["try_number"], answer["tries"]) == ("eu/west", 2, 2)
