"""Which tools answer a question in plain words: full-text search over what the manifests say of each.

SQLite's own FTS5 does it (Porter's stems, BM25), in memory. `words` in a manifest holds what people call a thing
besides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.loader import Tool

# What a term weighs in each column: name (stored, its words follow), its words, title, summary, words, arguments.
_WEIGHTS = "bm25(0.0, 6.0, 4.0, 2.0, 4.0, 0.5)"
_MOST_TERMS = 64
# They say how a question is asked, and nothing of what it is about.
_STOP_WORDS = """
    a about airflow all am an and any are as at be been by can could did do does each every everything for from get
    give had has have how i if in into is it its know let me my now of on one or our out please really right show so
    some tell that the their them then there these they this to us want was we were what when where which whose will
    with would you your
"""
_STOP = frozenset(_STOP_WORDS.split())


@dataclass(frozen=True)
class SearchResult:
    """Tools that may be called, best first, with their arguments as listed; and better matches that may not be."""

    tools: tuple[tuple[Tool, Json], ...] = ()
    unavailable: tuple[tuple[Tool, str], ...] = ()  # with the reason
    areas: tuple[str, ...] = ()  # toolsets there are


class SearchIndex:
    """The searchable words of some tools; `synonyms` has what people say by the word that stands in a manifest."""

    def __init__(self, tools: Iterable[Tool], synonyms: dict[str, str]) -> None:
        import sqlite3  # 10 ms: not on the way to the first list

        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute(
            "CREATE VIRTUAL TABLE tools USING fts5(key UNINDEXED, name, title, summary, words, arguments, "
            # An argument is a term as a whole: its dag_id does not make a tool one about DAGs.
            "tokenize = \"porter unicode61 tokenchars '_'\")"
        )
        self._database.execute("CREATE VIRTUAL TABLE synonyms USING fts5(meant UNINDEXED, said, tokenize = 'porter')")
        self._database.executemany("INSERT INTO synonyms VALUES (?, ?)", synonyms.items())
        self._database.execute("INSERT INTO tools (tools, rank) VALUES ('rank', ?)", (_WEIGHTS,))
        self._database.executemany(
            "INSERT INTO tools VALUES (?, ?, ?, ?, ?, ?)",
            (
                (
                    tool.name,
                    tool.name.replace("_", " "),
                    tool.entry.title,
                    tool.entry.summary,
                    tool.entry.words,
                    " ".join(use.name for use in tool.entry.params),
                )
                for tool in tools
            ),
        )

    def search(self, query: str) -> list[str]:
        """Names of all tools that share a term with the query, best first."""
        names = re.findall(r"\w+", query.lower())[:_MOST_TERMS]
        terms = [*names, *(part for name in names if "_" in name for part in name.split("_") if part)]
        if not terms:
            return []
        telling = _build_query([term for term in terms if term not in _STOP] or terms)
        said = self._database.execute("SELECT meant FROM synonyms WHERE said MATCH ?", (_build_query(terms),))
        meant = [word for (word,) in said]
        match = " OR ".join([telling, _build_query(meant)]) if meant else telling
        found = self._database.execute("SELECT key FROM tools WHERE tools MATCH ? ORDER BY rank, rowid", (match,))
        return [name for (name,) in found]


def _build_query(terms: list[str]) -> str:
    """The query for any of these words; the quotes make each a word and nothing else."""
    return " OR ".join(f'"{term}"' for term in dict.fromkeys(terms))
