"""No key is a concatenation, and no argument of the callers' own can meet a parameter of ours by its name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.test_architecture import PACKAGE, modules, name_of, parse

# Names of environment variables are made of parts, and are no keys of ours.
POSITIONAL = ("catalog", "policy", "settings", "dispatch", "workflows")
ROOMS = ("airflow", "policy", "server", "dispatch", "workflows")


def is_joined(key: ast.expr) -> bool:
    """Whether several values make up this key, so that other values could make the same."""
    if isinstance(key, ast.JoinedStr):
        return sum(isinstance(part, ast.FormattedValue) for part in key.values) > 1
    if isinstance(key, ast.BinOp) and isinstance(key.op, ast.Add):
        parts = (key.left, key.right)
        return any(isinstance(one, ast.Subscript | ast.JoinedStr | ast.Call) or is_text(one) for one in parts)
    return isinstance(key, ast.Call) and isinstance(key.func, ast.Attribute) and key.func.attr == "join"


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def keys(tree: ast.AST) -> Iterator[ast.expr]:
    """Every expression that is looked up or stored by: in a subscript, a dictionary, a set, `get`, `in`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript):
            yield node.slice
        elif isinstance(node, ast.Dict):
            yield from filter(None, node.keys)
        elif isinstance(node, ast.DictComp):
            yield node.key
        elif isinstance(node, ast.SetComp):
            yield node.elt
        elif isinstance(node, ast.Set):
            yield from node.elts
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            if node.func.attr in ("get", "setdefault", "pop", "add"):
                yield node.args[0]
        elif isinstance(node, ast.Compare) and any(isinstance(one, ast.In | ast.NotIn) for one in node.ops):
            yield node.left


def joined(source: str) -> list[str]:
    return [ast.unparse(key) for key in keys(ast.parse(source)) if is_joined(key)]


def test_a_joined_key_is_seen() -> None:
    assert joined('ages = {run["a"] + run["b"]: 1 for run in runs}') == ["run['a'] + run['b']"]
    assert joined('seen.add(f"{dag_id}/{run_id}")') == ["f'{dag_id}/{run_id}'"]
    assert joined('found[".".join(pair)]') == ["'.'.join(pair)"]
    assert joined("lines[at + 1]; found[dag_id, run_id]; kinds[f'{name}_gte']") == []


@pytest.mark.parametrize("file", [one for one in modules() if one.relative_to(PACKAGE).parts[0] in ROOMS], ids=name_of)
def test_no_key_is_a_concatenation(file: Path) -> None:
    found = joined(file.read_text(encoding="utf-8"))
    assert found == [], "Two pairs of ids may make the same text: use a tuple."


# Outside these rooms keywords are a library's own.
@pytest.mark.parametrize(
    "file",
    [
        one
        for one in modules()
        if one.relative_to(PACKAGE).parts[0] in ("catalog", "policy", "settings", "dispatch", "workflows")
    ],
    ids=name_of,
)
def test_a_function_that_takes_any_keyword_has_no_parameter_that_one_could_meet(file: Path) -> None:
    for node in ast.walk(parse(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.args.kwarg:
            named = [one.arg for one in (*node.args.args, *node.args.kwonlyargs)]
            assert named == [], f"{node.name}: {', '.join(named)} must be positional-only (before /)"
