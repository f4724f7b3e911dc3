"""Fetch a small JSON document from an address that the operator trusts, for rooms that know no HTTP."""

from __future__ import annotations

import json
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import anyio
import httpx2

from airflow_mcp.addresses import is_sheltered
from airflow_mcp.airflow.connection_errors import CONNECTION_ERRORS
from airflow_mcp.airflow.response_body import read_body
from airflow_mcp.errors import FetchError
from airflow_mcp.text import clean, shorten

if TYPE_CHECKING:
    from airflow_mcp.catalog.grammar import Json

_SECONDS = 5.0  # for the whole answer: a caller waits for it
_LARGEST = 1024 * 1024  # bytes

# Address -> document; None where the server says that there is none, or that it is elsewhere. Raises FetchError.
Fetch = Callable[[str], Awaitable["Json | None"]]


def make_fetcher(ca_file: str = "", transport: httpx2.AsyncBaseTransport | None = None) -> Fetch:
    """Make a fetch function that trusts this CA file, or else the system's CAs; it keeps no connection or cookie.

    It follows no redirect.
    """

    async def fetch(url: str) -> Json | None:
        if not is_sheltered(url):
            raise FetchError(f"{_make_safe(url)} is neither https nor on loopback, so it is not asked.")
        verify = ssl.create_default_context(cafile=ca_file) if ca_file else True
        try:
            with anyio.fail_after(_SECONDS):
                async with httpx2.AsyncClient(verify=verify, timeout=_SECONDS, transport=transport) as http:
                    status, body = await _read(http, url)
        except TimeoutError:
            raise FetchError(f"{_make_safe(url)} gave no answer within {_SECONDS:g} seconds.") from None
        except (*CONNECTION_ERRORS, httpx2.InvalidURL) as error:
            raise FetchError(
                f"{_make_safe(url)} cannot be read: {_make_safe(str(error)) or type(error).__name__}."
            ) from None
        if 300 <= status < 500:
            return None
        if status != 200:
            raise FetchError(f"{_make_safe(url)} answers with HTTP {status} instead of a document.")
        return _parse_document(body, url)

    return fetch


async def _read(http: httpx2.AsyncClient, url: str) -> tuple[int, bytes]:
    async with http.stream("GET", url, headers={"Accept": "application/json"}) as response:
        body = await read_body(response, _LARGEST)
    if body is None:
        raise FetchError(f"{_make_safe(url)} holds more than {_LARGEST // 1024} KiB, and was not read.")
    return response.status_code, body


def _parse_document(body: bytes, url: str) -> Any:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise FetchError(f"{_make_safe(url)} holds no JSON.") from None
    if not isinstance(document, dict):
        raise FetchError(f"{_make_safe(url)} holds no JSON object.")
    return document


def _make_safe(text: str) -> str:
    return shorten(clean(text), 200).rstrip(".")
