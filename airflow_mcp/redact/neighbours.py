"""Mask the secret beside a name that is itself a value: in pairs, arguments, and objects of a name and a value."""

from __future__ import annotations

import re

from airflow_mcp.redact.names import is_sensitive
from airflow_mcp.redact.operands import Operands
from airflow_mcp.redact.scan_state import ScanState

NAME_KEYS = (
    "name", "key", "id", "option", "field", "parameter", "param", "variable", "var", "property", "prop", "header",
    "env", "type", "label", "title", "attribute", "attr", "setting", "argument", "arg", "k", "n",
)  # fmt: skip
VALUE_KEYS = (
    "value", "values", "val", "default", "content", "contents", "string", "secretstring", "secret_string",
)  # fmt: skip
_IN_VALUE_KEYS = ("val", "default", "content", "string")  # each value key contains one of these

_WINDOW = 400  # characters between a name and its value
_NAME_KEY = rf"(?:[a-z]{{0,20}}[_-]?)?(?:{'|'.join(NAME_KEYS)})"
_VALUE_KEY = rf"(?:[a-z]{{0,20}}[_-]?)?(?:{'|'.join(VALUE_KEYS)})"
_SIGN = r"""\\*["']?\s*(?:=>|[:=])\s*"""
_NAMED_BEFORE = re.compile(rf"""(?i)(?<![\w-]){_NAME_KEY}{_SIGN}[a-z]?\\*["']?$""")
_VALUE_AHEAD = re.compile(rf"(?i)(?<![\w-]){_VALUE_KEY}{_SIGN}(?=\S)")
_OBJECT_END = re.compile(r"[{}]|\n\s*-\s|>(?!-)|\n\s*\n")
_PATH_BEFORE = re.compile(r"[\"'][\w./: -]{1,120}$")
_FIRST_OF_PAIR = re.compile(r"""([\w.]?)([(\[{])\s*[rbuRBU]{0,2}$""")
_SECOND_OF_CALL = re.compile(r"""set[a-z_]{0,16}\(\s{0,16}(?:[\w.]{1,64}|["'][\w./-]{1,64}["'])\s{0,9},\s{0,16}$""")
_PAIR_COMMA = re.compile(r"""\s{0,16},\s{0,64}(?=[rbfuRBFU]{0,2}\\{0,63}["']|[\d({\[])""")
_PAIR_END = re.compile(r"\s{0,16},?\s{0,16}[)\]}]")
_ATTRIBUTE = r"""\s[\w:-]{1,64}\s?=\s?(?:"[^"<>\n]{0,99}"|'[^'<>\n]{0,99}')"""
_TAG_END = re.compile(rf"""["']?\s{{0,4}}(?:{_ATTRIBUTE}){{0,4}}\s{{0,9}}>(?=[^<\s])""")  # <x key="password">


def is_name_key(key: str) -> bool:
    """Decide whether the value of this key names another value, as in {"name": ..., "value": ...}."""
    return re.fullmatch(_NAME_KEY, key, re.IGNORECASE) is not None


def is_value_key(key: str) -> bool:
    """Decide whether the value of this key is the one that a name beside it names."""
    return re.fullmatch(_VALUE_KEY, key, re.IGNORECASE) is not None


class Neighbours:
    """Reader of the values beside a sensitive name."""

    def __init__(self, scan: ScanState, operands: Operands) -> None:
        self.scan = scan
        self._operands = operands

    def read(self, start: int, end: int, after: int, name: str) -> bool:
        """Mask the value beside the name, and return whether there is one."""
        text = self.scan.text
        prefix = text[max(0, start - 128) : start]
        if ('"' in prefix or "'" in prefix) and (path := _PATH_BEFORE.search(prefix)):  # /prod/db/password
            start -= len(prefix) - path.start() - 1
            prefix = text[max(0, start - 64) : start]
        name_key = None
        if ":" in prefix or "=" in prefix:
            name_key = _NAMED_BEFORE.search(text, max(0, start - 64), start)
        if name_key:
            return self._mask_beside(name_key.start(), after, name)
        if after > end and text[start - 1 : start] in ('"', "'"):
            return self._mask_behind_comma(start, after, name)
        return False

    def _mask_beside(self, key: int, after: int, name: str) -> bool:
        text = self.scan.text
        if tag := _TAG_END.match(text, after - 1 if text[after - 1 : after] in "\"'" else after):
            closing = self.scan.values.find("<", tag.end())
            self.scan.mask(tag.end(), closing if closing >= 0 else self.scan.values.find_line_end(tag.end()))
            return True
        limit = _OBJECT_END.search(text, after, after + _WINDOW)
        object_end = limit.start() if limit else min(len(text), after + _WINDOW)
        value = _VALUE_AHEAD.search(text, after, object_end + 1) if self._has_value_key(after, object_end) else None
        if value and value.end() <= object_end + 1:
            return self._operands.read(value.end(), name, prose=False)
        object_start = max(0, key - _WINDOW)
        if not self._has_value_key(object_start, key):
            return False
        for limit in _OBJECT_END.finditer(text, object_start, key):
            object_start = limit.end()
        for value in _VALUE_AHEAD.finditer(text, object_start, key):
            string = self.scan.values.read_string(value.end())
            start, end = (
                (string.start, string.end) if string else (value.end(), self.scan.values.find_word_end(value.end()))
            )
            if start < end < key and (string or "\n" in text[end:key]):
                self.scan.mask(start, end)
                return True
        return False

    def _has_value_key(self, start: int, end: int) -> bool:
        return any(self.scan.low.find(word, start, end) >= 0 for word in _IN_VALUE_KEYS)

    def _mask_behind_comma(self, start: int, after: int, name: str) -> bool:
        text = self.scan.text
        opening = start - 1
        while opening > 0 and text[opening - 1] == "\\":
            opening -= 1
        pair_start = _FIRST_OF_PAIR.search(text, max(0, opening - 8), opening)
        is_called = (pair_start and pair_start[1] and pair_start[2] == "(") or _SECOND_OF_CALL.search(
            text, max(0, opening - 160), opening
        )
        comma = _PAIR_COMMA.match(text, after)
        is_option = text[start : start + 1] == "-"
        if comma is None or not (is_option or pair_start or is_called):
            return False
        if not is_option and text[comma.end()] not in "0123456789({[":
            quote = re.compile(r"[rbfuRBFU]{0,2}").match(text, comma.end())
            string = self.scan.values.read_string(quote.end() if quote else comma.end())
            if string is None:
                return False
            content = text[string.start : min(string.end, string.start + 64)]
            if not is_called and not _PAIR_END.match(text, string.after):
                return False
            if content.replace("_", "").isalpha() and is_sensitive(content):
                return False
        elif is_option and text.startswith("--", comma.end() + 1):
            return False
        return self._operands.read(comma.end(), name, prose=False)
