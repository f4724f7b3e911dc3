"""What an answer advises, held against the catalog: tools that exist, arguments that they take, on this Airflow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from airflow_mcp.catalog.loader import Catalog, Tool, load_catalog
from airflow_mcp.catalog.schema import check_version, validate
from airflow_mcp.catalog.versions import Version

CATALOG = load_catalog()
_NAMES = sorted(CATALOG.operations, key=len, reverse=True)
MENTION = re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, _NAMES))})(?![\w.])")
CALL_IN_PROSE = re.compile(rf"{MENTION.pattern} \{{")


def calls_in(answer: Any) -> Iterator[dict[str, Any]]:
    """Every call that stands in `next`, at any depth."""
    if isinstance(answer, dict):
        for key, value in answer.items():
            if key == "next" and isinstance(value, list):
                yield from (call for call in value if isinstance(call, dict) and "tool" in call)
            else:
                yield from calls_in(value)
    elif isinstance(answer, list):
        for item in answer:
            yield from calls_in(item)


def texts_in(answer: Any) -> Iterator[str]:
    """Every text of an answer, at any depth."""
    if isinstance(answer, dict):
        for value in answer.values():
            yield from texts_in(value)
    elif isinstance(answer, list):
        for item in answer:
            yield from texts_in(item)
    elif isinstance(answer, str):
        yield answer


def check_call(call: dict[str, Any], version: str, catalog: Catalog = CATALOG) -> None:
    """Hold one call against the tool's schema, as the connected Airflow has it."""
    assert call.keys() == {"tool", "arguments", "why"}, call
    assert call["why"], call
    tool, arguments = catalog.tools[call["tool"]], dict(call["arguments"])
    for foreign in ("instance", "plan"):  # arguments of the server's, in every schema that is listed with them
        arguments.pop(foreign, None)
    _hold(tool, arguments, version, catalog, whole=True)
    if tool.entry.forwards and arguments.get("arguments"):
        inner = {name: value for name, value in arguments["arguments"].items() if name != "instance"}
        _hold(catalog.tools[arguments["tool"]], inner, version, catalog, whole=False)  # its reader completes it
    for name in MENTION.findall(call["why"]):
        assert name in catalog.tools, call
        assert not version or catalog.tools[name].entry.since.has(Version.parse(version)), call


def _hold(tool: Tool, arguments: dict[str, Any], version: str, catalog: Catalog, *, whole: bool) -> None:
    validate(tool, arguments, catalog, complete=whole)
    if version:
        check_version(tool, arguments, catalog, Version.parse(version))


def check_advice(answer: Any, version: str) -> None:
    """Hold every call of an answer or an error against the catalog, and find none in a sentence."""
    for call in calls_in(answer):
        check_call(call, version)
    written = [text for text in texts_in(answer) if CALL_IN_PROSE.search(text)]
    assert written == [], "a call stands in a sentence"
