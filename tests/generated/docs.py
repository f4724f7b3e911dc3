"""Writes what the catalog and the settings say into README.md and docs/, or checks that it is there.

python -m tests.generated.docs            print it
python -m tests.generated.docs --write    write it (`make docs`)
python -m tests.generated.docs --check    one sentence and exit code 1 when a file is stale (`make check`)
"""

from __future__ import annotations

import sys
from pathlib import Path

from airflow_mcp.catalog.loader import Catalog, load_catalog
from tests.generated.markdown import settings_page, tools_page, tools_table
from tests.referee.coverage import sending
from tests.referee.documents import read_document
from tests.referee.openapi import Document

ROOT = Path(__file__).parents[2]
START, END = "<!-- tools -->", "<!-- /tools -->"


def pages(root: Path = ROOT, catalog: Catalog | None = None) -> dict[Path, str]:
    """Every file this writes, with the text it should have. Raises ValueError when README.md lost its markers."""
    catalog = catalog or load_catalog()
    readme = root / "README.md"
    return {
        readme: with_table(readme.read_text(encoding="utf-8"), tools_table(catalog)),
        root / "docs" / "tools.md": tools_page(catalog, official_names(catalog)),
        root / "docs" / "settings.md": settings_page(),
    }


def official_names(catalog: Catalog) -> dict[str, str]:
    """Tool -> a sentence with the names that Airflow's own documents (and clients) have for its operations."""
    found: dict[str, dict[str, list[str]]] = {}
    for generation, version in (("2.x", "2.11.2"), ("3.x", "3.3.2")):
        document = Document(version, read_document(version))
        for name, operation in sending(catalog, document.version):
            method, path = operation.split(" ")
            if official := document.name_of(method, path):
                found.setdefault(name, {}).setdefault(generation, []).append(official)
    return {name: f"Airflow's operations: {_listed(official)}." for name, official in found.items()}


def _listed(official: dict[str, list[str]]) -> str:
    parts = (f"{', '.join(f'`{one}`' for one in dict.fromkeys(names))} ({which})" for which, names in official.items())
    return "; ".join(parts)


def with_table(readme: str, table: str) -> str:
    """The same text with another table between the markers. Raises ValueError without them."""
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"README.md needs the lines {START} and {END}: the table of tools goes between them.")
    return f"{before}{START}\n{table}\n{END}{after}"


def stale(texts: dict[Path, str]) -> list[Path]:
    """The files that do not have the text they should have."""
    return [file for file, text in texts.items() if not file.exists() or file.read_text(encoding="utf-8") != text]


def complaint(files: list[Path], root: Path = ROOT) -> str:
    """What to tell the person whose files are stale."""
    names = ", ".join(str(file.relative_to(root)) for file in files)
    return f"Stale: {names} no longer say what the catalog says. Run `make docs` and review the change."


def main(arguments: list[str]) -> int:
    """The command; gives its exit code."""
    texts = pages()
    match arguments:
        case []:
            print("\n".join(texts.values()))
        case ["--write"]:
            for file, text in texts.items():
                file.parent.mkdir(exist_ok=True)
                file.write_text(text, encoding="utf-8")
        case ["--check"]:
            if files := stale(texts):
                sys.stderr.write(f"{complaint(files)}\n")
                return 1
        case _:
            sys.stderr.write("Usage: python -m tests.generated.docs [--write | --check]\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
