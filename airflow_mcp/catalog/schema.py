"""Build an operation's arguments as JSON Schema, and check a call's arguments against it.

Schemas are plain dictionaries because a list of 150 tools built from models costs a second of start-up; validators are
built on first use. Besides its own parameters every tool takes `max_chars`, every read of records `fields`, and those
whose entry says so `links`.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from airflow_mcp.catalog.grammar import SMALLEST_ANSWER, Json, Parameter
from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.catalog.versions import Version
from airflow_mcp.errors import InvalidArgumentsError, NotSupportedError
from airflow_mcp.near_names import find_near_names
from airflow_mcp.redact import MASK, is_masked

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

_MAX_CHARS = {"type": "integer", "minimum": SMALLEST_ANSWER, "description": "Answer size in characters"}
_FIELDS = {"type": "array", "items": {"type": "string"}, "description": "More fields; '*' for all"}
_LINKS = {"type": "boolean", "description": "Add UI links"}
_MOST_ITEMS = 10_000  # of a list among the arguments: each is validated on the event loop
_MOST_PROBLEMS = 3  # in one refusal of arguments
_ZONED = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:?\d\d)")


def build_input_schema(tool: Tool, catalog: Catalog, version: Version | None = None) -> Json:
    """Build the JSON Schema (draft 2020-12) of a tool's arguments.

    With a version, it has only what that Airflow has; without, everything that any version has.
    """
    properties: Json = {}
    entry = tool.entry
    defaults = {name: gated.value for name, gated in entry.default.both.items()}
    for use in entry.params:
        if not use.in_schema(version):
            continue
        parameter = catalog.parameters[use.table]
        properties[use.name] = build_parameter_schema(parameter, version)
        if parameter.about:
            properties[use.name]["description"] = parameter.about
        if use.name in defaults and not isinstance(defaults[use.name], str):
            properties[use.name]["default"] = defaults[use.name]
    if entry.access == "read" and entry.record and not entry.python:
        properties["fields"] = _FIELDS
    if entry.links:
        properties["links"] = _LINKS
    if (entry.rows or entry.access == "read") and not entry.forwards:
        properties["max_chars"] = _MAX_CHARS
    schema: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    if required := [use.name for use in entry.params if use.required]:
        schema["required"] = required
    return schema


def build_parameter_schema(parameter: Parameter, version: Version | None) -> Json:
    """Build one argument's JSON Schema, without the values that this version does not know."""
    schema = dict(parameter.json_schema)
    unknown_values = {name for name, since in parameter.values_since.items() if version and not since.has(version)}
    if unknown_values and "items" in schema:
        return {**schema, "items": _remove_values(schema["items"], unknown_values)}
    return _remove_values(schema, unknown_values) if unknown_values else schema


def _remove_values(schema: Json, values: set[str]) -> Json:
    return (
        schema
        if "enum" not in schema
        else {**schema, "enum": [value for value in schema["enum"] if value not in values]}
    )


def validate(tool: Tool, arguments: Json, catalog: Catalog, *, complete: bool = True) -> None:
    """Check a call's arguments for any version; unless it is `complete`, some may be missing.

    Raises InvalidArgumentsError with what to change.
    """
    if tool.entry.access != "read" and isinstance(arguments.get("plan"), str):
        arguments = {name: value for name, value in arguments.items() if name != "plan"}  # confirm.py checks it
    if lists := [name for name, value in arguments.items() if isinstance(value, list) and len(value) > _MOST_ITEMS]:
        raise InvalidArgumentsError(f"{tool.name}: {lists[0][:60]} must have at most {_MOST_ITEMS} items.")
    problems: list[str] = []
    for error in _build_validator(tool, catalog).iter_errors(arguments):
        if complete or error.validator != "required":
            problems.append(_describe_error(error, tool, catalog))
        if len(problems) == _MOST_PROBLEMS:  # more would cost time without a limit
            break
    problems += _find_naive_dates(tool, arguments, catalog)
    any_of = tool.entry.any_of
    if complete and any_of and not any(arguments.get(name) is not None for name in any_of):
        problems.append(f"give at least one of {', '.join(any_of)}")
    if problems:
        raise InvalidArgumentsError(f"{tool.name}: {'; '.join(list(dict.fromkeys(problems))[:_MOST_PROBLEMS])}.")


def refuse_masks(tool: Tool, arguments: Json) -> None:
    """Refuse a mask among the values: Airflow would store it, and destroy the secret that it stands for.

    Raises InvalidArgumentsError.
    """
    prose = ("note", "description")  # in a text for people three stars are no mask
    if masks := [name for name, value in arguments.items() if name not in prose and is_masked(value)]:
        raise InvalidArgumentsError(
            f"{tool.name}: {' and '.join(masks)} holds ***, which masks a secret and is not its value. Leave out what "
            "is not to change; give the real value of what is."
        )


def convert_integers(tool: Tool, arguments: Json, catalog: Catalog) -> Json:
    """Return the arguments with 3.0 as 3 where a whole number is due: JSON Schema takes either, Airflow does not."""
    kinds = {use.name: catalog.parameters[use.table].json_schema.get("type") for use in tool.entry.params}
    return {
        name: int(value) if isinstance(value, float) and kinds.get(name, "integer") == "integer" else value
        for name, value in arguments.items()
    }


def check_version(tool: Tool, arguments: Json, catalog: Catalog, version: Version) -> None:
    """Refuse what the connected Airflow lacks. Raises NotSupportedError.

    Airflow 3 ignores query parameters it does not know, so a filter it lacks would silently give unfiltered rows.
    """
    if not tool.entry.since.has(version):
        raise NotSupportedError(f"{tool.name} needs {tool.entry.since}; this is Airflow {version}.")
    for use in tool.entry.params:
        if use.name in arguments and not use.in_schema(version):
            raise NotSupportedError(
                f"{tool.name}: the argument {use.name} needs {use.since}; this is Airflow {version}. Call without it."
            )
        argument = arguments.get(use.name)
        for value, since in catalog.parameters[use.table].values_since.items():
            items = argument if isinstance(argument, list) else [argument]
            if value in map(str, items) and not since.has(version):
                raise NotSupportedError(f"{tool.name}: {use.name} {value!r} needs {since}; this is Airflow {version}.")


def build_validation_schema(tool: Tool, catalog: Catalog) -> Json:
    """Return the schema that `validate` checks a tool's arguments against, made once for all versions."""
    return cast(Json, _build_validator(tool, catalog).schema)


def _build_validator(tool: Tool, catalog: Catalog) -> Draft202012Validator:
    if (validator := catalog.validators.get(tool.name)) is None:
        from jsonschema import Draft202012Validator  # takes 0.1 s: the first tool list does not wait for it

        validator = catalog.validators[tool.name] = Draft202012Validator(build_input_schema(tool, catalog))
    return validator


def _describe_error(error: ValidationError, tool: Tool, catalog: Catalog) -> str:
    place = ".".join(str(part) for part in error.absolute_path) or "the arguments"
    shown_value = json.dumps(error.instance, ensure_ascii=False, default=str)
    shown_value = shown_value if len(shown_value) <= 60 else f"{shown_value[:57]}..."
    if _is_secret([str(part) for part in error.absolute_path], tool, catalog):
        shown_value = MASK
    rule: Any = error.validator_value  # the keyword's own value in the schema
    match error.validator:
        case "required":
            missing_names = [name for name in rule if name not in error.instance]
            return f"{' and '.join(missing_names)} {'is' if len(missing_names) == 1 else 'are'} required"
        case "additionalProperties":
            keys = list(cast(Json, error.schema)["properties"])
            unknown_names = (name for name in cast(Json, error.instance) if name not in keys)
            return "; ".join(_describe_unknown(name, keys) for name in islice(unknown_names, _MOST_PROBLEMS))
        case "type":
            return f"{place} must be {_describe_type(rule)}, not {shown_value}"
        case "enum":
            return f"{place} must be one of {', '.join(map(str, rule))}, not {shown_value}"
        case "minimum" | "maximum":
            return f"{place} must be {'at least' if error.validator == 'minimum' else 'at most'} {rule}"
        case "minLength" | "minItems":
            return f"{place} must not be empty"
        case "maxLength" | "maxItems":
            return f"{place} must have at most {rule} {'items' if error.validator == 'maxItems' else 'characters'}"
        case "minProperties":
            keys = ", ".join(cast(Json, error.schema).get("properties", ()))
            return f"{place} must have at least {rule} of {keys}" if keys else f"{place} must not be empty"
        case _:
            return f"{place} does not fit {tool.name}: {shown_value}"


def _is_secret(path: list[str], tool: Tool, catalog: Catalog) -> bool:
    """Return whether the value at a path is a secret, or may hold one, since errors are recorded too."""
    if not path:
        return False
    tables = {use.name: use.table for use in tool.entry.params}
    names = (tables.get(path[0], path[0]), *path[1:])
    is_entity = tool.entry.bulk is not None and path[0] in ("create", "update") and all(map(str.isdigit, path[1:]))
    return is_entity or any(name in catalog.parameters and catalog.parameters[name].secret for name in names)


def _describe_unknown(name: str, known: list[str]) -> str:
    near_names = find_near_names(name, known, 1)
    hint = f"did you mean {near_names[0]}?" if near_names else f"it takes {', '.join(known) or 'no arguments'}"
    return f"unknown argument {name[:60]!r}: {hint}"


def _describe_type(kind: str | list[str]) -> str:
    words = {"array": "a list", "object": "an object", "integer": "a whole number", "boolean": "true or false"}
    kinds = [kind] if isinstance(kind, str) else kind
    return " or ".join(words.get(name, f"a {name}") for name in kinds)


def _find_naive_dates(tool: Tool, arguments: Json, catalog: Catalog) -> list[str]:
    """Find dates without a timezone, which Airflow answers with 400 (2.x) or 500 (3.x), and correct them."""
    problems: list[str] = []
    for use in tool.entry.params:
        value = arguments.get(use.name)
        schema = catalog.parameters[use.table].json_schema
        if schema.get("format") != "date-time" or not isinstance(value, str):
            continue
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment and _ZONED.fullmatch(value):
            continue
        if moment is None:
            problems.append(f"{use.name} must be a date and time such as 2026-11-21T08:30:00Z, not {value[:40]!r}")
        else:
            corrected_date = moment.isoformat() if moment.tzinfo else f"{moment.isoformat()}Z"
            problems.append(f"{use.name} needs a timezone: {corrected_date} if you mean UTC")
    return problems
