"""Group failed task instances: which come first in the graph, which logs to read, and who failed alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.answer.render import dumps, take_fitting
from airflow_mcp.task_logs import describe_differences
from airflow_mcp.text import shorten

_NAMES = 160  # characters of a list of task instances
_LINE_SIZE, _SHORT_LINE_SIZE = 300, 120  # characters of an error's line; and where many would not fit else
_REST = 240  # of the line that stands for the errors that are not told
_GOLDEN = 0.6180339887  # steps of it fall evenly over a range, and never in step with a pattern in the data


@dataclass
class ErrorGroup:
    """Failed task instances with the same error."""

    what: str
    excerpt: str
    died: bool
    instances: list[Json] = field(default_factory=list[Json])  # task_id, map_index?, try_number
    # Of each instance the line that its log gives, which may differ in data.
    lines: list[str] = field(default_factory=list[str])
    # What was looked at, in words: the log's lines, how many the task printed, the tries.
    source: str = ""

    def name_instances(self, size: int) -> str:
        """`load[0-2, 7], publish`, cut to `size` characters."""
        return name_instances(self.instances, size)

    def describe(self, size: int, siblings: Mapping[str, str]) -> Json:
        """The error in a line of at most `size` characters, with who shares it and how their data differ.

        `siblings` has "6 of 8 succeeded" by mapped task.
        """
        tasks = dict.fromkeys(row["task_id"] for row in self.instances)
        beside = "; ".join(
            f"{task}: {siblings[task]}" if len(tasks) > 1 else siblings[task] for task in tasks if task in siblings
        )
        line: Json = {
            "error": shorten(self.what, size),
            "tasks": f"{len(self.instances)}: {self.name_instances(_NAMES)}",
        }
        line["tasks"] += f" ({beside})" if beside else ""
        if differ := describe_differences(self.lines):
            line["differ_in"] = shorten(differ, _NAMES)
        if self.source and size == _LINE_SIZE:
            line["looked_at"] = self.source
        return line


def order_by_graph(rows: list[Json], downstream: dict[str, list[str]]) -> list[list[Json]]:
    """The failed rows by task: tasks without a failed task upstream first, then by when they ended."""
    tasks: dict[str, list[Json]] = {}
    for row in rows:
        tasks.setdefault(row["task_id"], []).append(row)
    depth = _count_upstream(list(tasks), downstream)

    def ended(task: str) -> str:
        return min((str(row.get("end_date") or "~") for row in tasks[task]), default="~")

    return [tasks[task] for task in sorted(tasks, key=lambda task: (depth[task], ended(task), task))]


def _count_upstream(tasks: list[str], downstream: dict[str, list[str]]) -> dict[str, int]:
    """How many of these tasks stand before each of them in the graph.

    The graph is walked once, in its order, with the tasks before each as the bits of a number. Tasks in a circle, which
    Airflow does not allow, count as far as they are reached.
    """
    waits_for = Counter(after for ends in downstream.values() for after in ends)
    bits = {task: 1 << number for number, task in enumerate(tasks)}
    before: dict[str, int] = dict.fromkeys(tasks, 0)
    ready = [task for task in {**downstream, **bits} if not waits_for[task]]
    while ready:
        task = ready.pop()
        passed = before.get(task, 0) | bits.get(task, 0)
        for after in downstream.get(task, ()):
            before[after] = before.get(after, 0) | passed
            waits_for[after] -= 1
            if not waits_for[after]:
                ready.append(after)
    return {task: before[task].bit_count() for task in tasks}


def order_reads(rows: list[Json]) -> list[Json]:
    """The rows of one task in the order in which to read their logs, so that errors that repeat with the index are met.

    The first and the last by map index, then others that lie irregularly.
    """
    ordered = sorted(rows, key=lambda row: row.get("map_index") or 0)
    chosen = dict.fromkeys([0, len(ordered) - 1] if ordered else [])
    for step in range(1, len(ordered)):
        chosen.setdefault(int(step * _GOLDEN % 1 * len(ordered)))
    chosen |= dict.fromkeys(place for place in range(len(ordered)) if place not in chosen)
    return [ordered[place] for place in chosen]


def name_instances(rows: Iterable[Json], size: int) -> str:
    """Task instances in a few words: `load[0-2, 7], publish`, cut to `size` characters with the number left out."""
    tasks: dict[str, list[int]] = {}
    rendered: dict[str, dict[int, str]] = {}
    for row in rows:
        indexes = tasks.setdefault(row["task_id"], [])
        if row.get("map_index") is not None:
            indexes.append(row["map_index"])
            if name := read_rendered_name(row):
                rendered.setdefault(row["task_id"], {})[row["map_index"]] = name
    parts: list[str] = []
    left = size
    for number, (task, indexes) in enumerate(tasks.items()):
        room = max(left - len(task) - 2, 12)
        text = f"{task}[{_format_indexes(indexes, rendered.get(task, {}), room)}]" if indexes else task
        if parts and len(text) > left:
            more = len(tasks) - number
            return f"{', '.join(parts)} and {more} more task{'s' if more > 1 else ''}"
        parts.append(text)
        left -= len(text) + 2
    return ", ".join(parts)


def read_rendered_name(row: Json) -> str:
    """The name that `map_index_template` gives a mapped instance; empty where it is only its index."""
    name = str(row.get("rendered_map_index") or "")
    return "" if name == str(row.get("map_index")) else name


def _format_indexes(numbers: list[int], rendered: Mapping[int, str], size: int) -> str:
    """Indexes with their rendered names, where they fit: "1 eu/west, 5 ap"; else as ranges."""
    if rendered:
        text = ", ".join(f"{number} {rendered.get(number, '')}".strip() for number in sorted(set(numbers)))
        if len(text) <= size:
            return text
    return format_ranges(numbers, size)


def format_ranges(numbers: Iterable[int], size: int) -> str:
    """[0, 1, 2, 7] -> "0-2, 7", cut to `size` characters with the number left out."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    text = ""
    for first, last in runs:
        piece = f"{', ' if text else ''}{first}{f'-{last}' if last > first else ''}"
        if len(text) + len(piece) > size:
            left = sum(end - start + 1 for start, end in runs if start >= first)
            return f"{text} and {left} more"
        text += piece
    return text


def describe_rows(rows: list[Json], total: int) -> str | None:
    """`3: load[0-2]`, or None for nothing; a state that not all share is named, and how many `rows` does not hold."""
    states = Counter(row.get("state") or "none" for row in rows)
    said = "" if len(states) == 1 and "up_for_retry" not in states else f" ({describe_counts(states)})"
    more = f"; {total - len(rows)} more were not looked at" if total > len(rows) else ""
    return f"{total}{said}: {name_instances(rows, _NAMES)}{more}" if total else None


def describe_errors(groups: list[ErrorGroup], budget: int, siblings: Mapping[str, str] | None = None) -> list[Json]:
    """Each error in a line with its task instances, the first cause first, within `budget` characters.

    Then as many excerpts of logs as there is room for. Of very many errors the lines are cut and the last are counted,
    so that the first cause keeps its excerpt.
    """
    first = next((_measure_cost(group.excerpt) for group in groups), 0)
    first = first if first <= budget // 2 else 0
    lines: list[Json] = []
    for size in (_LINE_SIZE, _SHORT_LINE_SIZE):
        lines = [group.describe(size, siblings or {}) for group in groups]
        if len(dumps(lines)) + first <= budget:
            break
    else:
        lines = take_fitting(lines, budget - first - _REST) or lines[:1]
        rest = groups[len(lines) :]
        tasks = name_instances((row for group in rest for row in group.instances), _NAMES)
        lines += [{"error": f"and {len(rest)} more errors", "tasks": tasks}] if rest else []
    budget -= len(dumps(lines))
    for line, group in zip(lines, groups, strict=False):
        budget -= _measure_cost(group.excerpt)
        if budget < 0:
            break
        line["log"] = group.excerpt
    return lines


def _measure_cost(excerpt: str) -> int:
    return len(dumps(excerpt)) + len('"log":,')


def describe_counts(states: Counter[str]) -> str:
    """`3 failed, 2 skipped`."""
    return ", ".join(f"{number} {state}" for state, number in states.most_common())
