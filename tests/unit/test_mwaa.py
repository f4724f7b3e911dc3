"""auth = "mwaa": boto3 gets a web token from a stand-in for AWS, and that logs in to a stand-in for the web server."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from tests.http.upstream import listening, upstream
from tests.unit.connected import connected
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent

pytestmark = pytest.mark.anyio
SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/\d{8}/eu-west-1/airflow/aws4_request, .*Signature=\w{64}")
LOGINS = {"2.10.3": ("/aws_mwaa/login", "session"), "3.0.6": ("/pluginsv2/aws_mwaa/login", "_token")}


@dataclass
class FakeAws:
    """The API of MWAA, as boto3 calls it: through a proxy, since it puts `env.` before the name of its endpoint."""

    environments: tuple[str, ...] = ("staging",)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await self._answer(request)(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        target = request.scope["raw_path"].decode()
        self.asked.append(f"{request.method} {target}")
        if not SIGNED.fullmatch(request.headers.get("authorization", "")):
            return JSONResponse({"message": "not signed"}, 403, {"x-amzn-errortype": "AccessDeniedException"})
        environment = target.rpartition("/webtoken/")[2]
        if environment not in self.environments:
            return JSONResponse({"message": "no such one"}, 404, {"x-amzn-errortype": "ResourceNotFoundException"})
        token = f"web-token-{len(self.asked)}"
        return JSONResponse({"WebToken": token, "WebServerHostname": "c0ffee.c5.eu-west-1.airflow.amazonaws.com"})


@contextmanager
def aws(monkeypatch: pytest.MonkeyPatch, secret: str = "a-secret-key") -> Generator[FakeAws]:
    """The same AWS on loopback, and an identity of it in this process's environment."""
    fake = FakeAws()
    with listening(fake) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_MWAA", "http://mwaa.example")
        monkeypatch.setenv("HTTP_PROXY", url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name, raising=False)
        if secret:
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        yield fake


class WebServer:
    """MWAA's web server: a web token logs in once; 2.x then wants its session cookie, 3.x the JWT of a cookie."""

    def __init__(self, version: str, *, hides_version: bool = False) -> None:
        self.airflow = FakeAirflow(version).on("GET", "/dags", self._dags)
        self.logins: list[str] = []
        self.ended: set[str] = set()
        path, self._cookie = LOGINS[version]
        self.airflow.on("POST", path, self._log_in)
        if hides_version:
            said = {"version": version, "git_version": None}
            self.airflow.on("GET", "/version", lambda sent: Reply(200, said) if self._knows(sent) else Reply(403))
            self.airflow.otherwise(Reply(403))

    def _log_in(self, sent: Sent) -> Reply:
        token = sent.body["token"]
        if not token.startswith("web-token-") or token in self.logins:
            return Reply(401)
        self.logins.append(token)
        value = f"of-{token}"
        return Reply(200, {}, {"set-cookie": f"{self._cookie}={value}; HttpOnly; Path=/; Secure"})

    def _knows(self, sent: Sent) -> bool:
        if self._cookie == "session":
            given = sent.headers.get("cookie", "").removeprefix("session=")
        else:
            given = sent.headers.get("authorization", "").removeprefix("Bearer ")
        return given.removeprefix("of-") in set(self.logins) - self.ended

    def _dags(self, sent: Sent) -> Reply:
        nobody = Reply(403 if self._cookie == "session" else 401)  # as 2.8 and newer, and 3.x
        return Reply(200, {"dags": [], "total_entries": 0}) if self._knows(sent) else nobody


@pytest.mark.parametrize("version", LOGINS)
async def test_a_web_token_logs_in_once_for_many_calls(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    web = WebServer(version)
    with aws(monkeypatch) as fake, upstream(web.airflow) as served:
        settings = {"url": served.url, "auth": "mwaa", "mwaa_environment": "staging", "mwaa_region": "eu-west-1"}
        async with connected(**settings) as someone:
            for _ in range(3):
                await someone.ask("list_dags")
    assert fake.asked == ["POST http://env.mwaa.example/webtoken/staging"]
    assert web.logins == ["web-token-1"]


@pytest.mark.parametrize("version", LOGINS)
async def test_a_session_that_ended_is_renewed(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    web = WebServer(version)
    with aws(monkeypatch), upstream(web.airflow) as served:
        settings = {"url": served.url, "auth": "mwaa", "mwaa_environment": "staging", "mwaa_region": "eu-west-1"}
        async with connected(**settings) as someone:
            await someone.ask("list_dags")
            web.ended.add("web-token-1")
            await someone.ask("list_dags")
    assert web.logins == ["web-token-1", "web-token-2"]


@pytest.mark.parametrize("version", LOGINS)
async def test_a_web_server_that_hides_its_version_is_logged_in_to_first(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = WebServer(version, hides_version=True)
    with aws(monkeypatch), upstream(web.airflow) as served:
        settings = {"url": served.url, "auth": "mwaa", "mwaa_environment": "staging", "mwaa_region": "eu-west-1"}
        async with connected(**settings) as someone:
            await someone.ask("list_dags")
    assert len(web.logins) == 1


async def test_what_aws_refuses_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    web = WebServer("3.0.6")
    with aws(monkeypatch), upstream(web.airflow) as served:
        settings = {"url": served.url, "auth": "mwaa", "mwaa_environment": "prod", "mwaa_region": "eu-west-1"}
        async with connected(**settings) as someone:
            sentence = await someone.refused("list_dags")
    assert "AWS gives no web token for the MWAA environment 'prod'" in sentence
    assert "ResourceNotFoundException" in sentence
    assert "airflow:CreateWebLoginToken" in sentence


async def test_without_credentials_of_aws_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    web = WebServer("3.0.6")
    with aws(monkeypatch, secret="") as fake, upstream(web.airflow) as served:
        settings = {"url": served.url, "auth": "mwaa", "mwaa_environment": "staging", "mwaa_region": "eu-west-1"}
        async with connected(**settings) as someone:
            assert "Unable to locate credentials" in await someone.refused("list_dags")
    assert (fake.asked, web.logins) == ([], [])


async def test_another_web_server_than_the_environments_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = FakeAirflow("3.0.6")
    with aws(monkeypatch), upstream(stranger) as served:
        settings = {"url": served.url, "auth": "mwaa", "mwaa_environment": "staging", "mwaa_region": "eu-west-1"}
        async with connected(**settings) as someone:
            assert "takes no web token of the environment 'staging'" in await someone.refused("list_dags")
