"""Which operations of Airflow's API the catalog reaches: `python -m tests.referee.coverage` counts them per version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from airflow_mcp.catalog.grammar import Route
from airflow_mcp.catalog.loader import Catalog, Tool, load_catalog
from airflow_mcp.catalog.versions import OLDEST, Version
from tests.referee.compare import paths
from tests.referee.documents import read_document
from tests.referee.left_out import LEFT_OUT, LeftOut
from tests.referee.openapi import Document
from tests.referee.sources import VERSIONS


class Coverage(NamedTuple):
    """The operations of one document, each in one of four lists, as "GET /api/v2/pools/{}"."""

    routes: list[str]  # of an entry
    folded: list[str]  # a tool does the same by another route
    excused: list[str]  # must not be a tool
    missing: list[str]


def coverage(catalog: Catalog, document: Document, left_out: Iterable[LeftOut] = LEFT_OUT) -> Coverage:
    """What becomes of each operation of this document."""
    generation = document.version.generation
    ours = routed(catalog, document.version)
    mine = [one for one in left_out if one.generation == generation]
    folded = {operation for one in mine if one.instead for operation in one.operations}
    excused = {operation for one in mine if not one.instead for operation in one.operations}
    found = Coverage([], [], [], [])
    for operation in every(document):
        if operation in ours:
            found.routes.append(operation)
        elif operation in folded:
            found.folded.append(operation)
        elif operation in excused:
            found.excused.append(operation)
        else:
            found.missing.append(operation)
    return found


def every(document: Document) -> list[str]:
    """Every operation of a document."""
    return [_written(method, path) for method, path in document.operations()]


def _written(method: str, path: str) -> str:
    """An operation as it stands in these lists; Airflow's "every DAG" or "every run" is one way to fill a slot."""
    return f"{method} {path}".replace("/~", "/{}")


def routed(catalog: Catalog, version: Version) -> dict[str, str]:
    """Every operation that some entry sends to this version, and the tool that does."""
    found: dict[str, str] = {}
    for name, operation in sending(catalog, version):
        found.setdefault(operation, name)
    return found


def sending(catalog: Catalog, version: Version) -> list[tuple[str, str]]:
    """Each tool with each operation that it, or what is part of it, sends to this version."""
    return [
        (tool.entry.part_of or tool.name, operation)
        for tool in catalog.operations.values()
        if (route := tool.entry.route(version.generation)) is not None and route.since.has(version)
        for operation in _variants(tool, route, catalog, version).values()
    ]


def _variants(tool: Tool, route: Route, catalog: Catalog, version: Version) -> dict[frozenset[str], str]:
    """The operations of a route by which of its optional slots are given."""
    found = paths(tool, route, catalog, version)
    always = set(route.slots).intersection(*found.values())
    return {frozenset(slots) - always: _written(route.method, path) for path, slots in found.items()}


class Vocabulary:
    """One name for what both generations have: an operation of v1 is the one of v2 that the same entry sends.

    Where entries share a route, as 3.x changes a run's state and its note by one PATCH and 2.x by two, the one of the
    same path counts. An operation with the same method and path in several versions is one anyway.
    """

    def __init__(self, catalog: Catalog) -> None:
        pairs: list[tuple[str, str]] = []
        for tool in catalog.operations.values():
            old, new = (
                _variants(tool, route, catalog, OLDEST[generation]) if (route := tool.entry.route(generation)) else {}
                for generation in OLDEST
            )
            pairs += [(old[given], new[given]) for given in old.keys() & new.keys()]
        self._new: dict[str, str] = {}
        for first, second in sorted(pairs, key=lambda pair: pair[0].replace("/api/v1/", "/api/v2/") != pair[1]):
            if first not in self._new and second not in self._new.values():
                self._new[first] = second

    def logical(self, operations: Iterable[str]) -> set[str]:
        """The operations, each by the one name for it."""
        return {self._new.get(operation, operation) for operation in operations}


def table(catalog: Catalog, documents: Iterable[Document]) -> str:
    """Per version, and of all versions together, how many logical operations there are and what becomes of them."""
    vocabulary = Vocabulary(catalog)
    lines = [f"{'':8}{'operations':>12}{'a tool':>10}{'folded':>10}{'excused':>10}{'missing':>10}"]
    whole = Coverage([], [], [], [])

    def row(name: str, found: Coverage) -> str:
        routes, folded, excused, missing = (vocabulary.logical(part) for part in found)
        parts = (routes, folded - routes, excused, missing - routes)
        return f"{name:8}{len(set().union(*parts)):12}" + "".join(f"{len(part):10}" for part in parts)

    for document in documents:
        found = coverage(catalog, document)
        lines.append(row(document.name, found))
        for part, more in zip(whole, found, strict=True):
            part.extend(more)
    return "\n".join([*lines, row("all", whole)])


if __name__ == "__main__":
    print(table(load_catalog(), (Document(version, read_document(version)) for version in VERSIONS)))
