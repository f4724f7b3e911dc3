"""Recognise descriptions of a secret, which are none: JSON Schema, OpenAPI, Airflow's params, options in config.yml.

Under a sensitive name, `{"type": "string", "description": "..."}` describes the value. Only what stands under
`default`, `example` and words outside this vocabulary is a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_TYPES = frozenset(("string", "integer", "number", "boolean", "array", "object", "null", "float", "path"))
_WORDS = frozenset(
    (
        "type", "title", "description", "description_md", "label", "format", "nullable", "readonly", "writeonly",
        "sensitive", "deprecated", "version_added", "version_deprecated", "deprecation_reason", "see_also", "minlength",
        "maxlength", "source",
    )
)  # fmt: skip
_NESTED = frozenset(("schema", "items"))
_VALUES = frozenset(("default", "example", "examples", "enum", "const", "value", "pattern"))
_NOTHING = frozenset(("", "~", "null", "None", '""', "''"))
_LINE_KEY = re.compile(r"""([ \t]*)["']?([A-Za-z_]{1,32})["']?:(?:[ \t]+([^\n]*))?$""")


def is_schema(value: dict[str, Any]) -> bool:
    """Decide whether an object under a sensitive name describes the secret, by its vocabulary."""
    if not {key.lower() for key in value} <= _WORDS | _NESTED | _VALUES:
        return False
    nested = value.get("schema")
    return _is_type(value.get("type")) or (isinstance(nested, dict) and is_schema(nested))


def is_description(key: str) -> bool:
    """Decide whether the value of this key of a schema is text for its reader, and no secret."""
    return key.lower() in _WORDS


def find_values(lines: str) -> list[tuple[int, int]] | None:
    """Find the values in a YAML block that is a schema, as positions in `lines`; None where it is no schema."""
    keys = list(_first_keys(lines))
    words = {word for word, _, _ in keys}
    types = [text.strip(" \"'") for word, text, _ in keys if word == "type"]
    if not words <= _WORDS | _VALUES or not types or types[0] not in _TYPES:
        return None
    ends = [start for _, _, start in keys[1:]] + [len(lines)]
    values: list[tuple[int, int]] = []
    for (word, _, start), end in zip(keys, ends, strict=True):
        value_text = lines[lines.index(":", start) + 1 : end]
        if word in _VALUES and value_text.strip() not in _NOTHING:
            first = end - len(value_text.lstrip())
            values.append((first, first + len(value_text.strip())))
    return values


def _first_keys(lines: str) -> Iterator[tuple[str, str, int]]:
    """Yield the keys of the outermost mapping: name, the text behind it, and the start of its line."""
    position, indent = 0, None
    for line in lines.splitlines(keepends=True):
        match = _LINE_KEY.match(line.rstrip("\r\n"))
        depth = len(line) - len(line.lstrip(" \t"))
        if indent is None and line.strip():
            indent = depth
        if line.strip() and depth == indent:
            yield (match[2].lower(), match[3] or "", position) if match else ("", "", position)
        position += len(line)


def _is_type(value: Any) -> bool:
    types = value if isinstance(value, list) else [value]
    return bool(types) and all(isinstance(name, str) and name in _TYPES for name in types)
