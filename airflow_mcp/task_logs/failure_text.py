"""Describe a failure in words: the verdict on its log, the one line, and the excerpt with its place in the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_mcp.task_logs.cause import Cause, find_cause
from airflow_mcp.task_logs.error_scanner import (
    LATE_REPORTS,
    REPORTS,
    TRIGGER_FAILED,
    ErrorScanner,
    Items,
    LoggedError,
    Rank,
)
from airflow_mcp.task_logs.exception_chain import (
    LoggedException,
    is_dag_frame,
    iterate_leaves,
    select_dag_frames,
    shorten_path,
    unwrap_groups,
)
from airflow_mcp.task_logs.log_tail import RenderItem, measure_cost
from airflow_mcp.task_logs.message import describe_exception
from airflow_mcp.task_logs.output_errors import OutputError, Tier, find_output_error
from airflow_mcp.task_logs.output_lines import read_output
from airflow_mcp.task_logs.records import LogRecord, make_safe
from airflow_mcp.task_logs.repeated_lines import LINE_SIZE
from airflow_mcp.task_logs.signature import join_key
from airflow_mcp.task_logs.wrappers import find_wrapper
from airflow_mcp.text import shorten

_CAUSES = 6  # exceptions of a chain shown with their place, besides the raised one
_FRAMES = 4
_AROUND = 8
_OUTPUT = 3  # lines shown of an output that holds no error
_GROUP_WORDS = " sub-exception"
SILENT = "The log ends without an error: the process was killed or lost before it could write one."
SILENT_AFTER = (
    "The log ends without Airflow's report of a failure, so the process was probably killed or lost; the error it "
    "logged last may have been survived."
)
STRANGE = "Nothing in the log is an error that could be recognised."


@dataclass(frozen=True)
class FailureVerdict:
    """The verdict on a failure; `sentence` is set where an exception of the task's own does not explain it."""

    error: LoggedError | None
    cause: Cause
    sentence: str = ""
    words: str = ""  # Airflow's words about how the process ended
    line: int = 0  # line of the log, from 1; 0 for none
    before: Items = ()
    silent: bool = False  # Airflow says nothing in this log about how it ended
    strong: bool = False  # the sentence says why, not only that it ended
    printed: tuple[str, ...] = ()  # lines printed by the task, which Airflow 3 writes behind the error

    @property
    def died(self) -> bool:
        """Whether the process ended without an exception that explains it."""
        return bool(self.sentence) and not (self.error and self.error.rank >= Rank.REPORTED_LATE)

    @property
    def text(self) -> bool:
        """Whether there is something to describe."""
        return bool(self.error or self.words)


def judge_failure(scanner: ErrorScanner, read: Callable[[str], LogRecord]) -> FailureVerdict:
    """Decide what ended a failed try, as far as its log says; `read` makes a record of a line."""
    error, end = scanner.error, scanner.end
    lines = list(read_output(scanner.window.take_all(), read))
    if error and scanner.reported:  # every process ends behind its report and says so: a weak end does not count here
        # Airflow 3 writes output behind the report, by another channel.
        lines = [line for line in lines if line.printed]
        output = [*read_output(error.output, read), *lines]
        output_error = find_output_error(output)
        cause = find_cause(error.chain, output_error)
        if end and end.text and not cause.chain:
            cause = find_cause([LoggedException(f"SystemExit: {end.text}")], None)
        strong = end is not None and not end.weak and end.line <= error.line
        late_texts = tuple(line.text for line in lines if line.number > error.line and line.text.strip())
        sentence = end.sentence if end and strong else ""
        return FailureVerdict(error, cause, sentence, "", error.line, error.before, strong=strong, printed=late_texts)
    output_error = find_output_error(lines)
    printed = output_error if output_error and output_error.tier >= Tier.LOGGED else None
    if end:
        last_error = error if error and error.rank > Rank.STDERR and error.line < end.line and end.weak else None
        if end.text:
            cause = find_cause([LoggedException(f"SystemExit: {end.text}")], None)
        elif end.weak and not (last_error and last_error.chain):
            cause = Cause([], [], printed or (output_error if not last_error else None))
        else:
            cause = find_cause(last_error.chain, None) if last_error else Cause()
        late_texts = tuple(line.text for line in lines if line.number > end.line and line.printed and line.text.strip())
        before = scanner.before_end
        return FailureVerdict(
            last_error, cause, end.sentence, end.words, end.line, before, strong=not end.weak, printed=late_texts
        )
    if error is None or (error.rank <= Rank.LOGGED and not error.chain and printed and printed.tier is Tier.PRINTED):
        error = _build_printed_error(printed, error) if printed else error
    if error is None:
        return FailureVerdict(None, Cause(), SILENT if scanner.headed else STRANGE, silent=True)
    cause = find_cause(error.chain, None) if error.chain else Cause([], [], _build_output(error))
    sentence = SILENT_AFTER if scanner.headed and not scanner.ordinary else ""
    return FailureVerdict(error, cause, sentence, "", error.line, error.before, silent=True)


def _build_printed_error(output: OutputError, logged: LoggedError | None) -> LoggedError:
    """Build an error of the log from one that was only printed, where nothing else is logged."""
    before = logged.before if logged and logged.line >= output.line else ()
    return LoggedError(output.root.text, output.line, Rank.LOGGED, output.chain, before)


def _build_output(error: LoggedError) -> OutputError:
    return OutputError([LoggedException(make_safe(error.message).strip())], error.line, Tier.LOGGED)


def describe_in_line(verdict: FailureVerdict, size: int = 300) -> str:
    """Describe the failure in one line of at most `size` characters: its cause, or how the process ended."""
    cause = verdict.cause
    has_cause = bool(cause.chain) or bool(cause.output and cause.output.tier > Tier.LAST_LINE)
    sentence = verdict.sentence
    if not has_cause and sentence:
        return _join(sentence, [_describe_wrapper(cause), _describe_output(cause)], size)
    if verdict.silent and sentence:
        return _join(sentence, [f"last error: {cause.describe(size)}"], size)
    if not has_cause:
        texts = [_describe_output(cause), _describe_wrapper(cause)]
        if not texts[0] and cause.wrappers and find_wrapper(cause.wrappers[0]):
            texts.append("It printed nothing.")
        return _join("", texts, size)
    if sentence and not (cause.chain and cause.chain[0].message and cause.chain[0].message in sentence):
        head = cause.describe(max(size - len(sentence) - 3, size // 2))
        return sentence if verdict.died and verdict.strong and not cause.output else _join(head, [sentence], size)
    return cause.describe(size)


def _describe_wrapper(cause: Cause) -> str:
    return describe_exception(cause.wrappers[0]) if cause.wrappers else ""


def _describe_output(cause: Cause) -> str:
    return f"Last output: {cause.output.root.text}" if cause.output else ""


def _join(head: str, texts: list[str], size: int) -> str:
    head, *texts = filter(None, [head, *texts])
    line = shorten(" ".join(make_safe(head).split()), size)
    for text in texts:
        budget = size - len(line) - 3
        if budget < 24:
            break
        line = f"{line} [{shorten(' '.join(make_safe(text).split()), budget)}]"
    return line


def make_key(verdict: FailureVerdict) -> str:
    """Return a text that is the same for failures of one cause, whatever their data; at most 300 characters."""
    key = verdict.cause.key
    if verdict.died or (verdict.sentence and verdict.strong):
        return join_key([verdict.sentence, *([key] if key else [])])
    return key or join_key([verdict.sentence or describe_in_line(verdict)])


def describe(verdict: FailureVerdict, size: int) -> str:
    """Describe the failure in at most `size` characters: exceptions and frames, or Airflow's words, the last error."""
    if not verdict.words:
        assert verdict.error is not None
        return describe_error(verdict.error, verdict.cause, size)
    parts = [shorten(verdict.words, max(size // 2, 80))]
    if verdict.cause.output is not None:
        parts += _list_output(verdict.cause.output)
    if verdict.error:
        line = f"last error logged, line {verdict.error.line}: "
        room = max(size - len(parts[0]) - len(line) - 1, 80)
        parts.append(line + describe_error(verdict.error, Cause(verdict.error.chain), room))
    return shorten("\n".join(parts), size)


def describe_error(error: LoggedError, cause: Cause, size: int) -> str:
    """Describe the decisive exception with its frames (the DAG's own before libraries'), its causes, its root."""
    message = make_safe(error.message)
    output = _list_output(cause.output) if cause.output and cause.output.line != error.line else []
    if not error.chain:
        return shorten("\n".join([message, *output]), size)
    chain = unwrap_groups(error.chain)
    chain_ids = {id(exception) for exception in chain}
    nested = [exception for exception in cause.chain if id(exception) not in chain_ids and len(cause.chain) > 1]
    raised, *causes = chain
    parts = [
        _keep_ends(make_safe(raised.text), max(size // 2, 80)),
        *output,
        *_list_frames(raised, _FRAMES),
        *_list_members(raised),
    ]
    causes += [exception for exception in nested if exception.text not in raised.text[:400] or exception.frames]
    middle = causes[: _CAUSES - 1] if len(causes) > _CAUSES else causes[:-1]
    for exception in middle:
        parts += [
            f"{exception.link} {_keep_ends(make_safe(exception.text), 300)}",
            *_list_frames(exception, 1),
            *_list_members(exception),
        ]
    if len(causes) > _CAUSES:
        parts.append(f"… {len(causes) - _CAUSES} more")
    if causes:
        name = "root cause:" if len(causes) > 1 else causes[-1].link
        root = [
            f"{name} {_keep_ends(make_safe(causes[-1].text), 300)}",
            *_list_frames(causes[-1], 1),
            *_list_members(causes[-1]),
        ]
        parts = [*parts, *root]
        if len("\n".join(parts)) > size:  # the middle may go, the root may not
            parts = [shorten("\n".join(parts[: -len(root)]), size - len("\n".join(root)) - 1), *root]
    if (
        message
        and error.message not in raised.text
        and not message.startswith((*REPORTS, *LATE_REPORTS, TRIGGER_FAILED))
    ):
        parts.append(f"logged as: {shorten(message, 120)}")
    return shorten("\n".join(parts), size)


def _list_output(output: OutputError) -> list[str]:
    """Return lines for an error in a command's output: its exceptions, and other errors that stand with it."""
    if output.tier is Tier.LAST_LINE:
        return [f"  output: {output.root.text}"]
    lines = [
        f"  output, line {output.line}: {_keep_ends(make_safe(output.chain[0].text), 400)}",
        *_list_members(output.chain[0]),
    ]
    lines += _list_frames(output.chain[0], 1)
    for exception in output.chain[1:]:
        lines += [f"  {exception.link} {_keep_ends(make_safe(exception.text), 300)}", *_list_members(exception)]
    return lines + [f"  also: {shorten(make_safe(text), 200)}" for text in output.more[:8]]


def _list_members(exception: LoggedException) -> list[str]:
    """Return lines for the leaves of a group, each with its causes."""
    lines = [
        f"  · {' <- '.join(_keep_ends(' '.join(make_safe(member.text).split()), 300) for member in chain)}"
        for chain in iterate_leaves(exception)
    ]
    return lines + ([f"  · {exception.uncounted} more"] if exception.uncounted else [])


def render_lines_before(verdict: FailureVerdict, budget: int, show: RenderItem) -> str:
    """Render the lines before the failure, at most 8, and those that fit into `budget` characters of JSON.

    The task's last output is among them, also where Airflow 3 writes it behind the error. There are none where a
    command's output says the same.
    """
    output = verdict.cause.output
    if output is not None and output.tier is not Tier.LAST_LINE and not verdict.printed:
        return ""
    lines: list[str] = []
    for text in reversed(verdict.printed[-_AROUND:]):
        text = shorten(make_safe(text), LINE_SIZE)
        budget -= measure_cost([text])
        if budget < 0:
            break
        lines = [text, *lines]
    for item in reversed(verdict.before):
        item_lines = show(item, LINE_SIZE)
        budget -= measure_cost(item_lines)
        if budget < 0 or (lines and len(lines) + len(item_lines) > _AROUND):
            break
        lines = [*item_lines, *lines]
    return "\n".join(lines)


def _list_frames(exception: LoggedException, most: int) -> list[str]:
    frames = select_dag_frames(exception.frames)
    # Without frames of the DAG one is enough: the path through a library explains nothing.
    selected_frames = frames[-most:] if any(is_dag_frame(frame) for frame in frames) else frames[-1:]
    return [
        f"  at {shorten(shorten_path(make_safe(frame)), 160, keep_end=True)}" for frame in reversed(selected_frames)
    ]


def _keep_ends(text: str, size: int) -> str:
    """Shorten a text that is too long, keeping both ends: some messages give the reason at the end."""
    if len(text) <= size:
        return text
    end = min(size // 3, 400)
    return f"{text[: size - end - 3]} … {text[-end:]}"
