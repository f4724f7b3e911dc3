"""Pure: operation + arguments -> request, and response -> value or error. Every id is quoted here, once."""

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
_REFUSALS = frozenset({400, 401, 403, 404, 405, 409, 413, 415, 422})  # by which a request is refused, and not done


@dataclass(frozen=True)
class Request:
    """One HTTP request to Airflow. `path` starts behind the base URL and is fully quoted."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: dict[str, Any] | None
    accept: str
    repeatable: bool  # safe to send again when no answer came (RFC 9110, 9.2.2: reads)
    headers: tuple[tuple[str, str], ...] = ()
    route: str = ""  # the path with names in place of ids, for who counts and traces
    version: Version | None = None  # that this is a request of; None where it is one of every version


def build(
    tool: Tool, arguments: dict[str, Any], catalog: Catalog, version: Version, full_body: dict[str, Any] | None = None
) -> Request:
    """The request of one call. Arguments that this version's route has no place for must not be here.

    `full_body` is a body made elsewhere, in Airflow's words; the arguments are then the path's and the query's.
    Raises NotSupportedError without a route in this generation, InvalidArgumentsError for an id that cannot be sent.
    """
    entry, generation = tool.entry, version.generation
    route = entry.route(generation)
    if route is None:
        raise NotSupportedError(f"{tool.name} needs {entry.since}; this is Airflow {version}.")
    local = {use.name for use in entry.params if not use.since.has(version)}
    given = entry.default.select_values(version) | arguments
    values = {name: value for name, value in given.items() if name not in local} | entry.const.select_values(version)
    described = {use.name: use.table for use in entry.params}
    path, used = _fill(route.path, values, described, catalog, generation)
    query: list[tuple[str, str]] = []
    headers: list[tuple[str, str]] = []
    body: dict[str, Any] = {}
    for name, value in values.items():
        if name in used or (value is None and generation == "v1"):
            continue
        parameter = catalog.parameters.get(described.get(name, name), Parameter())
        wire_name = entry.alias.get(name) or parameter.wire_name(name, generation)
        place = parameter.place or ("query" if route.method in ("GET", "DELETE") else "body")
        value = write_value(value, parameter, generation, in_body=place == "body")
        if place == "query":
            if generation in parameter.comma and isinstance(value, list) and any("," in str(item) for item in value):
                # Airflow would read two names out of it, and policy has decided on one.
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
    """Refuse ids that no step of a workflow could send, before the first. Raises InvalidArgumentsError."""
    described = {use.name: use.table for use in tool.entry.params}
    routes = (catalog.operations[name].entry.route(generation) for name in tool.entry.steps)
    for name in {slot for route in routes if route for slot in route.slots} & described.keys() & arguments.keys():
        parameter = catalog.parameters[described[name]]
        _quote(name, arguments[name], parameter, generation)


def quote_id(name: str, value: Any, *, slash: bool = False, uri: bool = False, merged: bool = False) -> str:
    """One id as one path segment: everything but unreserved characters percent-encoded (RFC 3986, 2.3).

    Raises InvalidArgumentsError for what no segment can carry: empty, "." and "..", and "/" unless the route takes
    it (`slash`) or it is a `uri`. `merged` is whether the web server makes one of several slashes, and drops an outer
    one, as werkzeug does under Airflow 2 (answered with a redirect to another id).
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
    used = set(_SLOT.findall(path))

    def optional(match: re.Match[str]) -> str:
        return "" if values.get(match[1]) in (None, -1) else f"/{{{match[1]}}}"

    def slot(match: re.Match[str]) -> str:
        parameter = catalog.parameters.get(described.get(match[1], match[1]), Parameter())
        return _quote(match[1], values[match[1]], parameter, generation)

    return _SLOT.sub(slot, _OPTIONAL_SEGMENT.sub(optional, path)), used


def write_value(value: Any, parameter: Parameter, generation: Generation, *, in_body: bool) -> Any:
    """A value as this generation writes it."""
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
    """ "Viewer" -> {"name": "Viewer"}; {"action": "can_read"} -> {"action": {"name": "can_read"}}."""
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
    """The JSON value of a response (None for an empty one). Raises what `build_failure` gives for anything but 2xx."""
    if 200 <= status < 300:
        if not content or content.isspace():
            return None
        try:
            return await parse_json(content)
        except RecursionError:
            said = f"Airflow answered {tool.name} with JSON that is nested too deeply to be read. Its UI may show it."
            raise UnusableAnswerError(said, status) from None
        except ValueError:
            # Airflow 3 shows its login page at any path of an auth manager that it has not.
            if _is_of_fab(tool) and tool.entry.access == "read":
                raise _build_fab_error(tool.name) from None
            raise UnusableAnswerError(
                f"Airflow answered {tool.name} with something that is not JSON. Is AIRFLOW_MCP_URL the address of "
                "Airflow itself, and not of a login page or a proxy?",
                status,
            ) from None
    raise build_failure(tool, status, content, location=location)


def is_own_error(content: bytes) -> bool:
    """Whether an error is in Airflow's own form, and not that of a proxy, a gateway or a login page.

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
    """Whether Airflow itself says that it did not do what it was asked for."""
    return status in _REFUSALS and is_own_error(content)


def build_failure(tool: Tool, status: int, content: bytes, *, location: str = "") -> AirflowMcpError:
    """The error for a response that is not 2xx, in words that say what to do next.

    Of a change it is UnusableAnswerError unless Airflow itself refuses it: then nothing tells whether it happened.
    """
    name = tool.entry.part_of or tool.name
    detail = extract_detail(content)
    said = f" Airflow says: {detail.rstrip('.')}." if detail else ""
    if tool.entry.access != "read" and not is_refusal(status, content):
        return _build_unusable_error(name, status, said, location)
    if 300 <= status < 400:
        return build_redirect_error(status, location)
    match status:
        case 403:
            return ForbiddenError(
                f"Airflow refuses {name} to the user this server acts as (403).{said} Ask Airflow's administrator for "
                "that permission, or use another login.",
                status,
            )
        case 404 if _is_of_fab(tool) and extract_detail(content) in (
            "",
            "Not Found",
        ):  # FAB's own names what is missing
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
            missing = NotFoundError(f"Airflow does not know it (404).{said}", status)
            missing.is_own = bool(content)
            return missing
        case 409:
            return AirflowError(f"{name} conflicts with what Airflow holds (409).{said}", status)
        case 400 | 422:
            return AirflowError(f"Airflow refuses these arguments of {name} ({status}).{said}", status)
        case 429:
            return AirflowError(f"Airflow asks to slow down (429).{said} Try again in a minute.", status)
        case _ if status >= 500:
            return AirflowError(
                f"Airflow failed to answer {name} ({status}).{said} If it fails again, the cause is in the log of "
                "Airflow's API server.",
                status,
            )
        case _:
            return AirflowError(f"Airflow answered {name} with status {status}.{said}", status)


def _build_unusable_error(name: str, status: int, detail: str, location: str) -> UnusableAnswerError:
    if 300 <= status < 400:
        return UnusableAnswerError(str(build_redirect_error(status, location)), status)
    if status == 429:
        return UnusableAnswerError(f"Airflow asks to slow down (429).{detail}", status)
    if status >= 500:
        return UnusableAnswerError(f"Airflow failed to answer {name} ({status}).{detail}", status)
    what = "" if detail else " without words of Airflow's own, as a proxy does"
    return UnusableAnswerError(f"{name} was answered with status {status}{what}.{detail}", status)


def _is_of_fab(tool: Tool) -> bool:
    return tool.entry.v2 is not None and tool.entry.v2.is_auth_manager_route


def _build_fab_error(name: str) -> NotSupportedError:
    return NotSupportedError(
        f"{name} needs the auth manager FAB, which alone keeps users, roles and permissions in Airflow; this Airflow "
        "has another one, or an older FAB without it."
    )


def build_redirect_error(status: int, location: str) -> AirflowError:
    """The error for a redirect, which could lead credentials anywhere."""
    place = shorten(excerpt_text(location, 120), 120) or "nowhere"
    return AirflowError(
        f"Airflow answered with a redirect to {place}, which is never followed. "
        "Set AIRFLOW_MCP_URL to the final address of Airflow.",
        status,
    )
