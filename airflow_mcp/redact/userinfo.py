"""Mask passwords in addresses: `scheme://user:password@host`, whatever characters the password has."""

from __future__ import annotations

import re
from collections.abc import Callable

from airflow_mcp.redact.scan_state import ScanState

# Behind the host of these a port and a path may follow, with an "@" in the path: no user and password.
_HOST_FIRST = frozenset(
    ("http", "https", "ws", "wss", "grpc", "tcp", "udp", "hdfs", "webhdfs", "swebhdfs", "s3", "s3a", "gs", "file")
)
# container@account, and the id of a connection before a bucket, as Airflow's ObjectStoragePath has it
_CONTAINER_FIRST = frozenset(("abfs", "abfss", "wasb", "wasbs", "adl", "s3", "s3a", "gs", "gcs", "file"))
_NO_SECRET_USER = frozenset(("git", "hdfs"))
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,31}$")
_PORT = re.compile(r"\d{1,5}[/?#]")
_DELIMITER = re.compile(r"[:/?#]")
_NO_PASSWORD = frozenset(("", "x-oauth-basic"))  # the passwords beside a token in place of a user name
_SPACE = re.compile(r"\s|$")
_PLACEHOLDER = re.compile(r"\$?\{[A-Za-z_][\w.]*\}|\{\{[^{}\"']{1,99}\}\}|<[a-z _-]{1,40}>|%\(\w+\)s")
_ENCODED = re.compile(r"(?i)[\w.+-]{0,128}%3a([^\s\"'&]{1,256})%40")


class Userinfo:
    """Reader of addresses; it remembers what it found in a word for the other addresses in that word."""

    def __init__(self, scan: ScanState, mask_text: Callable[[str], str]) -> None:
        self.scan = scan
        self._mask_text = mask_text
        self._limits: dict[str, tuple[int, int]] = {}  # by quote: the end of the address, and its last "@"

    def read(self, start: int, end: int) -> None:
        """Mask the password of an address whose `://` stands here, or a user name that is a token."""
        text = self.scan.text
        scheme = _SCHEME.search(self.scan.low, max(0, start - 32), start)
        first = scheme.start() if scheme else start
        quote = text[first - 1] if first and text[first - 1] in "\"'`" else ""
        at = self._find_last_at(end, quote)
        if at < end:
            return
        kind = scheme[0].rsplit("+", 1)[-1] if scheme else ""
        delimiter = _DELIMITER.search(text, end, at)
        if delimiter is None:
            if kind not in _CONTAINER_FIRST and text[end:at] not in _NO_SECRET_USER:
                self._mask(end, at)
        elif delimiter[0] == ":":
            colon = delimiter.start()
            if kind in _HOST_FIRST and _PORT.match(text, colon + 1):
                return
            user = text[end:colon]
            if _is_token(user, text[colon + 1 : at], kind) or self._mask_text(user) != user:
                self.scan.mask(end, colon)
            self._mask(colon + 1, at)
        elif kind not in _CONTAINER_FIRST:
            at = text.rfind("@", end, delimiter.start())
            if at > end and text[end:at] not in _NO_SECRET_USER:
                self._mask(end, at)

    def read_encoded(self, end: int) -> None:
        """Mask the password of an address that is percent-encoded, behind its `%3A%2F%2F`."""
        if match := _ENCODED.match(self.scan.text, end):
            self._mask(*match.span(1))

    def _mask(self, start: int, end: int) -> None:
        if not _PLACEHOLDER.fullmatch(self.scan.text, start, min(end, start + 128)):
            self.scan.mask(start, end)

    def _find_last_at(self, position: int, quote: str) -> int:
        """Find the last "@" before the address ends, at white space or at the quote that it stands in."""
        limit, at = self._limits.get(quote, (0, -1))
        if position < limit:
            return at
        text = self.scan.text
        if quote:
            space, _ = self._limits.get("", (0, -1))
            if position >= space:
                self._find_last_at(position, "")
                space, _ = self._limits[""]
            closing = text.find(quote, position, space)
            limit = space if closing < 0 else closing
        else:
            space_match = _SPACE.search(text, position)
            limit = space_match.start() if space_match else len(text)
        at = text.rfind("@", position, limit)
        self._limits[quote] = limit, at
        return at


def _is_token(user: str, password: str, kind: str) -> bool:
    """Decide whether an HTTP address has a token alone, in place of a user name, and no password of its own."""
    return kind in ("http", "https") and password in _NO_PASSWORD and user not in _NO_SECRET_USER
