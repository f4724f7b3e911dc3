"""The credentials of `token_forms.toml`: read once, and matched where the scanner finds one of their literals."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

_TABLE = Path(__file__).with_name("token_forms.toml")
_IN_WORD = re.compile(r"[\w~.-]*")
_WORD = re.compile(r"[\w-]*+")


@dataclass(frozen=True)
class TokenForm:
    """One row of the table; its fields are described there."""

    form: re.Pattern[str]
    before: int
    public: re.Pattern[str] | None

    def find_span(self, text: str, position: int) -> tuple[int, int] | None:
        """Find the secret part of a credential whose literal stands at `position`, up to the end of its word."""
        start = position - self.before
        if start < 0 or not _IN_WORD.fullmatch(text, start, position):
            return None
        if self.public is None and start and text[start - 1].isalnum():
            return None
        match = self.form.match(text, position)
        if match is None:
            return None
        if self.public and (readable := self.public.match(text, position)):
            start = readable.end()
        return start, self.find_word_end(text, match.end())

    @staticmethod
    def find_word_end(text: str, position: int) -> int:
        """Find the end of the word that continues here."""
        end = _WORD.match(text, position)
        return end.end() if end else position


def _read() -> dict[str, TokenForm]:
    table = tomllib.loads(_TABLE.read_text("utf-8"))
    forms: dict[str, TokenForm] = {}
    for row in table.values():
        public = re.compile(row["public"]) if "public" in row else None
        forms |= dict.fromkeys(row["find"], TokenForm(re.compile(row["form"]), row.get("before", 0), public))
    return forms


TOKEN_FORMS = _read()  # by the literals in lower case
