"""MCP resources, which a person attaches to a conversation: each is read by a call of one tool.

Ids in a URI are percent-encoded, each as one segment; the dispatcher quotes them for Airflow, and policy decides on
them. Templates are matched here, not by the SDK's decorator, which builds a model of each function at every start and
refuses ids such as `c:1` because they look like paths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, UnexpectedResourceError
from mcp.shared.uri_template import UriTemplate
from mcp.types import ResourceTemplate

from airflow_mcp.dispatch.answer.render import dumps
from airflow_mcp.dispatch.dispatcher import describe_error
from airflow_mcp.errors import AirflowMcpError, NotFoundError

if TYPE_CHECKING:
    from airflow_mcp.catalog.grammar import Json
    from airflow_mcp.dispatch.caller import Caller
    from airflow_mcp.dispatch.registry.instances import Instances

_JSON, _PYTHON = "application/json", "text/x-python"
_LOG_SIZE = 8_000  # characters: a person who attaches a log wants more of it than a model that calls the tool
_NUMBERS = ("map_index", "try_number")
_DAG = "airflow://{instance}/dags/{dag_id}"
_RUN = f"{_DAG}/runs/{{dag_run_id}}"


@dataclass(frozen=True)
class ResourceKind:
    """One kind of resource: its URI template, the tool that reads it, and its title and description."""

    uri: str
    tool: str
    title: str
    about: str
    mime_type: str = _JSON


KINDS = {
    "dag": ResourceKind(_DAG, "get_dag_overview", "Overview of a DAG", "Schedule, outcomes, params, tasks, assets."),
    "source": ResourceKind(f"{_DAG}/source", "get_dag_source", "Source of a DAG", "The Python file of a DAG.", _PYTHON),
    "run": ResourceKind(_RUN, "get_dag_run", "DAG run", "One run: state, dates, conf, note."),
    "log": ResourceKind(
        f"{_RUN}/tasks/{{task_id}}/log{{?map_index,try_number}}",
        "read_task_log",
        "Log of a task",
        "The decisive error of a task's log, and its end.",
    ),
}


_MATCHERS = {name: UriTemplate.parse(kind.uri) for name, kind in KINDS.items()}


class Resources:
    """Lists and reads the resources of the connected Airflows."""

    def __init__(self, instances: Instances) -> None:
        self._instances = instances

    def list_templates(self, caller: Caller) -> list[ResourceTemplate]:
        """Return the templates whose tool the caller may use."""
        return [
            ResourceTemplate(
                uri_template=kind.uri, name=name, title=kind.title, description=kind.about, mime_type=kind.mime_type
            )
            for name, kind in KINDS.items()
            if self._instances.offers(kind.tool, caller)
        ]

    async def read(self, uri: str, caller: Caller) -> tuple[str, str]:
        """Return the text and the MIME type of a resource.

        Raises ResourceNotFoundError when it does not exist, UnexpectedResourceError, which hides its cause, for a
        crash, and ResourceError with the tool's sentence for every other error.
        """
        for name, matcher in _MATCHERS.items():
            if (variables := matcher.match(uri)) is not None:
                ids = {key: str(value) for key, value in variables.items()}
                try:
                    return await self._read_text(name, ids.pop("instance"), ids, caller), KINDS[name].mime_type
                except NotFoundError as error:
                    raise ResourceNotFoundError(describe_error(error)) from None
                except AirflowMcpError as error:
                    raise ResourceError(describe_error(error)) from None
                except ResourceError:
                    raise
                except Exception as error:
                    raise UnexpectedResourceError(f"Error reading resource {uri}") from error
        uris = ", ".join(kind.uri for kind in KINDS.values())
        raise ResourceNotFoundError(f"Unknown resource: {uri[:200]}. There are {uris}.")

    async def _read_text(self, name: str, instance: str, ids: dict[str, str], caller: Caller) -> str:
        dispatchers = self._instances.dispatchers
        if instance not in dispatchers:
            raise ResourceNotFoundError(
                f"There is no Airflow {instance[:60]!r} here; it is one of {', '.join(dispatchers)}."
            )
        arguments: Json = {key: _parse_number(value) if key in _NUMBERS else value for key, value in ids.items()}
        if len(dispatchers) > 1:
            arguments["instance"] = instance
        if name == "source":
            ceiling = dispatchers[instance].ceiling
            answer = await self._instances.call(KINDS[name].tool, arguments | {"max_chars": ceiling}, caller)
            left_out = (answer.get("left_out") or {}).get("content")
            notice = (
                f"\n# {left_out} characters are left out: the operator's ceiling is {ceiling}.\n" if left_out else ""
            )
            return f"{answer.get('content') or ''}{notice}"
        size = {"max_chars": _LOG_SIZE} if name == "log" else {}
        return dumps(await self._instances.call(KINDS[name].tool, arguments | size, caller))


def _parse_number(text: str) -> int | str:
    """Return the text as an integer, or unchanged where it is none: the dispatcher refuses it in a sentence."""
    return int(text) if text.isascii() and text.lstrip("-").isdecimal() else text
