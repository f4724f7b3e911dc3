"""One key for errors that are the same but for their data, and the one line that says what an error is."""

from __future__ import annotations

import re

from airflow_mcp.task_logs.exception_chain import LoggedException, read_traceback
from airflow_mcp.task_logs.records import safe_text
from airflow_mcp.text import shorten

_LONGEST = 300  # characters
_DATA = re.compile(
    r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"  # a UUID
    r"|\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"  # a date
    r"|\b0x[0-9a-f]+\b|\b[0-9a-f]{8,}\b|\b(?=[a-f]*\d)[0-9a-f]{6,7}\b"  # hexadecimal ids
    r"|-?\d+(?:[.,_]\d+)*",  # a number
    re.IGNORECASE,
)
_QUOTED = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`")
# Here the quoted name is the error: a missing column is not a missing package.
_NAMING = frozenset(("KeyError", "NameError", "AttributeError", "ImportError", "ModuleNotFoundError", "UndefinedError"))
_LINE = re.compile(r":\d+(?= in |$)")


def normalised(message: str, *, names: bool = False) -> str:
    """A message without its data: numbers, dates, ids and (unless `names`) quoted values."""
    if not names:
        message = _QUOTED.sub("'…'", message)
    return _DATA.sub("#", message)  # all alike: an id may happen to have digits only


def signature(chain: list[LoggedException], message: str = "") -> str:
    """The key of a chain: type and message of the raised exception and of its root, and the innermost own frame."""
    if not chain:
        return shorten(normalised(_first_line(message)), _LONGEST)
    raised, root = chain[0], chain[-1]
    parts = [_key(raised)] if root is raised else [_key(raised), _key(root)]
    place = root.place or raised.place
    return f"{' <- '.join(parts)}{f' @ {_where(place)}' if place else ''}"


def signature_of(text: str) -> str:
    """The key of an error's text: a whole traceback (such as an import error's) or a message."""
    text = safe_text(text)
    return signature(read_traceback(text), _telling_line(text))


def what_of(text: str) -> str:
    """The one line, at most 300 characters, that says what an error's text is about: "ValueError: bad row 3"."""
    text = safe_text(text)
    chain = read_traceback(text)
    return shorten(_first_line(chain[0].what) if chain else _telling_line(text), _LONGEST)


def _key(failure: LoggedException) -> str:
    what = safe_text(_first_line(failure.what))
    return shorten(normalised(what, names=failure.kind in _NAMING), _LONGEST)


def _where(frame: str) -> str:
    """ "/opt/airflow/dags/etl.py:20 in transform" -> "etl.py:transform"."""
    path, _, function = frame.partition(" in ")
    return f"{_LINE.sub('', path).replace(chr(92), '/').rpartition('/')[2]}:{function or '<module>'}"


def _first_line(text: str) -> str:
    return next((line for line in text.strip().splitlines() if line.strip()), "")


def _telling_line(text: str) -> str:
    """The last line that is not indented, where Python puts the exception; else the first."""
    lines = [line for line in text.splitlines() if line.strip()]
    outer = [line for line in lines if line[:1] not in (" ", "\t")]
    return (
        outer[-1] if outer and lines and lines[0].lstrip().startswith(("File ", "Traceback")) else ""
    ) or _first_line(text)
