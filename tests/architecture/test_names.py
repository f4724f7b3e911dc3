"""One word for one thing: what the package calls its modules, classes, functions, parameters and variables."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "airflow_mcp"
# Participles, pronouns and adverbs, from which a reader infers no type; and words that once had several meanings here.
_WORDS = """
    told shown seen said found asked kept known named spelt held taken given sent left made begun looked signed bound
    one other others some more most less whole own ours theirs mine whose way far within along together apart front
    proof room asker door touched around elsewhere once here there then alike sometimes
"""
BANNED = frozenset(_WORDS.split())
# Banned names that are left, by room. A number may only fall: rename one, and lower it.
ALLOWED = {
    ".": 6,
    "airflow": 16,
    "catalog": 15,
    "cli": 1,
    "demo": 4,
    "dispatch": 22,
    "policy": 2,
    "redact": 2,
    "server": 12,
    "settings": 4,
    "task_logs": 38,
    "workflows": 23,
}


@cache
def trees() -> dict[str, ast.Module]:
    """Every module of the package by its path within it, but for the DAG files of the demo, which are examples."""
    files = (file for file in PACKAGE.rglob("*.py") if "dags" not in file.parts)
    return {file.relative_to(PACKAGE).as_posix(): ast.parse(file.read_text()) for file in sorted(files)}


def room_of(path: str) -> str:
    """The first folder of a module; "." for one of the package's root."""
    return path.split("/")[0] if "/" in path else "."


def is_banned(name: str) -> bool:
    """Whether a name is one of the banned words, alone or at an end: `told`, `runs_told`, or a noun "of" nothing."""
    words = name.strip("_").lower().split("_")
    if words[0] in ("is", "has", "can", "may") or name == "connection_made":  # a question; and asyncio's own word
        return False
    return bool(BANNED.intersection((name.strip("_").lower(), words[-1]))) or words[-1] == "of"


def defined_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Names with their lines: functions, classes, parameters, attributes, and variables that live over three lines."""
    scopes: list[ast.AST] = [tree]
    while scopes:
        scope = scopes.pop()
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        queue = list(ast.iter_child_nodes(scope))
        while queue:
            node = queue.pop()
            if isinstance(node, ast.Name):
                last[node.id] = max(node.lineno, last.get(node.id, 0))
                if isinstance(node.ctx, ast.Store):
                    first[node.id] = min(node.lineno, first.get(node.id, node.lineno))
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                yield node.attr, node.lineno
            elif isinstance(node, ast.arg):
                yield node.arg, node.lineno
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield node.name, node.lineno
                scopes.append(node)
            else:
                queue += ast.iter_child_nodes(node)
        is_local = isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from ((name, line) for name, line in first.items() if not is_local or last[name] - line > 3)


def banned_names() -> dict[str, list[str]]:
    """By room, what stands where under a banned name."""
    lines: dict[str, list[str]] = defaultdict(list)
    for path, tree in trees().items():
        if is_banned(Path(path).stem):
            lines[room_of(path)].append(path)
        lines[room_of(path)] += [f"{path}:{line} {name}" for name, line in defined_names(tree) if is_banned(name)]
    return lines


def test_each_class_name_is_defined_once() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path)
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_no_two_modules_share_a_stem() -> None:
    stems = Counter(Path(path).stem for path in trees())
    assert [stem for stem, count in stems.items() if count > 1 and stem not in ("__init__", "__main__")] == []


def test_no_function_or_class_has_a_banned_name() -> None:
    definitions = [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and is_banned(node.name)
    ]
    assert definitions == []


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_banned_names_only_become_fewer(room: str) -> None:
    lines = banned_names().get(room, [])
    assert len(lines) <= ALLOWED[room], "\n".join(["Names from which a reader infers nothing:", *lines])
    assert len(lines) == ALLOWED[room], f"{room} has {len(lines)} of them now: lower its number to that."


def test_every_room_has_an_allowance() -> None:
    assert sorted(room for room, lines in banned_names().items() if lines) == sorted(r for r, n in ALLOWED.items() if n)
