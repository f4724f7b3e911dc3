"""AWS MWAA: an IAM identity gets a web token, which logs in to a session for Airflow 2.x, or a JWT for 3.x."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Any

import anyio

from airflow_mcp.airflow.auth.auth_method import AuthHeaders, AuthMethod, AuthRequest, build_bearer, is_token
from airflow_mcp.airflow.auth.blocking_login import run_in_thread
from airflow_mcp.airflow.auth.extras import require_library
from airflow_mcp.airflow.connection_errors import CONNECTION_ERRORS
from airflow_mcp.airflow.network import Network
from airflow_mcp.catalog.versions import Generation
from airflow_mcp.errors import LoginError, LoginRefusedError
from airflow_mcp.redact import redact_text
from airflow_mcp.text import clean, shorten

_LASTS = 11 * 3600.0  # seconds; MWAA ends a session after twelve hours
# The path where a web token logs in, and the cookie that the login sets.
_LOGINS: dict[Generation, tuple[str, str]] = {
    "v2": ("/pluginsv2/aws_mwaa/login", "_token"),
    "v1": ("/aws_mwaa/login", "session"),
}


class Mwaa(AuthMethod):
    """An environment of MWAA, with the AWS credentials that boto3 finds where this server runs."""

    def __init__(self, url: str, environment: str, region: str, network: Network, timeout: float) -> None:
        """`url` is the environment's web server; `timeout` is the seconds of its login. Raises SettingsError."""
        require_library("aws", "mwaa", "boto3")
        self._url = url
        self._environment = environment
        self._region = region
        self._network = network
        self._timeout = timeout
        self._aws: Any = None

    def describe(self) -> str:
        """See AuthMethod."""
        return f"the AWS identity of this server at the MWAA environment {self._environment!r}"

    async def authenticate(self, request: AuthRequest) -> AuthHeaders:
        """See AuthMethod. While the generation is unknown, both logins are tried."""
        generations: tuple[Generation, ...] = (request.generation,) if request.generation else ("v2", "v1")
        status = 0
        for generation in generations:
            token = await run_in_thread(self._web_token, "AWS, asked for a web token,")  # good for 60 seconds
            path, cookie = _LOGINS[generation]
            status, cookie_value = await self._log_in(path, cookie, token)
            if cookie_value:
                until = anyio.current_time() + _LASTS
                return (
                    build_bearer(cookie_value, until)
                    if generation == "v2"
                    else AuthHeaders({"Cookie": f"session={cookie_value}"}, until)
                )
        raise LoginRefusedError(
            f"MWAA's web server at {self._url} takes no web token of the environment {self._environment!r} (it answers "
            f"{status}). Is AIRFLOW_MCP_URL that environment's address?"
        )

    def _web_token(self) -> str:
        """Request a web token from AWS. Raises LoginError."""
        import boto3  # takes 0.5 s, so only when it is used
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            if self._aws is None:
                timeouts = Config(connect_timeout=5, read_timeout=5, retries={"total_max_attempts": 2})
                self._aws = boto3.Session(region_name=self._region or None).client("mwaa", config=timeouts)
            return str(self._aws.create_web_login_token(Name=self._environment)["WebToken"])
        except (BotoCoreError, ClientError, KeyError, ValueError) as error:
            self._aws = None  # the environment's credentials may be corrected meanwhile
            cause = shorten(redact_text(clean(str(error))), 300).rstrip(".")
            kind = LoginRefusedError if isinstance(error, ClientError) else LoginError
            raise kind(
                f"AWS gives no web token for the MWAA environment {self._environment!r}: {cause}. The identity of this "
                "server needs airflow:CreateWebLoginToken for a role of that environment."
            ) from None

    async def _log_in(self, path: str, cookie: str, token: str) -> tuple[int, str]:
        """Log in with a web token; return the status, and the cookie's value or "". Raises LoginError."""
        try:
            with anyio.fail_after(self._timeout):
                async with self._network.open(self._url, self._timeout) as http:
                    answer = await http.post(f"{self._url}{path}", data={"token": token}, follow_redirects=False)
        except (*CONNECTION_ERRORS, TimeoutError) as error:
            raise LoginError(
                f"MWAA's web server at {self._url} cannot be logged in to: {type(error).__name__}."
            ) from None
        for line in answer.headers.get_list("set-cookie"):
            try:
                morsel = SimpleCookie(line).get(cookie)
            except CookieError:
                continue
            if morsel and is_token(morsel.value) and ";" not in morsel.value and answer.status_code < 400:
                return answer.status_code, morsel.value
        return answer.status_code, ""
