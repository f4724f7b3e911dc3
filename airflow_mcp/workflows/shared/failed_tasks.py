"""Group failed task instances: their order in the graph, which logs to read, and which share an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.answer.render import dumps, take_fitting
from airflow_mcp.task_logs import describe_differences
from airflow_mcp.text import shorten

_NAMES = 160  # characters of a list of task instances
_LINE_SIZE, _SHORT_LINE_SIZE = 300, 120  # characters of an error's line; the short one where many would not fit
_REST = 240  # characters of the line that stands for the errors left out
_GOLDEN = 0.6180339887  # steps of it fall evenly over a range and repeat no pattern in the data


@dataclass
class ErrorGroup:
    """Failed task instances with the same error."""

    what: str
    excerpt: str
    died: bool
    instances: list[Json] = field(default_factory=list[Json])  # task_id, map_index?, try_number
    # Of each instance the line that its log gives, which may differ in data.
    lines: list[str] = field(default_factory=list[str])
    # What was read, in words: the log's lines, how many the task printed, the tries.
    source: str = ""

    def name_instances(self, size: int) -> str:
        """Name the task instances, `load[0-2, 7], publish`, in at most `size` characters."""
        return name_instances(self.instances, size)

    def describe(self, size: int, siblings: Mapping[str, str]) -> Json:
        """Describe the error in a line of at most `size` characters, with its tasks and how their data differ.

        `siblings` has "6 of 8 succeeded" by mapped task.
        """
        tasks = dict.fromkeys(row["task_id"] for row in self.instances)
        sibling_counts = "; ".join(
            f"{task}: {siblings[task]}" if len(tasks) > 1 else siblings[task] for task in tasks if task in siblings
        )
        line: Json = {
            "error": shorten(self.what, size),
            "tasks": f"{len(self.instances)}: {self.name_instances(_NAMES)}",
        }
        line["tasks"] += f" ({sibling_counts})" if sibling_counts else ""
        if differences := describe_differences(self.lines):
            line["differ_in"] = shorten(differences, _NAMES)
        if self.source and size == _LINE_SIZE:
            line["looked_at"] = self.source
        return line


def order_by_graph(rows: list[Json], downstream: dict[str, list[str]]) -> list[list[Json]]:
    """Group the failed rows by task: tasks without a failed task upstream first, then by when they ended."""
    tasks: dict[str, list[Json]] = {}
    for row in rows:
        tasks.setdefault(row["task_id"], []).append(row)
    depth = _count_upstream(list(tasks), downstream)

    def ended(task: str) -> str:
        return min((str(row.get("end_date") or "~") for row in tasks[task]), default="~")

    return [tasks[task] for task in sorted(tasks, key=lambda task: (depth[task], ended(task), task))]


def _count_upstream(tasks: list[str], downstream: dict[str, list[str]]) -> dict[str, int]:
    """Count how many of these tasks are upstream of each of them in the graph.

    The graph is walked once, in topological order, with the tasks upstream of each as the bits of a number. Tasks in a
    cycle, which Airflow does not allow, count as far as they are reached.
    """
    upstream_counts = Counter(successor for ends in downstream.values() for successor in ends)
    bits = {task: 1 << number for number, task in enumerate(tasks)}
    upstream_bits: dict[str, int] = dict.fromkeys(tasks, 0)
    ready_tasks = [task for task in {**downstream, **bits} if not upstream_counts[task]]
    while ready_tasks:
        task = ready_tasks.pop()
        passed_bits = upstream_bits.get(task, 0) | bits.get(task, 0)
        for successor in downstream.get(task, ()):
            upstream_bits[successor] = upstream_bits.get(successor, 0) | passed_bits
            upstream_counts[successor] -= 1
            if not upstream_counts[successor]:
                ready_tasks.append(successor)
    return {task: upstream_bits[task].bit_count() for task in tasks}


def order_reads(rows: list[Json]) -> list[Json]:
    """Order the rows of one task for reading their logs, so that errors that repeat with the map index are met.

    The first and the last by map index come first, then others at irregular distances.
    """
    ordered_rows = sorted(rows, key=lambda row: row.get("map_index") or 0)
    chosen_positions = dict.fromkeys([0, len(ordered_rows) - 1] if ordered_rows else [])
    for step in range(1, len(ordered_rows)):
        chosen_positions.setdefault(int(step * _GOLDEN % 1 * len(ordered_rows)))
    chosen_positions |= dict.fromkeys(
        position for position in range(len(ordered_rows)) if position not in chosen_positions
    )
    return [ordered_rows[position] for position in chosen_positions]


def name_instances(rows: Iterable[Json], size: int) -> str:
    """Name task instances, `load[0-2, 7], publish`, in about `size` characters with the number of those left out."""
    tasks: dict[str, list[int]] = {}
    rendered_names: dict[str, dict[int, str]] = {}
    for row in rows:
        indexes = tasks.setdefault(row["task_id"], [])
        if row.get("map_index") is not None:
            indexes.append(row["map_index"])
            if name := read_rendered_name(row):
                rendered_names.setdefault(row["task_id"], {})[row["map_index"]] = name
    parts: list[str] = []
    remaining_size = size
    for number, (task, indexes) in enumerate(tasks.items()):
        indexes_size = max(remaining_size - len(task) - 2, 12)
        text = f"{task}[{_format_indexes(indexes, rendered_names.get(task, {}), indexes_size)}]" if indexes else task
        if parts and len(text) > remaining_size:
            rest_count = len(tasks) - number
            return f"{', '.join(parts)} and {rest_count} more task{'s' if rest_count > 1 else ''}"
        parts.append(text)
        remaining_size -= len(text) + 2
    return ", ".join(parts)


def read_rendered_name(row: Json) -> str:
    """Return the name that `map_index_template` gives a mapped instance; empty where it is only its index."""
    name = str(row.get("rendered_map_index") or "")
    return "" if name == str(row.get("map_index")) else name


def _format_indexes(numbers: list[int], rendered: Mapping[int, str], size: int) -> str:
    """Format indexes with their rendered names where they fit, "1 eu/west, 5 ap", else as ranges."""
    if rendered:
        text = ", ".join(f"{number} {rendered.get(number, '')}".strip() for number in sorted(set(numbers)))
        if len(text) <= size:
            return text
    return format_ranges(numbers, size)


def format_ranges(numbers: Iterable[int], size: int) -> str:
    """Format [0, 1, 2, 7] as "0-2, 7", cut to `size` characters with the number of those left out."""
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
            rest_count = sum(end - start + 1 for start, end in runs if start >= first)
            return f"{text} and {rest_count} more"
        text += piece
    return text


def describe_rows(rows: list[Json], total: int) -> str | None:
    """Describe rows as `3: load[0-2]`, or None for no row.

    States are counted unless all rows share one other than up_for_retry; of rows beyond `rows` the number is given.
    """
    states = Counter(row.get("state") or "none" for row in rows)
    state_text = "" if len(states) == 1 and "up_for_retry" not in states else f" ({describe_counts(states)})"
    rest = f"; {total - len(rows)} more were not looked at" if total > len(rows) else ""
    return f"{total}{state_text}: {name_instances(rows, _NAMES)}{rest}" if total else None


def describe_errors(groups: list[ErrorGroup], budget: int, siblings: Mapping[str, str] | None = None) -> list[Json]:
    """Describe each error in a line with its task instances, the first cause first, within `budget` characters.

    As many excerpts of logs follow as fit. Of very many errors the lines are cut and the last are counted,
    so that the first cause keeps its excerpt.
    """
    first_cost = next((_measure_cost(group.excerpt) for group in groups), 0)
    first_cost = first_cost if first_cost <= budget // 2 else 0
    lines: list[Json] = []
    for size in (_LINE_SIZE, _SHORT_LINE_SIZE):
        lines = [group.describe(size, siblings or {}) for group in groups]
        if len(dumps(lines)) + first_cost <= budget:
            break
    else:
        lines = take_fitting(lines, budget - first_cost - _REST) or lines[:1]
        rest_groups = groups[len(lines) :]
        tasks = name_instances((row for group in rest_groups for row in group.instances), _NAMES)
        lines += [{"error": f"and {len(rest_groups)} more errors", "tasks": tasks}] if rest_groups else []
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
    """Describe counts by state: `3 failed, 2 skipped`."""
    return ", ".join(f"{number} {state}" for state, number in states.most_common())
