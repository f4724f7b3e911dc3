"""Tokens that callers bear over HTTP: made at random, and kept as their SHA-256 alone."""

from __future__ import annotations

import hashlib
import secrets

_PREFIX = "amcp_"  # lets a secret scanner know ours
_BYTES = 32  # of randomness: nothing to guess, so a plain digest is enough and each request is checked in microseconds


def new_token() -> str:
    """A token nobody can guess."""
    return _PREFIX + secrets.token_urlsafe(_BYTES)


def digest(token: str) -> str:
    """What is kept of a token: its SHA-256, in hexadecimal."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
