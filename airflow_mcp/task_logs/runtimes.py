"""Read crashes as runtimes other than Python print them: the exceptions of a program, the raised one first.

Java, Scala and Kotlin, JavaScript and C# print "Type: message" with lines of frames below; Go, Rust, R, Ruby and PHP
have forms of their own. Each reader takes lines and the number of one, and returns the chain with the line behind it,
or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from airflow_mcp.task_logs.exception_chain import LoggedException
from airflow_mcp.task_logs.generic_errors import is_generic

Crash: TypeAlias = tuple[list[LoggedException], int]
_TYPE = r"(?:[\w$]+\.)*[A-Z][\w$]*(?:Error|Exception|Throwable|Fault|Failure|Rejection|Interrupt)?(?:`\d+)?"
_HEAD = re.compile(
    r"\s*(?P<thread>Exception in thread \"[^\"]*\" |Exception in thread \S+ |Uncaught |Unhandled exception[.:] "
    r"|Unhandled Exception: |\[cause\]: |Caused by: |---> |Suppressed: |Unhandled promise rejection.*?: )?"
    rf"(?P<what>(?P<kind>{_TYPE})(?: \[\w+\]| \(\d+\))?(?::(?: (?P<message>.*))?)?)$"
)
_AT = re.compile(r"\s+at (?:async |new )?[\w$.<>\[\]#@/`~ -]+[(:].*|\s+at [^\s]+:\d+(?::\d+)?|\s+at [\w.<>`]+\(.*")
_MORE = re.compile(
    r"\s+\.\.\. \d+ (?:more|common frames omitted|lines? matching)|\s+--- End of (?:inner|stack)|Driver stacktrace:"
)
_CAUSE = re.compile(r"\s*(?:Caused by: |---> |\[cause\]: )")
_SUPPRESSED = re.compile(r"\s+Suppressed: ")
_MESSAGE_LINES = 40
_GO = re.compile(r"panic: (.*)|fatal error: (.*)")
_GO_FRAME = re.compile(r"goroutine \d+ \[|\t|[\w./*()-]+\(.*\)$|exit status \d+|\[signal |created by |$")
_RUST = re.compile(r"thread '([^']*)'(?: \(\d+\))? panicked at (.*)")
_RUST_OLD = re.compile(r"'(.*)', (\S+:\d+:\d+)$")
_RUST_END = re.compile(r"note: (?:run with|Some details)|stack backtrace:|\s+\d+: |thread '")
_ANYHOW = re.compile(r"Caused by:$")
_R = re.compile(r"Error(?: in (?P<call>.{1,200}?))? ?: ?(?P<message>.*)$")
_R_WARNING = re.compile(r"(?:In addition: )?Warning message:")
_R_CONNECTION = "cannot open the connection"  # only a warning behind it says which
_R_CAUSE = re.compile(r"Caused by error(?: in .*)?:$")
_RUBY = re.compile(r"(?P<place>\S+\.rb:\d+|-e:\d+)(?::in .+?)?: (?P<message>.*?) \((?P<kind>[A-Z]\w*(?:::\w+)*)\)$")
_RUBY_FRAME = re.compile(r"\s+(?:\d+: )?from ")
_PHP = re.compile(
    r"(?:PHP )?(?P<level>Fatal|Parse|Recoverable fatal) error:\s+(?P<message>.*?)(?: in (?P<place>\S+?(?::\d+| on line \d+)))?$"
)
_QUOTED = re.compile(r"LINE \d+: |\s*\^")  # by DBI, of a statement
_PERL = re.compile(
    r"(?P<message>\S.*) at (?P<place>(?:\S+\.(?:pl|pm|t)|-e|\S*/\S+)) line \d+(?:, <\w+> line \d+|, near \".*)?\.?$"
)


def read_frames(lines: Sequence[str], start: int) -> Crash | None:
    """Read what Java, JavaScript and C# print: a head, frames ("at ..."), and causes with frames of their own."""
    head = _HEAD.match(lines[start])
    if head is None or _SUPPRESSED.match(lines[start]):
        return None
    exceptions: list[LoggedException] = []
    number, skipped, frames = start, False, 0
    while number < len(lines):
        line = lines[number]
        head = _HEAD.match(line)
        if number == start or (_CAUSE.match(line) and head is not None):
            assert head is not None
            exceptions.append(LoggedException(_shorten_kind(head["what"])))
            skipped = False
        elif _SUPPRESSED.match(line):
            skipped = True
        elif _AT.match(line):
            frames += 1
            if not skipped and line.strip()[3:4].strip():
                exceptions[-1].frames.append(line.strip()[3:])
        elif not _MORE.match(line):
            follows = frames == 0 or not exceptions[-1].frames
            if not follows and (line.strip() or not _continues(lines, number)):
                break
            if follows:
                if not _message_continues(lines, number) or len(exceptions[-1].text) > 8_000:
                    break
                exceptions[-1].text += f"\n{line}"
        number += 1
    uncaught = _HEAD.match(lines[start])
    if not frames and not (uncaught and uncaught["thread"]):
        return None
    for exception in exceptions:
        exception.text = exception.text.rstrip()
    return exceptions, number


def _shorten_kind(what: str) -> str:
    """Remove the package from a type: java.lang.IllegalStateException, System.IO.IOException."""
    kind, colon, message = what.partition(": ")
    return f"{kind.rpartition('.')[2]}{colon}{message}"


def _continues(lines: Sequence[str], number: int) -> bool:
    """Tell whether the trace continues behind a blank line, as before Spark's "Driver stacktrace:"."""
    return any(_MORE.match(line) or _CAUSE.match(line) for line in lines[number + 1 : number + 3])


def _message_continues(lines: Sequence[str], number: int) -> bool:
    """Tell whether frames or causes follow soon, so that this line still belongs to the message."""
    for line in lines[number : number + _MESSAGE_LINES]:
        if _AT.match(line) or _CAUSE.match(line) or _MORE.match(line):
            return True
        if (head := _HEAD.match(line)) is not None and head["thread"]:
            return False
    return False


def read_go(lines: Sequence[str], start: int) -> Crash | None:
    """Read Go's "panic: message" or "fatal error: message" with its goroutines."""
    head = _GO.match(lines[start])
    if head is None:
        return None
    if head[2] is not None and not any(line.startswith("goroutine ") for line in lines[start + 1 : start + 6]):
        return None
    exceptions = [LoggedException(lines[start].removesuffix(" [recovered]"))]
    number = start + 1
    while number < len(lines) and (nested := re.match(r"\s+panic: (.*)", lines[number])):
        exceptions.insert(0, LoggedException(nested[0].strip()))
        number += 1
    while number < len(lines) and _GO_FRAME.match(lines[number]):
        number += 1
    return exceptions, number


def read_rust(lines: Sequence[str], start: int) -> Crash | None:
    """Read Rust's "panicked at" with its message in the next line (1.73) or the same one, or anyhow's causes."""
    line = lines[start]
    if head := _RUST.match(line):
        if old_form := _RUST_OLD.match(head[2]):
            return [LoggedException(f"panicked: {old_form[1]}")], start + 1
        number, message_lines = start + 1, list[str]()
        while number < len(lines) and len(message_lines) < 10 and not _RUST_END.match(lines[number]):
            message_lines.append(lines[number])
            number += 1
        return [LoggedException("panicked: " + "\n".join(message_lines).strip())], number
    if not line.startswith("Error:"):
        return None
    if not line[6:].strip():  # eyre's numbered causes
        exceptions, number = list[LoggedException](), start + 1
        while number < len(lines) and (cause := re.match(r"\s+\d+: (\S.*)", lines[number])):
            exceptions.append(LoggedException(cause[1]))
            number += 1
        return (exceptions, number) if exceptions else None
    number = start + 1
    while number < len(lines) and not lines[number].strip():
        number += 1
    if number >= len(lines) or not _ANYHOW.match(lines[number].strip()):
        return None
    exceptions, number = [LoggedException(line)], number + 1
    while number < len(lines) and (cause := re.match(r"\s+(?:\d+: )?(\S.*)", lines[number])):
        exceptions.append(LoggedException(cause[1]))
        number += 1
    return exceptions, number


def read_r(lines: Sequence[str], start: int) -> Crash | None:
    """Read R's "Error in call : message", its message in the next line where it is long, and rlang's causes."""
    head = _R.match(lines[start])
    rest = lines[start + 1 : start + 30]
    if head is None or not (head["call"] or any(line.startswith(("Execution halted", "! ")) for line in rest)):
        return None
    message, number = head["message"].strip(), start + 1
    while number < len(lines) and (not message or lines[number][:1] in ("!", " ")) and lines[number].strip():
        message = f"{message}\n{lines[number].lstrip('! ')}".strip()
        number += 1
    if message == _R_CONNECTION:
        message = "\n".join([message, *_warned(lines[number : number + 12])])
    exceptions = [LoggedException(f"Error: {message}")]
    while number + 1 < len(lines) and _R_CAUSE.match(lines[number]):
        exceptions.append(LoggedException(f"Error: {lines[number + 1].lstrip('! ')}"))
        number += 2
    return exceptions, number


def _warned(lines: Sequence[str]) -> list[str]:
    """Return what R's warning behind an error says, without its call."""
    at = next((at for at, line in enumerate(lines) if _R_WARNING.match(line)), None)
    rest = [line.strip() for line in lines[at + 1 :]] if at is not None else []
    return [line for line in rest if line and not re.match(r"In .*:$", line)][:1]


def read_ruby(lines: Sequence[str], start: int) -> Crash | None:
    """Read Ruby's "file.rb:3:in 'load': message (Type)" and the causes that follow in the same form."""
    exceptions: list[LoggedException] = []
    number = start
    while number < len(lines):
        head = _RUBY.match(lines[number])
        if head is not None:
            exceptions.append(LoggedException(f"{head['kind']}: {head['message']}"))
            exceptions[-1].frames.append(head["place"])
        elif not exceptions or not _RUBY_FRAME.match(lines[number]):
            break
        number += 1
    return (exceptions, number) if exceptions else None


def read_php(lines: Sequence[str], start: int) -> Crash | None:
    """Read PHP's "PHP Fatal error:  Uncaught Type: message in file:line" with its trace."""
    head = _PHP.match(lines[start])
    if head is None:
        return None
    number = start + 1
    while number < len(lines) and re.match(r"Stack trace:|#\d+ |  thrown in ", lines[number]):
        number += 1
    message = head["message"].removeprefix("Uncaught ")
    return [LoggedException(message if ":" in message else f"{head['level']} error: {message}")], number


def read_perl(lines: Sequence[str], start: int) -> Crash | None:
    """Read Perl's "message at script.pl line 3."; DBI's message may quote the statement on lines of its own."""
    number = start
    while number + 1 < len(lines) and _QUOTED.match(lines[number + 1]):
        number += 1
    if number > start and (end := _PERL.match(lines[number].strip())) is not None and "failed: " in lines[start]:
        return [LoggedException("\n".join([lines[start], *lines[start + 1 : number], end["message"]]))], number + 1
    head = _PERL.match(lines[start])
    if head is None or is_generic(head["message"]):
        return None
    return [LoggedException(head["message"])], start + 1


# The order matters: a Rust error with causes also begins like R's.
CRASHES: tuple[Callable[[Sequence[str], int], Crash | None], ...] = (
    read_frames, read_go, read_rust, read_ruby, read_php, read_r, read_perl,
)  # fmt: skip
