"""Mask what follows a sensitive name and its separator: strings, brackets, references, calls, types or a bare word."""

from __future__ import annotations

import re
from typing import Any

from airflow_mcp.redact.names import is_harmless_word, is_own_name, is_sensitive
from airflow_mcp.redact.scan_state import ScanState

_PREFIX = re.compile(r"""[rbfuRBFU@$]{0,2}(?=\\{0,63}["'`“‘])""")
_PLACEHOLDER = re.compile(
    r"\{\{\s{0,9}[A-Za-z_][\w.]{0,99}(?:\s{0,9}\|\s{0,9}\w{1,64})?\s{0,9}\}\}"  # Jinja
    r"|\$\{[A-Za-z_][\w.]{0,99}\}|\$\{\{[\w. ]{1,99}\}\}|\$\([^()\n]{0,256}\)"  # shells, Compose, GitHub
    r"|%\([A-Za-z_]\w{0,99}\)s|%s"
    r"|<(?:[A-Za-z][A-Za-z _-]{0,64})?>|\*+|\.{3}|…"
)
_TEMPLATE = re.compile(r"\{([A-Za-z_][A-Za-z_.]{0,64})\}")  # {password} of an f-string
_ROOT = (
    r"(?:self|cls|conn|connection|settings|config|configuration|conf|cfg|os|request|response|hook|context|kwargs|creds)"
)
_EXPRESSION = re.compile(  # of an f-string: a call, an item, or an attribute of what code has at hand
    rf"\{{(?:[A-Za-z_][\w.]{{0,64}}[(\[][^{{}}\n]{{0,99}}[)\]]|{_ROOT}(?:\.[A-Za-z_]\w{{0,64}}){{1,4}})(?:![rsa])?\}}"
)
_REPLACED = re.compile(r"\{[A-Za-z_][A-Za-z_.]{0,64}(?:![rsa])?\}")
_NOTHING = re.compile(
    r"(?:None|null|nil|true|false|True|False|undefined|Undefined|YES|NO|not(?= [A-Za-z_(]))(?![\w@#$%!~^*-])"
)
_OF_CODE = re.compile(rf"{_ROOT}(?:\.[A-Za-z_]\w{{0,64}}){{1,4}}(?![\w@#$%!~^*.([-])")
_NO_SECRET_TEXT = re.compile(r"(?i)(?:bearer|basic|token)\s|utf-?8|ascii|airflow(?:\.[a-z_]\w{0,64}){2,9}")
_NAME = re.compile(r"[A-Za-z]+(?:[_-][A-Za-z]+)*")
_OPTION = re.compile(r"--?[a-z][a-z-]*")
_KEY = re.compile(r"\\*[\"']\s?:")
_VARIABLE = re.compile(r"[A-Z]+(?:_[A-Z]+){2,9}")  # of an environment
_VARIABLES = re.compile(r"""\(\s*(?:["'][A-Z_]{1,99}["'],?\s*){1,9}\)""")
_SENTENCE = re.compile(r"[A-Za-z]+(?:,? \(?[A-Za-z]+\)?){4,40}[.!]?")
_ABOUT = re.compile(  # keywords of argparse, click, OpenAPI and forms
    r"(?:help|description|title|label|action|metavar|doc|prompt)\s?=\s?[rbfu]{0,2}[\"']{1,3}$"
    r"|gettext\([\"']$"
)
_CALL = re.compile(r"(?:(?:await|new|not)\s{1,9})?(?:[A-Za-z_]\w{0,99}\.){0,9}([A-Za-z_]\w{0,99})\(")
_READERS = re.compile(
    r"(?i)_?(?:get|fetch|read|load|find|lookup|look|require|resolve|generate|gen|make|create|build|mask|redact|is|has|parse"
    r"|check|env|cast|import|pop|input|prompt|open|join|field|option|argument|param|variable|column|secret$|conf|config|format|from)|.*gettext"
)
_REFERENCE = re.compile(r"[A-Za-z_][\w.]{0,199}(?:\[(?:[\"'][\w .-]{1,99}[\"']|\d{1,3})\]){1,9}(?![\w@#$%!~^*-])")
_ATTRIBUTE = re.compile(r"(?:[A-Za-z_]\w{0,99}\.){1,9}([A-Za-z_]{1,99})")
_IDENTIFIER = re.compile(r"[A-Za-z_.]+")
_CHAIN = re.compile(r"\s?\.[A-Za-z_]\w{0,99}|(?=[(\[])")
_JOIN = re.compile(
    r"(?:[ \t]|\\\n)*(?P<operator>\+|->|\bor\b|\|\||\?\?|\.(?=\s?[\"'])|&|\bif\b[^\n\"']{0,99}\belse\b)?\s{0,99}"
    r"(?=[rbfuRBFU]{0,2}(?P<token>\\{0,63}[\"']))"
)
_SHELL_STRING = re.compile(r"(?:\"\w[^\"\n]{0,256}\"|'\w[^'\n]{0,256}')(?=[\s;&|)]|$)")
_TYPE = re.compile(
    r"(?:(?:typing|t)\.)?(?:str|bytes|int|bool|float|dict|list|tuple|set|Any|Optional|Union|Literal|Annotated|SecretStr|String|string"
    r"|Sequence|Iterable|Mapping|Callable|ArgNotSet|object|type)(?![\w-])(?:\[[^\n=]{0,160}?\](?=[\s,)=|]|$))?"
    r"(?:\s?\|\s?[\w.]{1,64}(?:\[[^\n=\]]{0,99}\])?){0,9}"
)
_PROSE = re.compile(
    r"(?i)(?:an?|the|is|are|was|to|of|for|and|or|not|no|if|in|on|by|as|it|its|this|that|these|your|you|when|where|which|with"
    r"|without|used|using|optional|optionally|required|must|should|will|can|may|please|either|same|value|values|see|e\.g\.|i\.e\.)"
    r"[,.:;]?(?=\s|$)"
)
_SECURE_STRING = re.compile(r"(?i)ConvertTo-SecureString\s{1,9}(?:-String\s{1,9})?(?=[\"'])")  # of PowerShell
_HERE_DOCUMENT = re.compile(r"<<[-~]?[\"']?([A-Za-z_]{1,16})[\"']?[^\n]{0,99}\n")
_VISIBLE = re.compile(r"[^\s\\]")


class Operands:
    """Reader of a value and the values joined to it, as `"a" + "b"` or `get() or "c"`."""

    def __init__(self, scan: ScanState) -> None:
        self.scan = scan

    def read(self, position: int, name: str, *, prose: bool = True) -> bool:
        """Mask the value at this position and what is joined to it, and return whether there is a value.

        `prose` lets the small words of a sentence pass, which may follow `password:` in a document.
        """
        text = self.scan.text
        end, token = self._mask_operand(position, name, prose)
        if end is None:
            return False
        while True:
            self.scan.position = max(self.scan.position, end)
            join = _JOIN.match(text, end)
            if join is None or (join["operator"] is None and not self._goes_on(join, token, end)):
                return True
            next_end, token = self._mask_operand(join.end(), name, prose)
            if next_end is None:
                return True
            end = next_end

    def _goes_on(self, join: re.Match[str], token: str, end: int) -> bool:
        """Decide whether the next string belongs to the value: behind a blank, or as in a shell `'a'"b"`."""
        if join.end() > end:
            return join["token"] == token
        return join["token"] != token and _SHELL_STRING.match(self.scan.text, join.end()) is not None

    def _mask_operand(self, position: int, name: str, prose: bool) -> tuple[int | None, str]:
        """Mask one operand; return its end (None where there is none) and its quotes."""
        scan, values, text = self.scan, self.scan.values, self.scan.text
        document = _HERE_DOCUMENT.match(text, position)
        if document and (end := values.here_document(document[1], document.end())) is not None:
            scan.mask(document.end(), end)
            return end, ""
        if command := _SECURE_STRING.match(text, position):
            position = command.end()
        prefix = _PREFIX.match(text, position)
        if prefix and (string := values.read_string(prefix.end())):
            if string.end > string.start:
                self._mask_string(string.start, string.end, string.after, name)
            return self._follow_chain(max(string.after, scan.position)), text[prefix.end() : string.start]
        placeholder = _PLACEHOLDER.match(text, position) or _NOTHING.match(text, position)
        if placeholder and values.extend_word(end := placeholder.end()) == end and not text.startswith(("{", "["), end):
            return end, ""
        if (template := _TEMPLATE.match(text, position)) and is_sensitive(template[1]):
            return template.end(), ""
        if expression := _EXPRESSION.match(text, position) or (prose and _REPLACED.match(text, position)):
            return expression.end(), ""
        if text.startswith(("{", "[", "("), position):
            end = values.find_bracket_end(position)
            if not _is_blank(text, position, end):
                scan.mask(position, end)
            return end, ""
        if match := _REFERENCE.match(text, position) or _OF_CODE.match(text, position):
            return match.end(), ""
        if (call := _CALL.match(text, position)) and (end := self._mask_call(call)):
            return end, ""
        return self._mask_bare(position, name, prose), ""

    def _mask_string(self, start: int, end: int, after: int, name: str) -> None:
        text = self.scan.text
        word_end = self.scan.values.extend_word(after)
        content = text[start:end] if end - start <= 300 else ""
        if word_end > after:
            self.scan.mask(start, word_end)
        elif not (content and (_is_harmless_text(content) or is_harmless_word(name, content))):
            self.scan.mask(start, end)

    def _mask_call(self, call: re.Match[str]) -> int | None:
        """Mask the strings among a call's arguments, except the name that a reader of secrets takes."""
        scan, values, text = self.scan, self.scan.values, self.scan.text
        call_end = values.find_balanced_end(call.end() - 1)
        if call_end is None or values.extend_word(call_end) != call_end:
            return None
        literals = values.read_strings(call.end(), call_end)
        is_reader = _READERS.match(call[1]) is not None
        first = _PREFIX.match(text, call.end())
        if literals and first and literals[0].start > first.end() >= literals[0].start - 2 and is_reader:
            literals = literals[1:]
        for string in literals:
            if string.end > string.start and not self._is_about(string.start, string.end, is_reader):
                scan.mask(string.start, string.end)
        return self._follow_chain(call_end)

    def _is_about(self, start: int, end: int, reader: bool) -> bool:
        """Decide whether a string in a call names a secret, or is text for a person, and so is no secret itself."""
        text = self.scan.text
        content = text[start:end] if end - start <= 300 else ""
        is_name = reader and _NAME.fullmatch(content) and is_sensitive(content)
        return bool(
            is_name
            or _OPTION.fullmatch(content)
            or _KEY.match(text, end)
            or _is_harmless_text(content)
            or _ABOUT.search(text, max(0, start - 24), start)
        )

    def _follow_chain(self, end: int) -> int:
        """Continue over `.strip("x")` and `["x"]`; a `"".join(...)` has the secret in parts."""
        scan, values, text = self.scan, self.scan.values, self.scan.text
        for _ in range(9):
            chain = _CHAIN.match(text, end)
            if chain is None:
                break
            end = chain.end()
            if text.startswith(("(", "["), end):
                closing = values.find_balanced_end(end)
                if closing is None:
                    break
                for string in values.read_strings(end, closing) if chain[0].endswith("join") else ():
                    scan.mask(string.start, string.end)
                end = closing
        return end

    def _mask_bare(self, position: int, name: str, prose: bool) -> int | None:
        scan, text = self.scan, self.scan.text
        end = scan.values.find_word_end(position)
        if end == position or text.startswith(("# ", "#\t"), position):
            return None
        word = text[position:end] if end - position <= 300 else ""
        if prose and _PROSE.match(word) and word[-1:] != "\n":
            return end
        attribute = _ATTRIBUTE.fullmatch(word)
        if attribute and is_sensitive(attribute[1]):
            return end
        if (
            (is_harmless_word(name, word) and text[end : end + 1] != ";")
            or (name.lower().endswith("auth") and _IDENTIFIER.fullmatch(word))
            or is_own_name(name, word)
            or (word and _is_harmless_text(word))
        ):
            return end
        scan.mask(position, end)
        return end


def find_type_end(text: str, position: int) -> int | None:
    """Find the end of a type annotation, which is no value."""
    match = _TYPE.match(text, position)
    return match.end() if match else None


def is_placeholder(value: Any) -> bool:
    """Decide whether a JSON value only says where the secret belongs, or where to read it."""
    return isinstance(value, str) and len(value) <= 300 and _is_harmless_text(value)


def _is_harmless_text(content: str) -> bool:
    template = _TEMPLATE.fullmatch(content)
    return bool(
        _PLACEHOLDER.fullmatch(content)
        or _EXPRESSION.fullmatch(content)
        or _NO_SECRET_TEXT.fullmatch(content)
        or (template and is_sensitive(template[1]))
        or (_VARIABLE.fullmatch(content) and is_sensitive(content))
        or (_SENTENCE.fullmatch(content) and any(map(is_sensitive, content.split())))
    )


def _is_blank(text: str, start: int, end: int) -> bool:
    """Decide whether brackets hold nothing, or only the words of a sentence in parentheses."""
    content = text[start + 1 : end - 1] if end - start <= 300 else "x"
    if _VARIABLES.fullmatch(text, start, end) and all(map(_is_harmless_text, re.findall(r"\w+", content))):
        return True
    if not _VISIBLE.search(content):
        return True
    return text[start] == "(" and " " in content and all(map(_IDENTIFIER.fullmatch, content.replace(",", " ").split()))
