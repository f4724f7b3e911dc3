"""What is advised is data: `next_call` alone names a tool that a reader may call, and `why` names none that is not.

Read from the source with `ast`, so that the sentence of a case which no test plays is walked like any other.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.catalog.schema import build_input_schema
from airflow_mcp.server.app import write_instructions
from tests.architecture.test_architecture import PACKAGE, modules, name_of, parse
from tests.unit.advice import MENTION

CATALOG = load_catalog()
ROOMS = ("dispatch", "workflows", "airflow", "policy", "catalog")  # what they say reaches a model
DENIALS = re.compile(r"no tool here|own pages|by hand in the UI|no call (?:here )?does", re.IGNORECASE)
LOOKS_LIKE_A_TOOL = re.compile(
    r"(?<![\w.])(?:list|get|create|update|delete|clear|set|pause|unpause|trigger|bulk|read|answer|cancel)_[a-z_]+[a-z]"
    r"(?!\w)"
)


def room_files() -> list[Path]:
    return [file for file in modules() if file.relative_to(PACKAGE).parts[0] in ROOMS]


def sentences(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every text that is no docstring, with its line; values in it as "{}"."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | inside:
            yield node.lineno, node.value


def advised(tree: ast.AST) -> Iterator[ast.Call]:
    """Every call of next_call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "next_call":
            yield node


def reasons(tree: ast.AST) -> set[tuple[int, str]]:
    """The sentences that are the `why` of a call, which may name the tool that comes after it."""
    return {found for call in advised(tree) for found in sentences(call.args[1])}


@pytest.mark.parametrize("file", room_files(), ids=name_of)
def test_no_sentence_names_a_tool_but_the_one_that_it_is_about(file: Path) -> None:
    tree = parse(file)
    written = [
        f"{name_of(file)}:{line}: {text}"
        for line, text in sentences(tree)
        if (line, text) not in reasons(tree)
        for name in MENTION.findall(text)
        if text != name and not text.startswith(f"{name}: ")  # a name by itself is an identifier
    ]
    assert written == [], "Advise a call with next_call (dispatch/next_calls.py)."


@pytest.mark.parametrize("file", room_files(), ids=name_of)
def test_no_sentence_says_that_there_is_no_tool(file: Path) -> None:
    assert [text for _, text in sentences(parse(file)) if DENIALS.search(text)] == []


def test_every_call_that_is_advised_names_a_tool_and_arguments_that_exist() -> None:
    calls = [(file, call) for file in room_files() for call in advised(parse(file))]
    literal = [(file, call) for file, call in calls if isinstance(call.args[0], ast.Constant)]
    assert len(literal) > 40
    for file, call in literal:
        where = f"{name_of(file)}:{call.lineno}"
        name = ast.literal_eval(call.args[0])
        assert name in CATALOG.tools, f"{where}: there is no tool {name}"
        schema: Json = build_input_schema(CATALOG.tools[name], CATALOG)
        given = {keyword.arg for keyword in call.keywords if keyword.arg}
        assert given <= schema["properties"].keys(), where
        if all(keyword.arg for keyword in call.keywords):  # ** holds what a test that plays it must show
            assert set(schema.get("required", ())) <= given, where
        for _, why in sentences(call.args[1]):
            unknown = [one for one in LOOKS_LIKE_A_TOOL.findall(why) if one not in CATALOG.tools]
            assert unknown == [], where


def test_what_a_client_is_told_beside_answers_names_tools_that_exist() -> None:
    prompts = "\n".join(text for _, text in sentences(parse(PACKAGE / "server" / "prompts.py")))
    texts = {"instructions": write_instructions(CATALOG), "prompts": prompts}
    known = {*CATALOG.tools, *CATALOG.parameters}
    for name, text in texts.items():
        assert [one for one in LOOKS_LIKE_A_TOOL.findall(text) if one not in known] == [], name


def test_what_the_manifests_say_to_a_reader_names_tools_that_exist() -> None:
    texts = [text for tool in CATALOG.tools.values() for text in (tool.entry.summary, tool.entry.lost)]
    texts += [parameter.about for parameter in CATALOG.parameters.values()]
    known = {*CATALOG.tools, *CATALOG.parameters}
    assert [one for text in texts for one in LOOKS_LIKE_A_TOOL.findall(text) if one not in known] == []
