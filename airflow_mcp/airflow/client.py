"""The pooled async client of an Airflow: send, retry what is safe, time out, log in again, never follow a redirect."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from copy import copy
from functools import partial

import anyio
import httpx2

from airflow_mcp.addresses import is_sheltered
from airflow_mcp.airflow.auth.auth_method import SINGLE_USE, AuthHeaders, AuthMethod, describe_ambiguity
from airflow_mcp.airflow.auth.backoff import Clock
from airflow_mcp.airflow.caller_credentials import CallerCredentials
from airflow_mcp.airflow.concurrency_limit import ConcurrencyLimit
from airflow_mcp.airflow.connection_errors import CONNECTION_ERRORS, UNSENT_ERRORS, build_unreachable_error
from airflow_mcp.airflow.credentials import Authenticator, Credentials
from airflow_mcp.airflow.error_wording import ErrorWording
from airflow_mcp.airflow.generation import Get, VersionDetection
from airflow_mcp.airflow.messages import Response, build, read, require_no_redirect
from airflow_mcp.airflow.network import Connections, Network
from airflow_mcp.airflow.request_span import trace_request
from airflow_mcp.airflow.wire import Request, is_own_error
from airflow_mcp.catalog.versions import Generation, Version
from airflow_mcp.errors import (
    AirflowUnreachableError,
    VersionChangedError,
)
from airflow_mcp.fair_share import SOLE_HOLDER
from airflow_mcp.observer import NULL_OBSERVER, Observer

_ATTEMPTS = 3
_RETRY_STATUSES = frozenset({500, 502, 503, 504})  # 500: a locked SQLite answers so for a moment
_UNKNOWN_ROUTE = frozenset({404, 405})
_JSON = "application/json"


ReadResponse = Callable[[httpx2.Response], Awaitable[Response]]  # reads the body of an answer


class AirflowClient:
    """One Airflow. Opens its connections on first use; close it with `aclose`."""

    def __init__(
        self,
        url: str,
        identity: Credentials | AuthMethod,
        *,
        timeout: float = 30.0,
        network: Network | None = None,
        backoff: float = 0.3,
        transport: httpx2.AsyncBaseTransport | None = None,
        instance: str = "default",
        observer: Observer = NULL_OBSERVER,
        clock: Clock = time.monotonic,
        wording: ErrorWording | None = None,
    ) -> None:
        """`url` has no /api/vN and no credentials; `timeout` is seconds per request, `backoff` before a retry.

        `instance` is the name of this Airflow for the observer and in traces. `clock` gives seconds that never go back,
        for how long a version is trusted and a refused login is not repeated. `wording` names this Airflow in errors.
        """
        self.url = url.rstrip("/")
        self.timeout = timeout
        self._backoff = backoff
        self._is_sibling = False
        self.connections = Connections(self.url, timeout, network or Network(), transport)
        self._instance = instance
        self._observer = observer
        self._clock = clock
        self._wording = wording or ErrorWording()
        self._auth = self._make_authenticator(identity.method if isinstance(identity, Credentials) else identity)
        self._detection = VersionDetection(instance, clock)
        self._limit = ConcurrencyLimit(self.url, timeout)
        self._share = SOLE_HOLDER  # the holder whose share of the concurrency limit the requests use

    def make_sibling(self, method: AuthMethod) -> AirflowClient:
        """Make a client of the same Airflow with another login; only that login is its own and needs to be closed."""
        sibling = copy(self)
        sibling._auth = sibling._make_authenticator(method)
        sibling._is_sibling = True
        return sibling

    def _make_authenticator(self, method: AuthMethod) -> Authenticator:
        return Authenticator(
            method, self._send_plain, partial(self._observer.login_renewed, self._instance), self._clock
        )

    @asynccontextmanager
    async def borrow(self, name: str, credentials: CallerCredentials) -> AsyncGenerator[AirflowClient, None]:
        """Lend this client for the block, whoever the caller is, within the caller's share of the concurrency limit."""
        del name
        yield self.with_share(credentials.share)

    def with_share(self, share: str) -> AirflowClient:
        """Return the same client, whose requests use this share of the concurrency limit."""
        if share == self._share:
            return self
        client = copy(self)
        client._share = share
        return client

    def describe(self) -> str:
        """Describe the identity of this client for a person."""
        return self._auth.method.describe()

    async def aclose(self) -> None:
        """Forget the login, and close the connections; a sibling leaves them open, since it shares them."""
        if not self._is_sibling:
            await self.connections.aclose()
        await self._auth.method.aclose()

    async def version(self) -> Version:
        """Return the connected Airflow's version, which is at most ten minutes old; see VersionDetection.

        Raises AirflowUnreachableError, NotSupportedError (older than 2.7), LoginError and AirflowError.
        """
        with self._wording.apply():
            return await self._detection.version(self._get_version, self._auth)

    @property
    def known_version(self) -> Version | None:
        """The latest version that Airflow answered with, or None before the first."""
        return self._detection.known

    async def refresh_version(self) -> Version:
        """Ask Airflow for its version now, and return it. Raises what `version` raises."""
        with self._wording.apply():
            return await self._detection.ask(self._get_version, self._auth)

    def subscribe(self, listener: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `listener` within the block whenever this Airflow turns out to have another version than before."""
        return self._detection.subscribe(listener)

    def retry_login(self) -> None:
        """Allow a refused login to be tried again with the next call."""
        self._auth.retry()

    async def send(self, request: Request) -> Response:
        """Send one request, and repeat it where that is safe.

        A read is tried three times through broken connections, timeouts and 5xx. Any other request is repeated only
        when it cannot have left this machine, or when Airflow itself refuses the login. Raises AirflowUnreachableError,
        LoginError, UnusableAnswerError for an answer that is too large, and VersionChangedError where the request was
        built for another version than Airflow has by now (a read after its answer, a change before it is sent); the
        caller handles other statuses.
        """
        async with AsyncExitStack() as turn:
            with self._wording.apply():
                return await self._send_with_retries(request, read, turn)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncGenerator[tuple[int, AsyncIterator[bytes]], None]:
        """Yield the status of a read, and its body in pieces; `timeout` then bounds each pause, not the whole."""
        streams: list[httpx2.Response] = []

        async def leave_open(raw: httpx2.Response) -> Response:
            if not raw.is_success:
                return await read(raw)
            streams.append(raw)
            return Response(raw.status_code, b"")

        async with AsyncExitStack() as turn:
            with self._wording.apply():
                response = await self._send_with_retries(request, leave_open, turn, stream=True)
            try:
                yield response.status, self._read_pieces(streams[0] if streams else response.content, request)
            finally:
                for raw in streams:
                    await raw.aclose()

    async def _send_with_retries(
        self, request: Request, take: ReadResponse, turn: AsyncExitStack, *, stream: bool = False
    ) -> Response:
        """Return the response of the first attempt that needs no other; `take` reads it, within the attempt's timeout.

        `turn` holds a place of the concurrency limit, and none while the request waits for a login.
        """
        start_time = anyio.current_time()
        generation = (await self.version()).generation
        self._require_same(request)
        headers = await self._auth.get_headers(generation, start_time)
        await turn.enter_async_context(self._limit.acquire(self._share, stream=stream))
        headers, is_renewed = self._auth.get_latest(headers), False
        for attempt in range(1, _ATTEMPTS + 2):  # one more than the retries: a new login uses one up
            can_repeat = request.repeatable and attempt < _ATTEMPTS
            try:
                response = await self._attempt(request, headers.headers, take)
            except (*CONNECTION_ERRORS, TimeoutError) as error:
                if not can_repeat and not (isinstance(error, UNSENT_ERRORS) and attempt < _ATTEMPTS):
                    raise self._build_unreachable_error(error, request) from None
            else:
                is_foreign = not request.repeatable and not is_own_error(response.content)
                if is_foreign or not await self._is_refused(response, generation, headers):
                    if response.status not in _RETRY_STATUSES or not can_repeat:
                        if response.status != 401:
                            self._auth.accept()
                        await self._doubt(request, response)
                        return response
                elif is_renewed:
                    break
                else:
                    await turn.aclose()
                    headers = await self._auth.renew(headers, generation, start_time)
                    await turn.enter_async_context(self._limit.acquire(self._share, stream=stream))
                    headers, is_renewed = self._auth.get_latest(headers), True
                    continue
            await anyio.sleep(self._backoff * attempt)
            # Headers that are good for one request are used up.
            headers = await self._auth.get_headers(generation, start_time)
        advice = f"{self._auth.method.advice}{describe_ambiguity(generation)}"
        sentence = f"Airflow keeps refusing {self.describe()}, after a new login too. {advice}"
        raise self._auth.refuse(headers, sentence)

    async def _doubt(self, request: Request, response: Response) -> None:
        """Ask for the version after an answer that Airflow does not give on its own routes.

        Raises VersionChangedError for a read if the version has changed, since the other version's routes may answer
        it. A change is not repeated.
        """
        if response.status in _UNKNOWN_ROUTE and not is_own_error(response.content):
            await self._detection.doubt(self._get_version, self._auth)
            if request.repeatable:
                self._require_same(request)

    def _require_same(self, request: Request) -> None:
        """Raise VersionChangedError if the request was built for another version than Airflow has."""
        if request.version not in (None, self.known_version):
            raise VersionChangedError(
                f"Airflow is {self.known_version} now, and was {request.version} when this call was prepared. Nothing "
                "more was done: call again."
            )

    async def _attempt(self, request: Request, proof: Mapping[str, str], take: ReadResponse) -> Response:
        """Send one request and read its answer in time. Raises TimeoutError, and what httpx2 and `take` raise.

        A change that has begun is not cancelled with its caller, so that its outcome can be audited.
        """
        http_request = build(self.connections.http, self.url, request, proof)
        with (
            trace_request(http_request, request.route, self._instance, self._observer) as outcome,
            anyio.fail_after(self.timeout, shield=not request.repeatable),
        ):
            response = await take(await self.connections.http.send(http_request, stream=True, follow_redirects=False))
            outcome.status = response.status
        return response

    async def _is_refused(self, response: Response, generation: Generation, headers: AuthHeaders) -> bool:
        """Return whether another login may help.

        Airflow 3 says so. Airflow 2.8 and newer answer an expired login like a missing permission (403, since FAB has a
        public role), so a read that every role may do decides.
        """
        if response.status != 403:
            return response.status == 401
        if generation == "v2":
            return b"Invalid JWT token" in response.content
        if headers.expires_at == SINGLE_USE:
            headers = await self._auth.get_headers(generation, anyio.current_time())
        status, _ = await self._send_plain("GET", "/api/v1/dags?limit=1", headers=headers.headers)
        return status in (401, 403)

    async def _read_pieces(self, body: httpx2.Response | bytes, request: Request) -> AsyncIterator[bytes]:
        if isinstance(body, bytes):
            yield body
            return
        try:
            async for piece in body.aiter_bytes():
                yield piece
        except CONNECTION_ERRORS as error:
            with self._wording.apply():
                raise self._build_unreachable_error(error, request) from None

    @property
    def _get_version(self) -> Get:
        """The request for the version: without a login, as Airflow allows, or with one where the address demands it.

        A redirect to a sign-in page may be such a demand. A slightly wrong address redirects too, so it gets
        credentials only where nobody on the way can read them. A refused login is presented only once.
        """
        refused_headers: list[AuthHeaders] = []

        async def get(path: str) -> tuple[int, bytes]:
            answer = await self._ask("GET", path)
            is_sign_in = 300 <= answer.status < 400 and is_sheltered(self.url)
            if (is_sign_in or answer.status in (401, 403)) and not refused_headers:
                headers = await self._auth.get_headers(None, anyio.current_time())
                if headers.headers:
                    answer = await self._ask("GET", path, headers=headers.headers)
                    refused_headers.extend([headers] if answer.status == 401 else [])
            elif answer.status == 401:
                raise self._auth.refuse(
                    refused_headers[0],
                    "What answers at AIRFLOW_MCP_URL wants a login before it says anything, and does not accept "
                    f"{self.describe()} (401). {self._auth.method.advice}",
                )
            return require_no_redirect(answer)

        return get

    async def _send_plain(
        self, method: str, path: str, body: dict[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Send one request outside the API proper: to log in, or to check a login."""
        return require_no_redirect(await self._ask(method, path, body, headers))

    async def _ask(
        self, method: str, path: str, body: dict[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        request = Request(method, path, (), body, _JSON, True, route=path.partition("?")[0])
        try:
            return await self._attempt(request, headers or {}, read)
        except (*CONNECTION_ERRORS, TimeoutError) as error:
            raise self._build_unreachable_error(error, request) from None

    def _build_unreachable_error(self, error: Exception, request: Request) -> AirflowUnreachableError:
        return build_unreachable_error(
            error,
            self.url,
            self.timeout,
            repeatable=request.repeatable,
            answered=self.known_version is not None,
            proxied=self.connections.are_proxied,
        )
