"""Tokens that callers bear over HTTP: made at random, and kept as their SHA-256 alone."""

from __future__ import annotations

import hashlib
import re
import secrets

PREFIX = "amcp_"  # lets a secret scanner know ours
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")  # of who bears one, and of a role
LOCAL = "local"  # who calls over stdio, or on loopback without a token
_BYTES = 32  # of randomness: nothing to guess, so a plain digest is enough and each request is checked in microseconds


def make_token() -> str:
    """A token nobody can guess."""
    return PREFIX + secrets.token_urlsafe(_BYTES)


def hash_token(text: str) -> str:
    """The SHA-256 of a text, in hexadecimal: what is kept of a token, and what stands for other texts elsewhere."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
