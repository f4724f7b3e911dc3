"""Airflow's own words in an error, whichever of its forms they come in."""

from __future__ import annotations

import json
from typing import Any

from airflow_mcp.text import shorten
from airflow_mcp.value_excerpt import excerpt_text

_SHOWN = 300  # characters of them
_LARGEST = 256 * 1024  # bytes of a body that are read for them


def extract_detail(content: bytes) -> str:
    """Airflow's own words, whichever of its error forms they come in; HTML has none worth showing, nor has a flood."""
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
    # Made safe before it is put in one line: a secret may end where its line does.
    return shorten(" ".join(excerpt_text(str(detail), 2 * _SHOWN).split()), _SHOWN)


def _read_path(item: dict[str, Any]) -> list[Any]:
    """Where in a request FastAPI found something wrong."""
    path = item.get("loc")
    return path if isinstance(path, list) else []
