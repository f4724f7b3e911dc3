"""Secrets in XML and HTML: `<password>x</password>`, `<name>password</name><value>x</value>`."""

from __future__ import annotations

import re

from airflow_mcp.redact.operands import Operands
from airflow_mcp.redact.scan_state import ScanState

_OPENING = re.compile(r"<(?:[\w-]{1,64}:)?$")
_ESCAPED_OPENING = re.compile(r"(?:\s[^<>;]{0,300})?&gt;")
_TAG_REST = re.compile(r"(?:\s[^<>]{0,300})?(?<!/)>")
_NEXT_ELEMENT = re.compile(r"\s{0,99}</[\w:.-]{1,64}>\s{0,200}<([\w:.-]{1,64})(?:\s[^<>]{0,200})?(?<!/)>")
_VALUE_ATTRIBUTE = re.compile(r"""\bvalue\s?=\s?(?=["'])""")


class Elements:
    """Reader of elements whose name, or whose name element, marks a secret."""

    def __init__(self, scan: ScanState, operands: Operands) -> None:
        self.scan = scan
        self._operands = operands
        self._unclosed = False

    def read(self, start: int, end: int) -> bool:
        """Mask the content of the element with the name at this position, and return whether there is one."""
        text = self.scan.text
        if escaped := _ESCAPED_OPENING.match(text, end) if text.endswith("&lt;", 0, start) else None:
            closing = self.scan.values.find("&lt;", escaped.end())
            self.scan.mask(escaped.end(), closing if closing >= 0 else self.scan.values.find_line_end(escaped.end()))
            return True
        is_element_name = text[start - 1 : start] in ("<", ":")
        opening = _OPENING.search(text, max(0, start - 66), start) if is_element_name else None
        if opening is not None:
            rest = _TAG_REST.match(text, end)
            if rest is None:
                return False
            if value := _VALUE_ATTRIBUTE.search(text, rest.start(), rest.end()):
                self._operands.read(value.end(), "")
            self._mask(rest.end(), text[opening.start() + 1 : end])
            return True
        if text[start - 1 : start] != ">":
            return False
        next_element = _NEXT_ELEMENT.match(text, end)
        if next_element is None:
            return False
        self._mask(next_element.end(), next_element[1])
        return True

    def _mask(self, start: int, name: str) -> None:
        end = self._find_content_end(start, name.lower())
        text = self.scan.text
        while start < end and text[start].isspace():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        self.scan.mask(start, end)

    def _find_content_end(self, start: int, name: str) -> int:
        low = self.scan.low
        first_closing = self.scan.values.find("</", start)
        if first_closing < 0:
            self._unclosed = True
        if not self._unclosed:
            closing = first_closing
            while closing >= 0:
                if low.startswith(name, closing + 2):
                    return closing
                closing = low.find("</", closing + 2)
            self._unclosed = True
        return first_closing if first_closing >= 0 else self.scan.values.find_line_end(start)
