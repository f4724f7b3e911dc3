"""Find secrets in running text: one linear pass over the places where one may begin, then the grammar of each.

RE2 finds the places in one pass, however many there are; most texts have none. Text that was read as a value is not
examined again.
"""

from __future__ import annotations

import re

import re2

from airflow_mcp.redact.assignments import Assignments
from airflow_mcp.redact.command_lines import COMMANDS, find_passwords
from airflow_mcp.redact.headers import find_scheme_token
from airflow_mcp.redact.kubernetes import KUBERNETES_KIND, Manifests
from airflow_mcp.redact.names import ANCHORS, MASK, fold_case
from airflow_mcp.redact.operands import Operands
from airflow_mcp.redact.scan_state import ScanState
from airflow_mcp.redact.token_forms import TOKEN_FORMS
from airflow_mcp.redact.userinfo import Userinfo

_SCHEMES = ("bearer", "basic", "negotiate", "digest", "ntlm")
_ADDRESS = "://"
_ESCAPED_ADDRESS = r":\\{1,16}/\\{1,16}/"  # in JSON whose writer escapes slashes, and JSON in it
_ENCODED_ADDRESSES = ("%3a%2f%2f", "%3a//")
_KEY_BLOCKS = ("---begin ", "--- begin ", "---begin%20", "---begin+")
_PUTTY = "private-lines:"
_IDENTIFIED = "identified "
# Literals that a secret follows without a name, and the pattern between each and the secret.
_BY_PLACE = {
    "to-securestring ": re.compile(r"(?i)(?:-string\s{1,9})?(?=[\"'])"),
    "from-literal=": re.compile(r"[\"']?[\w.-]{1,128}="),
    "oracle:thin:": re.compile(r"[\w$#]{1,64}/(?=[^\s/@]{1,128}@)"),
    "<cookie ": re.compile(r"[\w.-]{1,64}="),  # as Python's cookie jars print one
    "connect ": re.compile(r"[\w$#]{1,64}/(?=[^\s/@]{1,128}@)"),
    "sqlplus ": re.compile(r"(?:-\w+\s{1,9}){0,3}[\w$#]{1,64}/(?=[^\s/@]{1,128}@)"),
}
_LITERALS = (_ADDRESS, *_ENCODED_ADDRESSES, MASK, *_KEY_BLOCKS, _PUTTY, _IDENTIFIED, KUBERNETES_KIND, *_BY_PLACE)
_PLACES = "|".join(
    [re.escape(literal) for literal in _LITERALS]
    + [re.escape(literal) for literal in sorted((*_SCHEMES, *COMMANDS, *TOKEN_FORMS), key=len, reverse=True)]
    + [_ESCAPED_ADDRESS, *ANCHORS]
)
_SPACE = "(?:[ +]|%20)"
_KEY = f"{_SPACE}(?:[A-Z0-9 +]|%20){{0,40}}PRIVATE{_SPACE}KEY(?:{_SPACE}BLOCK)?{_SPACE}?-{{0,5}}"
_BEGIN = re.compile(f"-*{_SPACE}?BEGIN{_KEY}")
_END = re.compile(f"-{{3,5}}{_SPACE}?END{_KEY}")
_PUTTY_END = re.compile(r"Private-MAC:[^\n\\\"]*")
_IDENTIFIED_BY = re.compile(r"(?i)(?:with\s+[\w'\"]{1,64}\s+)?(?:by|as)\s+(?:(?:password|values)\s+)?")
_ROUNDS = 4  # passes, so that a secret behind a mask is masked in the first call, not the second


def _compile(places: str) -> re2._Regexp:  # pyright: ignore[reportPrivateUsage] - what re2.compile gives
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = True
    return re2.compile(places.encode(), options)


_PLACE = _compile(_PLACES)


def _encode(low: str) -> bytes:
    """Write one byte per character, so that positions are the same; no literal has a question mark."""
    return low.encode("ascii", "replace")


def may_hold_secret(text: str) -> bool:
    """Decide whether a secret may begin anywhere in the text."""
    return _PLACE.search(_encode(fold_case(text))) is not None


def mask_text(text: str) -> str:
    """Mask every secret in running text. Masking the result again changes nothing."""
    for _ in range(_ROUNDS):
        masked = _Scanner(text).mask()
        if masked == text:
            break
        text = masked
    return text


class _Scanner:
    def __init__(self, text: str) -> None:
        self.scan = ScanState(text)
        self._assignments = Assignments(self.scan)
        self._userinfo = Userinfo(self.scan, mask_text)
        self._manifests = Manifests(self.scan)
        self._command_end = 0
        self._failed: dict[int, int] = {}  # by form of token: no word up to this position has it

    def mask(self) -> str:
        scan = self.scan
        for match in _PLACE.finditer(_encode(scan.low)):
            start, end = match.span()
            if start >= scan.position:
                self._read(start, end, scan.low[start:end])
        return scan.write_masked()

    def _read(self, start: int, end: int, literal: str) -> None:
        scan = self.scan
        if literal == _ADDRESS or literal.startswith(":\\"):
            self._userinfo.read(start, end)
        elif literal in _ENCODED_ADDRESSES:
            self._userinfo.read_encoded(end)
        elif literal == MASK:
            self._assignments.read_masked_name(end)
        elif literal in _KEY_BLOCKS or literal == _PUTTY:
            self._mask_key_block(start)
        elif literal == KUBERNETES_KIND:
            self._manifests.read(start)
        elif literal == _IDENTIFIED:
            if match := _IDENTIFIED_BY.match(scan.text, end):
                Operands(scan).read(match.end(), "", prose=False)
        elif literal in _BY_PLACE:
            self._mask_by_place(end, _BY_PLACE[literal], scan.text)
        elif literal in TOKEN_FORMS:
            self._mask_token(start, literal)
        else:
            if literal in _SCHEMES:
                self._mask_scheme(start, end, literal)
            elif literal in COMMANDS:
                self._mask_command(start, end)
            if scan.position < end:
                self._assignments.read(start, end)

    def _mask_by_place(self, end: int, between: re.Pattern[str], text: str) -> None:
        if match := between.match(text, end):
            at = text.find("@", match.end()) if match[0].endswith("/") else -1
            if at > match.end():
                self.scan.mask(match.end(), at)
            else:
                Operands(self.scan).read(match.end(), "", prose=False)

    def _mask_scheme(self, start: int, end: int, scheme: str) -> None:
        text = self.scan.text
        if start and (text[start - 1].isalnum() or text[start - 1] == "_"):
            return
        if span := find_scheme_token(text, scheme, end):
            self.scan.mask(span[0], self.scan.values.extend_word(span[1]))

    def _mask_token(self, start: int, literal: str) -> None:
        form = TOKEN_FORMS[literal]
        if start < self._failed.get(id(form), 0):
            return
        if span := form.find_span(self.scan.text, start):
            self.scan.mask(*span)
        else:  # a later start in the same word is shorter still
            self._failed[id(form)] = form.find_word_end(self.scan.text, start + len(literal))

    def _mask_key_block(self, start: int) -> None:
        text = self.scan.text
        if self.scan.low.startswith(_PUTTY, start):
            end = _PUTTY_END.search(text, start)
        else:
            while start and text[start - 1] == "-" and start > self.scan.position:
                start -= 1
            if not (begin := _BEGIN.match(text, start)):
                return
            end = _END.search(text, begin.end())
        self.scan.mask(start, end.end() if end else len(text))

    def _mask_command(self, start: int, end: int) -> None:
        text = self.scan.text
        if start < self._command_end or (start and (text[start - 1].isalnum() or text[start - 1] in "_-.")):
            return
        if end < len(text) and not (text[end].isspace() or text[end] in "'\","):
            return
        first = start - 1 if text[start - 1 : start] in ("'", '"') else start
        spans, self._command_end = find_passwords(text, first)
        self.scan.spans += [span for span in spans if text[slice(*span)] != MASK]
