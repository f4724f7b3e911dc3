"""Parse a JSON body in pieces, so that a large one does not block the event loop.

The values are those of `json.loads`, except that NaN and the infinities, which Python writes and JSON does not have
(RFC 8259, 6), become the texts "NaN", "Infinity" and "-Infinity". A thread would not help: the parser holds the
interpreter lock.
"""

from __future__ import annotations

import json
import re
from typing import Any

from airflow_mcp.time_slice import TimeSlice

_AT_ONCE = 64 * 1024  # characters that are parsed at once, which takes some milliseconds
_EDGE = 32  # characters before a window's end: a number that ends there may continue after it
_DEEPEST = 400  # containers around what is parsed at once
_SPACE = re.compile(r"[ \t\n\r]*")
_BEHIND = {"{": "},", "[": "],", '"': '",'}  # a value's first character: what most likely precedes the next value
_OPENED = object()  # in place of a value: a container was opened, and its elements are read one by one
_DECODER = json.JSONDecoder(parse_constant=str)
_scan = _DECODER.raw_decode  # returns the value that begins at a position, and its end


async def parse_json(content: bytes) -> Any:
    """Parse a body. Raises ValueError for text that is not JSON, and RecursionError for too deep nesting."""
    text = content.decode(json.detect_encoding(content), "surrogatepass")
    return _DECODER.decode(text) if len(text) <= _AT_ONCE else await _Parser(text).parse()


class _Parser:
    """Reads a text from `_at` on; it keeps the open containers and, for each object, the key of the next value."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._open: list[list[Any] | dict[str, Any]] = []
        self._keys: list[str] = []
        self._window, self._base = "", -1  # a part of the text, and its position
        self._singly_until = 0  # elements up to this position are read one by one

    async def parse(self) -> Any:
        time_slice = TimeSlice()
        self._skip(0)
        while True:
            await time_slice.yield_when_due()
            if self._take_many():
                continue
            value = self._value()
            if value is _OPENED:
                continue
            while self._open:
                self._add(value)
                if self._has_next():
                    break
                value = self._close()
            else:
                if self._at < len(self._text):
                    raise self._build_error("extra data")
                return value

    def _take_many(self) -> bool:
        """Parse all elements up to a comma at once; return False where that comma does not separate two elements."""
        container = self._open[-1] if self._open else None
        is_last_part = len(self._text) - self._at <= _AT_ONCE
        if container is None or is_last_part or self._at < self._singly_until:
            return False
        separator = _BEHIND.get(self._text[self._at], ",")
        comma = self._text.rfind(separator, self._at, self._at + _AT_ONCE) + len(separator) - 1
        piece = self._text[self._at : comma]
        source = f"[{piece}]" if isinstance(container, list) else f"{{{json.dumps(self._keys[-1])}:{piece}}}"
        try:
            elements, stop = _scan(source, 0)
        except ValueError:
            stop, elements = 0, None
        if stop < len(source) or not elements:
            self._singly_until = self._at + _AT_ONCE
            return False
        if isinstance(container, list):
            container += elements
        else:
            container.update(elements)
        self._at = comma
        return self._has_next()

    def _value(self) -> Any:
        """Read the value that begins here, or return `_OPENED`; only a text or number is larger than one window."""
        while True:
            try:
                value, stop = _scan(self._window, self._at - self._base)
            except ValueError:
                stop = len(self._window) + 1
                value = None
            reaches_end = self._base + len(self._window) == len(self._text)
            if stop <= len(self._window) - (0 if reaches_end else _EDGE):
                self._at = self._base + stop
                self._skip(0)
                return value
            if self._base == self._at:
                break
            self._base, self._window = self._at, self._text[self._at : self._at + _AT_ONCE]
        if self._text[self._at : self._at + 1] in ("[", "{"):
            return self._begin()
        value, self._at = _scan(self._text, self._at)
        self._skip(0)
        return value

    def _begin(self) -> Any:
        """Open the container that begins here; return the container itself if it is empty."""
        if len(self._open) == _DEEPEST:
            raise RecursionError("nested too deeply")
        self._open.append([] if self._text[self._at] == "[" else {})
        self._keys.append("")
        self._skip(1)
        if self._text[self._at : self._at + 1] == self._closing:
            return self._close()
        self._read_key()
        return _OPENED

    def _add(self, value: Any) -> None:
        container = self._open[-1]
        if isinstance(container, list):
            container.append(value)
        else:
            container[self._keys[-1]] = value

    def _has_next(self) -> bool:
        """Return whether another element follows, and read its key. Raises ValueError for all but `,` or the end."""
        sign = self._text[self._at : self._at + 1]
        if sign != ",":
            if sign != self._closing:
                raise self._build_error(f"expecting ',' or '{self._closing}'")
            return False
        self._skip(1)
        self._read_key()
        return True

    def _close(self) -> list[Any] | dict[str, Any]:
        self._skip(1)
        self._keys.pop()
        return self._open.pop()

    @property
    def _closing(self) -> str:
        return "]" if isinstance(self._open[-1], list) else "}"

    def _read_key(self) -> None:
        if isinstance(self._open[-1], list):
            return
        if self._text[self._at : self._at + 1] != '"':
            raise self._build_error("expecting a key")
        self._keys[-1], self._at = _scan(self._text, self._at)
        self._skip(0)
        if self._text[self._at : self._at + 1] != ":":
            raise self._build_error("expecting ':'")
        self._skip(1)

    def _skip(self, signs: int) -> None:
        match = _SPACE.match(self._text, self._at + signs)
        self._at = match.end() if match else len(self._text)

    def _build_error(self, what: str) -> ValueError:
        return ValueError(f"{what} at character {self._at}")
