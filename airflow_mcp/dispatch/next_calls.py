"""Calls to make next: the one shape, `next: [{tool, arguments, why}]`, in which an answer or an error advises a call.

Sentences name no tool. A call that is advised is data, so that it can be checked against the catalog, dropped where
the connected Airflow lacks it, and made by a client as it stands.
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

_LONGEST = 1_500  # characters of the arguments of a call that is advised


class NextCall(dict[str, Any]):
    """One call as JSON. A class of its own tells it from what Airflow answers under the same keys."""


def next_call(tool: str, why: str, /, **arguments: Any) -> NextCall:
    """Advise a call; `why` goes on where the call ends ("shows the traceback"), and arguments that are None are left
    out."""
    return NextCall(
        tool=tool,
        arguments={name: value for name, value in arguments.items() if value is not None},
        why=why,
    )


def is_repeatable(tool: Tool, arguments: Json, catalog: Catalog) -> bool:
    """Whether an answer may repeat these arguments: they hold no secret and nothing unseen, and are short."""
    plain = {name: value for name, value in arguments.items() if name != "plan"}
    return len(dumps(plain)) <= _LONGEST and mask_call_arguments(tool, plain, catalog) == write_ids(
        tool, plain, catalog
    )


def adapt(answer: Any, catalog: Catalog, version: Version | None, instance: str) -> Any:
    """The answer with the calls in it as they can be made: without those that this Airflow lacks, or that would hold
    a secret or be too long to repeat. A list of calls that ends up empty is left out.

    `instance` is the Airflow that a call must name, or empty where there is one alone.
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
    if tool.entry.forwards:  # which Airflow stands among the arguments of the tool that it runs
        inner: Json = {"instance": instance, **arguments.get("arguments", {})}
        return NextCall(call, arguments={**arguments, "arguments": inner})
    return NextCall(call, arguments={"instance": instance, **arguments})
