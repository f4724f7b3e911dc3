"""Decide which names of keys, options, headers and variables are names of secrets.

Airflow's words are DEFAULT_SENSITIVE_FIELDS of 2.11.2 and 3.3.2 and the options that their config.yml calls sensitive,
matched as Airflow does: anywhere in the lower-cased name. The other words count only as whole words of a name, between
its ends, `_`, `-`, `.`, a space and a change of case.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

MASK = "***"
SENSITIVE = (
    "access_key", "access_token", "api_key", "apikey", "auth_header", "authorization", "bearer", "connection_string",
    "dsn", "keyfile_dict", "passphrase", "passwd", "password", "private_key", "proxies", "proxy", "proxy_password",
    "secret", "service_account", "service_key", "token", "webhook_url",
    "asset_manager_kwargs", "backend_kwargs", "broker_url", "dataset_manager_kwargs", "fernet_key", "flower_basic_auth",
    "remote_task_handler_kwargs", "result_backend", "sql_alchemy_conn", "sql_alchemy_engine_args",
)  # fmt: skip
WHOLE_WORDS = (
    "pwd", "pass", "passcode", "credential", "credentials", "cookie", "cookies", "pgpass",
    "sshpass", "userpass", "storepass", "keypass", "requirepass", "masterauth", "bind_pw", "root_pw",
    "dockerconfigjson", "amz_signature", "goog_signature",
)  # fmt: skip
LAST_WORDS = ("auth", "sig")  # basic_auth is a secret, auth_backend is none
KEYS = (
    "access", "account", "auth", "encryption", "master", "sas", "secret", "shared", "signing", "ssh", "storage",
    "functions", "preshared", "subscription",
)  # fmt: skip
NO_SECRET_KEYS = ("partition", "xcom", "state", "variable", "primary", "foreign", "sort")

_LONGEST_TAIL = 64  # characters of a name behind its sensitive word
_LONGEST = 160  # characters at the end of a name that are examined
_GAP = "[-_. ]?"
AIRFLOWS_WORDS = "|".join(word.replace("_", _GAP) for word in SENSITIVE)
ANCHORS = (
    AIRFLOWS_WORDS,
    "pwd",
    "pass",
    "credential",
    "cookie",
    "auth",
    "sig",
    "bindpw",
    "rootpw",
    "dockerconfigjson",
    f"(?:{'|'.join(KEYS)}){_GAP}key",
)
_ANYWHERE = re.compile(f"(?:{AIRFLOWS_WORDS})[^=:]{{0,{_LONGEST_TAIL}}}$")
_WORDS = "|".join(word.replace("_", "_?") for word in (*WHOLE_WORDS, *(f"{word}_key(?:s|_?content)?" for word in KEYS)))
_WHOLE = re.compile(rf"(?:^|_)(?:(?:{_WORDS})(?:_|\d*$)|(?:{'|'.join(LAST_WORDS)})$)")
_NO_SECRET = re.compile(rf"(?:^|_)(?:{'|'.join(NO_SECRET_KEYS)})_?keys?(?:_|$)")
_MASKED_NAME = re.compile(r"[\w.-]*\*{3}[\w.-]*")
_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATORS = re.compile(r"[-. /:\[\]]+")
_COUNTED = re.compile(r"(?:^|_)(?:tokens|tokens?_(?:count|limit|usage|used|budget|total))(?:_|$)|^pass(?:es|ed)?$")
_NUMBER = re.compile(r"[+-]?\d[\d,_]*(?:\.\d+)?%?")
_KIND = re.compile(r"[A-Za-z]?[a-z]{0,15}(?:[_-][a-z]{1,15})?\d?")
_PATH = re.compile(r"(?:~?/|[A-Za-z]:[\\/])[^;]*")
_FOLDS = str.maketrans({"ſ": "s", "İ": "i", "K": "k"})


def fold_case(text: str) -> str:
    """Lower the case, so that each character stays one character (the long s is an s, the Kelvin sign a k)."""
    if text.isascii():
        return text.lower()
    low = text.translate(_FOLDS).lower()
    return low if len(low) == len(text) else "".join(sign if len(sign.lower()) != 1 else sign.lower() for sign in text)


def is_sensitive(name: str) -> bool:
    """Decide whether a value under this name is a secret."""
    return _is_sensitive(name[-_LONGEST:])


@lru_cache(maxsize=4096)
def _is_sensitive(name: str) -> bool:
    if _MASKED_NAME.fullmatch(name):  # Airflow masked a word of it, as where somebody's password is "password"
        return True
    if _ANYWHERE.search(fold_case(name)):
        return True
    words = _split_words(name)
    return _WHOLE.search(words) is not None and _NO_SECRET.search(words) is None


def _split_words(name: str) -> str:
    """Write a name as words in lower case with `_` between them."""
    return fold_case(_SEPARATORS.sub("_", _CASE.sub("_", name)))


def is_count(name: str, value: str) -> bool:
    """Decide whether a value is a number of tokens or of passed checks (`tokens: 1234`, `PASS=0`), so no secret."""
    words = _split_words(name[-_LONGEST:]).lstrip("_")
    if not _COUNTED.search(words) or not _NUMBER.fullmatch(value[:32]):
        return False
    return not words.startswith("pass") or len(value) <= 5


def is_working_directory(name: str, value: str) -> bool:
    """Decide whether `PWD=/path` is the working directory of a process, as in each listing of an environment."""
    return name in ("PWD", "OLDPWD") and _PATH.fullmatch(value) is not None


def is_kind_of_login(name: str, value: str) -> bool:
    """Decide whether `auth = "kerberos"` names a login method, and no credential."""
    return name.lower().endswith("auth") and _KIND.fullmatch(value) is not None


def is_own_name(name: str, word: str) -> bool:
    """Decide whether a bare word repeats its name, or the end of it: `self._token = token`, `dsn=dsn`."""
    words, suffix = f"_{_split_words(name[-_LONGEST:])}", _split_words(word[:_LONGEST]).strip("_")
    return word.replace("_", "").isalpha() and words.endswith(f"_{suffix}")


def is_harmless_word(name: str, word: str) -> bool:
    """Decide whether a word is a number, a folder or a login method, and so no secret under this name."""
    return is_count(name, word) or is_working_directory(name, word) or is_kind_of_login(name, word)


def is_harmless(name: str, value: Any) -> bool:
    """Decide whether a JSON value needs no mask even under the name of a secret."""
    if value is None or isinstance(value, bool) or value in ("", [], {}):
        return True
    if isinstance(value, int | float | str):
        return is_harmless_word(name, str(value))
    return False
