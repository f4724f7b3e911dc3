"""Mask secrets, whatever Airflow itself masked: by key name, inside JSON in strings, in URLs and in running text.

Airflow 2.x gives variables, its configuration and parts of connections in clear, so its masking cannot be relied on.
The key names are Airflow's own list (DEFAULT_SENSITIVE_FIELDS of 2.11.2 and 3.3.2, and the options that their
config.yml calls sensitive), matched like there: anywhere in the lower-cased key.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from airflow_mcp.text import clean, in_strings

MASK = "***"
SENSITIVE = (
    "access_key", "access_token", "api_key", "apikey", "auth_header", "authorization", "bearer", "connection_string",
    "dsn", "keyfile_dict", "passphrase", "passwd", "password", "private_key", "proxies", "proxy", "proxy_password",
    "secret", "service_account", "service_key", "token", "webhook_url",
    "asset_manager_kwargs", "backend_kwargs", "broker_url", "dataset_manager_kwargs", "fernet_key", "flower_basic_auth",
    "remote_task_handler_kwargs", "result_backend", "sql_alchemy_conn", "sql_alchemy_engine_args",
)  # fmt: skip

_WORDS = "|".join(word.replace("_", "[_-]?") for word in SENSITIVE)
# A password may hold a "/" that was not encoded; what starts with digits and a "/" is a port and a path.
_USERINFO = re.compile(r"(?<=://)(?:[^\s/?#\"'<>:@]{0,128}:(?!\d+[/?#])[^\s\"'<>]{1,256}|[^\s/?#\"'<>]+)(?=@)")
_SCHEME = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}")
_HEADER = re.compile(
    r"(?i)(authorization[\\\"']*\s*[:=]\s*[\\\"']*)(?!\*\*\*)(?:[a-z][\w-]*\s+)?[^\s\"'\\,;]+"
)  # any scheme
_SHAPES = re.compile(
    r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # JSON web tokens
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS access key ids
    r"|\bAIza[\w-]{35}\b|\bya29\.[\w-]{20,}"  # Google API keys and access tokens
    r"|\bamcp_[\w-]{20,}"  # tokens for this server
    r"|\bgh[pousr]_\w{36,}|\bgithub_pat_\w{22,}|\bglpat-[\w-]{20,}"  # GitHub and GitLab tokens
    r"|\bxox[abprs]-[\w-]{10,}|\bsk-[\w-]{20,}|\bdapi[0-9a-f]{32}\b"  # Slack, OpenAI and Databricks
    r"|(?<=hooks\.slack\.com/services/)[\w/]+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
_CONNECTION_STRING = re.compile(
    r"(?i)((?:[;?&]\s*(?:pwd|sig)|\baccountkey)\s*=\s*)(?!\*\*\*)[^;&\s\"'\\]+"
)  # ODBC, Azure
# What none of the others can match without: most strings are done with after this one look.
_SUSPICIOUS = (
    r"://|bearer|basic|eyj|a[ks]ia|aiza|ya29|amcp_|gh[pousr]_|github_pat|glpat|xox|sk-|dapi|private key"
    r"|hooks\.slack|pwd|accountkey|sig|\*\*\*[\w.-]*[=:]|" + _WORDS
)
_SUSPECT = re.compile(_SUSPICIOUS)
_SUSPECT_IN_ANY_CASE = re.compile(f"(?i){_SUSPICIOUS}")
_NAME = re.compile(f"(?i){_WORDS}")
_OPTION = re.compile(rf"(?i)((?<![\w-])--[\w-]{{0,64}}?(?:{_WORDS})[\w-]{{0,64}}[ \t]+)(?![-*])[^\s\"'\\,;]+")
_PREFIX = r"(?:[rbfuRBFU]{1,2}(?=\\*[\"']))?"  # of Python's strings
_QUOTED = r"(\\*[\"'])(?!\*\*\*)(?:(?!\2)(?:\\.|[^\n\\]))+"  # up to the closing quote, or the end of the line
# `key = value`, `["key"] = value` and `"key": "value"`; a call (`token = get_token()`) is code and no secret.
_PAIR = re.compile(
    rf"(?i)((?:{_WORDS})[\w.-]{{0,64}}[\\\"'\]]*\s*[:=]\s*{_PREFIX})"
    rf"(?:{_QUOTED}|(?!\*\*\*|[A-Za-z_][\w.]*\([^()\n]*\))[^\s\"'\\,;&\[\]{{}}]+)"
)
_TRIPLE = re.compile(
    rf"(?i)((?:{_WORDS})[\w.-]{{0,64}}[\\\"'\]]*\s*[:=]\s*{_PREFIX})(\"\"\"|''')(?!\*\*\*)(?:(?!\2)(?:\\.|[^\\]))+",
    re.DOTALL,
)
# `password: str = "..."`: what stood behind the colon is masked by then.
_ANNOTATED = re.compile(rf"(\*\*\*(?:\[[\w., |]*\])?(?:\s*\|\s*\w+)?\s*=\s*{_PREFIX}){_QUOTED}")

# A word that Airflow itself has masked, as where somebody's password is "password", told of a secret all the same. This
# comes last: what it finds behind a mask of ours is masked in the first pass as in the second.
_UNTOLD = re.compile(rf"(\*\*\*[\w.-]{{0,64}}[=:]\s?{_PREFIX})(?:{_QUOTED}|(?!\*\*\*)[^\s\"'\\,;&\[\]{{}}]+)")

# A mask as redaction leaves it: alone, or as a value in running text, an address or a connection string.
_MASKED = re.compile(r"(?:^|[=:/\"'\s])\*{3}(?=$|[@\s\"',;&)\]}])")


@lru_cache(maxsize=4096)
def is_sensitive(name: str) -> bool:
    """Whether a value under this key name is a secret."""
    return MASK in name or _NAME.search(name) is not None


def redact(value: Any, name: str = "") -> Any:
    """The same JSON value with every secret in it replaced by `***`. `name` is the key it stands under."""
    if name and is_sensitive(name) and value is not None and not isinstance(value, bool):
        return MASK if value not in ("", [], {}) else value
    if isinstance(value, dict):
        named = value.get("name", value.get("key"))  # {"name": "DB_PASSWORD", "value": ...}, as in a container's env
        beside = named if isinstance(named, str) else "value"
        return {redact_text(key): redact(item, beside if key == "value" else key) for key, item in value.items()}
    if isinstance(value, list):
        return [redact(item) for item in value]
    return redact_text(value) if isinstance(value, str) else value


def is_masked(value: Any) -> bool:
    """Whether a value is, or holds, our mask (which is Airflow's too): stored, it would destroy what it stands for."""
    if isinstance(value, dict):
        return any(map(is_masked, value.values()))
    if isinstance(value, list):
        return any(map(is_masked, value))
    if not isinstance(value, str) or MASK not in value:
        return False
    if _MASKED.search(value):
        return True
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return False
    return isinstance(parsed, dict | list) and is_masked(parsed)


def mask_values(value: Any) -> Any:
    """An object, or JSON in a text, with every value in it masked; anything else whole."""
    if isinstance(value, str):
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, dict | list):
            return MASK
        return json.dumps(mask_values(in_strings(parsed, clean)), ensure_ascii=False)
    if isinstance(value, dict):
        return {key: mask_values(item) if isinstance(item, dict | list) else MASK for key, item in value.items()}
    if isinstance(value, list):
        return [mask_values(item) for item in value]
    return MASK


def redact_text(text: str) -> str:
    """The same text with secrets masked; a string that is JSON is read as JSON, so that its keys count."""
    if not _is_suspect(text) and "\\u" not in text:
        return text
    if text[:1] in ("{", "["):
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            parsed = None
        if isinstance(parsed, dict | list):
            masked = redact(in_strings(parsed, clean))  # an escape in it may stand for a character that is not seen
            return text if masked == parsed else json.dumps(masked, ensure_ascii=False)
    text = _USERINFO.sub(_mask_userinfo, text)
    text = _HEADER.sub(rf"\1{MASK}", text)
    text = _SCHEME.sub(rf"\1 {MASK}", text)
    text = _SHAPES.sub(MASK, text)
    text = _CONNECTION_STRING.sub(rf"\1{MASK}", text)
    text = _OPTION.sub(rf"\1{MASK}", text)
    text = _TRIPLE.sub(rf"\1\2{MASK}", text)
    text = _PAIR.sub(lambda match: f"{match[1]}{match[2] or ''}{MASK}", text)
    text = _ANNOTATED.sub(rf"\1\2{MASK}", text)
    return _UNTOLD.sub(lambda match: f"{match[1]}{match[2] or ''}{MASK}", text)


def _is_suspect(text: str) -> bool:
    """In lower case the look takes a sixth of the time; beyond ASCII more letters count as one (the long s as an s)."""
    if text.isascii():
        return _SUSPECT.search(text.lower()) is not None
    return _SUSPECT_IN_ANY_CASE.search(text) is not None


def _mask_userinfo(match: re.Match[str]) -> str:
    user, colon, _ = match[0].partition(":")
    return f"{user}:{MASK}" if colon else MASK
