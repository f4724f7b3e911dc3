"""One HTTP request to Airflow, and its response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import httpx2

from airflow_mcp.airflow.response_body import read_body
from airflow_mcp.airflow.wire import Request, build_redirect_error
from airflow_mcp.errors import InvalidArgumentsError, UnusableAnswerError

_LARGEST_BODY = 32 * 1024 * 1024  # bytes; a reply is held in memory, a log is streamed


@dataclass(frozen=True)
class Response:
    """A response: the status, the whole body, and the target of a redirect."""

    status: int
    content: bytes
    location: str = ""


def build(http: httpx2.AsyncClient, url: str, request: Request, proof: Mapping[str, str]) -> httpx2.Request:
    """Build the HTTP request. Raises InvalidArgumentsError for values that no request can carry."""
    headers = {**dict(request.headers), "Accept": request.accept, **proof}
    try:
        query = f"?{urlencode(request.query, quote_via=quote)}" if request.query else ""
        address = f"{url}{request.path}{query}"
        return http.build_request(request.method, address, headers=headers, json=request.body)
    except httpx2.InvalidURL:
        raise InvalidArgumentsError("The arguments are too long for an address. Shorten or drop some.") from None
    except ValueError:  # NaN, halves of surrogate pairs
        raise InvalidArgumentsError("The arguments hold a value that JSON cannot carry.") from None


async def read(raw: httpx2.Response) -> Response:
    """Read the whole response and close it. Raises UnusableAnswerError beyond 32 MiB."""
    try:
        body = await read_body(raw, _LARGEST_BODY)
    finally:
        await raw.aclose()
    if body is None:
        raise UnusableAnswerError(
            f"Airflow's answer is larger than {_LARGEST_BODY // 2**20} MiB and was not read. Ask for less: "
            "a lower limit, or one object.",
            raw.status_code,
        )
    return Response(raw.status_code, body, raw.headers.get("location", ""))


def require_no_redirect(response: Response) -> tuple[int, bytes]:
    """Return status and body. Raises AirflowError for a redirect, which is never followed."""
    if 300 <= response.status < 400:
        raise build_redirect_error(response.status, response.location)
    return response.status, response.content
