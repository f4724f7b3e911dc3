"""Read tool_manifests/ once, and refuse what the grammar does not know, naming file and key."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from airflow_mcp.catalog.effect_checks import CLASSES, check_conditions, check_effects
from airflow_mcp.catalog.grammar import Entry, Parameter, Record, Toolsets
from airflow_mcp.catalog.manifest_errors import describe_validation_error
from airflow_mcp.catalog.references import check_default, check_entries, check_parameters
from airflow_mcp.errors import ManifestError, UnknownToolError

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

Model = TypeVar("Model", bound=BaseModel)
_PACKAGE = Path(__file__).parents[1]
_SHARED = ("parameters.toml", "records.toml", "toolsets.toml")


@dataclass(frozen=True)
class Tool:
    """A manifest entry with its name and the toolset (its file's name) it belongs to."""

    name: str
    toolset: str
    entry: Entry
    forwarded_tools: tuple[Tool, ...] = field(
        default=(), compare=False, repr=False
    )  # what it may run, if it `forwards`
    effect_tools: dict[str, Tool] = field(default_factory=dict[str, "Tool"], compare=False, repr=False)  # see `effects`

    @property
    def effects(self) -> tuple[Tool, ...]:
        """The tools by which its effects are named, in the manifest's order; of a read, itself."""
        named = dict.fromkeys(use.name for use in self.entry.effects) or {self.name: None}
        return tuple(self.effect_tools.get(name, self) for name in named)

    @property
    def is_vehicle(self) -> bool:
        """Whether it changes something and is only another way to what other tools do."""
        return bool(self.entry.effects) and not self.entry.part_of and self.name not in {t.name for t in self.effects}


@dataclass(frozen=True)
class Catalog:
    """Everything that exists."""

    operations: dict[str, Tool]  # tools, and requests that only workflows make
    parameters: dict[str, Parameter]
    records: dict[str, Record]
    default: frozenset[str]  # toolsets and tools that are listed unless the operator says otherwise
    synonyms: dict[str, str]  # a word of the manifests -> what people say instead

    @cached_property
    def tools(self) -> dict[str, Tool]:
        """What a caller may name."""
        return {name: tool for name, tool in self.operations.items() if not tool.entry.part_of}

    @cached_property
    def validators(self) -> dict[str, Draft202012Validator]:
        """By tool, what checks its arguments; `schema.py` makes one when a tool is first called."""
        return {}

    @cached_property
    def toolsets(self) -> frozenset[str]:
        """Names AIRFLOW_MCP_TOOLSETS may hold."""
        return frozenset(tool.toolset for tool in self.tools.values())

    def find_near_tools(self, name: str) -> list[str]:
        """Up to three tool names that look like this one."""
        return difflib.get_close_matches(name, self.tools, n=3, cutoff=0.6)


def build_unknown_tool_error(name: str, catalog: Catalog) -> UnknownToolError:
    """The error for a name that no tool has, with the names that look like it."""
    near = catalog.find_near_tools(name)
    return UnknownToolError(f"Unknown tool: {name[:80]}." + (f" Did you mean {' or '.join(near)}?" if near else ""))


def find_manifest_folder() -> Path:
    """The folder of manifests: inside the package in a wheel, beside it in a checkout. Raises ManifestError."""
    for folder in (_PACKAGE / "tool_manifests", _PACKAGE.parent / "tool_manifests"):
        if folder.is_dir():
            return folder
    raise ManifestError("tool_manifests/ is missing: reinstall airflow-mcp, this installation is incomplete.")


@cache
def load_catalog(folder: Path | None = None) -> Catalog:
    """Read every manifest. Raises ManifestError, which names the file and the key that is wrong."""
    folder = folder or find_manifest_folder()
    files = {path.name: _read(path) for path in sorted(folder.glob("*.toml"))}
    if missing := [name for name in _SHARED if name not in files]:
        raise ManifestError(f"{folder}: {', '.join(missing)} is missing.")
    synonyms = _read_synonyms(files.pop("synonyms.toml", {}))
    parameters = _parse(Parameter, "parameters.toml", files["parameters.toml"])
    for name in [name for name in parameters if name.endswith(".range")]:
        parameters.update(_split_range(name.removesuffix(".range"), parameters.pop(name)))
    operations: dict[str, Tool] = {}
    for file, tables in files.items():
        if file in _SHARED:
            continue
        toolset = file.removesuffix(".toml")
        for name, entry in _parse(Entry, file, tables).items():
            if name in operations:
                raise ManifestError(f"{file}: [{name}] is already in {operations[name].toolset}.toml.")
            operations[name] = Tool(name, toolset, entry)
    records = _parse(Record, "records.toml", files["records.toml"])
    operations = _add_effects(operations)
    operations |= _find_forwarders(operations)
    default = frozenset(_parse(Toolsets, "toolsets.toml", {"": files["toolsets.toml"]})[""].default)
    catalog = Catalog(operations, parameters, records, default, synonyms)
    _check_references(catalog)
    return catalog


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(f"{path.name}: {error}.") from None
    except UnicodeDecodeError:
        raise ManifestError(f"{path.name}: it is not UTF-8.") from None


def _parse(model: type[Model], file: str, tables: dict[str, Any]) -> dict[str, Model]:
    parsed: dict[str, Model] = {}
    for name, table in tables.items():
        try:
            parsed[name] = model.model_validate(table)
        except ValidationError as error:
            where = f"{file}: [{name}]" if name else f"{file}:"
            raise ManifestError(f"{where} {describe_validation_error(error, model)}") from None
    return parsed


def _read_synonyms(table: dict[str, Any]) -> dict[str, str]:
    if wrong := [word for word, said in table.items() if not isinstance(said, str)]:
        raise ManifestError(f"synonyms.toml: {', '.join(wrong)}: what people say must be words in one string.")
    return table


def _add_effects(operations: dict[str, Tool]) -> dict[str, Tool]:
    """The tools with those by which their effects are named. Raises ManifestError for wrong `effects` and `kinds`."""
    entries = {name: tool.entry for name, tool in operations.items()}
    for name, tool in operations.items():
        check_effects(name, f"{tool.toolset}.toml", tool.entry, entries)
    named = {name: {use.name for use in entry.effects} - {name} for name, entry in entries.items()}
    return {
        name: replace(tool, effect_tools={other: operations[other] for other in named[name]})
        for name, tool in operations.items()
    }


def _find_forwarders(operations: dict[str, Tool]) -> dict[str, Tool]:
    """The tools that run others, each with what it may run."""
    own = [tool for tool in operations.values() if not tool.entry.forwards and not tool.entry.part_of]
    kinds = {
        kind: tuple(tool for tool in own if (tool.entry.access == "read") is (kind == "reads"))
        for kind in ("reads", "changes")
    }
    return {
        name: replace(tool, forwarded_tools=kinds[tool.entry.forwards])
        for name, tool in operations.items()
        if tool.entry.forwards
    }


def _split_range(name: str, ranged: Parameter) -> dict[str, Parameter]:
    """`[start_date.range]` describes start_date_gte and start_date_lte at once."""
    words = {"gte": "from this on", "lte": "up to this"}
    return {
        f"{name}_{bound}": ranged.model_copy(
            update={"about": f"{ranged.about}, {word}", "v1": f"{ranged.v1}_{bound}" if ranged.v1 else None}
        )
        for bound, word in words.items()
    }


def _check_references(catalog: Catalog) -> None:
    check_entries(catalog)
    check_parameters(catalog)
    check_default(catalog)
    for tool in catalog.operations.values():
        entry = tool.entry
        check_conditions(tool.name, f"{tool.toolset}.toml", entry, catalog.parameters)
        for name in entry.steps:
            if CLASSES.index(catalog.operations[name].entry.access) > CLASSES.index(entry.access):
                raise ManifestError(
                    f"{tool.toolset}.toml: [{tool.name}] access: its step {name} is "
                    f"{catalog.operations[name].entry.access}, so it cannot be {entry.access}."
                )
