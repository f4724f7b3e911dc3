"""Read errors that tools print on several lines: dbt, usages, boxes, psql's and SQL Server's, Gradle, Spring, C++.

Each reader takes lines and the number of one, and returns the chain with the line behind it, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from airflow_mcp.task_logs.exception_chain import LoggedException
from airflow_mcp.task_logs.generic_errors import is_generic
from airflow_mcp.task_logs.runtimes import Crash
from airflow_mcp.task_logs.tool_errors import FOLLOWS

_DBT = re.compile(
    r"\s*(?:[\w.]+: )?"
    r"(?P<what>(?:Database|Compilation|Runtime|Parsing|Dependency|Validation|Internal|Not Implemented|Semantic) Error)"
    r"(?P<where>(?: in)? \w+ \S+(?: \(.*\))?)?$|\s*Failure in (?P<test>\w+ \S+(?: \(.*\))?)$"
)
_DBT_END = re.compile(r"\s*(?:compiled code at|compiled SQL at|See test failures|Done\. PASS|>? ?in macro|$)")
_BOX = re.compile(r"\s*[│|] ?")
_TERRAFORM = re.compile(r"\s*[│|] (Error: .+)|(Error: .+)")
_TERRAFORM_PLACE = re.compile(r"with .*,$|on .+ line \d+.*|\d+: .*|in .*:$|This (?:is|may)")
_POSTGRES = re.compile(r"(?:psql:\S*:\d+: )?(?P<level>ERROR|FATAL|PANIC):  (?P<what>.+)")
_POSTGRES_MORE = re.compile(r"(?:DETAIL|HINT):\s+(.+)")
_USAGE = re.compile(r"\s*[Uu]sage: ")
_SYNOPSIS = re.compile(r"\s*[Uu]sage: +\S+.*(?:[\[<]|--| -\w)")
_RICH_ERROR = re.compile(r"\s*╭─+ Error ─+╮")
_GRADLE = re.compile(r"\* What went wrong:")
_SQL_SERVER = re.compile(r"Msg \d+, Level \d+, State \d+")
_CPP = re.compile(r"terminate called after throwing an instance of '(.+)'")


def _read_dbt(lines: Sequence[str], start: int) -> Crash | None:
    head = _DBT.match(lines[start])
    if head is None:
        return None
    words: list[str] = []
    number = start + 1
    while number < len(lines) and len(words) < 12:
        if _DBT_END.match(lines[number]) and (words or lines[number].strip()):
            break
        if lines[number].strip():
            words.append(lines[number].strip())
        number += 1
    if not words:
        return None
    name = f"{head['what']}{head['where'] or ''}" if head["what"] else f"Failure in {head['test']}"
    return [LoggedException(f"{name}: {' '.join(words)}")], number


def _read_terraform(lines: Sequence[str], start: int) -> Crash | None:
    head = _TERRAFORM.match(lines[start])
    if head is None:
        return None
    in_box = head[1] is not None
    summary, words, number, has_place = (head[1] or head[2]).strip(), list[str](), start + 1, False
    while number < min(len(lines), start + 40):
        text = lines[number]
        if in_box and (not _BOX.match(text) or _TERRAFORM.match(text)):
            break
        text = _BOX.sub("", text, count=1).strip() if in_box else text.strip()
        has_place = has_place or re.match(r"on \S+ line \d+|with \S+,$", text) is not None
        if not in_box and not has_place and text and (number == start + 1 or len(words) > 4):
            break
        if text and not _TERRAFORM_PLACE.match(text):
            words.append(text)
        elif words and not text:
            break
        number += 1
    if not in_box and not has_place and not (start + 1 < len(lines) and not lines[start + 1].strip() and words):
        return None
    return [LoggedException(f"{summary}: {' '.join(words)}" if words else summary)], number


def _read_postgres(lines: Sequence[str], start: int) -> Crash | None:
    head = _POSTGRES.match(lines[start])
    if head is None or FOLLOWS.match(lines[start]):
        return None
    texts, number = [f"{head['level']}: {head['what']}"], start + 1
    while number < min(len(lines), start + 8):
        text = lines[number]
        if detail := _POSTGRES_MORE.match(text):
            texts.append(detail[1])
        elif not (re.match(r"LINE \d+:|CONTEXT:|STATEMENT:|LOCATION:", text) or not text.strip(" ^")):
            break
        number += 1
    return [LoggedException("\n".join(texts))], number


def _read_usage(lines: Sequence[str], start: int) -> Crash | None:
    """Read argparse's and click's usage, whose error stands behind it; in a box where rich prints it."""
    if _RICH_ERROR.match(lines[start]):
        words, number = list[str](), start + 1
        while number < len(lines) and not lines[number].strip().startswith("╰"):
            words.append(lines[number].strip().strip("│").strip())
            number += 1
        return ([LoggedException(f"Error: {' '.join(filter(None, words))}")], number + 1) if words else None
    if not _USAGE.match(lines[start]):
        return None
    previous = next((line.strip() for line in reversed(lines[max(start - 2, 0) : start]) if line.strip()), "")
    for number in range(start + 1, min(len(lines), start + 60)):
        text = lines[number]
        if _RICH_ERROR.match(text):
            return None  # the box holds the error
        if match := re.match(
            r"\S+: error: .+|Error: .+|error: .+|flag provided but not defined: .+|unknown (?:flag|command).+", text
        ):
            return [LoggedException(match[0])], number + 1
    # picocli, docopt and getopts print the error before the usage.
    if _SYNOPSIS.match(lines[start]) and previous and not is_generic(previous):
        return [LoggedException(previous)], start + 1
    return None


def _read_spring(lines: Sequence[str], start: int) -> Crash | None:
    """Read Spring Boot's report of a failed start: a description between two titles."""
    if lines[start].strip() != "APPLICATION FAILED TO START":
        return None
    words: list[str] = []
    for number in range(start + 1, min(len(lines), start + 40)):
        text = lines[number].strip()
        if text == "Action:":
            return ([LoggedException(" ".join(words))], number + 1) if words else None
        if re.search(r"\w", text) and text != "Description:":
            words.append(text)
    return None


def _read_gradle(lines: Sequence[str], start: int) -> Crash | None:
    if not _GRADLE.match(lines[start].strip()):
        return None
    texts, number = list[str](), start + 1
    while number < len(lines) and lines[number].strip() and not lines[number].startswith("* "):
        texts.append(lines[number].strip().lstrip("> "))
        number += 1
    return ([LoggedException(text) for text in texts if text][:6] or [LoggedException("?")], number) if texts else None


def _read_sql_server(lines: Sequence[str], start: int) -> Crash | None:
    if not _SQL_SERVER.match(lines[start]) or start + 1 >= len(lines):
        return None
    return [LoggedException(f"{lines[start].split(',')[0]}: {lines[start + 1].strip()}")], start + 2


def _read_cpp(lines: Sequence[str], start: int) -> Crash | None:
    head = _CPP.match(lines[start])
    if head is None:
        return None
    what = next(
        (line.partition("what():")[2].strip() for line in lines[start + 1 : start + 3] if "what():" in line), ""
    )
    return [LoggedException(f"{head[1]}: {what}" if what else head[1])], start + (2 if what else 1)


BLOCKS: tuple[tuple[str, Callable[[Sequence[str], int], Crash | None]], ...] = (
    ("dbt", _read_dbt), ("usage", _read_usage), ("terraform", _read_terraform), ("psql", _read_postgres),
    ("gradle", _read_gradle), ("sqlcmd", _read_sql_server), ("c++", _read_cpp),
    ("spring", _read_spring),
)  # fmt: skip
