"""The one pooled async client of an Airflow: send, retry what is safe, time out, re-authenticate, never redirect."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, urlencode

import anyio
import httpx2

from airflow_mcp.airflow.auth import Authenticator, Credentials, basic_header, is_token, wrong_password
from airflow_mcp.airflow.generation import detect
from airflow_mcp.airflow.places import Places
from airflow_mcp.airflow.watched import watched
from airflow_mcp.airflow.wire import Request, redirected
from airflow_mcp.catalog.versions import Generation, Version
from airflow_mcp.errors import (
    AirflowError,
    AirflowMcpError,
    AirflowUnreachableError,
    InvalidArgumentsError,
    LoginError,
)
from airflow_mcp.observe import NOBODY, Observer

_ATTEMPTS = 3
_RETRY_STATUSES = frozenset({500, 502, 503, 504})  # 500: a locked SQLite answers so for a moment
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_JSON = "application/json"
_LARGEST_BODY = 32 * 1024 * 1024  # bytes; a reply is held in memory, a log is streamed


@dataclass(frozen=True)
class Response:
    """What came back: status, the whole body, and where a redirect would have led."""

    status: int
    content: bytes
    location: str = ""


Take = Callable[[httpx2.Response], Awaitable[Response]]  # reads an answer


class AirflowClient:
    """One Airflow. Opens its connections on first use; close it with `aclose`."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        timeout: float = 30.0,
        ca_file: str | None = None,
        backoff: float = 0.3,
        transport: httpx2.AsyncBaseTransport | None = None,
        instance: str = "default",
        observer: Observer = NOBODY,
    ) -> None:
        """`url` has no /api/vN and no credentials; `timeout` is seconds per request, `backoff` before a retry.

        `instance` is what the observer, and traces, call this Airflow.
        """
        self.url = url.rstrip("/")
        self.timeout = timeout
        self._backoff = backoff
        self._ca_file = ca_file
        self._transport = transport
        self._http: httpx2.AsyncClient | None = None
        self._watched = partial(watched, instance=instance, observer=observer)
        self._auth = Authenticator(credentials, self._password_login, lambda: observer.login_renewed(instance))
        self._version: Version | None = None
        self._detecting = anyio.Lock()
        self._undetected: AirflowMcpError | None = None
        self._undetected_at = 0.0
        self._login_proved = False
        self._places = Places(self.url, timeout)

    @property
    def credentials(self) -> Credentials:
        """Who this client says it is."""
        return self._auth.credentials

    async def aclose(self) -> None:
        """Close every connection."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def version(self) -> Version:
        """The connected Airflow's version, asked until it answers once; calls that wait for it share its failure.

        Raises AirflowUnreachableError, NotSupportedError (older than 2.7), LoginError and AirflowError.
        """
        if self._version is None:
            began = anyio.current_time()
            async with self._detecting:
                if self._version is None:
                    if self._undetected and began <= self._undetected_at:
                        raise self._undetected.with_traceback(None)
                    try:
                        self._version = await detect(self._get_version)
                    except AirflowMcpError as error:
                        self._undetected, self._undetected_at = error, anyio.current_time()
                        raise
        return self._version

    @property
    def known_version(self) -> Version | None:
        """The version if it was ever asked successfully."""
        return self._version

    async def reach(self) -> Version:
        """The version as Airflow says it now, known before or not. Raises what `version` raises."""
        return await detect(self._get_version)

    async def send(self, request: Request) -> Response:
        """Send one request, again where that is safe.

        A read is tried three times through broken connections, timeouts and 5xx. Anything else is tried again only
        when it cannot have left. Raises AirflowUnreachableError and LoginError; other statuses are the caller's.
        """
        async with self._places.one():
            return await self._through(request, self._read)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncGenerator[tuple[int, AsyncIterator[bytes]], None]:
        """Status and body of a read, piece by piece; `timeout` then bounds each silence, not the whole."""
        opened: list[httpx2.Response] = []

        async def leave_open(raw: httpx2.Response) -> Response:
            if not raw.is_success:
                return await self._read(raw)
            opened.append(raw)
            return Response(raw.status_code, b"")

        async with self._places.one():
            response = await self._through(request, leave_open)
            try:
                yield response.status, self._pieces(opened[0] if opened else response.content, request)
            finally:
                for raw in opened:
                    await raw.aclose()

    async def _through(self, request: Request, take: Take) -> Response:
        """The response of the first attempt worth keeping; `take` reads it, inside the attempt's timeout."""
        began = anyio.current_time()
        generation = (await self.version()).generation
        header = await self._auth.header(generation, began)
        renewed = False
        for attempt in range(1, _ATTEMPTS + 2):  # one more than the retries: a new login uses one up
            again = request.repeatable and attempt < _ATTEMPTS
            try:
                response = await self._attempt(request, header, take)
            except (httpx2.TransportError, httpx2.DecodingError, TimeoutError) as error:
                if not again and not (isinstance(error, _NEVER_SENT) and attempt < _ATTEMPTS):
                    raise self._unreachable(error, request) from None
            else:
                if not _is_refused(response):
                    if response.status not in _RETRY_STATUSES or not again:
                        await self._judge_login(response, generation, header)
                        return response
                elif renewed:
                    break
                else:
                    renewed, header = True, await self._auth.renew(header, generation, began)
                    continue
            await anyio.sleep(self._backoff * attempt)
        raise LoginError(f"Airflow keeps refusing {self.credentials.describe()}. Check with `airflow-mcp doctor`.")

    async def _attempt(self, request: Request, header: str, take: Take) -> Response:
        """One request and its answer, in time. Raises TimeoutError and what httpx2 and `take` raise.

        A change that has begun is not broken off when its caller leaves: what came of it can be audited.
        """
        built = self._built(request, header)
        with self._watched(built, request.route) as seen, anyio.fail_after(self.timeout, shield=not request.repeatable):
            response = await take(await self._client.send(built, stream=True, follow_redirects=False))
            seen.status = response.status
        return response

    def _built(self, request: Request, header: str) -> httpx2.Request:
        """The request as it is sent. Raises InvalidArgumentsError for what no request can carry."""
        headers = dict(request.headers) | {"Accept": request.accept} | ({"Authorization": header} if header else {})
        try:
            query = f"?{urlencode(request.query, quote_via=quote)}" if request.query else ""
            url = f"{self.url}{request.path}{query}"
            return self._client.build_request(request.method, url, headers=headers, json=request.body)
        except httpx2.InvalidURL:
            raise InvalidArgumentsError("The arguments are too long for an address. Shorten or drop some.") from None
        except ValueError:  # NaN, halves of surrogate pairs
            raise InvalidArgumentsError("The arguments hold a value that JSON cannot carry.") from None

    async def _judge_login(self, response: Response, generation: Generation, header: str) -> None:
        """2.x answers a wrong password like a missing permission (403): a read that every role may do tells."""
        if response.status == 403 and generation == "v1" and not self._login_proved:
            status, _ = await self._plain("GET", "/api/v1/dags?limit=1", header=header)
            if status in (401, 403) and self.credentials.username:
                raise wrong_password(self.credentials.username)
            if status in (401, 403):
                raise LoginError(f"Airflow does not accept {self.credentials.describe()}. Check that it is still good.")
        self._login_proved = True

    @staticmethod
    async def _read(raw: httpx2.Response) -> Response:
        """The whole response, closed. Raises AirflowError beyond 32 MiB."""
        pieces: list[bytes] = []
        size = 0
        try:
            async for piece in raw.aiter_bytes():
                size += len(piece)
                if size > _LARGEST_BODY:
                    raise AirflowError(
                        f"Airflow's answer is larger than {_LARGEST_BODY // 2**20} MiB and was not read. Ask for less: "
                        "a lower limit, or one object.",
                        raw.status_code,
                    )
                pieces.append(piece)
        finally:
            await raw.aclose()
        return Response(raw.status_code, b"".join(pieces), raw.headers.get("location", ""))

    async def _pieces(self, body: httpx2.Response | bytes, request: Request) -> AsyncIterator[bytes]:
        if isinstance(body, bytes):
            yield body
            return
        try:
            async for piece in body.aiter_bytes():
                yield piece
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise self._unreachable(error, request) from None

    @property
    def _client(self) -> httpx2.AsyncClient:
        if self._http is None:
            self._http = httpx2.AsyncClient(timeout=self.timeout, verify=self._trust(), transport=self._transport)
        return self._http

    def _trust(self) -> ssl.SSLContext | bool:
        if self._ca_file:
            return ssl.create_default_context(cafile=self._ca_file)
        if self.url.startswith("http:"):
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody; reading the system's CAs costs 20 ms
        return True

    async def _get_version(self, path: str) -> tuple[int, bytes]:
        """Without credentials, as Airflow allows; with them where something in front of it wants them."""
        status, content = await self._plain("GET", path)
        given = self.credentials
        if status not in (401, 403) or not (given.username or given.token or given.token_command):
            return status, content
        header = basic_header(given) if given.username else await self._auth.header("v1", anyio.current_time())
        return await self._plain("GET", path, header=header)

    async def _password_login(self, username: str, password: str) -> str:
        """A JWT from /auth/token (Airflow 3). Without a user, from an Airflow that makes every visitor an admin."""
        if username:
            status, content = await self._plain("POST", "/auth/token", {"username": username, "password": password})
        else:
            status, content = await self._plain("GET", "/auth/token")
        if status in (200, 201):
            try:
                token = json.loads(content)["access_token"]
            except (ValueError, KeyError, TypeError, RecursionError):
                token = None
            if not isinstance(token, str) or not is_token(token):
                raise LoginError("Airflow's /auth/token answered without a token. Use AIRFLOW_MCP_TOKEN instead.")
            return token
        if not username:
            raise LoginError(
                "Airflow wants to know who is asking and no credentials are set. Set AIRFLOW_MCP_USERNAME and "
                "AIRFLOW_MCP_PASSWORD, or AIRFLOW_MCP_TOKEN."
            )
        if status in (400, 401, 403, 422):
            raise wrong_password(username)
        if status >= 500:
            raise AirflowError(f"Airflow failed at logging in ({status}). Try again in a moment.", status)
        raise LoginError(
            f"Airflow has no login for user and password (/auth/token answers {status}). Use AIRFLOW_MCP_TOKEN or "
            "AIRFLOW_MCP_TOKEN_COMMAND."
        )

    async def _plain(
        self, method: str, path: str, body: dict[str, str] | None = None, header: str = ""
    ) -> tuple[int, bytes]:
        """One request outside the API proper: to find out the version, and to log in."""
        request = Request(method, path, (), body, _JSON, True, route=path.partition("?")[0])
        try:
            response = await self._attempt(request, header, self._read)
        except (httpx2.TransportError, httpx2.DecodingError, TimeoutError) as error:
            raise self._unreachable(error, request) from None
        if 300 <= response.status < 400:
            raise redirected(response.status, response.location)
        return response.status, response.content

    def _unreachable(self, error: Exception, request: Request) -> AirflowUnreachableError:
        text = str(error)
        if isinstance(error, TimeoutError | httpx2.TimeoutException):
            why = f"gave no answer within {self.timeout:g} seconds (AIRFLOW_MCP_TIMEOUT)"
        elif "WRONG_VERSION_NUMBER" in text:
            why = "does not speak TLS. Is its address http:// instead of https://?"
        elif "CERTIFICATE" in text or "SSL" in text:
            why = "shows a TLS certificate that is not trusted here; AIRFLOW_MCP_CA_FILE names the CA that signed it"
        elif isinstance(error, httpx2.ConnectError):
            why = "cannot be reached. Is it running, and is AIRFLOW_MCP_URL right?"
        else:
            why = f"broke the connection ({type(error).__name__})"
        sent = not request.repeatable and not isinstance(error, _NEVER_SENT)
        doubt = " The change may or may not have happened: look before you try again." if sent else ""
        return AirflowUnreachableError(f"Airflow at {self.url} {why.rstrip('.')}.{doubt}".replace("?.", "?"), sent=sent)


def _is_refused(response: Response) -> bool:
    """Whether another login may help; "Forbidden" is a missing permission, and no login changes that."""
    return response.status == 401 or (response.status == 403 and b"Invalid JWT token" in response.content)
