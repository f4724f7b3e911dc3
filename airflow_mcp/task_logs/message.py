"""Find the words of an exception's message that say what happened, where its first line does not.

The first line may be empty, end with a colon or only count errors, and the message may hold the JSON body of an answer,
another program's output, or a whole traceback. What accompanies the error (job ids, places, links) is skipped.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from airflow_mcp.task_logs.exception_chain import LoggedException, unwrap_groups
from airflow_mcp.task_logs.generic_errors import goes_on, is_context, is_generic
from airflow_mcp.task_logs.output_errors import Tier, find_output_error
from airflow_mcp.task_logs.output_lines import OutputLine, strip_prefix
from airflow_mcp.task_logs.python_traceback import TRACEBACK, find_traceback
from airflow_mcp.task_logs.records import make_safe
from airflow_mcp.task_logs.runtimes import read_frames
from airflow_mcp.task_logs.wrappers import find_wrapper

_LONGEST = 600  # characters returned of one message
_LONG_BODY = 200  # characters from which on a body hides the words before it
_INFORMS = 12  # characters of words before a body beyond which they may say enough
_BODIES = 8  # bodies of a message that are examined
_TOKEN = re.compile(r"\\\\.|['\"{}\[\]()]")
_LONGEST_BODY = 64 * 1024  # characters of a body that is parsed
_FEW, _FEW_LONG = 4, 200  # lines of a message that is returned in full, and characters of each
_TOLD = 8  # lines of a message returned behind one that says nothing
_LINES = 400  # lines of a message that are examined, half of them from each end
_BODY = re.compile(r"[{\[]\s*[{\"'\[]")
# Where the bodies of APIs say what is wrong, the most telling first.
_CAUSES = ("root_cause", "caused_by", "cause", "error", "errors", "Error", "failure", "fault", "exception", "details")
_TEXTS = (
    "message", "Reason", "Message", "error_message", "errorMessage", "error_description", "reason", "state_message", "detail",
    "details", "description", "msg", "statusReason", "stoppedReason", "failureReason", "FailureReason", "ErrorMessage",
    "StateChangeReason", "faultstring", "exceptionMessage", "title", "error", "stderr", "Cause", "cause",
)  # fmt: skip
_PAIR = re.compile(
    r"""["'](?:message|error_message|errorMessage|reason|state_message|detail|msg|statusReason|stoppedReason)["']"""
    r"""\s*[:=]\s*(?:"((?:[^"\\]|\\.|"(?!\s*[,}\])])){1,400})"|'((?:[^'\\]|\\.|'(?!\s*[,}\])])){1,400})')"""
)
_ELEMENT = re.compile(
    r"<(?:\w+:)?(Message|message|faultstring|title|Description|reason)>\s*(.{1,300}?)\s*</", re.DOTALL
)
_ERRORS_OF = re.compile(r"\s*(?:STDERR|stderr|Standard error|Error output)\s*:\s*$", re.IGNORECASE)
_ERRORS_SAID = re.compile(
    r"\s*(?:stderr|standard error|error output)\s*[:=]\s*(b?['\"])?(.*?)(?(1)['\"])$", re.IGNORECASE
)
_CODE_LINE = re.compile(r"[→>❱➜-]*\s*\d+\b|\S+:\d+:\d+$")  # of a program's text, with its number or its place
_TYPE = re.compile(r"(?:[\w$]+\.)*_?[A-Z][\w$]*(?: ?\[\w+\])?")  # an exception's
_JAVA = re.compile(r"^\s+at \S+\(|^Caused by: ", re.MULTILINE)
_EMPTY = frozenset(("", "None", "null", "none", "{}", "[]"))


def find_nested(exception: LoggedException) -> list[LoggedException]:
    """Read the exceptions that a message holds as printed tracebacks, the raised one first; empty without any."""
    text = exception.text
    if TRACEBACK in text:
        return unwrap_groups(find_traceback(text))
    if "\n" in text and _JAVA.search(text):
        lines = text.split("\n")
        for number, line in enumerate(lines[:20]):
            start = line if number else line.partition(": ")[2] or line
            crash = read_frames([start.removeprefix(": "), *lines[number + 1 :]], 0)
            if crash is not None:
                return crash[0]
    return []


def describe_exception(exception: LoggedException, size: int = _LONGEST) -> str:
    """Describe an exception in one line of at most `size` characters: "Type: what happened"."""
    kind, colon, message = exception.text.partition(":")
    if not colon or message[:1] == ":" or not _TYPE.fullmatch(kind.strip()) or exception.members:
        return _join_line(find_telling_text(exception.text, size), size)
    if (wrapper := find_wrapper(exception)) is not None and not is_generic(wrapper[1]):
        prefix = exception.text[: len(exception.text) - len(wrapper[1])].strip()
        rest = find_telling_text(wrapper[1], size)
        if rest and not is_generic(rest):
            text = f"{prefix} {rest}" if wrapper[1].startswith("{") else f"{rest} [{_join_line(prefix)}]"
            return _join_line(text, size)
    text = find_telling_text(message, size)
    return _join_line(f"{kind.strip()}: {text}" if text else kind.strip(), size)


def find_telling_text(message: str, size: int = _LONGEST) -> str:
    """Return the words of a message that say what happened, in one line of at most `size` characters."""
    message = _replace_bodies(message)
    # Made safe before lines are joined: a secret may end where its line does.
    lines = [line.strip() for line in _select_ends(make_safe(message).split("\n"))]
    filled = [line for line in lines if line]
    if not filled:
        return ""
    if len(filled) == 1 or (not goes_on(filled[0]) and not is_context(filled[0])):
        return _keep_ends("; ".join(_select_first(filled)), size)
    head = filled[0].rstrip(": ")
    rest = lines[lines.index(filled[0]) + 1 :]
    following = _select_following(rest)
    if not following:
        return _keep_ends(filled[0], size)
    return _keep_ends(
        f"{head}: {following}" if head and not is_context(filled[0]) and re.search(r"\w", head) else following, size
    )


def _select_first(lines: list[str]) -> list[str]:
    """Return the first lines of a message of few, which may be notes (PEP 678); of a long one its first."""
    if len(lines) > _FEW or any(len(line) > _FEW_LONG for line in lines):
        return lines[:1]
    return [lines[0], *(line for line in lines[1:] if not is_context(line) and re.search(r"\w", line))]


def _select_following(lines: list[str]) -> str:
    """Return the telling text of the lines behind one that says nothing."""
    lines = [part for line in lines for part in _find_errors(line)]
    headings = [number for number, line in enumerate(lines) if _ERRORS_OF.match(line)]
    if headings and any(lines[headings[-1] + 1 :]):
        lines = lines[headings[-1] + 1 :]
    output = [OutputLine(number, *strip_prefix(line)) for number, line in enumerate(lines)]
    error = find_output_error(output)
    if error is not None and error.tier is Tier.PRINTED:
        return _join_line("; ".join([error.root.text, *error.more]))
    telling_lines: list[str] = []
    for line in lines:
        if not line or is_context(line):
            if telling_lines and not line and len(telling_lines) > 1:
                break
            continue
        if re.fullmatch(r"\W+", line) or _CODE_LINE.match(line):
            continue
        telling_lines.append(line)
    if len(telling_lines) > _TOLD:  # some messages give the reason at the end
        telling_lines = [*telling_lines[: _TOLD // 2], "…", *telling_lines[-_TOLD // 2 :]]
    text = ""
    for line in telling_lines:
        text = f"{text}{'' if not text else ' ' if text.endswith((':', ',', '(', '[')) else '; '}{line}"
    return text


def _find_errors(line: str) -> list[str]:
    """Return the lines of an error output that stands in one line behind its name, as bytes or as text."""
    match = _ERRORS_SAID.match(line)
    if match is None:
        return [line]
    text = match[2].replace("\\r", "").replace("\\n", "\n")
    return [part for part in text.split("\n") if part.strip()]


def _replace_bodies(message: str) -> str:
    """Replace each JSON, Python or XML body by the text that it holds; a body that says nothing is removed."""
    parts: list[str] = []
    at = 0
    for start, end in _find_bodies(message):
        body = message[start:end]
        value = _parse(body)
        before = message[at:start]
        texts = _list_body_texts(value) if value is not None else _find_pairs(body)
        head = message[:start].rpartition("\n")[2].strip()
        informs = len(head) > _INFORMS and not is_generic(head)  # is_generic is true for words that end with a colon
        if texts and (not informs or len(body) > _LONG_BODY):
            parts += [before, ": ".join(texts)]
            at = end
        elif value is not None and _is_empty(value) and not informs:
            parts.append(before)
            at = end
    message = "".join([*parts, message[at:]])
    if "</" in message and (elements := _ELEMENT.findall(message)):
        texts = list(dict.fromkeys(text for _, text in elements))
        return f"{message[: message.index('<')]}{': '.join(texts[:3])}"
    return message


def _find_bodies(text: str) -> list[tuple[int, int]]:
    """Find the outermost brackets that hold JSON or Python values; one that is not closed ends with the text."""
    spans: list[tuple[int, int]] = []
    at = 0
    while (match := _BODY.search(text, at)) is not None and len(spans) < _BODIES:
        depth, quote, end = 0, "", len(text)
        for token in _TOKEN.finditer(text, match.start(), match.start() + _LONGEST_BODY):
            mark = token[0]
            if quote:
                quote = "" if mark == quote else quote
            elif mark in "'\"":
                quote = mark
            elif mark in "{[(":
                depth += 1
            elif mark in "}])":
                depth -= 1
                if depth == 0:
                    end = token.end()
                    break
        spans.append((match.start(), end))
        at = end
    return spans


def _parse(body: str) -> Any:
    if len(body) > _LONGEST_BODY:
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            return read(body)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    return None


def _list_body_texts(value: Any, depth: int = 0) -> list[str]:
    """Return what a body says, the deepest cause first, at most three texts."""
    if depth > 6:
        return []
    if isinstance(value, list):
        return list(dict.fromkeys(text for item in value[:5] for text in _list_body_texts(item, depth + 1)))[:3]
    if not isinstance(value, dict):
        return []
    texts: list[str] = []
    for name in _CAUSES:
        inner = value.get(name)
        if isinstance(inner, dict | list):
            texts += _list_body_texts(inner, depth + 1)
    for name in _TEXTS:
        text = value.get(name)
        if isinstance(text, str) and text.strip() not in _EMPTY and not is_generic(text):
            texts.append(_join_line(text))
    if not texts:
        for name, inner in value.items():
            if isinstance(inner, dict | list) and name not in _CAUSES:
                texts += _list_body_texts(inner, depth + 1)
    return list(dict.fromkeys(texts))[:3]


def _find_pairs(body: str) -> list[str]:
    texts = [first or second for first, second in _PAIR.findall(body)]
    return [_join_line(text) for text in dict.fromkeys(texts) if not is_generic(text)][:3]


def _is_empty(value: Any) -> bool:
    """Tell whether a body holds only codes, numbers and nulls."""
    if isinstance(value, dict):
        return all(_is_empty(item) for item in value.values())
    return value is None or isinstance(value, int | float) or (isinstance(value, str) and is_generic(value))


def _select_ends(lines: list[str]) -> list[str]:
    return lines if len(lines) <= _LINES else [*lines[: _LINES // 2], *lines[-_LINES // 2 :]]


def _join_line(text: str, size: int = _LONGEST) -> str:
    return _keep_ends(" ".join(text.split()), size)


def _keep_ends(text: str, size: int) -> str:
    """Shorten a text that is too long, keeping both ends: some messages give the reason at the end."""
    if len(text) <= size:
        return text
    half = size * 2 // 3
    return f"{text[:half]} … {text[-(size - half - 3) :]}"
