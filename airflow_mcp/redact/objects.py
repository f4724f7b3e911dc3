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

_LONGEST_KEY = 64  # characters of a key that is remembered
_DECODER = json.JSONDecoder()
_DEEPEST = 200  # levels of nesting; what is further in is masked
_OPTION = re.compile(r"--?[A-Za-z][\w.-]{0,99}")
_SHORT_OPTION = re.compile(r"--.*|-\w?")
_NAME = re.compile(r"[\w./:-]{1,120}(?: [\w.-]{1,32}){0,2}")
_FRAGMENT = re.compile(r"""\{\s{0,99}"|\[\s{0,99}["{\[]""")
_KEY_TYPES = ("RSA", "EC", "OKP", "oct")  # of JSON Web Keys, whose parts that are private follow (RFC 7518, 6)
_PRIVATE_PARTS = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
_MOST_READ = 8  # times the length of a text that is read in search of JSON in it
# A mask as redaction leaves it: alone, or as a value in running text, an address or a connection string.
_MASKED = re.compile(r"(?:^|[=:/\"'\s])\*{3}(?=$|[@\s\"',;&)\]}])")


def redact(value: Any, name: str = "") -> Any:
    """Give the same JSON value with every secret in it replaced by `***`. `name` is the key it stands under."""
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
        beside = _find_named_secret(value)
        masked: dict[str, Any] = {}
        for key, item in value.items():
            safe = _redact_key(key) if len(key) <= _LONGEST_KEY else redact_text(key)
            name = beside if beside and is_value_key(key) else clean(key)
            masked[safe] = _redact(item, name if is_sensitive(name) else safe, depth + 1)
        return masked
    return _redact_list(value, depth)


@lru_cache(maxsize=1024)
def _redact_key(key: str) -> str:
    """Redact a key, which comes again in each object of a list."""
    return redact_text(key)


def _redact_schema(value: dict[str, Any], name: str, depth: int) -> dict[str, Any]:
    """Mask what a description of a secret has in the way of values."""
    masked: dict[str, Any] = {}
    for key, item in value.items():
        masked[key] = _redact(item, "" if is_description(key) else name, depth + 1)
    return masked


def _find_named_secret(value: dict[str, Any]) -> str:
    """Find a telling name among the values: {"name": "DB_PASSWORD", "value": ...}, as in a container's environment."""
    if not any(map(is_value_key, value)):
        return ""
    names = (item for key, item in value.items() if isinstance(item, str) and is_name_key(key))
    return next((name for name in names if _NAME.fullmatch(name) and is_sensitive(name)), "")


def _redact_list(value: list[Any], depth: int) -> list[Any]:
    masked = [_redact(item, "", depth + 1) for item in value]
    texts = [item if isinstance(item, str) else "" for item in value]
    if len(value) == 2 and _NAME.fullmatch(texts[0]) and is_sensitive(texts[0]) and not _is_name(texts[1]):
        masked[1] = _redact(value[1], texts[0], depth + 1)
    for number, text in enumerate(texts[1:], 1):
        option = texts[number - 1]
        if _OPTION.fullmatch(option) and is_sensitive(option) and not _SHORT_OPTION.fullmatch(text):
            masked[number] = _redact(value[number], option, depth + 1)
    if all(texts) and any(text.rsplit("/", 1)[-1] in COMMANDS for text in texts):
        return mask_arguments(masked, MASK)
    return masked


def redact_text(text: str) -> str:
    """Give the same text with secrets masked; a string that is JSON is read as JSON, so that its keys count."""
    if not may_hold_secret(text) and "\\u" not in text and (text.isascii() or not may_hold_secret(clean(text))):
        return text
    if text.lstrip()[:1] in ("{", "["):
        try:
            parsed = json.loads(text)
            if isinstance(parsed, dict | list):
                masked = redact(map_strings(parsed, clean))  # an escape may stand for a character that is not seen
                return text if masked == parsed else json.dumps(masked, ensure_ascii=False)
        except (ValueError, RecursionError):  # no JSON, or nested deeper than anything honest: read as text
            pass
    plain = clean(text)
    masked = mask_text(_redact_fragments(plain))
    return text if masked == plain else masked


def _redact_fragments(text: str) -> str:
    """Redact the JSON objects and lists that stand in a text as JSON, since their strings are escaped there."""
    parts: list[str] = []
    written = position = 0
    left = _MOST_READ * len(text)
    while left > 0 and (opening := _FRAGMENT.search(text, position)):
        start = opening.start()
        try:
            parsed, position = _DECODER.raw_decode(text, start)
            left -= position - start
            if (masked := redact(map_strings(parsed, clean))) != parsed:
                parts += (text[written:start], json.dumps(masked, ensure_ascii=False))
                written = position
        except (ValueError, RecursionError) as error:
            position = start + 1
            left -= error.pos - start if isinstance(error, json.JSONDecodeError) else len(text)
    return "".join((*parts, text[written:]))


def is_masked(value: Any) -> bool:
    """Decide whether a value is, or holds, our mask (and Airflow's): stored, it would destroy what it hides."""
    if isinstance(value, dict):
        return any(map(is_masked, value.values()))
    if isinstance(value, list):
        return any(map(is_masked, value))
    if not isinstance(value, str) or MASK not in value:
        return False
    if _MASKED.search(value):
        return True
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return False
    return isinstance(parsed, dict | list) and is_masked(parsed)


def mask_values(value: Any) -> Any:
    """Mask every value in an object, or in JSON in a text; anything else whole."""
    if isinstance(value, str):
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, dict | list):
            return MASK
        return json.dumps(mask_values(map_strings(parsed, clean)), ensure_ascii=False)
    if isinstance(value, dict):
        return {key: mask_values(item) if isinstance(item, dict | list) else MASK for key, item in value.items()}
    if isinstance(value, list):
        return [mask_values(item) for item in value]
    return MASK


def _is_name(text: str) -> bool:
    """Decide whether a text is nothing but a telling name, as in a list of names."""
    return text.replace("_", "").isalpha() and is_sensitive(text)
