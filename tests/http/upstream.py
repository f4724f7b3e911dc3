"""The stand-in for Airflow, served on loopback for server processes to call."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from tests.unit.fake_airflow import FakeAirflow


@contextmanager
def upstream(
    airflow: FakeAirflow, tls: tuple[str, str] | None = None, client_ca: str | None = None
) -> Generator[FakeAirflow]:
    """The same Airflow, with the address at which it can be reached as its `url`; for `tls` and the CA see below."""

    async def answer(request: Request) -> Response:
        raw = request.scope["raw_path"].decode()
        query = request.scope["query_string"].decode()
        url = f"http://airflow.example{raw}{f'?{query}' if query else ''}"
        content = await request.body()
        told = httpx2.Request(request.method, url, headers=request.headers.raw, content=content)
        reply = await airflow.answer(told)
        body = await reply.aread()
        headers = {name: value for name, value in reply.headers.items() if name not in ("content-length",)}
        return Response(body, reply.status_code, headers)

    methods = ["GET", "POST", "PATCH", "PUT", "DELETE"]
    with listening(Starlette(routes=[Route("/{path:path}", answer, methods=methods)]), tls, client_ca) as url:
        airflow.url = url
        yield airflow


@contextmanager
def listening(app: ASGIApp, tls: tuple[str, str] | None = None, client_ca: str | None = None) -> Generator[str]:
    """The address of an application that is served by a thread of this process for the block.

    `tls` names the files of a certificate and of its key. With `client_ca`, clients must show a certificate that the
    CA in that file signed.
    """
    certificate, key = tls or (None, None)
    config = uvicorn.Config(
        app,
        log_level="error",
        lifespan="off",
        ssl_certfile=certificate,
        ssl_keyfile=key,
        ssl_ca_certs=client_ca,
        ssl_cert_reqs=ssl.CERT_REQUIRED if client_ca else ssl.CERT_NONE,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
