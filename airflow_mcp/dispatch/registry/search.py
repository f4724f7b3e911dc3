"""Search for tools by a question in plain words: full-text search over the manifests.

It uses SQLite's own FTS5 in memory (Porter's stems, BM25). `words` in a manifest holds other names that people use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.loader import Tool

# Weight of a term in each column: name (stored, not indexed), the name's words, title, summary, words, arguments.
_WEIGHTS = "bm25(0.0, 6.0, 4.0, 2.0, 4.0, 0.5)"
_MOST_TERMS = 64
# Words of questions in general, which say nothing about their subject.
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
    areas: tuple[str, ...] = ()  # the toolsets of the listed tools


class SearchIndex:
    """Full-text index of tools; `synonyms` has, by a word of the manifests, what people say instead."""

    def __init__(self, tools: Iterable[Tool], synonyms: dict[str, str]) -> None:
        import sqlite3  # deferred: takes 10 ms, and the first list of tools does not need it

        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute(
            "CREATE VIRTUAL TABLE tools USING fts5(key UNINDEXED, name, title, summary, words, arguments, "
            # An argument is one term: dag_id must not match a question about DAGs.
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
        """Return the names of all tools that share a term with the query, best first."""
        names = re.findall(r"\w+", query.lower())[:_MOST_TERMS]
        terms = [*names, *(part for name in names if "_" in name for part in name.split("_") if part)]
        if not terms:
            return []
        term_query = _build_query([term for term in terms if term not in _STOP] or terms)
        synonym_rows = self._database.execute("SELECT meant FROM synonyms WHERE said MATCH ?", (_build_query(terms),))
        manifest_words = [word for (word,) in synonym_rows]
        match = " OR ".join([term_query, _build_query(manifest_words)]) if manifest_words else term_query
        tool_rows = self._database.execute("SELECT key FROM tools WHERE tools MATCH ? ORDER BY rank, rowid", (match,))
        return [name for (name,) in tool_rows]


def _build_query(terms: list[str]) -> str:
    """Return the FTS5 query for any of these words; the quotes make each a word, never an operator."""
    return " OR ".join(f'"{term}"' for term in dict.fromkeys(terms))
