"""Any part of a log: from its start or its end, filtered, window by window, each line once and within the budget."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.catalog.versions import Generation
from airflow_mcp.task_logs.log_scan import WindowScan
from airflow_mcp.task_logs.log_tail import LogTail
from airflow_mcp.task_logs.log_window import read_request
from airflow_mcp.workflows.shared.log_stream import FORMS as FORM_OF
from airflow_mcp.workflows.shared.log_stream import read_log
from tests.unit.assistant import A_TOKEN, GENERATIONS, assistant, talking, text_of, workflow_context
from tests.unit.fake_airflow import FakeAirflow, Reply
from tests.unit.logs import FORMS, INSTANCE, MOMENT, PATHS, Form, airflow_with, line, printed, read, row, word
from tests.unit.samples import task_instance

pytestmark = pytest.mark.anyio
every_version = pytest.mark.parametrize("version", GENERATIONS)
NEGATIVE = ("ValueError", "bad row 3: amount is negative")
TEN = [f"step {word(number)}" for number in range(10)]


def told(answer: dict[str, Any]) -> list[str]:
    """The lines of a window without their times."""
    return [re.sub(r"^(\d+[:-] )?\d\d:\d\d:\d\d ", r"\1", text) for text in answer["log"].splitlines()]


async def every_window(version: str, log: str, **arguments: Any) -> list[dict[str, Any]]:
    """The answers, following next until there is none."""
    async with assistant(airflow_with(version, log)) as someone:
        answers = [await someone.ask("read_task_log", **PATHS, **arguments)]
        while "more" in answers[-1]:
            answers.append(await someone.ask("read_task_log", **PATHS, **arguments, **answers[-1]["more"]))
            assert answers[-1]["left_out" if "more" in answers[-1] else "shown"] < answers[-2]["left_out"] + 1
    return answers


@every_version
async def test_from_the_start_come_the_first_lines_and_then_by_next_all_others(version: str) -> None:
    say = FORMS[version].say
    words = [f"{word(number)} was read" for number in range(300)]
    answers = await every_window(version, "".join(map(say, words)), **{"from": "start"})
    assert len(answers) > 3
    assert [text for answer in answers for text in told(answer)] == words
    assert sum(answer["shown"] for answer in answers) == answers[0]["lines"] == 300
    assert [answer["left_out"] for answer in answers[:-1]] == sorted(
        (answer["left_out"] for answer in answers[:-1]), reverse=True
    )
    assert "error" not in answers[0]


@every_version
async def test_from_the_end_come_the_last_lines_and_then_by_next_those_before_them(version: str) -> None:
    say = FORMS[version].say
    words = [f"{word(number)} was read" for number in range(300)]
    answers = await every_window(version, "".join(map(say, words)), **{"from": "end"})
    assert len(answers) > 3
    assert [text for answer in reversed(answers) for text in told(answer)] == words


@every_version
async def test_grep_gives_the_lines_that_match_with_their_numbers_and_how_many_there_are(version: str) -> None:
    say = FORMS[version].say
    answer = await read(version, "".join(map(say, TEN)), grep="step [bdf]$")
    assert told(answer) == ["2: step b", "4: step d", "6: step f"]
    assert (answer["matched"], answer["shown"], answer["lines"]) == (3, 3, 10)
    assert not {"left_out", "next", "error"} & answer.keys()
    none = await read(version, "".join(map(say, TEN)), grep="nothing like it")
    assert (none["matched"], none["shown"], none["log"]) == (0, 0, "")


@every_version
async def test_context_gives_the_lines_around_each_match_once(version: str) -> None:
    say = FORMS[version].say
    answer = await read(version, "".join(map(say, TEN)), grep="step [bdj]$", context=1)
    assert told(answer) == [
        "1- step a",
        "2: step b",
        "3- step c",
        "4: step d",
        "5- step e",
        "9- step i",
        "10: step j",
    ]
    assert (answer["matched"], answer["shown"]) == (3, 7)


@every_version
async def test_level_gives_records_of_at_least_that_level_with_their_tracebacks(version: str) -> None:
    form = FORMS[version]
    log = form.say("quiet", "debug") + form.say("begin") + form.say("hm", "warning") + form.fail(NEGATIVE)
    log += form.say("bad", "critical") + form.say("end")
    errors = told(await read(version, log, level="error"))
    assert errors[0].startswith("4: ERROR Task failed with exception")
    assert errors[-1].endswith(": CRITICAL bad")
    assert "ValueError: bad row 3" in "".join(errors)
    assert "etl.py" in "".join(errors)
    assert "begin" not in "".join(errors)
    assert told(await read(version, log, level="warning"))[0] == "3: WARNING hm"
    assert "quiet" not in (await read(version, log, level="info"))["log"]
    assert "quiet" in (await read(version, log, level="debug"))["log"]


@every_version
async def test_since_gives_records_from_that_time_on(version: str) -> None:
    say = FORMS[version].say
    log = "".join(say(text).replace("22:58:19", f"22:58:{at:02}") for at, text in enumerate(TEN))
    assert told(await read(version, log, since="2026-11-21T22:58:07Z")) == [
        "8: step h",
        "9: step i",
        "10: step j",
    ]
    east = await read(version, log, since="2026-11-21T23:58:09+01:00", grep="step")
    assert told(east) == ["10: step j"]
    words = "since needs a timezone: 2026-11-21T22:58:07Z if you mean UTC"
    async with assistant(airflow_with(version, log)) as someone:
        assert words in await someone.refused("read_task_log", **PATHS, since="2026-11-21T22:58:07")


@every_version
@pytest.mark.parametrize(
    ("pattern", "words"),
    [("(", "missing )"), ("a(?=b)", "invalid perl operator: (?="), ("(a)\\1", "invalid escape sequence"), ("*", "no ")],
)
async def test_a_pattern_that_is_none_is_refused_in_one_sentence_before_airflow_is_asked(
    version: str, pattern: str, words: str
) -> None:
    airflow = airflow_with(version, "")
    async with assistant(airflow) as someone:
        sentence = await someone.refused("read_task_log", **PATHS, grep=pattern)
    assert sentence.startswith("read_task_log: grep is no RE2 pattern")
    assert words in sentence
    assert airflow.sent == []


@every_version
async def test_a_pattern_may_be_long_but_not_endless(version: str) -> None:
    async with assistant(airflow_with(version, FORMS[version].say("a" * 500))) as someone:
        assert (await someone.ask("read_task_log", **PATHS, grep="a" * 500))["matched"] == 1
        assert "at most 500 characters" in await someone.refused("read_task_log", **PATHS, grep="a" * 501)


@every_version
async def test_a_pattern_that_python_would_never_finish_is_matched_at_once(version: str) -> None:
    answer = await read(version, FORMS[version].say("a" * 50_000) * 20, grep="(a|a)*(a|aa)+b$")
    assert answer["matched"] == 0


class Watched(WindowScan):
    """Remembers in which threads it was fed, which is where the pattern is matched."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.threads: set[int] = set()

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        self.threads.add(threading.get_ident())
        super().feed(piece)

    def finish(self) -> None:
        """The log has ended."""
        self.threads.add(threading.get_ident())
        super().finish()


@every_version
async def test_a_pattern_is_matched_off_the_event_loop(version: str) -> None:
    log = "".join(FORMS[version].say(f"bad row {number}") for number in range(100))
    airflow = airflow_with(version, log)
    client = AirflowClient(airflow.url, A_TOKEN, transport=airflow.transport, backoff=0)
    context = await workflow_context(client, "read_task_log", PATHS)
    scan = Watched(FORM_OF[context.version.generation], read_request(PATHS, {"grep": "(r|ro|row)+ .*9"}), 5000)
    assert await read_log(context, {**PATHS, "try_number": 1}, scan)
    await client.aclose()
    assert scan.window.matched == 19
    assert scan.threads
    assert threading.get_ident() not in scan.threads


@every_version
async def test_a_secret_can_neither_be_searched_for_nor_guessed_by_searching(version: str) -> None:
    log = FORMS[version].say("connecting with password=hunter2 and token: abc123secret")
    for pattern in ("hunter2", "password=h", "abc123", "token: a"):
        assert (await read(version, log, grep=pattern))["matched"] == 0
    shown = await read(version, log, grep=r"password=\*\*\*")
    assert shown["matched"] == 1
    assert "hunter2" not in str(shown)


@every_version
async def test_a_private_key_on_many_lines_is_not_found_either(version: str) -> None:
    say = FORMS[version].say
    key = ["-----BEGIN RSA PRIVATE KEY-----", "MIIEowIBAAKCAQEA7b", "Zm9vYmFyYmF6cXV4", "-----END RSA PRIVATE KEY-----"]
    log = say("loading") + "".join(map(say, key)) + say("loaded")
    ways: list[dict[str, Any]] = [{"grep": "MII|Zm9v"}, {"from": "start"}, {"grep": "load", "context": 20}, {}]
    for arguments in ways:
        answer = str(await read(version, log, **arguments))
        assert "MII" not in answer
        assert "Zm9v" not in answer
    assert "loaded" in (await read(version, log))["tail"]


@every_version
async def test_lines_after_a_key_that_never_ends_are_shown_again(version: str) -> None:
    say = FORMS[version].say
    log = say("-----BEGIN PRIVATE KEY-----") + "".join(say(f"{word(number)} went on") for number in range(600))
    answer = await read(version, log + FORMS[version].fail(NEGATIVE))
    assert answer["error"].startswith("ValueError: bad row 3")


@every_version
async def test_a_cursor_is_good_for_its_own_log_and_filters_only(version: str) -> None:
    form = FORMS[version]
    log = "".join(form.say(f"{word(number)} was read") for number in range(300))
    async with assistant(airflow_with(version, log, try_number=1)) as someone:
        first = await someone.ask("read_task_log", **PATHS, grep="read", context=2)
        cursor = first["more"]["cursor"]
        await someone.ask("read_task_log", **PATHS, grep="read", context=2, cursor=cursor)
        await someone.ask("read_task_log", **PATHS, grep="read", context=2, cursor=cursor, try_number=1, max_chars=900)
        others: list[dict[str, Any]] = [
            {"grep": "was"},
            {"grep": "read"},
            {"grep": "read", "context": 3},
            {"grep": "read", "context": 2, "level": "info"},
            {"grep": "read", "context": 2, "from": "start"},
            {},
        ]
        for arguments in others:
            sentence = await someone.refused("read_task_log", **PATHS, **arguments, cursor=cursor)
            assert "this cursor belongs to another log or to other filters" in sentence
        for broken in ("", "e5", f"{cursor}0", cursor.replace(".", ":"), f"x{cursor[1:]}"):
            sentence = await someone.refused("read_task_log", **PATHS, grep="read", context=2, cursor=broken)
            assert "this cursor belongs to another log" in sentence


@every_version
async def test_going_on_from_the_plain_answer_tells_what_stands_before_its_end(version: str) -> None:
    form = FORMS[version]
    words = [f"{word(number)} was read" for number in range(100)]
    log = "".join(form.say(text) for text in words) + form.fail(NEGATIVE)
    async with assistant(airflow_with(version, log)) as someone:
        plain = await someone.ask("read_task_log", **PATHS)
        before = await someone.ask("read_task_log", **PATHS, **plain["more"])
    shown = [text.partition(" ")[2] for text in plain["tail"].splitlines()]
    last = told(before)[-1]
    assert words.index(shown[0]) == words.index(last) + 1


@every_version
async def test_lines_that_repeat_are_told_once(version: str) -> None:
    say = FORMS[version].say
    log = say("begin") + say("waiting") * 5_000 + "".join(say(f"row {at} of 900") for at in range(900)) + say("end")
    whole = ["begin", "waiting", "… the same line 4,999 more times", "row 0 of 900"]
    whole += ["… 898 more lines that differ only in numbers", "row 899 of 900", "end"]
    for side in ("start", "end"):
        answer = await read(version, log, **{"from": side})
        assert told(answer) == whole
        assert answer["shown"] == answer["lines"] == 5_902
        assert "next" not in answer
    tail = (await read(version, log))["tail"].splitlines()
    assert [re.sub(r"^\d\d:\d\d:\d\d ", "", text) for text in tail] == whole
    assert told(await read(version, log, grep="row 4.7 "))[0] == "5409: row 407 of 900"


@every_version
async def test_lines_that_come_in_turn_are_told_by_their_first_and_their_last_round(version: str) -> None:
    say = FORMS[version].say
    rounds = "".join(say(f"try {at}: refused") + say(f"sleeping {2 * at} seconds") for at in range(700))
    answer = await read(version, say("begin") + rounds + say("gave up"))
    assert [re.sub(r"^\d\d:\d\d:\d\d ", "", text) for text in answer["tail"].splitlines()] == [
        "begin",
        "try 0: refused",
        "sleeping 0 seconds",
        "… 1,396 more lines, these in turn",
        "try 699: refused",
        "sleeping 1398 seconds",
        "gave up",
    ]
    assert "left_out" not in answer


@every_version
async def test_what_a_record_says_in_fields_beside_its_message_is_shown_but_no_secret_among_them(version: str) -> None:
    if version == "3.3.2":
        log = row("connected", host="db.example", token=["hunter2", "and a word"], retries=3, ti_id="01a2", extra=None)
        assert told(await read(version, log, **{"from": "start"})) == ["connected host=db.example token=*** retries=3"]
        two = row("first\nsecond", "warning")
        assert told(await read(version, two, **{"from": "start"})) == ["WARNING first", "  second"]
    else:
        two = line("first\nsecond", "WARNING")
        assert told(await read(version, two, **{"from": "start"})) == ["WARNING first", "second"]


@pytest.mark.parametrize(
    ("text", "opening"),
    [
        (line("it's größe ½ \\ tab\there \x07 bell") + printed(NEGATIVE) + line("end"), "'[2026"),
        (line("it's written with the other quote"), '"[2026'),
    ],
)
async def test_a_log_that_2x_gives_as_a_python_list_reads_like_the_text_it_holds(text: str, opening: str) -> None:
    wrapped = repr([("worker-1", text), ("worker-2", line("second host"))])
    assert opening in wrapped
    plain = f"worker-1\n{text}\nworker-2\n{line('second host')}\n"
    ways: list[dict[str, Any]] = [{}, {"from": "start", "max_chars": 5000}]
    for arguments in ways:
        assert await read("2.11.2", wrapped, **arguments) == await read("2.11.2", plain, **arguments)
    assert (await read("2.11.2", "[('vm', '')]"))["lines"] == 2
    assert "not a list" in (await read("2.11.2", "[(not a list"))["tail"]


# -- what holds for any log --
LINES = st.lists(
    st.one_of(
        st.integers(0, 999).map(lambda number: f"row {number} was read"),
        st.integers(0, 400).map(lambda number: f"{word(number)} was read"),
        st.sampled_from(["same", 'q"' * 90, "é" * 200, "\\" * 150, "long " * 120, "", "try 1", "sleep 2"]),
    ),
    max_size=60,
)


def windows(form: Form, lines: list[str], room: int, arguments: dict[str, Any]) -> list[Any]:
    """(lines shown, how many they cover, left) of every window, as the cursors lead."""
    generation: Generation = "v2" if form.structured else "v1"
    found: list[Any] = []
    cursor: dict[str, Any] = {}
    log = "".join(map(form.say, lines)).encode()
    while True:
        scan = WindowScan(FORM_OF[generation], read_request(PATHS, arguments | cursor), room)
        scan.feed(log)
        scan.finish()
        shown, left, following = scan.window.get_result()
        found.append((shown, left))
        if following is None:
            return found
        assert shown.covered > 0, "a window that shows nothing would lead nowhere"
        cursor = {"cursor": following}


@every_version
@pytest.mark.parametrize("side", ["start", "end"])
@given(lines=LINES, room=st.integers(200, 1500))
@example(lines=["long " * 120] * 3 + ["x"], room=200)
def test_windows_that_follow_each_other_tell_every_line_once(
    version: str, side: str, lines: list[str], room: int
) -> None:
    found = windows(FORMS[version], lines, room, {"from": side})
    assert sum(shown.covered for shown, _ in found) == len(lines)
    ranges = [(shown.first, shown.last) for shown, _ in found if shown.covered]
    if side == "end":
        ranges.reverse()
    assert [first for first, _ in ranges[1:]] == [last + 1 for _, last in ranges[:-1]]
    assert not lines or (ranges[0][0], ranges[-1][1]) == (1, len(lines))


@every_version
@pytest.mark.parametrize("side", ["start", "end"])
@given(
    numbers=st.lists(st.integers(0, 60), max_size=80),
    pattern=st.sampled_from(["read", "^a", "[aeiou] was", "ab|b[ac]", "xyz", r"\bb", "row [0-9]+", "A", "(?i)A"]),
    context=st.integers(0, 3),
    room=st.integers(250, 900),
)
def test_what_grep_finds_is_what_a_plain_search_finds(
    version: str, side: str, numbers: list[int], pattern: str, context: int, room: int
) -> None:
    lines = [f"{word(number)} was read" for number in numbers]
    found = windows(FORMS[version], lines, room, {"from": side, "grep": pattern, "context": context})
    matches = [at for at, text in enumerate(lines) if re.search(pattern, f"22:58:19 {text}")]
    near = sorted(
        {at for match in matches for at in range(match - context, match + context + 1)} & {*range(len(lines))}
    )
    expected = [f"{at + 1}{':' if at in matches else '-'} 22:58:19 {lines[at]}" for at in near]
    ordered = found if side == "start" else found[::-1]
    shown = [text for window, _ in ordered for text in window.lines]
    if any(text.startswith("…") for text in shown):  # folded: then at least the numbers add up
        assert sum(window.covered for window, _ in found) == len(expected)
    else:
        assert shown == expected


@pytest.mark.parametrize("generation", ["v1", "v2"])
@given(lines=LINES, cuts=st.lists(st.integers(0, 20_000), max_size=5), wrapped=st.booleans())
def test_a_window_is_the_same_in_whatever_pieces_the_log_comes(
    generation: Generation, lines: list[str], cuts: list[int], wrapped: bool
) -> None:
    form = FORMS["3.3.2" if generation == "v2" else "2.11.2"]
    text = "".join(map(form.say, lines))
    whole = (repr([("vm", text)]) if wrapped else text).encode()
    ends = [*sorted(min(cut, len(whole)) for cut in cuts), len(whole)]

    def scanned(pieces: list[bytes]) -> Any:
        scan = WindowScan(FORM_OF[generation], read_request(PATHS, {"grep": "r", "context": 1}), 900)
        for piece in pieces:
            scan.feed(piece)
        scan.finish()
        return scan.lines, scan.window.matched, scan.window.get_result()

    pieces = [whole[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert scanned(pieces) == scanned([whole])


@every_version
def test_every_window_fits_its_budget_whatever_the_log_holds(version: str) -> None:
    airflow = FakeAirflow(version).on("GET", INSTANCE, task_instance("load"))
    say = FORMS[version].say
    filters = st.fixed_dictionaries(
        {},
        optional={
            "grep": st.sampled_from(["a", ".", "row", '"']),
            "context": st.integers(0, 20),
            "level": st.sampled_from(["debug", "info", "error"]),
            "since": st.just(f"{MOMENT}Z"),
            "from": st.sampled_from(["start", "end"]),
        },
    )
    with talking(airflow) as call:

        @given(lines=LINES, arguments=filters, max_chars=st.integers(400, 3000))
        def it_fits(lines: list[str], arguments: dict[str, Any], max_chars: int) -> None:
            log = "".join(map(say, lines)).encode("utf-8", "replace")
            airflow.on("GET", f"{INSTANCE}/logs/1", Reply(200, log))
            result = call("read_task_log", **PATHS, **arguments, max_chars=max_chars)
            assert not result.is_error, text_of(result)
            assert len(text_of(result)) <= max_chars
            answer = result.structured_content or {}
            if arguments:
                assert not isinstance(answer.get("left_out"), dict), "cut by the door, so lines are lost"

        it_fits()


@given(
    st.lists(st.tuples(st.text("abcdef", min_size=1, max_size=4), st.integers(1, 5)), max_size=60),
    st.integers(50, 400),
    st.integers(0, 6),
)
def test_what_is_kept_of_a_logs_end_is_bounded_and_counts_right(
    rounds: list[tuple[str, int]], room: int, least: int
) -> None:
    tail = LogTail(room, least)
    lines = "".join(letters * times for letters, times in rounds)
    for number, letter in enumerate(lines, 1):
        tail.add(number, letter * 30, letter.encode())
    kept = list(tail.items)
    assert sum(item.size for item in kept[:-1]) <= room or len(kept) <= max(least, 1)
    assert sum(item.count for item in kept) == (len(lines) - kept[0].first + 1 if kept else 0)
    assert not kept or kept[-1].last == len(lines)
