"""Find the error in the output of a command or a remote job, as its runtime, its tools or its own log print it.

A crash or a tool's error beats a line that is only logged as an error, and the later beats the earlier, unless it
follows from it: lines that say no more than "failed" are skipped, and of errors that stand together the first counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from airflow_mcp.task_logs.exception_chain import LoggedException
from airflow_mcp.task_logs.generic_errors import is_context, is_generic
from airflow_mcp.task_logs.output_lines import OutputLine
from airflow_mcp.task_logs.python_traceback import TRACEBACK, read_traceback
from airflow_mcp.task_logs.records import ERROR, WARNING
from airflow_mcp.task_logs.runtimes import CRASHES, read_frames
from airflow_mcp.task_logs.tool_blocks import BLOCKS
from airflow_mcp.task_logs.tool_errors import FOLLOWS, GENERIC, SUMMARIES, read_line
from airflow_mcp.task_logs.wrappers import is_silent

_IGNORED = re.compile(
    r"Exception ignored in|Error in atexit|Error in sys\.excepthook|.*(?:Suppressed|ignored|retrying|will retry)"
)
_UNCAUGHT = re.compile(
    r"Exception in thread \"main\"|panic: |fatal error: |thread 'main' panicked|Unhandled exception|PHP Fatal"
)
_WARNING = re.compile(r"(?:.*:\d+: )?\w*Warning: |WARN|Unclosed |\S+: <|INFO|DEBUG")  # what Python says behind an error
_HELP = re.compile(r" -> \[Help \d+\]$")  # Maven's
_NOTES = 2  # lines behind a traceback at the end of an output, which are its notes (PEP 678)
_CLOSE = 4  # lines between errors of one tool that stand together
# The same for tools that quote the source below an error.
_CLOSE_OF = {"compiler": 10, "rustc": 12, "tsc": 10, "dbt": 8, "terraform": 6}
_SURVIVED = 25  # lines of other output behind an error that is only printed, from which on a later one counts more
_LEAVING = 12  # lines that a program may still print when it leaves
_COMPLAINT = re.compile(
    r"\b(?:not|no|cannot|\w+n't|unable|fail\w*|errors?|invalid|missing|denied|refus\w+|expired|exceed\w+|unknown"
    r"|unexpected|illegal|bad|wrong|corrupt\w*|mismatch\w*|timed out|timeout|giving up|abort\w*|reject\w+|forbidden"
    r"|unauthori[sz]ed|unavailable|unreachable|locked|closed|empty|gone|lost|stale|suspended|conflict\w*|duplicate\w*|broken|violat\w+"
    r"|unsupported|insufficient|truncated|too \w+|FATAL|CRITICAL)\b",
    re.IGNORECASE,
)
_CRASHES = ("crash", "c++")
_MORE = 20  # further errors that are kept
_CRASH_START = re.compile(
    r"Exception|Error|Throwable|Fault|panic|fatal error|thread '|Caused by|Uncaught|Unhandled|\.rb:\d|-e:\d+:in|PHP "
    r"| line \d+\.$| line \d+, [<n]|Fatal| failed: |^[A-Z][\w.]*: "
)


class Tier(IntEnum):
    """How surely a finding ended the program."""

    LAST_LINE = 0  # what it printed last
    WARNING = 1
    LOGGED = 2  # it logged an error, or a tool's summary
    PRINTED = 3  # a tool or a runtime printed an error


@dataclass
class OutputError:
    """An error found in output: its exceptions (the raised one first), and others that stand together with it."""

    chain: list[LoggedException]
    line: int  # in the log
    tier: Tier
    tool: str = ""
    first: int = 0  # place in the output
    last: int = 0
    final: bool = False  # nothing of this program comes behind it
    more: list[str] = field(default_factory=list[str])

    @property
    def root(self) -> LoggedException:
        """The deepest cause."""
        return self.chain[-1]


def find_output_error(lines: Sequence[OutputLine]) -> OutputError | None:
    """Return the error that most likely ended the program, or its last line that says something, or None."""
    findings = list(_find_errors(lines))
    chosen = _choose([finding for finding in findings if finding.tier is Tier.PRINTED], findings, lines)
    return chosen or _read_last_line(lines)


def _choose(printed: list[OutputError], findings: list[OutputError], lines: Sequence[OutputLine]) -> OutputError | None:
    if not printed:
        for tier in (Tier.LOGGED, Tier.WARNING):
            if logged := [finding for finding in findings if finding.tier is tier]:
                return _merge_adjacent(logged)
        return None
    chosen = _merge_adjacent(printed)
    finals = [finding for finding in printed if finding.final]
    if finals and chosen is not finals[-1] and chosen.tool in GENERIC | {"log"} and chosen.first >= finals[-1].first:
        chosen = finals[-1]  # what a dying program says about itself
    crashes = [
        finding
        for finding in printed
        if finding.tool in _CRASHES and finding is not chosen and finding.first < chosen.first
    ]
    if (
        crashes
        and chosen.tool in GENERIC | {"signal"}
        and _count_quiet(lines, crashes[-1].last, chosen.first) < _SURVIVED
    ):
        chosen = crashes[-1]
    if chosen.tool in GENERIC:
        neighbours = [
            finding
            for finding in findings
            if finding.tier is Tier.LOGGED and 0 <= finding.first - chosen.last <= _CLOSE
        ]
        chosen.more += [
            finding.root.text for finding in neighbours if finding.root.text not in (chosen.root.text, *chosen.more)
        ]
    later_errors = [finding for finding in findings if finding.tier is Tier.LOGGED and finding.first > chosen.last]
    if later_errors and not chosen.final and _count_quiet(lines, chosen.last, later_errors[0].first) >= _SURVIVED:
        return _merge_adjacent(later_errors)
    return chosen


def _count_quiet(lines: Sequence[OutputLine], start: int, end: int) -> int:
    """Count the lines between two places that say something and are no errors."""
    return sum(line.level < ERROR and bool(line.text.strip()) for line in lines[start:end])


def _merge_adjacent(findings: list[OutputError]) -> OutputError:
    """Return the first of the errors that stand together at the end, with the others' texts."""
    at = len(findings) - 1
    while at > 0:
        previous, current = findings[at - 1], findings[at]
        distance = _CLOSE_OF.get(previous.tool, _CLOSE)
        if previous.tool != current.tool or previous.tool in _CRASHES or current.first - previous.last > distance:
            break
        at -= 1
    chosen = findings[at]
    texts = [finding.root.text for finding in findings[at + 1 :]]
    chosen.more = [text for text in dict.fromkeys(texts) if text != chosen.root.text][:_MORE]
    return chosen


def _find_errors(lines: Sequence[OutputLine]) -> Iterator[OutputError]:
    texts = [line.text for line in lines]
    number = 0
    ignored = -1  # an announcement that the next error is survived
    while number < len(lines):
        text = texts[number]
        if _IGNORED.match(text):
            ignored = number
        finding = _read(texts, number) if text.strip() and not FOLLOWS.match(text) else None
        if finding is not None and TRACEBACK in text:
            _add_notes(finding, lines)
        if finding is None:
            finding = _read_logged(lines[number], number)
        if finding is None:
            number += 1
            continue
        if ignored >= 0 and finding.first - ignored <= 1 and finding.tier is Tier.PRINTED:
            finding.tier, ignored = Tier.LOGGED, -1
        finding.line = lines[min(finding.first, len(lines) - 1)].number
        if not all(is_silent(exception) or _is_empty(exception) for exception in finding.chain):
            yield finding
        number = max(finding.last, number + 1)


def _is_empty(exception: LoggedException) -> bool:
    return not exception.members and is_generic(exception.text)


def _read(texts: list[str], number: int) -> OutputError | None:
    """Read the crash or the tool's error that begins in this line."""
    text = texts[number]
    if TRACEBACK in text:
        chain, end = read_traceback(texts, number)
        return OutputError(chain, 0, Tier.PRINTED, "crash", number, end) if chain else None
    if _CRASH_START.search(text):
        for read in CRASHES:
            if (crash := read(texts, number)) is not None:
                final = _UNCAUGHT.match(text) is not None
                return OutputError(crash[0], 0, Tier.PRINTED, "crash", number, crash[1], final)
    for tool, read_block in BLOCKS:
        if (crash := read_block(texts, number)) is not None:
            return OutputError(crash[0], 0, Tier.PRINTED, tool, number, crash[1])
    end = number + 1
    if text.rstrip().endswith(":") and end < len(texts) and texts[end].strip():
        if any(read_block(texts, end) is not None for _, read_block in BLOCKS):
            return None
        end += 1  # the next line says which
    if (match := read_line(" ".join(texts[number:end]))) is not None:
        tool, what = match
        chain = [LoggedException(what)]
        if end < len(texts) and texts[end].startswith("Caused by: ") and (crash := read_frames(texts, end)) is not None:
            chain, end = [*chain, *crash[0]], crash[1]
        return OutputError(chain, 0, Tier.PRINTED, tool, number, end)
    return None


def _add_notes(found: OutputError, lines: Sequence[OutputLine]) -> None:
    """Add the few lines behind a traceback that ends the output to its exception, whose notes they are."""
    notes = [line for line in lines[found.last :] if line.text.strip()]
    if not 0 < len(notes) <= _NOTES or notes[0] is not lines[found.last]:
        return
    headed = lines[found.last - 1].headed  # what is logged behind it is no note
    texts = [line.text for line in notes]
    if any(line.headed != headed for line in notes) or any(
        is_generic(text) or read_line(text) or _WARNING.match(text) for text in texts
    ):
        return
    found.chain[0].text = "\n".join([found.chain[0].text, *texts])
    found.last = len(lines)


def _read_logged(line: OutputLine, number: int) -> OutputError | None:
    """Read a line that is only logged as an error or as a warning."""
    text = line.text.strip()
    if line.chain_text:
        chain = [LoggedException(part) for part in line.chain_text.split("\n") if part]
        return OutputError(chain[:1] or [LoggedException(text)], 0, Tier.LOGGED, "log", number, number + 1)
    if summary := SUMMARIES.match(text):
        words = summary["npm"] or text
        if not is_generic(words):
            return OutputError([LoggedException(words)], 0, Tier.LOGGED, "summary", number, number + 1)
    if line.level < WARNING or is_generic(text) or FOLLOWS.match(text):
        return None
    text = _HELP.sub("", text)
    tier = Tier.LOGGED if line.level >= ERROR else Tier.WARNING
    return OutputError([LoggedException(text)], 0, tier, "log", number, number + 1)


def _read_last_line(lines: Sequence[OutputLine]) -> OutputError | None:
    """Return the last line that says something, since some programs print their error like any other line.

    Of the last few lines, one that complains goes before those that a program prints when it leaves.
    """
    filled = [number for number, line in enumerate(lines) if line.text.strip()]
    follows = [number for number in filled if FOLLOWS.match(lines[number].text)]
    for number in range(len(lines) - 1, max(len(lines) - 60, -1), -1):
        text = lines[number].text.strip()
        if not is_generic(text) and not is_context(text) and not FOLLOWS.match(text) and re.search(r"\w{3}", text):
            error = _build_line_error(lines, _last_complaint(lines, number))
            error.more = [lines[place].text.strip() for place in follows[-1:]]
            return error
    return _build_line_error(lines, [*filled, *follows][-1]) if filled else None


def _last_complaint(lines: Sequence[OutputLine], last: int) -> int:
    """Return the number of the last line that complains, among the last few; or `last`."""
    numbers = [number for number in range(last, -1, -1) if lines[number].text.strip()][:_LEAVING]
    return next((number for number in numbers if _COMPLAINT.search(lines[number].text)), last)


def _build_line_error(lines: Sequence[OutputLine], number: int) -> OutputError:
    text = lines[number].text.strip()
    return OutputError([LoggedException(text)], lines[number].number, Tier.LAST_LINE, "", number, number + 1)
