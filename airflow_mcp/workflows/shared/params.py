"""Describe a DAG's params, of which Airflow gives value, schema and description, and check a conf by them.

Both generations give the same three. A param without a default has the value null (Param.dump in 2.x and 3.x), which
its schema refuses unless it allows null; Airflow validates value after value as JSON Schema (Param.resolve).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import re2

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.versions import Generation
from airflow_mcp.dispatch.answer.render import dumps
from airflow_mcp.dispatch.next_calls import NextCall
from airflow_mcp.errors import InvalidArgumentsError
from airflow_mcp.redact import MASK, redact
from airflow_mcp.text import shorten

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

_SHOWN = ("enum", "const", "format", "minimum", "maximum", "minLength", "maxLength", "pattern", "items")
_NAMES = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
_FORMATS = ("date", "email", "ipv4", "ipv6", "uuid")  # those that need no library which Airflow may lack
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")  # RFC 3339
_UNSURE = ('"$ref"', '"$dynamicRef"', '"patternProperties"', MASK)  # schemas with these are left to Airflow
_VALUE_SIZE, _FORM_SIZE = 60, 160  # characters of a wrong value, and of what it should be


def describe_param(param: Any) -> Json:
    """Describe one param: type, default or required, the restrictions of its schema, and what it is about."""
    if not isinstance(param, dict):  # masked as a whole, since its name is that of a secret
        return {"default": MASK}
    schema, value = _read_schema(param), param.get("value")
    types = _list_types(schema) or ([_NAMES.get(type(value), "object")] if value is not None else [])
    facts = {"type": " or ".join(types) or None, "required": is_required(param) or None, "default": value}
    facts |= {word: schema[word] for word in _SHOWN if word in schema}
    facts["about"] = param.get("description") or schema.get("description")
    return {name: fact for name, fact in facts.items() if fact is not None}


def _read_schema(param: Json) -> Json:
    """Return the param's JSON Schema; what is no schema restricts nothing."""
    schema = param.get("schema")
    return schema if isinstance(schema, dict) else {}


def is_required(param: Json) -> bool:
    """Tell whether a run needs a value for the param: it has no default, and its schema does not take null."""
    return param.get("value") is None and not _fits(param, None, "v2")


def check_conf(
    tool: str, params: Json, conf: Json, generation: Generation, shows: NextCall, *, label: str = "conf"
) -> str | None:
    """Check a conf by the params, and return a hint about keys that are no params.

    Airflow hands such keys to the run all the same. `label` is the argument's name, `shows` the call that shows every
    param. Raises InvalidArgumentsError for a value that its param does not take and for a missing one, naming the form.
    """
    problems = [f"{label}.{problem}" for problem in _find_problems(params, conf, generation)]
    if problems:
        rest = f" And {len(problems) - 3} more." if len(problems) > 3 else ""
        raise InvalidArgumentsError(f"{tool}: {'; '.join(problems[:3])}.{rest} Nothing was sent.").advise(shows)
    unknown_keys = [key for key in conf if key not in params] if params else []
    if not unknown_keys:
        return None
    close_matches = {key: difflib.get_close_matches(key, params, n=1) for key in unknown_keys}
    descriptions = [
        f"{key[:60]!r}" + (f" (did you mean {close_matches[key][0]!r}?)" if close_matches[key] else "")
        for key in unknown_keys[:5]
    ]
    return f"conf has keys that are no params of this DAG: {', '.join(descriptions)}."


def _find_problems(params: Json, conf: Json, generation: Generation) -> Iterator[str]:
    for name, param in params.items():
        if not isinstance(param, dict):
            continue
        form = shorten(
            dumps({key: fact for key, fact in describe_param(param).items() if key != "required"}), _FORM_SIZE
        )
        if name not in conf:
            if is_required(param):
                yield f"{name} is required: {form}"
        elif not _fits(param, conf[name], generation):
            value_text = shorten(dumps(redact(conf[name], name)), _VALUE_SIZE)
            yield f"{name}: {value_text} does not fit {form}"


def _fits(param: Json, value: Any, generation: Generation) -> bool:
    """Tell whether the param takes the value, as far as that is certain without Airflow."""
    schema = json.dumps(_read_schema(param))
    if any(word in schema for word in _UNSURE):
        return True
    validator = _make_validator(schema, generation)
    return validator is None or validator.is_valid(value)


@lru_cache(maxsize=256)
def _make_validator(schema: str, generation: Generation) -> Validator | None:
    """Build a schema's validator; None for what is no schema. A `pattern` comes from outside, so it runs on RE2."""
    from jsonschema import Draft202012Validator, FormatChecker, SchemaError  # takes 0.1 s, so only when needed
    from jsonschema.validators import extend

    parsed_schema = json.loads(schema)
    try:
        Draft202012Validator.check_schema(parsed_schema)
    except (SchemaError, RecursionError):
        return None
    checker = FormatChecker(formats=_FORMATS)
    if generation == "v2":  # 2.x falls back to any ISO 8601 moment
        checker.checkers = checker.checkers | {"date-time": (_is_moment, ())}
    return extend(Draft202012Validator, {"pattern": _check_pattern})(parsed_schema, format_checker=checker)


def _check_pattern(validator: Validator, pattern: str, value: object, schema: Json) -> Iterator[ValidationError]:
    """Check JSON Schema's `pattern`; one that RE2 does not take (look-around, back-references) is left to Airflow."""
    from jsonschema import ValidationError

    del validator, schema
    options = re2.Options()
    options.log_errors = False
    try:
        if isinstance(value, str) and not re2.compile(pattern, options).search(value):
            yield ValidationError(f"{value!r} does not match {pattern!r}")
    except (re2.error, UnicodeEncodeError):
        return


def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or _MOMENT.fullmatch(value) is not None


def _list_types(schema: Json) -> list[str]:
    kind = schema.get("type")
    if kind is None and isinstance(schema.get("enum"), list):
        return sorted({_NAMES.get(type(value), "object") for value in schema["enum"]})
    if kind is None:
        lists = [parts for word in ("anyOf", "oneOf") if isinstance(parts := schema.get(word), list)]
        return [name for parts in lists for part in parts if isinstance(part, dict) for name in _list_types(part)]
    return [type_name for type_name in (kind if isinstance(kind, list) else [kind]) if isinstance(type_name, str)]
