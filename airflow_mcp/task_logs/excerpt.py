"""What a log says about a failure, in words: the error with its chain, or the verdict on a task that just died."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mcp.task_logs.error_scanner import LATE_REPORTS, REPORTS, ErrorScanner, Items, LoggedError, Rank
from airflow_mcp.task_logs.exception_chain import LoggedException, dag_frames, is_dag_frame, short_path
from airflow_mcp.task_logs.log_tail import RenderItem, cost
from airflow_mcp.task_logs.records import safe_text
from airflow_mcp.task_logs.repeated_lines import LINE_SIZE, untimed
from airflow_mcp.text import shorten

_CAUSES = 4  # exceptions of a chain that are told with their place, beside the raised one
_FRAMES = 4
_OUTPUT = "Output:"  # both: SubprocessHook, before a command's own lines
_OUTPUT_LINES = 3
_AROUND = 8
SILENT = "The log ends without an error: the process was killed or lost before it could write one."
SILENT_AFTER = (
    "The log ends without Airflow's report of a failure, so the process was probably killed or lost; the error it "
    "logged last may have been survived."
)
STRANGE = "Nothing in the log is an error that could be recognised."


@dataclass(frozen=True)
class Verdict:
    """What is known about a failure. `verdict` is there where an exception of the task's own does not explain it."""

    error: LoggedError | None
    verdict: str
    words: str = ""  # of Airflow, about how the process died
    line: int = 0  # where; 0 for nowhere
    before: Items = ()
    silent: bool = False  # Airflow says nothing in this log about how it ended

    @property
    def died(self) -> bool:
        """Whether it ended without an exception to blame."""
        return bool(self.verdict) and not (self.error and self.error.rank >= Rank.REPORTED_LATE)

    @property
    def text(self) -> bool:
        """Whether there is something to describe."""
        return bool(self.error or self.words)


def judge(story: ErrorScanner) -> Verdict:
    """The decisive error of a try that failed, or how its process died, as far as the log tells."""
    error, death = story.error, story.death
    if error and story.reported:  # behind which every process ends, and says so: a weak death is none here
        verdict = death.sentence if death and not death.weak and death.line <= error.line else ""
        return Verdict(error, verdict, "", error.line, error.before)
    if death:
        # An error logged as the very words of the death would say the same twice.
        last = error if error and error.rank > Rank.STDERR and error.line < death.line and death.weak else None
        return Verdict(last, death.sentence, death.words, death.line, story.died_after)
    if error:
        return Verdict(error, SILENT_AFTER if story.headed else "", "", error.line, error.before, silent=True)
    return Verdict(None, SILENT if story.headed else STRANGE, silent=True)


def one_line(told: Verdict, show: RenderItem) -> str:
    """The failure in one line: "ValueError: bad row 3", or the verdict."""
    if told.died:
        return told.verdict
    error = told.error
    assert error is not None
    what = (safe_text(error.chain[0].what if error.chain else error.message).strip().splitlines() or [""])[0]
    output = last_output(error, show)
    return f"{what} Last output: {output[-1]}" if output else what


def describe(told: Verdict, size: int, show: RenderItem) -> str:
    """The failure in at most `size` characters: exception, frames, causes; or Airflow's words and the last error."""
    if not told.words:
        assert told.error is not None
        return describe_error(told.error, size, show)
    parts = [shorten(told.words, max(size // 2, 80))]
    if told.error:
        line = f"last error logged, line {told.error.line}: "
        parts.append(line + describe_error(told.error, max(size - len(parts[0]) - len(line) - 1, 80), show))
    return shorten("\n".join(parts), size)


def describe_error(error: LoggedError, size: int, show: RenderItem) -> str:
    """The raised exception with its innermost frames (the DAG's own before libraries'), its causes, its root."""
    message = safe_text(error.message)
    output = [f"  output: {line}" for line in last_output(error, show)]
    if not error.chain:
        return shorten("\n".join([message, *output]), size)
    raised, *causes = error.chain
    parts = [shorten(safe_text(raised.what), max(size // 2, 80)), *output, *_frames(raised, _FRAMES)]
    parts += [f"  · {shorten(safe_text(part), 160)}" for part in raised.parts]
    for cause in causes[: _CAUSES - 1] if len(causes) > _CAUSES else causes[:-1]:
        parts += [f"{cause.link} {shorten(safe_text(cause.what), 200)}", *_frames(cause, 1)]
    if len(causes) > _CAUSES:
        parts.append(f"… {len(causes) - _CAUSES} more")
    if causes:
        name = "root cause:" if len(causes) > 1 else causes[-1].link
        root = [f"{name} {shorten(safe_text(causes[-1].what), 200)}", *_frames(causes[-1], 1)]
        parts = [*parts, *root]
        if len("\n".join(parts)) > size:  # the middle may go, the root may not
            parts = [shorten("\n".join(parts[: -len(root)]), size - len("\n".join(root)) - 1), *root]
    if message and error.message not in raised.what and not message.startswith(REPORTS + LATE_REPORTS):
        parts.append(f"logged as: {shorten(message, 120)}")
    return shorten("\n".join(parts), size)


def lines_before(told: Verdict, room: int, show: RenderItem) -> str:
    """The lines before the failure, at most 8, and those that fit into `room` characters of JSON.

    None where a command's output says the same.
    """
    lines: list[str] = []
    for item in () if told.error and told.error.output else reversed(told.before):
        shown = show(item, LINE_SIZE)
        room -= cost(shown)
        if room < 0 or (lines and len(lines) + len(shown) > _AROUND):
            break
        lines = [*shown, *lines]
    return "\n".join(lines)


def last_output(error: LoggedError, show: RenderItem) -> list[str]:
    """What a command printed last, where the error only says that it failed."""
    lines = [untimed(line) for item in error.output for line in show(item, LINE_SIZE)]
    begun = max((at + 1 for at, line in enumerate(lines) if line == _OUTPUT), default=0)
    return lines[begun:][-_OUTPUT_LINES:]


def _frames(failure: LoggedException, most: int) -> list[str]:
    own = dag_frames(failure.frames)
    # How a library got there tells nothing.
    chosen = own[-most:] if any(is_dag_frame(frame) for frame in own) else own[-1:]
    return [f"  at {shorten(short_path(safe_text(frame)), 160, keep_end=True)}" for frame in reversed(chosen)]
