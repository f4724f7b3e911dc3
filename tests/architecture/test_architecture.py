"""The rooms of airflow_mcp know only the rooms below them, and each outside library lives in one of them.

Read from the source with `ast`, so that imports inside functions and for type checkers count like any other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.redact import redact_text

PACKAGE = Path(__file__).parents[2] / "airflow_mcp"
DAGS = PACKAGE / "demo" / "dags"  # samples for an Airflow to load, not modules of ours

# A room knows those in the lines below its own, and none in its own line.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"__main__"}),
    frozenset({"cli"}),
    frozenset({"server", "demo", "settings"}),
    frozenset({"workflows"}),
    frozenset({"dispatch"}),
    frozenset({"policy", "airflow"}),
    frozenset({"catalog", "task_logs"}),
    frozenset({"value_excerpt"}),
    frozenset({"redact"}),
    frozenset(
        {
            "addresses",
            "errors",
            "near_names",
            "observer",
            "time_slice",
            "fair_share",
            "text",
            "throttle",
            "http_tokens",
            "toml_lines",
        }
    ),
)
ONLY = {
    "settings": {"addresses", "errors", "http_tokens", "toml_lines"}
}  # rooms that know less than their layer allows
LIBRARIES = {  # library -> the rooms that may import it
    "boto3": {"airflow"},
    "botocore": {"airflow"},
    "google": {"airflow"},
    "httpx2": {"airflow"},
    "jwt": {"server"},
    "mcp": {"server", "demo"},
    "opentelemetry": {"airflow", "server"},
    "prometheus_client": {"server"},
    "redis": {"dispatch"},
    "spnego": {"airflow"},
    "starlette": {"server"},
    "uvicorn": {"server"},
}
LONGEST = 350  # lines of a module
LONGEST_WORKFLOW = 215


def modules() -> list[Path]:
    return sorted(file for file in PACKAGE.rglob("*.py") if DAGS not in file.parents)


def name_of(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    """Every imported dotted name, but settings that only a type checker reads: it is passed down as values."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
            if node.module == "airflow_mcp":
                yield from (f"airflow_mcp.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            yield from (name for name in imports(node) if not name.startswith("airflow_mcp.settings"))
        else:
            yield from imports(node)


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=name_of(file))


def may_know(room: str) -> set[str]:
    if room in ONLY:
        return ONLY[room]
    depth = next(number for number, layer in enumerate(LAYERS) if room in layer)
    return {known for layer in LAYERS[depth + 1 :] for known in layer}


@pytest.mark.parametrize("file", modules(), ids=name_of)
def test_a_module_imports_only_from_its_own_room_and_those_below(file: Path) -> None:
    room = room_of(file)
    if room == "__init__":
        assert not [name for name in imports(parse(file)) if name.startswith("airflow_mcp")]
        return
    allowed = may_know(room) | {room}
    for name in imports(parse(file)):
        assert not name.startswith("."), f"{name_of(file)} imports {name}: write the whole name."
        if name.startswith("airflow_mcp."):
            known = name.split(".")[1]
            assert known in allowed, f"{name_of(file)} imports {name}: {room} must not know {known}."


def test_every_module_is_in_a_room_that_has_its_layer() -> None:
    rooms = {room for layer in LAYERS for room in layer} | {"__init__"}
    assert {room_of(file) for file in modules()} <= rooms


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_outside_library_is_imported_in_its_rooms_only(library: str) -> None:
    users = {
        name_of(file): room_of(file)
        for file in modules()
        for name in imports(parse(file))
        if name.split(".")[0] == library
    }
    assert {file for file, room in users.items() if room not in LIBRARIES[library]} == set()


def test_the_demo_is_a_client_of_mcp_and_no_server() -> None:
    for file in (PACKAGE / "demo").glob("*.py"):
        assert not [name for name in imports(parse(file)) if name.startswith("mcp.server")]


@pytest.mark.parametrize("file", [*modules(), *sorted(DAGS.glob("*.py"))], ids=name_of)
def test_a_module_says_its_job_in_the_first_line_of_its_docstring(file: Path) -> None:
    lines = (ast.get_docstring(parse(file)) or "").splitlines()
    assert lines, f"{name_of(file)} has no docstring."
    assert lines[0].endswith((".", "?")), f"{name_of(file)}: {lines[0]!r} is not a whole sentence on one line."
    assert len(lines) == 1 or not lines[1], f"{name_of(file)}: a blank line is missing after the first."


@pytest.mark.parametrize("file", modules(), ids=name_of)
def test_a_module_is_short_enough_to_read_at_once(file: Path) -> None:
    length = len(file.read_text(encoding="utf-8").splitlines())
    assert length <= LONGEST, f"{name_of(file)} has {length} lines, {LONGEST} are allowed: it holds two jobs."


def sentences(tree: ast.AST) -> Iterator[str]:
    """The texts that are raised or returned, with a word in place of each value."""
    for outer in ast.walk(tree):
        if isinstance(outer, ast.Raise | ast.Return):
            for node in ast.walk(outer):
                if isinstance(node, ast.JoinedStr):
                    parts = (one.value if isinstance(one, ast.Constant) else "this" for one in node.values)
                    yield "".join(map(str, parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


@pytest.mark.parametrize("file", [file for file in modules() if room_of(file) != "redact"], ids=name_of)
def test_no_sentence_of_ours_looks_like_a_secret_to_our_own_redaction(file: Path) -> None:
    said = [sentence for sentence in sentences(parse(file)) if " " in sentence]
    assert [redact_text(sentence) for sentence in said] == said


def workflows() -> dict[str, Path]:
    """The module of each workflow: a file or a folder called like its tool."""
    files = [*(PACKAGE / "workflows").glob("*.py"), *(PACKAGE / "workflows").glob("*/__init__.py")]
    named = {file.parent.name if file.stem == "__init__" else file.stem: file for file in files}
    return {name: file for name, file in named.items() if name not in ("workflows", "shared")}


def test_a_workflow_module_has_at_most_two_hundred_lines() -> None:
    lengths = {name: len(file.read_text(encoding="utf-8").splitlines()) for name, file in workflows().items()}
    assert {name: length for name, length in lengths.items() if length > LONGEST_WORKFLOW} == {}


def test_a_workflow_reaches_airflow_through_its_context_only() -> None:
    for file in workflows().values():
        assert not [name for name in imports(parse(file)) if name.startswith("airflow_mcp.airflow")], name_of(file)


def test_every_python_entry_has_its_module_and_every_such_module_its_entry() -> None:
    entries = {tool.name for tool in load_catalog().operations.values() if tool.entry.python}
    assert entries == set(workflows())


def test_every_workflow_has_an_async_run() -> None:
    for file in workflows().values():
        functions = [node.name for node in parse(file).body if isinstance(node, ast.AsyncFunctionDef)]
        assert "run" in functions, f"{name_of(file)} has no async function `run`."
