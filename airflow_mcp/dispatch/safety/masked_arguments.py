"""A call's arguments as they may be shown: to a human for approval, in a preview, in the audit trail."""

from __future__ import annotations

from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.ids import MOST_WITHIN, id_arguments
from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.catalog.versions import Version
from airflow_mcp.dispatch.operations.bulk import WORDS
from airflow_mcp.errors import InvalidArgumentsError
from airflow_mcp.redact import MASK, mask_values, redact, redact_text
from airflow_mcp.text import clean, map_strings
from airflow_mcp.value_excerpt import CharacterBudget, show_id, take_excerpt

MOST_SHOWN = 32_000  # characters of one call's arguments


def mask_call_arguments(
    tool: Tool | None, arguments: Json, catalog: Catalog, limits: CharacterBudget | None = None, within: int = 0
) -> Json:
    """Return a call's arguments without the plan, secrets and invisible characters.

    An unknown tool's arguments, and those of a wrong type, are masked too. Only what fits into `limits` (by default
    32,000 characters for the whole call) is processed and shown, however much a caller sends. `within` counts the calls
    around this one.
    """
    limits = limits or CharacterBudget(MOST_SHOWN)
    tables = {use.name: use.table for use in tool.entry.params} if tool else {}
    ids = id_arguments(tool, catalog) if tool else frozenset[str]()
    # The arguments of the call that this one is about, or that it forwards.
    inner = arguments.get("arguments") if "tool" in arguments and within < MOST_WITHIN else None
    masked: Json = {}
    for key, value in arguments.items():
        if key == "plan":
            continue
        if limits.remaining <= 0:
            limits.cut = True
            masked["…"] = "…"
            break
        name = key if key in tables else redact_text(clean(take_excerpt(key, limits)))
        if inner is not None and key == "arguments":
            inner_tool = catalog.tools.get(inner_name) if isinstance(inner_name := arguments["tool"], str) else None
            masked[name] = (
                mask_call_arguments(inner_tool, inner, catalog, limits, within + 1) if isinstance(inner, dict) else MASK
            )
        elif _is_secret(tables.get(key, key), catalog) and isinstance(value, str) and len(value) > limits.remaining:
            masked[name] = MASK
        else:
            masked[name] = _mask_value(key, take_excerpt(value, limits), tables.get(key, key), catalog, ids)
    return masked


def _is_secret(described: str, catalog: Catalog) -> bool:
    parameter = catalog.parameters.get(described)
    return parameter is not None and parameter.secret


def _mask_value(name: str, value: Any, table: str, catalog: Catalog, ids: frozenset[str]) -> Any:
    if name in WORDS and isinstance(value, list):  # the entities of a bulk call have fields of the same names
        return [_mask_value(name, item, table, catalog, ids) for item in value]
    if name in WORDS and isinstance(value, dict):
        masked = redact(map_strings(value, clean))  # a field's own name may mark a secret too
        id_values = {key: value[key] for key in masked if key in ids and key in value}
        return {key: _mask_value(key, item, key, catalog, ids) for key, item in (masked | id_values).items()}
    if _is_secret(table, catalog) and value not in (None, "", {}, []):
        return mask_values(value)
    return redact(map_strings(value, show_id if name in ids else clean), name)


def apply_plan(tool: Tool, arguments: Json, plan: str) -> Json:
    """Return the arguments as meant: with a plan, dry_run is false whatever its default.

    Raises InvalidArgumentsError for a plan beside dry_run=true.
    """
    if not plan or tool.entry.preview != "flag":
        return arguments
    if arguments.get("dry_run"):
        raise InvalidArgumentsError(
            f"{tool.name}: dry_run=true only shows, and a plan is there to do it. Nothing was done, and the plan stays "
            "good: call with it and without dry_run."
        )
    return arguments | {"dry_run": False}


def sign_arguments(tool: Tool, arguments: Json, caller: str, version: Version) -> Json:
    """Return the arguments as sent, with a note that names the caller where Airflow takes one."""
    notes = (use for use in tool.entry.params if use.table == "note")  # of a run; other notes are written by people
    if not any(use.since.has(version) for use in notes):
        return arguments
    signature = f"by {caller}, through airflow-mcp"
    note = arguments.get("note")
    return {**arguments, "note": f"{note} ({signature})" if note else signature}


def list_sent_arguments(tool: Tool, arguments: Json, caller: str, version: Version) -> Json:
    """Return everything that a call sends, defaults included, in the order of the tool's own arguments."""
    values = tool.entry.default.select_values(version) | sign_arguments(tool, arguments, caller, version)
    names = [use.name for use in tool.entry.params]
    return {name: values[name] for name in (*names, *sorted(values.keys() - set(names))) if name in values}
