"""Find where the value of a secret ends, by the grammar that its first character opens.

Every reader takes a position and returns positions. A reader examines each character a bounded number of times, or
remembers that its literal does not occur in the rest of the text, so all readers together take linear time.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_OPEN_QUOTE = re.compile(r"""(\\{0,63})(["'`“‘])""")
_CLOSES = {"“": "”", "‘": "’"}
_OPENS_BRACKET = "{[("
_BRACKET_PART = re.compile(r"""\\*["'`]|[\[\]{}()]""")
_RAW = re.compile(r"""[^\s,\[\]{}"'`;&\\)]+""")
_NEXT_PAIR = re.compile(
    r"(?:amp;)?[ \t]{0,4}[\w.-]{1,64}(?: [\w.-]{1,32}){0,3}[ \t]{0,4}=(?!=|\s|$)"  # what ends a value: the next pair,
    r"|[;&]?(?:\s|$|[\"'`)\]}<\\])"  # or the end of the whole
)
_AFTER_QUOTE = re.compile(r"""[\s,;:)\]}<>&|+"'`\\]|/>|\.(?:\s|["'`]|[A-Za-z_]+\(|$)|$""")
_AFTER_BRACKET = re.compile(r"""[^\w@#$%!~^*-]|$""")
_WORD = re.compile(r"[\w@#$%!~^*/-]")
_STRING_START = re.compile(r"(?:^|[^0-9A-Za-z])[rbfuRBFU]{0,2}$")
_MOST_UNCLOSED = 8  # brackets without an end: each costs a search through the rest of the text
_BLOCK = re.compile(r"[|>][+\-\d]{0,2}[ \t]*(?:#[^\n]*)?\r?\n")
_LINE = re.compile(r"([ \t]*)([^\n]*)(?:\n|$)")
_LIST_ITEM = re.compile(r"-[ \t]+")
_DICT_START = re.compile(r"""\{\s{0,64}(?:\\*["'{\[]|[}\d]|[A-Za-z_][\w.-]{0,63}\s?[:=])""")


class QuotedString(NamedTuple):
    """Positions of a string: its content, and the text behind its closing quote."""

    start: int
    end: int
    after: int


class Values:
    """Readers of the values in one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._absent: set[str] = set()  # what does not occur in the rest of the text
        self._unclosed = 0

    def find_line_end(self, position: int) -> int:
        """Find the end of the line, without its newline."""
        end = self.text.find("\n", position)
        return len(self.text) if end < 0 else end

    def read_string(self, position: int) -> QuotedString | None:
        """Read a string: escaped, doubled and triple quotes, at any depth of JSON in JSON; a cut one ends its line."""
        opening = _OPEN_QUOTE.match(self.text, position)
        if opening is None:
            return None
        text, start, quote = self.text, opening.end(), opening[2]
        depth = _count_trailing_ones(len(opening[1]))
        token = "\\" * _count_escapes(depth) + quote
        if text.startswith(token * 2, start):
            inside = start + 2 * len(token)
            end = self.find(token * 3, inside)
            if end >= 0:
                return QuotedString(inside, end, end + 3 * len(token))
            if quote != "'":  # in SQL three may be an opening and a doubled quote
                return QuotedString(inside, len(text), len(text))
        close = _CLOSES.get(quote, quote)
        if (closing_quote := f"{depth}{close}") not in self._absent:
            end = self._find_closing_quote(close, depth, start)
            if end is not None:
                return QuotedString(start, *end)
            self._absent.add(closing_quote)
        end = self.find_line_end(start)
        return QuotedString(start, end, end)

    def _find_closing_quote(self, quote: str, depth: int, start: int) -> tuple[int, int] | None:
        """Find the end of the content and the end of the closing quote, at this depth or at one further out."""
        text, position, newline = self.text, start, -1
        while (quote_start := text.find(quote, position)) >= 0:
            first = quote_start
            while first > position and text[first - 1] == "\\":
                first -= 1
            slashes = quote_start - first
            level = _count_trailing_ones(slashes)
            position = quote_start + 1
            if level > depth:
                continue
            token = "\\" * _count_escapes(level) + quote
            if text.startswith(token, position) and quote_start > start:  # a doubled quote is a quote
                position += len(token)
                continue
            if _WORD.match(text, position):
                newline = text.find("\n", start, quote_start) if newline < 0 else newline
                if newline >= 0:  # an apostrophe on a later line
                    continue
            return quote_start - _count_escapes(level), position
        return None

    def find_bracket_end(self, position: int) -> int:
        """Find the end of a value in brackets: ODBC's braces with `}}` for `}`, else balanced and aware of strings."""
        text = self.text
        if text[position] == "{" and not _DICT_START.match(text, position):
            end = self._find_brace_end(position + 1)
            if end >= 0:
                return self.extend_word(end, _AFTER_BRACKET)
        if (end := self.find_balanced_end(position)) is not None:
            return self.extend_word(end, _AFTER_BRACKET)
        return len(text) if text[position] in "{[" or self._unclosed > _MOST_UNCLOSED else self.find_line_end(position)

    def find_balanced_end(self, position: int) -> int | None:
        """Find what closes the bracket here, past strings and inner brackets; None where nothing does."""
        if self._unclosed > _MOST_UNCLOSED:
            return None
        depth = 0
        place = position
        while part := _BRACKET_PART.search(self.text, place):
            place = part.end()
            character = part[0][-1]
            if character in _OPENS_BRACKET:
                depth += 1
            elif character in "}])":
                depth -= 1
                if depth == 0:
                    return place
            elif string := self._read_string(part.start()):
                place = string.after
        self._unclosed += 1
        return None

    def read_strings(self, position: int, end: int) -> list[QuotedString]:
        """Read every string between two positions."""
        strings: list[QuotedString] = []
        while (part := _BRACKET_PART.search(self.text, position, end)) is not None:
            position = part.end()
            if part[0][-1] in "\"'`" and (string := self._read_string(part.start())):
                strings.append(string)
                position = string.after
        return strings

    def _read_string(self, position: int) -> QuotedString | None:
        """Read a string, if the quote here is no apostrophe."""
        if _STRING_START.search(self.text, max(0, position - 3), position):
            return self.read_string(position)
        return None

    def _find_brace_end(self, position: int) -> int:
        if "even braces" in self._absent:
            return -1
        while (end := self.text.find("}", position)) >= 0:
            if not self.text.startswith("}", end + 1):
                return end + 1
            position = end + 2
        self._absent.add("even braces")
        return -1

    def find_word_end(self, position: int) -> int:
        """Find the end of a bare word: white space, a comma, a bracket, or `;` and `&` where another pair begins."""
        text, size = self.text, len(self.text)
        start = position
        while position < size:
            if bare := _RAW.match(text, position):
                position = bare.end()
                continue
            character = text[position]
            if character == "\\":
                after = self._skip_escape(position)
                if after is None:
                    break
                position = after
            elif character in ";&":
                if _NEXT_PAIR.match(text, position + 1):
                    break
                position += 1
            elif character in "\"'`":
                if _AFTER_QUOTE.match(text, position + 1) and position > start:
                    break
                position += 1
            elif character == ")" and _WORD.match(text, position + 1):
                position += 1
            else:
                break
        return position

    def _skip_escape(self, position: int) -> int | None:
        """Step over backslashes and what they escape; None where they belong to a closing quote."""
        text = self.text
        end = position
        while text.startswith("\\", end):
            end += 1
        character = text[end : end + 1]
        if character in ('"', "'", "`"):
            return None if _AFTER_QUOTE.match(text, end + 1) else end + 1
        if character == "\n" and (end - position) % 2:  # a continued line
            end += 1
            while text[end : end + 1] in (" ", "\t"):
                end += 1
            return end
        if character in (" ", "\t") and (end - position) % 2:
            return end + 1
        return end

    def extend_word(self, position: int, end: re.Pattern[str] = _AFTER_QUOTE) -> int:
        """Return the end of the word, where a value that seemed complete continues without a gap."""
        if end.match(self.text, position):
            return position
        return self.find_word_end(position)

    def find_block_end(self, position: int, indent: int) -> int | None:
        """Find the end of a YAML block scalar (`|`, `>`): of the lines that are indented deeper than their key."""
        header = _BLOCK.match(self.text, position)
        return None if header is None else self.find_deeper_end(header.end(), indent)

    def find_deeper_end(self, position: int, indent: int, *, items: bool = False) -> int:
        """Find the end of the lines indented deeper than `indent`; with `items` also of a list at that depth."""
        end = position
        while line := _LINE.match(self.text, position):
            deep = len(line[1]) > indent
            item = items and len(line[1]) == indent and _LIST_ITEM.match(line[2])
            if line[2].strip() and not deep and not item:
                break
            position = line.end()
            if line[2].strip():
                end = position if self.text[position - 1] != "\n" else position - 1
            if position >= len(self.text):
                break
        return end

    def here_document(self, word: str, position: int) -> int | None:
        """Find the line that ends a shell's here-document; None where there is none, or too many had none."""
        if self._unclosed > _MOST_UNCLOSED:
            return None
        end = self.text.find(f"\n{word}", position - 1)
        if end < 0:
            self._unclosed += 1
        return None if end < 0 else max(end, position)

    def find(self, literal: str, position: int) -> int:
        """Find a literal from here on, and search for it no more once it does not occur."""
        if literal in self._absent:
            return -1
        index = self.text.find(literal, position)
        if index < 0:
            self._absent.add(literal)
        return index


def _count_trailing_ones(number: int) -> int:
    """Return the depth of a quote behind that many backslashes.

    Each level of JSON in a string doubles them and adds one.
    """
    depth = 0
    while number & 1:
        depth += 1
        number >>= 1
    return depth


def _count_escapes(depth: int) -> int:
    return (1 << depth) - 1
