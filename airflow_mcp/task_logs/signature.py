"""Build one key for texts that differ only in their data, and list the data in which they differ.

Removed are numbers, times, ids, hosts, paths, addresses and quoted values. A quoted name stays where it is the error
("column \\"amount\\" does not exist"), a quoted sentence since it may say why, and the code of a status or an exit since
another code is another cause.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from airflow_mcp.text import join_names

_LONGEST = 300  # characters of a key
_DIGEST = 12
_NAMING_TYPES = frozenset(
    (
        "KeyError",
        "NameError",
        "AttributeError",
        "ImportError",
        "ModuleNotFoundError",
        "UndefinedError",
        "UnboundLocalError",
    )
)
_NAMING = re.compile(
    r"(?:^|[^\w])(?:columns?|table|view|relation|schema|database|catalog|function|procedure|operator|index|sequence|role|user"
    r"|group|module|package|library|import|key|attribute|argument|parameter|param|option|flag|variable|setting|env|field|name"
    r"|property|type|class|method|model|macro|source|target|task|script|command|identifier|constraint|extension|symbol|feature"
    r"|permission|action|scope|secret|topic|queue|bucket|dataset|resource|entity|object|label|connection|conn_id|pool|dag"
    r"|certificate|license|driver|plugin|codec|format|encoding|locale|currency|region|kind|namespace|on|for|missing|undefined"
    r"|unknown|named|called|reference to)s?(?: with)?(?: name)?[ =:]*\(?$",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"(?:\b(?:codes?|status|errno|error|exit|returned|http|signal|rc|state|level|msg|failure|sqlstate|return code|exit status"
    r"|exit code)(?:\s+(?:of|is|was|code|status|number))?[\s:=#(\[]*|\[Errno |HTTP/\d\.\d )$",
    re.IGNORECASE,
)
_HEXADECIMAL = re.compile(r"(?=[a-f]*\d)[0-9a-f]{6,}$|[0-9a-f]{8,}$", re.IGNORECASE)
_STATUS = re.compile(r"[1-5]\d\d$")  # of HTTP, where it begins a message
_STATUS_AT = re.compile(r"(?:^|: |\()$")
_CODES = re.compile(r"[A-Z][A-Z_]*-?\d{2,}\w*$|E\d{3,4}$|[A-Z]{1,4}\d{1,3}[A-Z]?\d*$")  # ORA-00942, SQL0204N, TS2322
_TLDS = (
    "com|net|org|io|internal|local|localdomain|cluster|svc|lan|corp|cloud|dev|app|intra|example|test|invalid|edu|gov|biz|info"
    "|de|eu|uk|fr|us|in|br|nl|ch|at|pl|es|se|no|dk|fi|cz|jp|cn|au|ca|ru|be|ie|nz|za"
)
_DATA = re.compile(
    "|".join(
        (
            r"(?P<quoted>'(?:[^'\n\\]|\\.)*'|\"(?:[^\"\n\\]|\\.)*\"|`[^`\n]*`)",
            r"(?P<url>\b[a-z][a-z0-9+.-]{1,20}://[^\s'\"<>,;)\]]+)",
            r"(?P<uuid>\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b)",
            r"(?P<time>\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?)?"
            r"|\b\d{1,2}/\d{1,2}/\d{2,4}\b|\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b)",
            rf"(?P<host>\b(?:\d{{1,3}}\.){{3}}\d{{1,3}}(?::\d+)?\b|(?<![\w.-])(?:[a-z0-9-]+\.)+(?:{_TLDS})(?::\d+)?\b(?![.(])"
            r"|(?<![\w.-])[a-z][\w.-]*:\d{2,5}\b(?!:)"
            r"|(?<=host )[a-z0-9][\w.-]*\b|(?<=host: )[a-z0-9][\w.-]*\b|(?<=hostname )[a-z0-9][\w.-]*\b"
            r"|(?<=route to )[a-z0-9][\w.-]*\b|(?<=connect to )[a-z0-9][\w.-]*\b|(?<=resolve )[a-z0-9][\w.-]*\b"
            r"|(?<=\w@)[\w.-]+)",
            r"(?P<path>(?<![\w<])(?:[A-Za-z]:)?(?:~|\.{1,2})?[/\\][\w.@%+=~-]+(?:[/\\][\w.@%+=~-]*)*"
            r"|(?<![\w./-])[\w.-]+/[\w./-]*\.\w{1,5}\b|(?<![\w.])[\w-]+\.(?:csv|json|jsonl|parquet|avro|orc|xml|xlsx?|txt|log|gz|zip"
            r"|sql|py|ya?ml|toml|sh|jar|tar|tgz|bz2|dat|tmp|lock|pem|crt)\b)",
            r"(?P<id>\b0x[0-9a-f]+\b|\b(?=[a-f]*\d)[0-9a-f]{6,}\b|\b[0-9a-f]{8,}\b"
            r"|\b(?=[A-Za-z_-]{0,80}\d)[A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*\b|\b(?=\w*\d)\w+\b)",
            r"(?P<number>-?\d+(?:[.,_]\d+)*)",
        )
    ),
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\d+(?:[.,_]\d+)*")
_SENTENCE = re.compile(r"[^\W\d_]{2,}\W+[^\W\d_]{2,}\W+[^\W\d_]{2,}")
_LABEL = re.compile(r"([\w.-]+)[\s=:#('\"`\[]*$")


def normalise(text: str, *, names: bool = False) -> str:
    """Remove the data from a text; `names` keeps quoted values, which then are the error."""
    return _split(text, names)[0]


def extract_values(text: str, *, names: bool = False) -> list[tuple[str, str]]:
    """Return what `normalise` removes from a text, each with the word before it: [("partner", "2")]."""
    return _split(text, names)[1]


def _split(text: str, names: bool) -> tuple[str, list[tuple[str, str]]]:
    parts: list[str] = []
    values: list[tuple[str, str]] = []
    at = 0
    for match in _DATA.finditer(text):
        before = text[at : match.start()]
        parts.append(before)
        at = match.end()
        value = match[0]
        stable_part = _keep_value(match, text, names)
        if stable_part is None:
            parts.append(_PLACEHOLDERS.get(match.lastgroup or "", "#"))
            label = _LABEL.search(text[max(match.start() - 60, 0) : match.start()])
            values.append((label[1] if label else "", value.strip("'\"`")))
        else:
            parts.append(stable_part)
            values += [("", number) for number in _DIGITS.findall(value)] if stable_part != value else []
    parts.append(text[at:])
    return "".join(parts), values


_PLACEHOLDERS = {"quoted": "'…'", "url": "…/…", "host": "<host>", "path": "…/…"}


def _keep_value(match: re.Match[str], text: str, names: bool) -> str | None:
    """Return the part of a value that stays in the key, or None where the value is data."""
    value, kind = match[0], match.lastgroup
    before = text[max(match.start() - 60, 0) : match.start()]
    if kind == "quoted":
        if names or _SENTENCE.search(value) or (_NAMING.search(before) and not re.search(r"[/\\:]", value)):
            return _DIGITS.sub("#", value)
        return None
    if kind in ("id", "number"):
        if _STATUS.match(value) and _STATUS_AT.search(before):
            return value
        if _CODES.match(value) or (value.isdigit() and len(value) < 6 and _CODE.search(before)):
            return value
        if kind == "id" and _HEXADECIMAL.match(value):
            return None
        if kind == "id" and not value[0].isdigit() and not _looks_random(value):
            return _DIGITS.sub("#", value)  # a name with a number: orders_2026, Step7
    return None


def _looks_random(value: str) -> bool:
    """Tell whether letters and digits are mixed as in a machine's id: x7k2p, j-2AXXGAPLF."""
    return bool(re.search(r"\d[A-Za-z]+\d|[a-z]\d[a-z]\d?|\d[A-Z]{2}", value)) or len(_DIGITS.findall(value)) > 2


def join_key(parts: Iterable[str]) -> str:
    """Join parts to a key of at most 300 characters; a digest replaces what is cut off."""
    key = " ".join(" <- ".join(parts).split())
    if len(key) <= _LONGEST:
        return key
    digest = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:_DIGEST]
    return f"{key[: _LONGEST - _DIGEST - 2]}… {digest}"[:_LONGEST]


def is_naming(kind: str) -> bool:
    """Tell whether a type's quoted value is the error, as of KeyError: another missing key is another error."""
    return kind in _NAMING_TYPES


def describe_differences(texts: Sequence[str], most: int = 5) -> str:
    """Describe the data in which texts of one key differ: "partner 2, partner 5 and 3 more"; empty without any."""
    rows = [extract_values(text) for text in texts]
    if len(rows) < 2 or len({len(row) for row in rows}) > 1:
        return ""
    places = [at for at in range(len(rows[0])) if len({row[at][1] for row in rows}) > 1]
    if not places:
        return ""
    labels = dict.fromkeys(", ".join(_label_value(*row[at]) for at in places[:2]) for row in rows)
    return join_names(labels, most, "; " if len(places) > 1 else ", ")


def _label_value(label: str, value: str) -> str:
    return f"{label} {value}" if label and label.lower() != value.lower() else value
