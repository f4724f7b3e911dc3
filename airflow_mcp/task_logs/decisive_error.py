"""Build the decisive error of one log: what a workflow shows of it, and the key that it compares failures by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from airflow_mcp.task_logs.failure_text import describe, describe_in_line, make_key, render_lines_before
from airflow_mcp.task_logs.log_scan import LogScan
from airflow_mcp.task_logs.records import LogForm

LONGEST_LINE = 300  # characters of the one line


@dataclass(frozen=True)
class DecisiveError:
    """Why a try of a task instance failed, as far as its log says."""

    # One line, at most 300 characters: "ValueError: bad row 3 <- KeyError: 'id'", or a sentence on how it ended.
    what: str
    # The same for failures of one cause, whatever their data; at most 300 characters.
    key: str
    # The exceptions with their frames, what a command printed, and the lines before.
    excerpt: str = ""
    # The line of the log that says so, from 1.
    at_line: int | None = None
    # Lines of the whole log, and how many of them the task's code or its commands printed.
    lines: int = 0
    printed: int = 0
    # Whether the process ended without an exception: killed, lost, stopped, or ended by itself.
    died: bool = False
    # Whether Airflow says nothing in this log about the end.
    silent: bool = False


def decisive_error(log: bytes | Iterable[bytes], form: LogForm, *, size: int = 1_200) -> DecisiveError:
    """Read a failed try's log, whole or in pieces of any size; the excerpt has at most `size` characters."""
    scan = LogScan(form, size)
    for piece in (log,) if isinstance(log, bytes) else log:
        scan.feed(piece)
    scan.finish()
    return build_error(scan, size)


def build_error(scan: LogScan, size: int, sentence: str = "") -> DecisiveError:
    """Return the decisive error of a log that was read; `sentence` says how it ended where the log is silent."""
    verdict = scan.verdict
    if verdict.silent and sentence:
        verdict = replace(verdict, sentence=sentence)
    if not verdict.text:
        excerpt = "\n".join(scan.render_end(size, include_own=False).lines)[-size:] if size else ""
    else:
        excerpt = describe(verdict, size)
        if before := render_lines_before(verdict, size - len(excerpt) - 20, scan.show):
            excerpt = f"{excerpt}\nlines before it:\n{before}"
    what = describe_in_line(verdict, LONGEST_LINE)
    at_line = verdict.line or None
    return DecisiveError(
        what, make_key(verdict), excerpt, at_line, scan.lines, scan.printed, verdict.died, verdict.silent
    )
