"""Turn bytes into lines: cut at newlines, capped, decoded, unwrapped from 2.x's Python repr, private keys masked."""

from __future__ import annotations

import re

from airflow_mcp.redact import MASK

LONGEST_LINE = 64 * 1024  # bytes read of one line: of a longer one its two ends
_END = 16 * 1024  # bytes of these at its end, where a long message says why
_HEAD = LONGEST_LINE - _END
_SLACK = 64  # bytes before the end, which show whether it begins inside an escape
_CUT = "…"
_LONGEST_KEY = 250  # lines: an RSA key of 16,384 bits has about 200, so what follows is no key any more
_KEY = re.compile(r"-----(BEGIN|END) [A-Z ]*PRIVATE KEY-----")
_ESCAPE = re.compile(
    rb"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[^xuU])"  # one escape of a Python or JSON string
    rb"|[^\\'\"]+|['\"]|\\"  # text, a quote, or an escape whose rest has not come yet
)
_LONGEST_ESCAPE = 10
_TORN = re.compile(rb"(?<!\\)(?:\\\\)*\\(?:u[0-9a-fA-F]{0,3})?$")  # an escape that continues behind the cut
_WORD = re.compile(rb"[^\s\"'\\,;&]{1,4096}(?=[\s\"'\\,;&])")
_PLAIN = {b"n": b"\n", b"t": b"\t", b"r": b"\r"}


class LineReader:
    """Splits bytes, fed as they come, into complete lines; `finish` returns the rest."""

    def __init__(self) -> None:
        self.size = 0  # bytes fed
        self._pending = b""
        self._head = b""  # start of a line that is too long; `_pending` then holds its end
        self._key_lines = 0  # > 0: inside a private key
        self._unwrap: ReprReader | None = None
        self._begun = False

    def feed(self, piece: bytes) -> list[str]:
        """Return the lines that end in this piece."""
        self.size += len(piece)
        if not self._begun:
            self._pending += piece
            if len(self._pending) < 3:
                return []  # too few bytes to recognise the form
            piece, self._pending, self._begun = self._pending, b"", True
            if piece.startswith((b"[('", b'[("')):
                self._unwrap = ReprReader()
        if self._unwrap:
            piece = self._unwrap.feed(piece)
        *complete, rest = (self._pending + piece).split(b"\n")
        lines = [self._decode(line) for line in complete]
        self._pending = rest
        if len(rest) > LONGEST_LINE + _SLACK or (self._head and len(rest) > _END + _SLACK):
            self._head = self._head or rest[:_HEAD]
            self._pending = rest[-_END - _SLACK :]
        return lines

    def finish(self) -> list[str]:
        """Return the last line, if it had no newline."""
        rest, self._pending, self._begun = self._pending, b"", True
        return [self._decode(line) for line in rest.split(b"\n")] if rest or self._head else []

    def _decode(self, line: bytes) -> str:
        head, self._head = self._head, b""
        if not head and len(line) > LONGEST_LINE + _SLACK:
            head, line = line[:_HEAD], line[-_END - _SLACK :]
        text = _join_ends(head, line) if head else line.decode("utf-8", "replace")
        text = text.rstrip("\r")
        if not self._key_lines and "PRIVATE KEY-----" not in text:
            return text
        return self._mask_key(text)

    def _mask_key(self, text: str) -> str:
        """Mask the lines of a private key, of which only the first is recognisable by itself."""
        inside = self._key_lines > 0
        marks = _KEY.findall(text)
        self._key_lines = (self._key_lines + 1) % _LONGEST_KEY if inside else 0
        if marks:
            self._key_lines = 1 if marks[-1] == "BEGIN" else 0
        return MASK if inside else text


def _join_ends(head: bytes, end: bytes) -> str:
    """Join the two ends of a line without tearing an escape, so that JSON whose longest string was cut stays JSON.

    The end begins with a whole word, since half a secret would not be recognised as one.
    """
    torn = _TORN.search(head, max(len(head) - _SLACK, 0))
    head = head[: torn.start()] if torn else head
    slack, end = end[:-_END], end[-_END:]
    if (len(slack) - len(slack.rstrip(b"\\"))) % 2:
        end = end[1:]  # it belongs to an escape
    word = _WORD.match(end)
    end = end[word.end() :] if word else end
    return f"{head.decode('utf-8', 'ignore')}{_CUT}{end.decode('utf-8', 'ignore')}"


class ReprReader:
    """Extracts the text from `[('host', 'text'), ...]`, which 2.x's API returns for a log in some forms.

    Source: airflow/api_connexion/endpoints/log_endpoint.py of 2.11.2, `str(logs)` in the JSON form. Each host and
    each text becomes lines of its own, as in the text/plain form.
    """

    def __init__(self) -> None:
        self._quote = b""  # the quote that ends the current string
        self._held = b""  # the beginning of an escape

    def feed(self, piece: bytes) -> bytes:
        """Return the text that these bytes stand for."""
        piece = self._held + piece
        self._held = b""
        out: list[bytes] = []
        for match in _ESCAPE.finditer(piece):
            token = match[0]
            if token == b"\\" and len(piece) - match.start() < _LONGEST_ESCAPE:
                self._held = piece[match.start() :]
                break
            if token in (b"'", b'"') and self._quote in (b"", token):
                if self._quote:
                    out.append(b"\n")
                self._quote = b"" if self._quote else token
            elif self._quote:
                out.append(_unescape(token))
        return b"".join(out)


def _unescape(token: bytes) -> bytes:
    if token[:1] != b"\\" or token == b"\\":
        return token
    if token[1:2] in (b"x", b"u", b"U"):
        return chr(min(int(token[2:], 16), 0x10FFFF)).encode("utf-8", "surrogatepass")
    return _PLAIN.get(token[1:], token[1:])
