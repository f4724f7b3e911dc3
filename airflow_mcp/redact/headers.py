"""Credentials in HTTP: `Bearer X` alone, and the values of Authorization and Cookie headers."""

from __future__ import annotations

import base64
import re

from airflow_mcp.redact.values import Values

_TOKEN = re.compile(r"(?:[ \t]+|%20)([\w.~+/=-]{8,}+)")
_WORD = re.compile(r"[A-Za-z-]+")
_ABOUT = re.compile(r"(?i)auth|cred|token|scheme|header|method|realm|error|scope")
_SCHEME_NAME = re.compile(r"[A-Za-z][\w-]{0,63}[ \t]+(?=[^\s\"'\\,;]|\\\S)")
_PARAMETER = re.compile(r"""[\w-]{1,64}\s?=\s?(?:\\*"[^"\n]*+"?|[^\s,"'\\]+)""")
_NEXT_PARAMETER = re.compile(r"[ \t]*,[ \t]*(?=[\w-]{1,64}\s?=)")
_QUOTED_COOKIE = re.compile(r"""[^\s=;,"']{1,128}=(?=")"[^"\n]{0,4096}+\"""")
_NEXT_COOKIE = re.compile(r";[ \t]*(?=[^\s;,\"'])")
_DIGEST = re.compile(r"(?i)[ \t]+(?=(?:username|response)\s?=)")


def is_authorization(name: str) -> bool:
    """Decide whether a header's name, in lower case, is that of an Authorization header."""
    return name.endswith(("authorization", "auth_header", "auth-header"))


def is_cookie(name: str) -> bool:
    """Decide whether a header's name, in lower case, is Cookie or Set-Cookie."""
    return name.strip("-_").endswith(("cookie", "cookie2"))


def find_scheme_token(text: str, scheme: str, position: int) -> tuple[int, int] | None:
    """Find the credentials behind an authentication scheme that stands alone, unless they are words of a sentence."""
    if scheme == "digest":
        match = _DIGEST.match(text, position)
        return (match.end(), _find_parameters_end(text, match.end())) if match else None
    match = _TOKEN.match(text, position)
    if match is None:
        return None
    token = match[1]
    if token.endswith("=") and text[match.end() : match.end() + 1] in ("'", '"', "\\"):  # Bearer realm="..."
        return None
    is_word = _WORD.fullmatch(token) is not None
    if is_word and scheme != "bearer" and not _is_user_and_password(token):
        return None
    if is_word and _ABOUT.match(token):
        return None
    return match.span(1)


def find_authorization_end(values: Values, position: int) -> int:
    """Find the end of an unquoted Authorization header value: a scheme, credentials or parameters."""
    text = values.text
    scheme = _SCHEME_NAME.match(text, position)
    if scheme and not _PARAMETER.match(text, position):
        position = scheme.end()
    if _PARAMETER.match(text, position):
        return _find_parameters_end(text, position)
    end = values.find_word_end(position)
    next_parameter = _NEXT_PARAMETER.match(text, end)
    return _find_parameters_end(text, next_parameter.end()) if next_parameter else end


def find_cookie_end(values: Values, position: int) -> int:
    """Find the end of an unquoted Cookie header value: pairs with `;` between them."""
    text = values.text
    end = _one_cookie_end(values, position)
    while next_cookie := _NEXT_COOKIE.match(text, end):
        end = _one_cookie_end(values, next_cookie.end())
        if end == next_cookie.end():
            break
    return end


def _one_cookie_end(values: Values, position: int) -> int:
    quoted = _QUOTED_COOKIE.match(values.text, position)
    return values.find_word_end(quoted.end() if quoted else position)


def _find_parameters_end(text: str, position: int) -> int:
    while match := _PARAMETER.match(text, position):
        position = match.end()
        next_parameter = _NEXT_PARAMETER.match(text, position)
        if next_parameter is None:
            break
        position = next_parameter.end()
    return position


def _is_user_and_password(token: str) -> bool:
    try:
        user, colon, _ = base64.b64decode(token + "=" * (-len(token) % 4), validate=True).decode().partition(":")
        return bool(colon) and user.isprintable()
    except ValueError:
        return False
