"""Turn pydantic's errors about a manifest into a sentence with the key and the nearest valid word."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from airflow_mcp.errors import choose_error

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_KINDS = {  # start of pydantic's error type -> what the value must be
    "string": "text",
    "bool": "true or false",
    "int": "a whole number",
    "tuple": "a list",
    "list": "a list",
    "dict": "a table",
    "model": "a table",
}
_QUOTED = re.compile(r"'([^']*)'")
_GIVEN = 60  # characters of a wrong value in a sentence


def describe_validation_error(error: ValidationError, model: type[BaseModel]) -> str:
    """Describe the chief error: "access must be 'read' or 'write', not 'reads'. Did you mean read?"."""
    chief_error = choose_error(error.errors(include_url=False))
    path = [str(part) for part in chief_error["loc"] if part != "[key]"]
    key = ".".join(path)
    return f"{key}: {_describe_error(chief_error, model)}" if key else _describe_error(chief_error, model)


def _describe_error(error: ErrorDetails, model: type[BaseModel]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    quoted_value = _quote_value(error["input"])
    if kind == "extra_forbidden":
        return f"this is no key here.{_suggest_near(str(error['loc'][-1]), _list_keys(model, error['loc'][:-1]))}"
    if kind == "missing":
        return "it is required."
    if kind == "value_error":
        return f"{str(context['error']).removesuffix('.')}."
    if kind == "literal_error":
        choices = str(context["expected"])
        matches = difflib.get_close_matches(str(error["input"]), _QUOTED.findall(choices), n=1)
        return f"it must be {choices}, not {quoted_value}." + (f" Did you mean {matches[0]}?" if matches else "")
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
        return f"it must be {bound}, not {quoted_value}."
    required_kind = next((words for start, words in _KINDS.items() if kind.startswith(start)), None)
    return f"it must be {required_kind}, not {quoted_value}." if required_kind else f"{quoted_value} does not fit."


def _suggest_near(word: str, known: list[str]) -> str:
    matches = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {matches[0]}?" if matches else f" There are {', '.join(known)}." if known else ""


def _list_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """List the keys that a table at this path may have."""
    for part in path:
        field = next((info for name, info in model.model_fields.items() if part in (name, info.alias)), None)
        inner_model = next(_find_models(field.annotation), None) if field else None
        model = inner_model or model  # a number, or a name of the manifest's own, is a step within the same field
    return [field.alias or name for name, field in model.model_fields.items()]


def _find_models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _find_models(part)


def _quote_value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _GIVEN else f"{text[: _GIVEN - 1]}…"
