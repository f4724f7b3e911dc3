"""What a workflow finds out: a sentence, its evidence, the calls to make next; and how long something has lasted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import NextCall

FindingKind = Literal["blocks", "waits", "runs", "ended", "note"]
_VERDICTS: dict[FindingKind, str] = {  # the most pressing first
    "blocks": "blocked",
    "waits": "waiting",
    "runs": "running",
    "ended": "finished",
    "note": "unclear",
}
_ORDER = list(_VERDICTS)
_SKEW = 3.0  # seconds by which clocks may differ


@dataclass(frozen=True)
class Finding:
    """One thing that was seen. `blocks` needs a hand, `waits` ends by itself, a `note` explains nothing yet.

    `hint` says what to do where no tool does it, `calls` are those to make next.
    """

    kind: FindingKind
    what: str
    evidence: str = ""
    hint: str = ""
    calls: tuple[NextCall, ...] = ()

    def to_json(self) -> Json:
        """As a part of an answer, without what is empty."""
        parts = {"what": self.what, "evidence": self.evidence, "hint": self.hint, "next": [*self.calls]}
        return {name: part for name, part in parts.items() if part}


def sort_findings(findings: Iterable[Finding]) -> list[Finding]:
    """What most likely blocks first; among equals as they were found."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.kind))


def name_verdict(findings: Sequence[Finding]) -> str:
    """The first finding in one word: blocked, waiting, running, finished or unclear."""
    return _VERDICTS[findings[0].kind] if findings else "unclear"


def parse_time(text: object) -> datetime | None:
    """A time as Airflow writes it, or None for what is none."""
    try:
        read = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def measure_age(text: object, now: datetime) -> float | None:
    """Seconds from that time until now; negative for the future, None for no time."""
    read = parse_time(text)
    return None if read is None else (now - read).total_seconds()


def format_duration(seconds: float) -> str:
    """A duration in its largest fitting unit: 40 s, 12 min, 5 h, 3 days."""
    seconds = abs(seconds)
    for size, unit in ((172_800, "days"), (7_200, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / {'days': 86_400, 'h': 3_600, 'min': 60}[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"


def format_age(text: object, now: datetime) -> str:
    """ "12 min ago", "in 3 h", or "never" for no time."""
    seconds = measure_age(text, now)
    if seconds is None:
        return "never"
    return f"{format_duration(max(seconds, 0))} ago" if seconds >= -_SKEW else f"in {format_duration(seconds)}"


def first_names(names: Iterable[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    known = list(dict.fromkeys(names))
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more


def format_count(number: int, noun: str) -> str:
    """ "1 run", "3 runs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def choose_verb(number: int, singular: str, plural: str) -> str:
    """The form that fits: "waits" for one, "wait" for several."""
    return singular if number == 1 else plural
