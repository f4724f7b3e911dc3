"""Find sensitive names in text, and the place of the value of each.

`name = value` and `name: value` in any notation, options, XML, SQL, prompts, and a name that is itself a value with its
secret beside it: `("password", "x")`, `name: password, value: x`.
"""

from __future__ import annotations

import re

from airflow_mcp.redact import headers
from airflow_mcp.redact.elements import Elements
from airflow_mcp.redact.names import is_sensitive
from airflow_mcp.redact.neighbours import Neighbours
from airflow_mcp.redact.operands import Operands, find_type_end
from airflow_mcp.redact.scan_state import ScanState
from airflow_mcp.redact.schemas import find_values

_NAME_REST = re.compile(r"[\w.-]*")
_LONGEST = 160  # characters at the end of a name
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}|\\[nrtbf]|\\u[0-9A-Fa-f]{4}")
_CLOSE = re.compile(
    r"""(?P<quote>\\{0,63}["'`]|%2[27]|&(?:quot|apos|\#3[49]);|\\u002[27])[\])]{0,2}|\](?=[\])]?\s?=)"""
)
_SEPARATOR = re.compile(
    r"(?i)(?:[*_`]{1,3}|\s?\([^()\n]{0,40}\)|(?P<prompt>[ \t]+(?:again|for|of)\b[^\n:=]{0,60}(?:://[^\n:=]{0,80})?)"
    r"|[ \t]+(?:is|was)(?=:))?"
    r"\s{0,16}(?P<sign>=>|->|→|:=|=:(?=[ \t])|[+?|]{0,2}={1,2}|(?<!:):(?!:)|(?<=\w)::(?=[ \t])|[：＝]"
    r"|%(?:25)?3[da]|\\u003[ad]|&\#(?:61|58);)(?:\*{1,2}(?!\*))?"
)
_SIGNS = {"：": ":", "＝": "=", "→": "->"}  # the first two of East Asian keyboards
_BLANK = re.compile(r"(?:[ \t\u00a0\u2000-\u200a\u202f\u3000]|\\\r?\n)*")
_TAG = re.compile(r"(?:[&!][\w!./:-]*[ \t]+){1,3}")
_EMPHASIS = re.compile(r"\*{1,2}[ \t]+(?=[^\s*])")
_ESCAPED_BLOCK = re.compile(r"""[|>][+-]?\d?\\n[^"'\n]*""")
_ASSIGNED = re.compile(r"\s{0,9}=(?!=)\s{0,9}")
_DECLARED = re.compile(r"[ \t]*(?:[,)\n]|$)")
_SPACE = re.compile(r"\s{0,256}")
_SHORT_OPTION = re.compile(r"--|-\w?(?!\S)")
_STATEMENT = re.compile(r"\s*(?:async|def|class|if|elif|else|for|while|with|try|except|case|match|return|lambda|:)\b")
_DOCUMENTED = re.compile(r":(?:param|type|keyword|arg|raises?|var|ivar|cvar|attr)\b[^\n:]{0,60}$")
_ASKED_FOR = re.compile(r"(?i)pass(?:word|phrase|code)$")
_SET = re.compile(
    r"(?i)(?:^|[\s;&|])(?:export|setenv|setx|env|arg|set -[a-z]{1,3}|(?:variables|connections|config|configure) set)"
    r"[ \t]+[\"']?$"
)
_OPTION_BEFORE = re.compile(r"(?:^|\s)(?:--?[A-Za-z][\w-]{0,30}|Environment|ENV|export|set)[ \t=]\Z")
_INVALID = re.compile(r"\n {2}[^\n]{1,300}\[type=\w{1,64}, input_value=")  # of pydantic, below the name of a field
_DUMPED = re.compile(r"(?:string|str)\(\d{1,9}\)[ \t]+")  # by PHP
_FIRST_IN_LINE = re.compile(r"(?:^|\n|[\"']|- |\b(?:login|user)[ \t]+\S{1,128}\s)[ \t]*\Z")
_CELL = re.compile(r"[|│┃][ \t]*[`*]{0,2}\Z")
_NEXT_CELL = re.compile(r"[`*]{0,2}[ \t]*[|│┃][ \t]*[`*]{0,2}(?=[^\s|│┃]+[ \t]*[|│┃])")
_LAST_IN_LINE = re.compile(r"[ \t]+(?=[^\s=:|\"'\\]{1,300}[ \t\r]*(?:\n|\Z|\\*[\"']))")
_NO_WORD = re.compile(r"(?=[^\s\d]*\d)(?=[^\sA-Za-z]*[A-Za-z])[^\s|│┃`\"'\\]{6,}")
_SETTERS = ("export", "setenv", "setx", "env", "arg", " set", " -x", " -gx", " -ux", " -lx")
_SQL = re.compile(r"(?:[Pp]ass(?:word|wd|phrase)|[Cc]redentials?|[Ss]ecret|pwd|[A-Z_]+)$")
_SPACE_AND_QUOTE = re.compile(r"[ \t]{1,16}(?=\\{0,63}[\"'])")
_SPACE_AND_VALUE = re.compile(r"(?:[ \t]|\\\r?\n|%20)+(?=[^\s=:|>])")
_SETTER = re.compile(
    r"(?i)(?:set|with|use|change|reset|update|new)?_?(?:password|passwd|passphrase|pwd|secret_?str|secret)$"
)
_CALL = re.compile(r"[A-Za-z_][\w.]{0,99}\(")
_CALL_START = re.compile(r"""\(\s{0,9}(?=[rbfuRBFU]{0,2}\\{0,63}["'])""")
_ITEM = re.compile(r"""[ \t]*(?:-[ \t]+|[\w."'-]{1,64}\s?:(?:\s|$)|["']|\S+[ \t\r]*(?:\n|$))""")


class Assignments:
    """Reader of the values of sensitive names."""

    def __init__(self, state: ScanState) -> None:
        self.scan = state
        self.operands = Operands(state)
        self._neighbours = Neighbours(state, self.operands)
        self._elements = Elements(state, self.operands)
        self._name_end = 0  # names before this position have been read

    def read(self, start: int, end: int) -> None:
        """Mask the value of the name around a sensitive word, if that is the name of a secret and has a value."""
        if start < self._name_end:
            return
        start, end = self._widen_name(start, end)
        self._name_end = end
        text = self.scan.text
        name = text[max(start, end - _LONGEST) : end].strip(".-")
        if not is_sensitive(name):
            return
        name = name.lower() if text[start - 1 : start] == ";" else name  # the PWD of a connection string, not a folder
        close = _CLOSE.match(text, end)
        close_end = close.end() if close else end
        if self._elements.read(start, end) or self._mask_separated(start, close_end, name, close):
            return
        if self._neighbours.read(start, end, close_end, name):
            return
        if invalid := _INVALID.match(text, end):
            self.operands.read(invalid.end(), "", prose=False)
            return
        self._mask_spaced(start, end, close_end, name)

    def read_masked_name(self, end: int) -> None:
        """Mask the value behind a name in which Airflow has masked a word: `db_***: x`."""
        text = self.scan.text
        rest = _NAME_REST.match(text, end)
        end = rest.end() if rest else end
        if text[end : end + 1] not in ("=", ":") or text.startswith("://", end):
            return
        end += 1
        self.operands.read(end + (text[end : end + 1] in (" ", "\t")), "", prose=False)

    def _widen_name(self, start: int, end: int) -> tuple[int, int]:
        """Widen a sensitive word to the whole name that contains it."""
        text = self.scan.text
        rest = _NAME_REST.match(text, end)
        end = rest.end() if rest else end
        first = max(self.scan.position, self._name_end)
        while start > first and (text[start - 1].isalnum() or text[start - 1] in "_-."):
            start -= 1
        if start and (escaped := _ESCAPED.match(text, start - 1)) and escaped.end() < end:
            start = escaped.end()
        return start, end

    def _mask_separated(self, start: int, after: int, name: str, close: re.Match[str] | None) -> bool:
        """Mask the value behind a separator, and return whether there is one."""
        text = self.scan.text
        separator = _SEPARATOR.match(text, after)
        if separator is None or (separator["sign"] == ":" and text.startswith("//", separator.end())):
            return False
        if separator["prompt"] and not _ASKED_FOR.search(name):
            return False
        sign = _SIGNS.get(separator["sign"], separator["sign"])
        gap = text[after : separator.start("sign")]
        if sign == "->" and gap.startswith("("):  # the type that a function returns
            return True
        next_character = text[separator.end() : separator.end() + 1]
        # :param, and the line under a title
        if "\n" in gap and ((sign == ":" and next_character.isalpha()) or sign == "=="):
            return False
        has_space = separator.end() - after > len(sign)
        if name.lower().endswith("sig") and (has_space or sign[0] not in "=%") and not close:  # sig = SIGTERM
            return True
        if sign == ":" and not close and _DOCUMENTED.search(text, max(0, start - 80), start):
            return True
        position = self._find_value_start(separator.end(), sign)
        if position is None:
            return True
        if text.startswith(("\n", "\r\n"), position) or position >= len(text):
            self._mask_below(start, position, sign, name)
            return True
        is_comparison = sign == "==" and position > separator.end() and text[position] not in "'\""
        if sign == "=" and not close and self._shell_word(start, position):
            return True
        if not (self._mask_header(position, name, close) or self._mask_block(start, position, sign) or is_comparison):
            self._mask_tagged(position, name, sign)
        return True

    def _shell_word(self, start: int, position: int) -> bool:
        """Mask the value in `-e "NAME=a value"` up to the quote that ends the word of the shell."""
        text = self.scan.text
        if text[start - 1 : start] not in ("'", '"') or not _OPTION_BEFORE.search(text, max(0, start - 48), start - 1):
            return False
        string = self.scan.values.read_string(start - 1)
        if (
            string is None
            or string.end <= position
            or string.after == string.end
            or "\n" in text[position : string.end]
        ):
            return False
        self.scan.mask(position, string.end)
        return True

    def _find_value_start(self, position: int, sign: str) -> int | None:
        """Find the value behind blanks, emphasis and a type annotation; None where there is only an annotation."""
        text = self.scan.text
        if blank := _BLANK.match(text, position):
            position = blank.end()
        if dumped := _DUMPED.match(text, position):
            position = dumped.end()
        if emphasis := _EMPHASIS.match(text, position):
            position = emphasis.end()
        if sign == ":" and (annotation_end := find_type_end(text, position)) is not None:
            if assigned := _ASSIGNED.match(text, annotation_end):
                return assigned.end()
            if _DECLARED.match(text, annotation_end):
                return None
        return position

    def _mask_header(self, position: int, name: str, close: re.Match[str] | None) -> bool:
        if (close and close["quote"]) or self.scan.text[position] in "'\"\\{[" or _CALL.match(self.scan.text, position):
            return False
        if headers.is_authorization(name.lower()):
            self.scan.mask(position, headers.find_authorization_end(self.scan.values, position))
        elif headers.is_cookie(name.lower()):
            self.scan.mask(position, headers.find_cookie_end(self.scan.values, position))
        else:
            return False
        return True

    def _mask_block(self, start: int, position: int, sign: str) -> bool:
        """Mask a YAML block scalar, also in a string of one line, where its newlines are escaped."""
        if sign not in (":", "="):
            return False
        if tag := _TAG.match(self.scan.text, position):
            position = tag.end()
        end = self.scan.values.find_block_end(position, self._count_indent(start))
        if end is None and (escaped := _ESCAPED_BLOCK.match(self.scan.text, position)):
            end = escaped.end()
        if end is not None:
            self.scan.mask(position, end)
        return end is not None

    def _mask_tagged(self, position: int, name: str, sign: str) -> None:
        """Mask a value, and a YAML tag or anchor before it, which may be the start of the value."""
        tag = _TAG.match(self.scan.text, position) if sign == ":" else None
        masks = len(self.scan.spans)
        self.operands.read(tag.end() if tag else position, name, prose=sign == ":")
        if tag and len(self.scan.spans) > masks:
            self.scan.mask(position, tag.end())

    def _count_indent(self, start: int) -> int:
        """Count the blanks before the key at this position."""
        text = self.scan.text
        line = text[text.rfind("\n", max(0, start - 256), start) + 1 : start]
        return len(line) - len(line.lstrip(" \t"))

    def _mask_below(self, start: int, position: int, sign: str, name: str) -> None:
        """Mask a value on the next lines: a string, a YAML list, or a block of items and single words."""
        text = self.scan.text
        space = _SPACE.match(text, position)
        value = space.end() if space else position
        if value >= len(text):
            return
        if sign in (":", "=", "=>") and text[value] in "\"'([{" and self._has_quote_before(start):
            self.operands.read(value, name)
            return
        if sign == "=" and value - text.rfind("\n", position, value) - 1 > self._count_indent(start):  # of an INI file
            self.operands.read(value, name)
            return
        line = text[text.rfind("\n", max(0, start - 256), start) + 1 : start]
        first = text.rfind("\n", position, value) + 1
        if sign == ":" and not _STATEMENT.match(line) and _ITEM.match(text, first):
            self._mask_lines(
                value, first, self.scan.values.find_deeper_end(first, self._count_indent(start), items=True)
            )

    def _mask_lines(self, value: int, first: int, end: int) -> None:
        """Mask a block of lines, or only the values in it where it describes the secret."""
        values = find_values(self.scan.text[first:end])
        for start, stop in [(value - first, end - first)] if values is None else values:
            self.scan.mask(first + start, first + stop)

    def _has_quote_before(self, start: int) -> bool:
        return self.scan.text[start - 1 : start] in ('"', "'")

    def _is_set(self, start: int) -> bool:
        """Decide whether a command that sets a variable precedes its name."""
        text = self.scan.text
        prefix = text[max(0, start - 32) : start].rstrip("\"'")
        if prefix[-1:] not in (" ", "\t") or not prefix.rstrip(" \t").lower().endswith(_SETTERS):
            return False
        return _SET.search(text, max(0, start - 64), start) is not None

    def _mask_spaced(self, start: int, end: int, after: int, name: str) -> None:
        """Mask a value behind white space: of an option, of SQL, of `setenv`; and the string argument of a setter."""
        text = self.scan.text
        if text[start : start + 1] == "-" or self._is_set(start):
            value = _SPACE_AND_VALUE.match(text, after)
            if value and not _SHORT_OPTION.match(text, value.end()):
                self.operands.read(value.end(), name)
        elif (_SQL.search(name) and (value := _SPACE_AND_QUOTE.match(text, end))) or (
            _SETTER.search(name) and (value := _CALL_START.match(text, end))
        ):
            self.operands.read(value.end(), name)
        elif (value := self._find_beside(start, after)) and (word := _NO_WORD.match(text, value)):
            self.scan.mask(value, word.end())

    def _find_beside(self, start: int, after: int) -> int | None:
        """Find the only word behind a name that starts its line (`requirepass x`), or that in the next table cell."""
        text = self.scan.text
        value = _NEXT_CELL.match(text, after) or _LAST_IN_LINE.match(text, after)
        if value is None:
            return None
        pattern = _CELL if value[0].strip() else _FIRST_IN_LINE
        return value.end() if pattern.search(text[max(0, start - 160) : start]) else None
