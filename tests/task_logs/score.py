"""Score the decisive errors of the corpus: the cause in the one line, the chain complete, the groups right.

A case is one file of `corpus/`: lines "word: text" that say what is true, then the log as Airflow 2 and as Airflow 3
write it. `cause` must stand in the one line, `chain` in the line or the excerpt, `never` in neither; cases with one
`group` have one key and others another.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_mcp.task_logs import DecisiveError, decisive_error
from airflow_mcp.task_logs.records import LogForm

CORPUS = Path(__file__).parent / "corpus"
FORMS: dict[LogForm, str] = {"text": "2.x", "ndjson": "3.x"}
EXCERPT = 1_200  # characters, as diagnose_dag_run asks for
Read = Callable[[bytes, LogForm], DecisiveError]


@dataclass(frozen=True)
class Case:
    """One log with the truth about it."""

    name: str
    family: str
    group: str
    cause: tuple[str, ...]
    chain: tuple[str, ...]
    never: tuple[str, ...]
    logs: dict[LogForm, bytes]

    @classmethod
    def load(cls, file: Path) -> Case:
        """Read a file of the corpus."""
        head, two, three = (part.strip("\n") for part in split(file.read_text(encoding="utf-8")))
        words: dict[str, list[str]] = defaultdict(list)
        for line in head.splitlines():
            word, _, text = line.partition(": ")
            words[word].append(text)
        cause, chain, never = (tuple(words[word]) for word in ("cause", "chain", "never"))
        logs: dict[LogForm, bytes] = {"text": f"{two}\n".encode(), "ndjson": f"{three}\n".encode()}
        return cls(file.stem, words["family"][0], words["group"][0], cause, chain, never, logs)


def split(text: str) -> tuple[str, str, str]:
    """Split a file into the truth, the log of 2.x and the log of 3.x."""
    head, _, rest = text.partition("\n==== 2.x\n")
    two, _, three = rest.partition("\n==== 3.x\n")
    return head, two, three


def cases() -> list[Case]:
    """Every case of the corpus."""
    return [Case.load(file) for file in sorted(CORPUS.glob("*.log"))]


def read(log: bytes, form: LogForm) -> DecisiveError:
    """Read a log as the workflows do."""
    return decisive_error(log, form, size=EXCERPT)


def faults(case: Case, found: DecisiveError) -> dict[str, list[str]]:
    """What is wrong with an answer: texts missing from its line (cause), from it all (chain), or wrongly there."""
    everything = f"{found.what}\n{found.excerpt}"
    return {
        "cause": [text for text in case.cause if text not in found.what],
        "chain": [text for text in case.chain if text not in everything],
        "never": [text for text in case.never if text in everything],
    }


def split_groups(keys: dict[str, str], groups: dict[str, str]) -> list[tuple[str, str]]:
    """Pairs of cases whose keys agree where their groups do not, or the other way round."""
    names = sorted(keys)
    return [
        (one, other)
        for at, one in enumerate(names)
        for other in names[at + 1 :]
        if (keys[one] == keys[other]) != (groups[one] == groups[other])
    ]


def score(reader: Read = read, only: Sequence[str] = ()) -> list[str]:
    """Lines of a table: per family how many of its cases are right, of both forms; and what is wrong."""
    all_cases = [case for case in cases() if not only or case.family in only]
    right: dict[str, Counter[str]] = defaultdict(Counter)
    wrong: list[str] = []
    for form, name in FORMS.items():
        found = {case.name: reader(case.logs[form], form) for case in all_cases}
        groups = {case.name: case.group for case in all_cases}
        parted = split_groups({name: one.key for name, one in found.items()}, groups)
        in_pairs = {one for pair in parted for one in pair}
        wrong += [f"{name} groups: {one} / {other}" for one, other in parted]
        for case in all_cases:
            missing = faults(case, found[case.name])
            counts = right[case.family]
            counts["cases"] += 1
            counts["cause"] += not missing["cause"] and not missing["never"]
            counts["chain"] += not missing["chain"]
            counts["group"] += case.name not in in_pairs
            if any(missing.values()):
                wrong.append(f"{name} {case.name}: {missing} in {found[case.name].what!r}")
    table = [f"{'family':<14}{'logs':>6}{'cause':>7}{'chain':>7}{'group':>7}"]
    for family, counts in [*sorted(right.items()), ("all", sum(right.values(), Counter[str]()))]:
        table.append(f"{family:<14}{counts['cases']:>6}{counts['cause']:>7}{counts['chain']:>7}{counts['group']:>7}")
    return [*table, *wrong]


if __name__ == "__main__":
    print("\n".join(score(only=sys.argv[1:])))
