"""Chooses which rows run on which versions, and ends with one table: what is green, what is red, what is lacking."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field

import pytest

from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.catalog.versions import Version

WIDTH = 120


def pytest_addoption(parser: pytest.Parser) -> None:
    """The words behind the command."""
    parser.addoption("--choose", action="append", default=[], help="a version, a row, or all rows")


def pytest_configure(config: pytest.Config) -> None:
    """The table hears what pytest does from here on."""
    words: list[str] = config.option.choose
    config.pluginmanager.register(Table(words))


@dataclass
class Column:
    """What one version has shown."""

    green: int = 0
    red: dict[str, str] = field(default_factory=dict[str, str])
    """Row -> why, in one line."""


class Table:
    """Chooses among the collected rows, hears how each ends, and tells it in the end."""

    def __init__(self, words: list[str]) -> None:
        self._words = set(words)
        self._columns: dict[str, Column] = {}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep what is chosen: a version, a row, or every row there is; nothing chosen means the core on each."""
        # Not before, or pytest could no longer rewrite its assertions.
        from tests.matrix.rows import ROWS

        places = [_place(item) for item in items]
        versions, rows = dict.fromkeys(one for one, _ in places), dict.fromkeys(row for _, row in places)
        if unknown := self._words - {*versions, *rows, "all"}:
            known = ", ".join(versions)
            raise pytest.UsageError(f"There is no {', '.join(sorted(unknown))}; name versions ({known}), rows, or all.")
        some_rows = {*rows} if "all" in self._words else self._words & {*rows} or {*ROWS}
        some_versions = self._words & {*versions} or {*versions}
        self._columns = {version: Column() for version in versions if version in some_versions}
        kept = [version in some_versions and row in some_rows for version, row in places]
        config.hook.pytest_deselected(items=[item for item, keep in zip(items, kept, strict=True) if not keep])
        items[:] = [item for item, keep in zip(items, kept, strict=True) if keep]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> object:
        """Note how a row ended."""
        report: pytest.TestReport = yield  # pyright: ignore[reportGeneralTypeIssues]
        version, row = _place(item)
        column = self._columns[version]
        if report.failed:
            column.red.setdefault(row, _sentence(report))
        elif report.when == "call":
            column.green += 1
        return report

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table."""
        write = terminalreporter.write_line
        write(f"\n{'Airflow':<9}{'green':>6}{'red':>5}  lacks")
        for version, column in self._columns.items():
            lacking = _lacking(version)
            write(f"{version:<9}{column.green:>6}{len(column.red):>5}  {len(lacking)} of {_count()} tools")
        for version, column in self._columns.items():
            for why in dict.fromkeys(column.red.values()):  # one that does not start makes all rows red
                rows = [row for row in column.red if column.red[row] == why]
                several = f" and {len(rows) - 1} more" if rows[1:] else ""
                write(textwrap.shorten(f"red on {version}: {rows[0]}{several}: {why}", WIDTH * 2))
        for version in self._columns:
            names = ", ".join(_lacking(version)) or "nothing"
            write(textwrap.fill(f"{version} lacks {names}.", WIDTH, subsequent_indent="  "))


def _place(item: pytest.Item) -> tuple[str, str]:
    assert isinstance(item, pytest.Function)
    return str(item.callspec.params["site"]), str(item.callspec.params["name"])


def _sentence(report: pytest.TestReport) -> str:
    where = getattr(report.longrepr, "reprcrash", None)
    text = where.message if where else str(report.longrepr)
    return " ".join(text.split())


def _lacking(version: str) -> list[str]:
    tools = load_catalog().tools.items()
    return sorted(name for name, tool in tools if not tool.entry.since.has(Version.parse(version)))


def _count() -> int:
    return len(load_catalog().tools)
