"""A stand-in for the token endpoint of an OAuth issuer: client credentials, and token exchange (RFC 8693)."""

from __future__ import annotations

import base64
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.http.upstream import listening

CLIENT, SECRET = "airflow-mcp", "s3cret: of the client"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


@dataclass
class TokenServer:
    """What it answers, which a test may change while it is served. Each token that it gives has a number."""

    url: str = ""
    people: dict[str, str] = field(default_factory=dict)  # subject token -> whom it is about
    lasts: Any = 3600  # `expires_in`; None leaves it out
    answer: dict[str, Any] = field(default_factory=dict)  # what it says otherwise than it should
    refusal: Response | None = None
    forms: list[dict[str, str]] = field(default_factory=list)

    async def token(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        self.forms.append(form)
        scheme, _, pair = request.headers.get("authorization", "").partition(" ")
        client, _, secret = base64.b64decode(pair).decode().partition(":") if scheme == "Basic" else ("", "", "")
        if (unquote_plus(client), unquote_plus(secret)) != (CLIENT, SECRET):
            return JSONResponse({"error": "invalid_client"}, 401)
        if self.refusal is not None:
            return self.refusal
        match form.get("grant_type"):
            case "client_credentials":
                who = "service"
            case value if value == EXCHANGE and form.get("subject_token_type") == ACCESS_TOKEN:
                who = self.people.get(form["subject_token"], "")
                if not who:
                    said = {"error": "invalid_request", "error_description": f"unknown: {form['subject_token']}"}
                    return JSONResponse(said, 400)
            case _:
                return JSONResponse({"error": "unsupported_grant_type"}, 400)
        given = {"access_token": f"airflow-{who}-{len(self.forms)}", "token_type": "Bearer", "expires_in": self.lasts}
        given |= {"issued_token_type": ACCESS_TOKEN} | self.answer
        return JSONResponse({name: value for name, value in given.items() if value is not None})


@contextmanager
def giving_tokens(server: TokenServer) -> Generator[TokenServer]:
    """The same endpoint, served on loopback for the block."""
    with listening(Starlette(routes=[Route("/token", server.token, methods=["POST"])])) as url:
        server.url = f"{url}/token"
        yield server
