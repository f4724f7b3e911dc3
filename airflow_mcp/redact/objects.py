"""Mask secrets in JSON values: by key, by the name beside a value, in argument lists, and in every text."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from airflow_mcp.redact.command_lines import COMMANDS, mask_arguments
from airflow_mcp.redact.names import MASK, is_harmless, is_sensitive
from airflow_mcp.redact.neighbours import is_name_key, is_value_key
from airflow_mcp.redact.operands import is_placeholder
from airflow_mcp.redact.scanner import mask_text, may_hold_secret
from airflow_mcp.redact.schemas import is_description, is_schema
from airflow_mcp.text import clean, map_strings

_LONGEST_KEY = 64  # characters of a key whose result is cached
_DECODER = json.JSONDecoder()
_DEEPEST = 200  # levels of nesting; deeper values are masked
_OPTION = re.compile(r"--?[A-Za-z][\w.-]{0,99}")
_SHORT_OPTION = re.compile(r"--.*|-\w?")
_NAME = re.compile(r"[\w./:-]{1,120}(?: [\w.-]{1,32}){0,2}")
_FRAGMENT = re.compile(r"""\{\s{0,99}"|\[\s{0,99}["{\[]""")
_KEY_TYPES = ("RSA", "EC", "OKP", "oct")  # of JSON Web Keys, whose private parts follow (RFC 7518, 6)
_PRIVATE_PARTS = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
_MOST_READ = 8  # times the length of a text that may be parsed in search of JSON in it
# A mask as redaction leaves it: alone, or as a value in running text, an address or a connection string.
_MASKED = re.compile(r"(?:^|[=:/\"'\s])\*{3}(?=$|[@\s\"',;&)\]}])")


def redact(value: Any, name: str = "") -> Any:
    """Return the same JSON value with every secret in it replaced by `***`; `name` is the key of the value."""
    return _redact(value, name, 0)


def _redact(value: Any, name: str, depth: int) -> Any:
    if name and is_sensitive(name):
        if isinstance(value, dict) and depth <= _DEEPEST and is_schema(value):
            return _redact_schema(value, name, depth)
        return value if is_harmless(name, value) or is_placeholder(value) else MASK
    if isinstance(value, str):
        return redact_text(value)
    if not isinstance(value, dict | list):
        return value
    if depth > _DEEPEST:
        return MASK
    if isinstance(value, dict):
        if value.get("kind") == "Secret":  # of Kubernetes, whatever the keys are called
            value = {key: mask_values(item) if key in ("data", "stringData") else item for key, item in value.items()}
        if value.get("kty") in _KEY_TYPES:
            value = {key: mask_values(item) if key in _PRIVATE_PARTS else item for key, item in value.items()}
        secret_name = _find_named_secret(value)
        result: dict[str, Any] = {}
        for key, item in value.items():
            safe_key = _redact_key(key) if len(key) <= _LONGEST_KEY else redact_text(key)
            name = secret_name if secret_name and is_value_key(key) else clean(key)
            result[safe_key] = _redact(item, name if is_sensitive(name) else safe_key, depth + 1)
        return result
    return _redact_list(value, depth)


@lru_cache(maxsize=1024)
def _redact_key(key: str) -> str:
    """Redact a key; the result is cached, since keys recur in each object of a list."""
    return redact_text(key)


def _redact_schema(value: dict[str, Any], name: str, depth: int) -> dict[str, Any]:
    """Mask the values in the schema of a secret."""
    result: dict[str, Any] = {}
    for key, item in value.items():
        result[key] = _redact(item, "" if is_description(key) else name, depth + 1)
    return result


def _find_named_secret(value: dict[str, Any]) -> str:
    """Find a sensitive name among the values, as in the environment of a container.

    {"name": "DB_PASSWORD", "value": ...} has one.
    """
    if not any(map(is_value_key, value)):
        return ""
    names = (item for key, item in value.items() if isinstance(item, str) and is_name_key(key))
    return next((name for name in names if _NAME.fullmatch(name) and is_sensitive(name)), "")


def _redact_list(value: list[Any], depth: int) -> list[Any]:
    result = [_redact(item, "", depth + 1) for item in value]
    texts = [item if isinstance(item, str) else "" for item in value]
    if len(value) == 2 and _NAME.fullmatch(texts[0]) and is_sensitive(texts[0]) and not _is_name(texts[1]):
        result[1] = _redact(value[1], texts[0], depth + 1)
    for number, text in enumerate(texts[1:], 1):
        option = texts[number - 1]
        if _OPTION.fullmatch(option) and is_sensitive(option) and not _SHORT_OPTION.fullmatch(text):
            result[number] = _redact(value[number], option, depth + 1)
    if all(texts) and any(text.rsplit("/", 1)[-1] in COMMANDS for text in texts):
        return mask_arguments(result, MASK)
    return result


def redact_text(text: str) -> str:
    """Return the text with secrets masked; a string that is JSON is read as JSON, so that its keys count."""
    if not may_hold_secret(text) and "\\u" not in text and (text.isascii() or not may_hold_secret(clean(text))):
        return text
    if text.lstrip()[:1] in ("{", "["):
        try:
            document = json.loads(text)
            if isinstance(document, dict | list):
                safe_value = redact(map_strings(document, clean))  # an escape may stand for an invisible character
                return text if safe_value == document else json.dumps(safe_value, ensure_ascii=False)
        except (ValueError, RecursionError):  # not JSON, or nested too deeply: read as text
            pass
    plain = clean(text)
    safe_value = mask_text(_redact_fragments(plain))
    return text if safe_value == plain else safe_value


def _redact_fragments(text: str) -> str:
    """Redact the JSON objects and lists in a text as JSON, since their strings are escaped there."""
    parts: list[str] = []
    written_end = position = 0
    remaining_budget = _MOST_READ * len(text)
    while remaining_budget > 0 and (opening := _FRAGMENT.search(text, position)):
        start = opening.start()
        try:
            fragment, position = _DECODER.raw_decode(text, start)
            remaining_budget -= position - start
            if (safe_value := redact(map_strings(fragment, clean))) != fragment:
                parts += (text[written_end:start], json.dumps(safe_value, ensure_ascii=False))
                written_end = position
        except (ValueError, RecursionError) as error:
            position = start + 1
            remaining_budget -= error.pos - start if isinstance(error, json.JSONDecodeError) else len(text)
    return "".join((*parts, text[written_end:]))


def is_masked(value: Any) -> bool:
    """Decide whether a value is or holds a mask, ours or Airflow's: stored, it would destroy what it hides."""
    if isinstance(value, dict):
        return any(map(is_masked, value.values()))
    if isinstance(value, list):
        return any(map(is_masked, value))
    if not isinstance(value, str) or MASK not in value:
        return False
    if _MASKED.search(value):
        return True
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict | list) and is_masked(document)


def mask_values(value: Any) -> Any:
    """Mask every value in an object, or in a text that is JSON; mask anything else whole."""
    if isinstance(value, str):
        try:
            document = json.loads(value)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict | list):
            return MASK
        return json.dumps(mask_values(map_strings(document, clean)), ensure_ascii=False)
    if isinstance(value, dict):
        return {key: mask_values(item) if isinstance(item, dict | list) else MASK for key, item in value.items()}
    if isinstance(value, list):
        return [mask_values(item) for item in value]
    return MASK


def _is_name(text: str) -> bool:
    """Decide whether a text is nothing but a sensitive name, as in a list of names."""
    return text.replace("_", "").isalpha() and is_sensitive(text)
