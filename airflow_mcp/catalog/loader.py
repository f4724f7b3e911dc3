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
    """A manifest entry with its name and its toolset, which is the name of its file."""

    name: str
    toolset: str
    entry: Entry
    forwarded_tools: tuple[Tool, ...] = field(
        default=(), compare=False, repr=False
    )  # the tools that it may run, if it `forwards`
    effect_tools: dict[str, Tool] = field(default_factory=dict[str, "Tool"], compare=False, repr=False)  # see `effects`

    @property
    def effects(self) -> tuple[Tool, ...]:
        """The tools that its effects are named after, in the manifest's order; for a read, the tool itself."""
        effect_names = dict.fromkeys(use.name for use in self.entry.effects) or {self.name: None}
        return tuple(self.effect_tools.get(name, self) for name in effect_names)

    @property
    def is_vehicle(self) -> bool:
        """Whether it changes something, but has no effect of its own: it only does what other tools do."""
        return bool(self.entry.effects) and not self.entry.part_of and self.name not in {t.name for t in self.effects}


@dataclass(frozen=True)
class Catalog:
    """Every tool, request, parameter and record of the manifests."""

    operations: dict[str, Tool]  # tools, and requests that only workflows make
    parameters: dict[str, Parameter]
    records: dict[str, Record]
    default: frozenset[str]  # toolsets and tools that are listed unless the operator says otherwise
    synonyms: dict[str, str]  # a word of the manifests -> what people say instead

    @cached_property
    def tools(self) -> dict[str, Tool]:
        """The tools that a caller may name."""
        return {name: tool for name, tool in self.operations.items() if not tool.entry.part_of}

    @cached_property
    def validators(self) -> dict[str, Draft202012Validator]:
        """The validator of each tool's arguments; `schema.py` makes one when a tool is first called."""
        return {}

    @cached_property
    def toolsets(self) -> frozenset[str]:
        """The names that AIRFLOW_MCP_TOOLSETS may hold."""
        return frozenset(tool.toolset for tool in self.tools.values())

    def find_near_tools(self, name: str) -> list[str]:
        """Return up to three tool names that look like this one."""
        return difflib.get_close_matches(name, self.tools, n=3, cutoff=0.6)


def build_unknown_tool_error(name: str, catalog: Catalog) -> UnknownToolError:
    """Build the error for a name that no tool has, with the tool names that look like it."""
    near_names = catalog.find_near_tools(name)
    return UnknownToolError(
        f"Unknown tool: {name[:80]}." + (f" Did you mean {' or '.join(near_names)}?" if near_names else "")
    )


def find_manifest_folder() -> Path:
    """Return the folder of manifests: inside the package in a wheel, beside it in a checkout. Raises ManifestError."""
    for folder in (_PACKAGE / "tool_manifests", _PACKAGE.parent / "tool_manifests"):
        if folder.is_dir():
            return folder
    raise ManifestError("tool_manifests/ is missing: reinstall airflow-mcp, this installation is incomplete.")


@cache
def load_catalog(folder: Path | None = None) -> Catalog:
    """Read every manifest. Raises ManifestError, which names the file and the wrong key."""
    folder = folder or find_manifest_folder()
    files = {path.name: _read(path) for path in sorted(folder.glob("*.toml"))}
    if missing_files := [name for name in _SHARED if name not in files]:
        raise ManifestError(f"{folder}: {', '.join(missing_files)} is missing.")
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
    models: dict[str, Model] = {}
    for name, table in tables.items():
        try:
            models[name] = model.model_validate(table)
        except ValidationError as error:
            where = f"{file}: [{name}]" if name else f"{file}:"
            raise ManifestError(f"{where} {describe_validation_error(error, model)}") from None
    return models


def _read_synonyms(table: dict[str, Any]) -> dict[str, str]:
    if wrong_words := [word for word, synonym in table.items() if not isinstance(synonym, str)]:
        raise ManifestError(f"synonyms.toml: {', '.join(wrong_words)}: what people say must be words in one string.")
    return table


def _add_effects(operations: dict[str, Tool]) -> dict[str, Tool]:
    """Return the operations with the tools that their effects name.

    Raises ManifestError for wrong `effects` or `kinds`.
    """
    entries = {name: tool.entry for name, tool in operations.items()}
    for name, tool in operations.items():
        check_effects(name, f"{tool.toolset}.toml", tool.entry, entries)
    effect_names = {name: {use.name for use in entry.effects} - {name} for name, entry in entries.items()}
    return {
        name: replace(tool, effect_tools={effect_name: operations[effect_name] for effect_name in effect_names[name]})
        for name, tool in operations.items()
    }


def _find_forwarders(operations: dict[str, Tool]) -> dict[str, Tool]:
    """Return the forwarding tools, each with the tools that it may run."""
    tools = [tool for tool in operations.values() if not tool.entry.forwards and not tool.entry.part_of]
    kinds = {
        kind: tuple(tool for tool in tools if (tool.entry.access == "read") is (kind == "reads"))
        for kind in ("reads", "changes")
    }
    return {
        name: replace(tool, forwarded_tools=kinds[tool.entry.forwards])
        for name, tool in operations.items()
        if tool.entry.forwards
    }


def _split_range(name: str, ranged: Parameter) -> dict[str, Parameter]:
    """Split `[start_date.range]` into the parameters start_date_gte and start_date_lte."""
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
