"""Tokens of callers over HTTP: made at random, and stored only as their SHA-256."""

from __future__ import annotations

import hashlib
import re
import secrets

PREFIX = "amcp_"  # lets secret scanners recognise these tokens
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")  # of a token's bearer, and of a role
LOCAL = "local"  # the caller over stdio, or on loopback without a token
_BYTES = 32  # of randomness: too many to guess, so a plain digest is enough and each request is checked in microseconds


def make_token() -> str:
    """Make a token that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(_BYTES)


def hash_token(text: str) -> str:
    """Return the SHA-256 of a text in hexadecimal, which is stored or compared in place of a token or another text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
