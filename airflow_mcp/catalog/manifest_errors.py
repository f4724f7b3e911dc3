"""What pydantic says of a manifest, as a sentence with the key and the near word."""

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

_KINDS = {  # pydantic's error type, as it begins -> what the value must be
    "string": "text",
    "bool": "true or false",
    "int": "a whole number",
    "tuple": "a list",
    "list": "a list",
    "dict": "a table",
    "model": "a table",
}
_QUOTED = re.compile(r"'([^']*)'")
_GIVEN = 60  # characters of a wrong value


def describe_validation_error(error: ValidationError, model: type[BaseModel]) -> str:
    """The chief of the errors: "access must be 'read' or 'write', not 'reads'. Did you mean read?"."""
    first = choose_error(error.errors(include_url=False))
    path = [str(part) for part in first["loc"] if part != "[key]"]
    key = ".".join(path)
    return f"{key}: {_describe_error(first, model)}" if key else _describe_error(first, model)


def _describe_error(error: ErrorDetails, model: type[BaseModel]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    given = _quote_value(error["input"])
    if kind == "extra_forbidden":
        return f"this is no key here.{_suggest_near(str(error['loc'][-1]), _list_keys(model, error['loc'][:-1]))}"
    if kind == "missing":
        return "it is required."
    if kind == "value_error":
        return f"{str(context['error']).removesuffix('.')}."
    if kind == "literal_error":
        expected = str(context["expected"])
        close = difflib.get_close_matches(str(error["input"]), _QUOTED.findall(expected), n=1)
        return f"it must be {expected}, not {given}." + (f" Did you mean {close[0]}?" if close else "")
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
        return f"it must be {bound}, not {given}."
    wanted = next((words for start, words in _KINDS.items() if kind.startswith(start)), None)
    return f"it must be {wanted}, not {given}." if wanted else f"{given} does not fit."


def _suggest_near(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {close[0]}?" if close else f" There are {', '.join(known)}." if known else ""


def _list_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The keys that a table at this path may have."""
    for part in path:
        field = next((one for name, one in model.model_fields.items() if part in (name, one.alias)), None)
        inner = next(_find_models(field.annotation), None) if field else None
        model = inner or model  # a number, or a name of the manifest's own, is a step within the same field
    return [field.alias or name for name, field in model.model_fields.items()]


def _find_models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _find_models(part)


def _quote_value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _GIVEN else f"{text[: _GIVEN - 1]}…"
