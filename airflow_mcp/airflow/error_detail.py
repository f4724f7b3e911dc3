"""Extract Airflow's own words from an error, in any of their forms."""

from __future__ import annotations

import json
from typing import Any

from airflow_mcp.text import shorten
from airflow_mcp.value_excerpt import excerpt_text

_SHOWN = 300  # characters of Airflow's words
_LARGEST = 256 * 1024  # bytes of a body; a larger one is not parsed


def extract_detail(content: bytes) -> str:
    """Return Airflow's own words, in any of its error forms; "" for HTML, and for a body above 256 KiB."""
    if len(content) > _LARGEST:
        return ""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(body, dict):
        return ""
    detail = body.get("detail") or body.get("title") or body.get("error") or ""
    if isinstance(detail, dict):  # a database error: the reason is all there is, the rest is hidden by Airflow
        detail = detail.get("reason") or detail.get("message") or ""
        if "Unique constraint" in str(detail):
            detail = "an object with this id or logical date already exists"
    if isinstance(detail, list):  # FastAPI's validation errors
        detail = "; ".join(
            f"{'.'.join(str(part) for part in _read_path(item) if part not in ('body', 'query'))}: {item.get('msg')}"
            for item in detail
            if isinstance(item, dict)
        )
    # Made safe before it becomes one line, since a secret may end at the end of its line.
    return shorten(" ".join(excerpt_text(str(detail), 2 * _SHOWN).split()), _SHOWN)


def _read_path(item: dict[str, Any]) -> list[Any]:
    """Return the place in a request where FastAPI found an error."""
    path = item.get("loc")
    return path if isinstance(path, list) else []
