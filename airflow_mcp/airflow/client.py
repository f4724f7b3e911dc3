"""The one pooled async client of an Airflow: send, retry what is safe, time out, re-authenticate, never redirect."""

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


ReadResponse = Callable[[httpx2.Response], Awaitable[Response]]  # reads an answer


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

        `instance` is what the observer, and traces, call this Airflow. `clock` gives seconds that never go back, for
        how long a version is believed and a refused login is not repeated. `wording` is how errors call this Airflow.
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
        self._share = SOLE_HOLDER  # whose share of the places the requests take

    def make_sibling(self, method: AuthMethod) -> AirflowClient:
        """A client of the same Airflow for somebody else: the login is its own, and only that needs to be closed."""
        other = copy(self)
        other._auth = other._make_authenticator(method)
        other._is_sibling = True
        return other

    def _make_authenticator(self, method: AuthMethod) -> Authenticator:
        return Authenticator(
            method, self._send_plain, partial(self._observer.login_renewed, self._instance), self._clock
        )

    @asynccontextmanager
    async def borrow(self, name: str, credentials: CallerCredentials) -> AsyncGenerator[AirflowClient, None]:
        """The client for what this caller asks: this one, whoever it is, within the caller's share of the places."""
        del name
        yield self.with_share(credentials.share)

    def with_share(self, share: str) -> AirflowClient:
        """The same client, whose requests take places of this share."""
        if share == self._share:
            return self
        other = copy(self)
        other._share = share
        return other

    def describe(self) -> str:
        """Who this client says it is, for a person."""
        return self._auth.method.describe()

    async def aclose(self) -> None:
        """Forget the login, and close every connection that is not a sibling's too."""
        if not self._is_sibling:
            await self.connections.aclose()
        await self._auth.method.aclose()

    async def version(self) -> Version:
        """The connected Airflow's version, as it said it within ten minutes; see Detection.

        Raises AirflowUnreachableError, NotSupportedError (older than 2.7), LoginError and AirflowError.
        """
        with self._wording.apply():
            return await self._detection.version(self._get_version, self._auth)

    @property
    def known_version(self) -> Version | None:
        """The version if it was ever asked successfully."""
        return self._detection.known

    async def refresh_version(self) -> Version:
        """The version as Airflow says it now, known before or not. Raises what `version` raises."""
        with self._wording.apply():
            return await self._detection.ask(self._get_version, self._auth)

    def subscribe(self, listener: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `listener` in the block whenever this Airflow turns out to be another version than before."""
        return self._detection.subscribe(listener)

    def retry_login(self) -> None:
        """Let a login that was refused be tried again with the next call."""
        self._auth.retry()

    async def send(self, request: Request) -> Response:
        """Send one request, again where that is safe.

        A read is tried three times through broken connections, timeouts and 5xx. Anything else is tried again only
        when it cannot have left, or when Airflow itself refuses who asks. Raises AirflowUnreachableError, LoginError,
        UnusableAnswerError for what is too large, and VersionChangedError where the request is one of another version
        than Airflow is by now (a read that was answered, a change before it is sent); other statuses are the caller's.
        """
        async with AsyncExitStack() as turn:
            with self._wording.apply():
                return await self._send_with_retries(request, read, turn)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncGenerator[tuple[int, AsyncIterator[bytes]], None]:
        """Status and body of a read, piece by piece; `timeout` then bounds each silence, not the whole."""
        opened: list[httpx2.Response] = []

        async def leave_open(raw: httpx2.Response) -> Response:
            if not raw.is_success:
                return await read(raw)
            opened.append(raw)
            return Response(raw.status_code, b"")

        async with AsyncExitStack() as turn:
            with self._wording.apply():
                response = await self._send_with_retries(request, leave_open, turn, stream=True)
            try:
                yield response.status, self._read_pieces(opened[0] if opened else response.content, request)
            finally:
                for raw in opened:
                    await raw.aclose()

    async def _send_with_retries(
        self, request: Request, take: ReadResponse, turn: AsyncExitStack, *, stream: bool = False
    ) -> Response:
        """The response of the first attempt worth keeping; `take` reads it, inside the attempt's timeout.

        `turn` takes a place at this Airflow, and has none while a login is waited for.
        """
        began = anyio.current_time()
        generation = (await self.version()).generation
        self._require_same(request)
        headers = await self._auth.get_headers(generation, began)
        await turn.enter_async_context(self._limit.acquire(self._share, stream=stream))
        headers, renewed = self._auth.get_latest(headers), False
        for attempt in range(1, _ATTEMPTS + 2):  # one more than the retries: a new login uses one up
            again = request.repeatable and attempt < _ATTEMPTS
            try:
                response = await self._attempt(request, headers.headers, take)
            except (*CONNECTION_ERRORS, TimeoutError) as error:
                if not again and not (isinstance(error, UNSENT_ERRORS) and attempt < _ATTEMPTS):
                    raise self._build_unreachable_error(error, request) from None
            else:
                foreign = not request.repeatable and not is_own_error(response.content)
                if foreign or not await self._is_refused(response, generation, headers):
                    if response.status not in _RETRY_STATUSES or not again:
                        if response.status != 401:
                            self._auth.accept()
                        await self._doubt(request, response)
                        return response
                elif renewed:
                    break
                else:
                    await turn.aclose()
                    headers = await self._auth.renew(headers, generation, began)
                    await turn.enter_async_context(self._limit.acquire(self._share, stream=stream))
                    headers, renewed = self._auth.get_latest(headers), True
                    continue
            await anyio.sleep(self._backoff * attempt)
            headers = await self._auth.get_headers(generation, began)  # one that is good for one request was used up
        advice = f"{self._auth.method.advice}{describe_ambiguity(generation)}"
        sentence = f"Airflow keeps refusing {self.describe()}, after a new login too. {advice}"
        raise self._auth.refuse(headers, sentence)

    async def _doubt(self, request: Request, response: Response) -> None:
        """Ask for the version after an answer that Airflow does not give to its own routes.

        Raises VersionChangedError for a read that another version's routes may answer. A change is not repeated.
        """
        if response.status in _UNKNOWN_ROUTE and not is_own_error(response.content):
            await self._detection.doubt(self._get_version, self._auth)
            if request.repeatable:
                self._require_same(request)

    def _require_same(self, request: Request) -> None:
        """Raise VersionChangedError for a request of another version than Airflow is."""
        if request.version not in (None, self.known_version):
            raise VersionChangedError(
                f"Airflow is {self.known_version} now, and was {request.version} when this call was prepared. Nothing "
                "more was done: call again."
            )

    async def _attempt(self, request: Request, proof: Mapping[str, str], take: ReadResponse) -> Response:
        """One request and its answer, in time. Raises TimeoutError and what httpx2 and `take` raise.

        A change that has begun is not broken off when its caller leaves: what came of it can be audited.
        """
        built = build(self.connections.http, self.url, request, proof)
        with (
            trace_request(built, request.route, self._instance, self._observer) as seen,
            anyio.fail_after(self.timeout, shield=not request.repeatable),
        ):
            response = await take(await self.connections.http.send(built, stream=True, follow_redirects=False))
            seen.status = response.status
        return response

    async def _is_refused(self, response: Response, generation: Generation, headers: AuthHeaders) -> bool:
        """Whether another login may help.

        Airflow 3 says so. 2.8 and newer answer a login that ended like a missing permission (403, since FAB has a
        public role): a read that every role may do tells.
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
        """Asks for the version without a login, as Airflow allows; with one where something in front of it wants that.

        It may say so by the way to its sign-in page; so does an address that is not quite right, and nothing that
        others on the way could read is sent there. A login that is refused is presented once.
        """
        refused: list[AuthHeaders] = []

        async def get(path: str) -> tuple[int, bytes]:
            answer = await self._ask("GET", path)
            signs_in = 300 <= answer.status < 400 and is_sheltered(self.url)
            if (signs_in or answer.status in (401, 403)) and not refused:
                headers = await self._auth.get_headers(None, anyio.current_time())
                if headers.headers:
                    answer = await self._ask("GET", path, headers=headers.headers)
                    refused.extend([headers] if answer.status == 401 else [])
            elif answer.status == 401:
                raise self._auth.refuse(
                    refused[0],
                    "What answers at AIRFLOW_MCP_URL wants a login before it says anything, and does not accept "
                    f"{self.describe()} (401). {self._auth.method.advice}",
                )
            return require_no_redirect(answer)

        return get

    async def _send_plain(
        self, method: str, path: str, body: dict[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One request outside the API proper: to log in, and to find out whether that was good."""
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
