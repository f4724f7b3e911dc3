"""Pure: operation + arguments -> request, and response -> value or error. The only place that quotes ids."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from airflow_mcp.airflow.error_detail import extract_detail
from airflow_mcp.airflow.json_body import parse_json
from airflow_mcp.catalog.grammar import Parameter
from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.catalog.versions import Generation, Version
from airflow_mcp.errors import (
    AirflowError,
    AirflowMcpError,
    ForbiddenError,
    InvalidArgumentsError,
    NotFoundError,
    NotSupportedError,
    UnusableAnswerError,
)
from airflow_mcp.text import shorten
from airflow_mcp.value_excerpt import excerpt_text

_OPTIONAL_SEGMENT = re.compile(r"\[/\{(\w+)\}\]")
_SLOT = re.compile(r"\{(\w+)\}")
_REFUSALS = frozenset({400, 401, 403, 404, 405, 409, 413, 415, 422})  # statuses of requests that were refused


@dataclass(frozen=True)
class Request:
    """One HTTP request to Airflow. `path` follows the base URL and is fully quoted."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: dict[str, Any] | None
    accept: str
    repeatable: bool  # safe to send again when no answer came (RFC 9110, 9.2.2: reads)
    headers: tuple[tuple[str, str], ...] = ()
    route: str = ""  # the path with names in place of ids, for metrics and traces
    version: Version | None = None  # that the request was built for; None where it suits every version


def build(
    tool: Tool, arguments: dict[str, Any], catalog: Catalog, version: Version, full_body: dict[str, Any] | None = None
) -> Request:
    """Build the request of one call; its arguments must all have a place in this version's route.

    `full_body` is a body made elsewhere, in Airflow's words; the arguments are then the path's and the query's. Raises
    NotSupportedError without a route in this generation, InvalidArgumentsError for an id that cannot be sent.
    """
    entry, generation = tool.entry, version.generation
    route = entry.route(generation)
    if route is None:
        raise NotSupportedError(f"{tool.name} needs {entry.since}; this is Airflow {version}.")
    local_names = {use.name for use in entry.params if not use.since.has(version)}
    call_values = entry.default.select_values(version) | arguments
    values = {
        name: value for name, value in call_values.items() if name not in local_names
    } | entry.const.select_values(version)
    tables = {use.name: use.table for use in entry.params}
    path, path_names = _fill(route.path, values, tables, catalog, generation)
    query: list[tuple[str, str]] = []
    headers: list[tuple[str, str]] = []
    body: dict[str, Any] = {}
    for name, value in values.items():
        if name in path_names or (value is None and generation == "v1"):
            continue
        parameter = catalog.parameters.get(tables.get(name, name), Parameter())
        wire_name = entry.alias.get(name) or parameter.wire_name(name, generation)
        place = parameter.place or ("query" if route.method in ("GET", "DELETE") else "body")
        value = write_value(value, parameter, generation, in_body=place == "body")
        if place == "query":
            if generation in parameter.comma and isinstance(value, list) and any("," in str(item) for item in value):
                # Airflow would read two names from it, while policy has decided about one.
                raise InvalidArgumentsError(f"{name} must not hold a comma: Airflow {version} parts a list by it.")
            query += [(wire_name, text) for text in _query_values(value, generation in parameter.comma)]
        elif place == "header":
            if not (str(value).isascii() and str(value).isprintable()):
                raise InvalidArgumentsError(f"{name} must be the text as it was given: plain ASCII on one line.")
            headers.append((wire_name, str(value)))
        else:
            body[wire_name] = value
    base = "" if route.is_auth_manager_route else f"/api/{generation}"
    return Request(
        method=route.method,
        path=f"{base}{path}",
        query=tuple(query),
        body=(body | (full_body or {}) or None) if route.method in ("POST", "PATCH", "PUT") else None,
        accept=entry.accept.get(generation, "application/json"),
        repeatable=entry.access == "read",
        headers=tuple(headers),
        route=f"{base}{route.path}",
        version=version,
    )


def check_ids(tool: Tool, arguments: dict[str, Any], catalog: Catalog, generation: Generation) -> None:
    """Refuse ids that no step of a workflow could send, before the first step. Raises InvalidArgumentsError."""
    tables = {use.name: use.table for use in tool.entry.params}
    routes = (catalog.operations[name].entry.route(generation) for name in tool.entry.steps)
    for name in {slot for route in routes if route for slot in route.slots} & tables.keys() & arguments.keys():
        parameter = catalog.parameters[tables[name]]
        _quote(name, arguments[name], parameter, generation)


def quote_id(name: str, value: Any, *, slash: bool = False, uri: bool = False, merged: bool = False) -> str:
    """Quote one id as one path segment: everything but unreserved characters percent-encoded (RFC 3986, 2.3).

    Raises InvalidArgumentsError for what no segment can carry: empty, "." and "..", and "/" unless the route takes it
    (`slash`) or it is a `uri`. `merged` says whether the web server makes one of several slashes, and drops an outer
    one, as werkzeug does under Airflow 2 (it answers with a redirect to another id).
    """
    text = str(value)
    if text.strip("/") in ("", ".", ".."):
        raise InvalidArgumentsError(f"{name} must not be {text!r}." if text else f"{name} must not be empty.")
    if "/" in text and not slash and not uri:
        raise InvalidArgumentsError(f"{name} must not contain '/': Airflow's API cannot address {text[:80]!r}.")
    if any(part in (".", "..") for part in text.split("/")):
        raise InvalidArgumentsError(f"{name} {text[:80]!r} has a '.' or '..' part between its slashes.")
    if merged and slash and not all(text.split("/")):
        raise InvalidArgumentsError(
            f"{name} must not begin or end with '/' or hold '//': Airflow 2 reads {text[:80]!r} as another name."
        )
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise InvalidArgumentsError(f"{name} is not valid Unicode.") from None


def _quote(name: str, value: Any, parameter: Parameter, generation: Generation) -> str:
    slash = generation in parameter.slash
    return quote_id(name, value, slash=slash, uri=parameter.uri, merged=generation == "v1")


def _fill(
    path: str, values: dict[str, Any], described: dict[str, str], catalog: Catalog, generation: Generation
) -> tuple[str, set[str]]:
    path_names = set(_SLOT.findall(path))

    def optional(match: re.Match[str]) -> str:
        return "" if values.get(match[1]) in (None, -1) else f"/{{{match[1]}}}"

    def slot(match: re.Match[str]) -> str:
        parameter = catalog.parameters.get(described.get(match[1], match[1]), Parameter())
        return _quote(match[1], values[match[1]], parameter, generation)

    return _SLOT.sub(slot, _OPTIONAL_SEGMENT.sub(optional, path)), path_names


def write_value(value: Any, parameter: Parameter, generation: Generation, *, in_body: bool) -> Any:
    """Return a value as this generation spells it."""
    if generation == "v1" and parameter.values_v1 and isinstance(value, str):
        sign, name = ("-", value[1:]) if value.startswith("-") else ("", value)
        return sign + parameter.values_v1.get(name, name)
    if in_body and generation == "v2" and parameter.null is not None and isinstance(value, list):
        return [None if item == parameter.null else item for item in value]
    if generation in parameter.json_text and value is not None and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if parameter.each and isinstance(value, list):
        return [_nest_under(parameter.each, item) for item in value]
    return value


def _nest_under(key: str, item: Any) -> Any:
    """Nest texts: "Viewer" -> {"name": "Viewer"}; {"action": "can_read"} -> {"action": {"name": "can_read"}}."""
    if isinstance(item, dict):
        return {name: _nest_under(key, value) for name, value in item.items()}
    return {key: item}


def _query_values(value: Any, comma: bool) -> list[str]:
    if isinstance(value, list):
        texts = [str(item) for item in value]
        return [",".join(texts)] if comma else texts
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [] if value is None else [str(value)]


async def read(tool: Tool, status: int, content: bytes, *, location: str = "") -> Any:
    """Read the JSON value of a response (None for an empty one).

    Raises what `build_failure` returns for anything but 2xx, UnusableAnswerError for a body that is not JSON, and
    NotSupportedError where Airflow lacks FAB and answers with its login page.
    """
    if 200 <= status < 300:
        if not content or content.isspace():
            return None
        try:
            return await parse_json(content)
        except RecursionError:
            sentence = (
                f"Airflow answered {tool.name} with JSON that is nested too deeply to be read. Its UI may show it."
            )
            raise UnusableAnswerError(sentence, status) from None
        except ValueError:
            # Airflow 3 answers with its login page at any path of an auth manager that it lacks.
            if _is_of_fab(tool) and tool.entry.access == "read":
                raise _build_fab_error(tool.name) from None
            raise UnusableAnswerError(
                f"Airflow answered {tool.name} with something that is not JSON. Is AIRFLOW_MCP_URL the address of "
                "Airflow itself, and not of a login page or a proxy?",
                status,
            ) from None
    raise build_failure(tool, status, content, location=location)


def is_own_error(content: bytes) -> bool:
    """Return whether an error is in Airflow's own form, and not that of a proxy, a gateway or a login page.

    Airflow 3 answers `detail` (FastAPI), Airflow 2 an object with `title` and `type` (connexion, RFC 7807).
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return False
    if not isinstance(body, dict):
        return False
    return body.get("detail") is not None or {"title", "type"} <= body.keys()


def is_refusal(status: int, content: bytes) -> bool:
    """Return whether Airflow itself says that it did not do what was requested."""
    return status in _REFUSALS and is_own_error(content)


def build_failure(tool: Tool, status: int, content: bytes, *, location: str = "") -> AirflowMcpError:
    """Build the error for a response that is not 2xx, in words that say what to do next.

    For a change it is UnusableAnswerError unless Airflow itself refuses: only then is it certain that nothing happened.
    """
    name = tool.entry.part_of or tool.name
    detail = extract_detail(content)
    quotation = f" Airflow says: {detail.rstrip('.')}." if detail else ""
    if tool.entry.access != "read" and not is_refusal(status, content):
        return _build_unusable_error(name, status, quotation, location)
    if 300 <= status < 400:
        return build_redirect_error(status, location)
    match status:
        case 403:
            return ForbiddenError(
                f"Airflow refuses {name} to the user this server acts as (403).{quotation} Ask Airflow's administrator "
                "for that permission, or use another login.",
                status,
            )
        case 404 if _is_of_fab(tool) and extract_detail(content) in (
            "",
            "Not Found",
        ):  # FAB's own 404 names what is missing
            return _build_fab_error(name)
        case 405 if _is_of_fab(tool):
            return _build_fab_error(name)
        case 404 if content and not is_own_error(content):
            return AirflowError(
                f"What answers {name} with 404 is not Airflow itself, so it does not tell whether that exists. Is "
                "AIRFLOW_MCP_URL the address of Airflow, with its path prefix if it has one?",
                status,
            )
        case 404:
            error = NotFoundError(f"Airflow does not know it (404).{quotation}", status)
            error.is_own = bool(content)
            return error
        case 409:
            return AirflowError(f"{name} conflicts with what Airflow holds (409).{quotation}", status)
        case 400 | 422:
            return AirflowError(f"Airflow refuses these arguments of {name} ({status}).{quotation}", status)
        case 429:
            return AirflowError(f"Airflow asks to slow down (429).{quotation} Try again in a minute.", status)
        case _ if status >= 500:
            return AirflowError(
                f"Airflow failed to answer {name} ({status}).{quotation} If it fails again, the cause is in the log of "
                "Airflow's API server.",
                status,
            )
        case _:
            return AirflowError(f"Airflow answered {name} with status {status}.{quotation}", status)


def _build_unusable_error(name: str, status: int, detail: str, location: str) -> UnusableAnswerError:
    if 300 <= status < 400:
        return UnusableAnswerError(str(build_redirect_error(status, location)), status)
    if status == 429:
        return UnusableAnswerError(f"Airflow asks to slow down (429).{detail}", status)
    if status >= 500:
        return UnusableAnswerError(f"Airflow failed to answer {name} ({status}).{detail}", status)
    origin = "" if detail else " without words of Airflow's own, as a proxy does"
    return UnusableAnswerError(f"{name} was answered with status {status}{origin}.{detail}", status)


def _is_of_fab(tool: Tool) -> bool:
    return tool.entry.v2 is not None and tool.entry.v2.is_auth_manager_route


def _build_fab_error(name: str) -> NotSupportedError:
    return NotSupportedError(
        f"{name} needs the auth manager FAB, which alone keeps users, roles and permissions in Airflow; this Airflow "
        "has another one, or an older FAB without it."
    )


def build_redirect_error(status: int, location: str) -> AirflowError:
    """Build the error for a redirect, which could lead credentials anywhere."""
    place = shorten(excerpt_text(location, 120), 120) or "nowhere"
    return AirflowError(
        f"Airflow answered with a redirect to {place}, which is never followed. "
        "Set AIRFLOW_MCP_URL to the final address of Airflow.",
        status,
    )
