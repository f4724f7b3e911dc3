"""Calls to make next: the one form, `next: [{tool, arguments, why}]`, in which an answer or an error advises a call.

Sentences name no tool. An advised call is data, so that it can be checked against the catalog, dropped where the
connected Airflow lacks it, and made by a client without changes.
"""

from __future__ import annotations

from typing import Any, cast

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.ids import write_ids
from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.catalog.schema import check_version
from airflow_mcp.catalog.versions import Version
from airflow_mcp.dispatch.answer.normalize import dumps
from airflow_mcp.dispatch.safety.masked_arguments import mask_call_arguments
from airflow_mcp.errors import NotSupportedError
from airflow_mcp.text import escape_in_sentence

_LONGEST = 1_500  # characters of an advised call's arguments


class NextCall(dict[str, Any]):
    """One call as JSON; its own class distinguishes it from Airflow's data under the same keys."""


def next_call(tool: str, why: str, /, **arguments: Any) -> NextCall:
    """Return an advised call without those arguments that are None.

    `why` continues the sentence after the call, as in "shows the traceback".
    """
    return NextCall(
        tool=tool,
        arguments={name: value for name, value in arguments.items() if value is not None},
        why=why,
    )


def is_repeatable(tool: Tool, arguments: Json, catalog: Catalog) -> bool:
    """Return whether an answer may repeat these arguments: short, without secrets or invisible characters."""
    plain = {name: value for name, value in arguments.items() if name != "plan"}
    return len(dumps(plain)) <= _LONGEST and mask_call_arguments(tool, plain, catalog) == write_ids(
        tool, plain, catalog
    )


def adapt(answer: Any, catalog: Catalog, version: Version | None, instance: str) -> Any:
    """Return the answer with those of its next calls that can be made.

    Left out are calls that this Airflow lacks, that would hold a secret or that are too long to repeat, and a list of
    calls that ends up empty. `instance` is the Airflow that a call must name, or empty where there is only one.
    """
    if isinstance(answer, dict):
        fields = cast(Json, answer)
        adapted = {key: adapt(value, catalog, version, instance) for key, value in fields.items()}
        return {key: value for key, value in adapted.items() if value != [] or fields[key] == []}
    if not isinstance(answer, list):
        return answer
    return [
        adapt(item, catalog, version, instance)
        if not isinstance(item, NextCall)
        else _addressed(item, catalog, instance)
        for item in cast("list[Any]", answer)
        if not isinstance(item, NextCall) or _can_be_made(item, catalog, version)
    ]


def _can_be_made(call: NextCall, catalog: Catalog, version: Version | None) -> bool:
    tool, arguments = catalog.tools[call["tool"]], call["arguments"]
    if not is_repeatable(tool, arguments, catalog):
        return False
    try:
        if version is not None:
            check_version(tool, arguments, catalog, version)
    except NotSupportedError:
        return False
    return True


def _addressed(call: NextCall, catalog: Catalog, instance: str) -> NextCall:
    tool = catalog.tools[call["tool"]]
    arguments = write_ids(tool, call["arguments"], catalog)
    call = NextCall(call, arguments=arguments, why=escape_in_sentence(call["why"]))
    if not instance or tool.entry.serverwide:
        return call
    if tool.entry.forwards:  # the instance is an argument of the tool that it runs
        inner: Json = {"instance": instance, **arguments.get("arguments", {})}
        return NextCall(call, arguments={**arguments, "arguments": inner})
    return NextCall(call, arguments={"instance": instance, **arguments})
