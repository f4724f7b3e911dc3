"""Findings of a workflow (a sentence, its evidence, the calls to make next), and the format of times and counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import NextCall
from airflow_mcp.text import join_names

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
    """One observation. `blocks` needs somebody to act, `waits` ends by itself, a `note` explains nothing yet.

    `hint` says what to do where no tool does it, `calls` are those to make next.
    """

    kind: FindingKind
    what: str
    evidence: str = ""
    hint: str = ""
    calls: tuple[NextCall, ...] = ()

    def to_json(self) -> Json:
        """Return the finding as a part of an answer, without empty fields."""
        parts = {"what": self.what, "evidence": self.evidence, "hint": self.hint, "next": [*self.calls]}
        return {name: part for name, part in parts.items() if part}


def sort_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings by what most likely blocks; equals stay in the order in which they were found."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.kind))


def name_verdict(findings: Sequence[Finding]) -> str:
    """Return the kind of the first finding in one word: blocked, waiting, running, finished or unclear."""
    return _VERDICTS[findings[0].kind] if findings else "unclear"


def parse_time(text: object) -> datetime | None:
    """Parse a time as Airflow writes it; None for what is no time."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def measure_age(text: object, now: datetime) -> float | None:
    """Return the seconds from that time until now; negative for the future, None for no time."""
    moment = parse_time(text)
    return None if moment is None else (now - moment).total_seconds()


def format_duration(seconds: float) -> str:
    """Format a duration in its largest fitting unit: 40 s, 12 min, 5 h, 3 days."""
    seconds = abs(seconds)
    for size, unit in ((172_800, "days"), (7_200, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / {'days': 86_400, 'h': 3_600, 'min': 60}[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"


def format_age(text: object, now: datetime) -> str:
    """Format an age as "12 min ago" or "in 3 h", and no time as "never"."""
    seconds = measure_age(text, now)
    if seconds is None:
        return "never"
    return f"{format_duration(max(seconds, 0))} ago" if seconds >= -_SKEW else f"in {format_duration(seconds)}"


def first_names(names: Iterable[str], most: int = 5) -> str:
    """Join the first names, and say how many more there are."""
    return join_names(dict.fromkeys(names), most)


def format_count(number: int, noun: str) -> str:
    """Format a number with its noun: "1 run", "3 runs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def choose_verb(number: int, singular: str, plural: str) -> str:
    """Choose the form of a verb: "waits" for one, "wait" for several."""
    return singular if number == 1 else plural
