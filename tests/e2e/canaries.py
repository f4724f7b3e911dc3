"""Secrets to plant: one for each place and form, unlike any other text, so that to find none of them says something."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, NamedTuple


class Form(NamedTuple):
    """A form of secrets: so many digits of its own, and the text around them ({s} whole, {a}{b} in two halves)."""

    size: int
    text: str


FORMS = {
    "pair": Form(24, "password={s}"),
    "spaced": Form(24, "api_key = {s}"),
    "phrase": Form(24, 'db_password="{a} {b}"'),
    "json": Form(24, '{{"client_secret": "{s}", "host": "db"}}'),
    "address": Form(24, "postgresql://cellar:{s}@db.example.invalid/wine"),
    "header": Form(24, "Authorization: Bearer {s}"),
    "basic": Form(24, "Authorization: Basic {s}=="),
    "scheme": Form(24, "Authorization: Token {s}"),
    "jwt": Form(40, "eyJhbGciOiJIUzI1NiJ9.{a}.{b}"),
    "aws": Form(16, "key id AKIA{S}"),
    "aws for a while": Form(16, "key id ASIA{S}"),
    "google": Form(35, "AIza{s}"),
    "google for a while": Form(30, "ya29.{s}"),
    "ours": Form(43, "amcp_{s}"),
    "github": Form(36, "ghp_{s}"),
    "github, fine-grained": Form(30, "github_pat_{s}"),
    "gitlab": Form(20, "glpat-{s}"),
    "slack": Form(24, "xoxb-{s}"),
    "openai": Form(32, "sk-{s}"),
    "databricks": Form(32, "dapi{s}"),
    "pem": Form(32, "-----BEGIN PRIVATE KEY-----\n{s}\n-----END PRIVATE KEY-----"),
}
NESTED = "nested"  # not a text: an object with a telling key
UNSEEN = "\u200b"
CODE = {
    "constant": Form(24, 'API_KEY = "{s}"'),
    "annotated": Form(24, 'PASSWORD: str = "{s}"'),
    "item": Form(24, 'settings["password"] = "{s}"'),
    "argument": Form(24, 'connect(password="{s}")'),
    "bytes": Form(24, 'TOKEN = b"{s}"'),
}
"""Forms of the place "code": lines of a DAG file."""


def forms_of(place: str) -> dict[str, Form]:
    """The forms that are planted as text in a place."""
    return CODE if place == "code" else FORMS


def digits(place: str, form: str) -> str:
    """The digits of one canary."""
    size = 24 if form == NESTED else forms_of(place)[form].size
    return hashlib.sha256(f"{place}/{form}".encode()).hexdigest()[:size]


def text(place: str, form: str) -> str:
    """One canary as it is planted."""
    own = digits(place, form)
    half = len(own) // 2
    return forms_of(place)[form].text.format(s=own, S=own.upper(), a=own[:half], b=own[half:])


def unseen(place: str) -> tuple[str, str]:
    """A secret behind a telling word with a character in it that is not seen, and the whole text."""
    own = hashlib.sha256(f"{place}/unseen".encode()).hexdigest()[:24]
    return own, f"pass{UNSEEN}word={own}"


def block(place: str) -> str:
    """Every canary of a place as lines."""
    return "\n".join(text(place, form) for form in forms_of(place))


def tree(place: str) -> dict[str, Any]:
    """Every canary of a place as values of an object, one of them under a telling key."""
    return {form: text(place, form) for form in FORMS} | {NESTED: {"access_token": digits(place, NESTED)}}


def held_in(said: str, place: str) -> set[str]:
    """The forms of a place's canaries that a text gives away, the whole or an end of one."""
    said = said.lower()
    own = {form: digits(place, form) for form in (*forms_of(place), NESTED)}
    return {form for form, secret in own.items() if secret[:12] in said or secret[-12:] in said}


def settings_with_canaries() -> dict[str, str]:
    """Variables of Airflow's environment that put the canaries of "config" into its settings and show these."""
    options = {"EXPOSE_CONFIG": "True", "INSTANCE_NAME": block("config")}
    return {f"AIRFLOW__{section}__{name}": text for section in ("API", "WEBSERVER") for name, text in options.items()}


def plant(folder: Path) -> None:
    """Put the canaries of a place where the DAG files of a folder say <<place>>."""
    for file in folder.glob("*.py"):
        before = file.read_text()
        after = re.sub(r"(?:# )?<<([a-z ]+)>>", lambda match: block(match[1]), before)
        if after != before:
            file.write_text(after)
