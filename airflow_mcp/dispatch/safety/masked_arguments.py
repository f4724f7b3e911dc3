"""A call's arguments as they may be shown: to a human who is asked, in a preview, in the audit trail."""

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
    """Without the plan, without secrets and unseen characters; those of an unknown tool, or of a wrong kind, too.

    Only what fits into `limits` (by default 32,000 characters for the whole call) is made safe and shown, however
    much a
    caller sends. `within` counts the calls around it.
    """
    limits = limits or CharacterBudget(MOST_SHOWN)
    described = {use.name: use.table for use in tool.entry.params} if tool else {}
    ids = id_arguments(tool, catalog) if tool else frozenset[str]()
    inner = (
        arguments.get("arguments") if "tool" in arguments and within < MOST_WITHIN else None
    )  # of a call about another, or that is to run it
    masked: Json = {}
    for key, value in arguments.items():
        if key == "plan":
            continue
        if limits.remaining <= 0:
            limits.cut = True
            masked["…"] = "…"
            break
        name = key if key in described else redact_text(clean(take_excerpt(key, limits)))
        if inner is not None and key == "arguments":
            other = catalog.tools.get(named) if isinstance(named := arguments["tool"], str) else None
            masked[name] = (
                mask_call_arguments(other, inner, catalog, limits, within + 1) if isinstance(inner, dict) else MASK
            )
        elif _is_secret(described.get(key, key), catalog) and isinstance(value, str) and len(value) > limits.remaining:
            masked[name] = MASK
        else:
            masked[name] = _mask_value(key, take_excerpt(value, limits), described.get(key, key), catalog, ids)
    return masked


def _is_secret(described: str, catalog: Catalog) -> bool:
    parameter = catalog.parameters.get(described)
    return parameter is not None and parameter.secret


def _mask_value(name: str, value: Any, table: str, catalog: Catalog, ids: frozenset[str]) -> Any:
    if name in WORDS and isinstance(value, list):  # the entities of a bulk call have fields of the same names
        return [_mask_value(name, one, table, catalog, ids) for one in value]
    if name in WORDS and isinstance(value, dict):
        masked = redact(map_strings(value, clean))  # a field's own name tells too
        whole = {key: value[key] for key in masked if key in ids and key in value}
        return {key: _mask_value(key, item, key, catalog, ids) for key, item in (masked | whole).items()}
    if _is_secret(table, catalog) and value not in (None, "", {}, []):
        return mask_values(value)
    return redact(map_strings(value, show_id if name in ids else clean), name)


def apply_plan(tool: Tool, arguments: Json, plan: str) -> Json:
    """The arguments as meant: a call with a plan does what the plan's preview showed, whatever the default of dry_run.

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
    """The arguments as sent: with a note that names the caller where Airflow takes one."""
    notes = (use for use in tool.entry.params if use.table == "note")  # of a run; other notes are people's own
    if not any(use.since.has(version) for use in notes):
        return arguments
    signature = f"by {caller}, through airflow-mcp"
    note = arguments.get("note")
    return {**arguments, "note": f"{note} ({signature})" if note else signature}


def list_sent_arguments(tool: Tool, arguments: Json, caller: str, version: Version) -> Json:
    """All that a call sends, what it leaves to its defaults included, in the order of the tool's own arguments."""
    sent = tool.entry.default.select_values(version) | sign_arguments(tool, arguments, caller, version)
    names = [use.name for use in tool.entry.params]
    return {name: sent[name] for name in (*names, *sorted(sent.keys() - set(names))) if name in sent}
