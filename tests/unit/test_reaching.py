"""How Airflow is reached: by mutual TLS, through a proxy, with headers of the operator's."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import ValidationError

from airflow_mcp.settings.connection import Connection
from tests.http.upstream import upstream
from tests.unit.certificates import Authority
from tests.unit.connected import connected
from tests.unit.fake_airflow import FakeAirflow
from tests.unit.forward_proxy import ForwardProxy, forwarding
from tests.unit.samples import dag

pytestmark = pytest.mark.anyio
PROXY_USER = "me:pr0xy-pass"


def airflow() -> FakeAirflow:
    return FakeAirflow().on("GET", "/dags/etl", dag())


async def test_an_airflow_that_wants_a_certificate_is_shown_one(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.sign("airflow-mcp")
    with upstream(airflow(), authority.sign("airflow"), authority.file) as served:
        settings = {"url": served.url, "token": "t", "ca_file": authority.file}
        async with connected(**settings, client_cert=cert, client_key=key) as someone:
            await someone.ask("get_dag", dag_id="etl")
        before = len(served.seen)
        async with connected(**settings) as someone:
            assert "AIRFLOW_MCP_CLIENT_CERT" in await someone.refused("get_dag", dag_id="etl")
        strange = Authority(tmp_path, "strange").sign("stranger")
        async with connected(**settings, client_cert=strange[0], client_key=strange[1]) as someone:
            assert "AIRFLOW_MCP_CLIENT_CERT" in await someone.refused("get_dag", dag_id="etl")
        assert len(served.seen) == before


async def test_an_airflow_with_a_strange_certificate_is_shown_nothing(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.sign("airflow-mcp")
    with upstream(airflow(), Authority(tmp_path, "strange").sign("airflow"), authority.file) as served:
        settings = {"url": served.url, "token": "t", "ca_file": authority.file}
        async with connected(**settings, client_cert=cert, client_key=key) as someone:
            assert "AIRFLOW_MCP_CA_FILE" in await someone.refused("get_dag", dag_id="etl")
        assert served.seen == []


def test_one_file_may_hold_certificate_and_key(tmp_path: Path) -> None:
    cert, key = Authority(tmp_path).sign("airflow-mcp")
    both = tmp_path / "both.pem"
    both.write_text(Path(cert).read_text() + Path(key).read_text())
    assert Connection(url="https://airflow.example.com", client_cert=str(both)).client_key == ""


async def test_the_alert_of_a_server_that_wants_a_certificate_is_told_as_one(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("airflow"))
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.handle_error = lambda request, client_address: None  # a refused handshake is what is wanted here
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"https://127.0.0.1:{server.server_address[1]}"
        async with connected(url=url, token="t", ca_file=authority.file) as someone:
            assert "AIRFLOW_MCP_CLIENT_CERT" in await someone.refused("get_dag", dag_id="etl")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_certificates_that_cannot_be_shown_end_the_start(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.sign("one")
    _, other = authority.sign("two")
    locked_cert, locked = authority.sign("three", passphrase=b"a-passphrase")
    for settings, words in (
        ({"client_cert": cert, "client_key": other}, "hold no certificate and its private key"),
        ({"client_cert": locked_cert, "client_key": locked}, "without a passphrase"),
        ({"client_cert": cert}, "holds no certificate and its private key .* client_key names it"),
        ({"client_key": key}, "client_key is set without client_cert"),
        ({"client_cert": str(tmp_path / "no.pem")}, "client_cert names no file"),
        ({"client_cert": cert, "client_key": key, "url": "http://airflow.example.com"}, "for an https address"),
    ):
        with pytest.raises(ValidationError, match=words):
            Connection.model_validate({"url": "https://airflow.example.com"} | settings)


@pytest.mark.parametrize("user", ["", PROXY_USER])
async def test_airflow_is_reached_through_the_proxy(user: str) -> None:
    with upstream(airflow()) as served, forwarding(ForwardProxy(user)) as proxy:
        async with connected(url=served.url, token="t", proxy=proxy.url) as someone:
            await someone.ask("get_dag", dag_id="etl")
        assert f"GET {served.url}/api/v2/dags/etl" in proxy.seen
        assert len(proxy.seen) == len(served.seen), "nothing goes round it"
        assert not any("proxy-authorization" in sent.headers for sent in served.seen)


async def test_through_a_proxy_tls_reaches_to_airflow_itself(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.sign("airflow-mcp")
    with (
        upstream(airflow(), authority.sign("airflow"), authority.file) as served,
        forwarding(ForwardProxy(PROXY_USER)) as proxy,
    ):
        settings = {"url": served.url, "token": "t", "ca_file": authority.file, "proxy": proxy.url}
        async with connected(**settings, client_cert=cert, client_key=key) as someone:
            await someone.ask("get_dag", dag_id="etl")
        assert set(proxy.seen) == {f"CONNECT {served.url.removeprefix('https://')}"}


async def test_a_proxy_that_refuses_or_is_down_is_told_without_its_password(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with upstream(airflow(), authority.sign("airflow")) as served, forwarding(ForwardProxy(PROXY_USER)) as proxy:
        settings = {"url": served.url, "token": "t", "ca_file": authority.file}
        for address in (proxy.url.replace("pr0xy-pass", "wr0ng-pass"), "http://me:wr0ng-pass@127.0.0.1:9"):
            async with connected(**settings, proxy=address) as someone:
                sentence = await someone.refused("get_dag", dag_id="etl")
            assert "the proxy (AIRFLOW_MCP_PROXY, or " in sentence
            assert "wr0ng" not in sentence
        assert served.seen == []


@pytest.mark.parametrize("address", ["socks5://127.0.0.1:1080", "proxy:3128", "http://", "http://proxy:99999"])
def test_what_is_no_proxy_ends_the_start(address: str) -> None:
    with pytest.raises(ValidationError, match=r"such as http://10\.0\.0\.9:3128"):
        Connection.model_validate({"proxy": address})


async def test_the_operators_headers_go_with_every_request() -> None:
    with upstream(airflow().on("POST", "/auth/token", {"access_token": "a.b.c"})) as served:
        headers = {"X-Tenant": "sales", "CF-Access-Client-Secret": "s3cret-of-the-front"}
        async with connected(url=served.url, username="ann", password="p", headers=headers) as someone:
            await someone.ask("get_dag", dag_id="etl")
        assert [sent.path for sent in served.seen] == ["/api/v2/version", "/auth/token", "/api/v2/dags/etl"]
        for sent in served.seen:
            assert sent.headers["x-tenant"] == "sales"
            assert sent.headers["cf-access-client-secret"] == "s3cret-of-the-front"
        assert served.seen[-1].headers["authorization"] == "Bearer a.b.c"
    assert "s3cret-of-the-front" not in repr(Connection.model_validate({"headers": headers}))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("Authorization", "Bearer x", "Authorization is not sent"),
        ("host", "evil.example", "host is not sent"),
        ("Content-Length", "1", "Content-Length is not sent"),
        ("X Tenant", "x", "no name of a header"),
        ("X-Tenant\r\nHost", "x", "no name of a header"),
        ("X-Tenant", "x\r\nHost: evil.example", "visible ASCII"),
        ("X-Tenant", " x", "no space around"),
        ("Accept", "text/html", "Accept is not sent"),
        ("TE", "trailers", "TE is not sent"),
    ],
)
def test_a_header_that_would_change_the_request_ends_the_start(name: str, value: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Connection.model_validate({"headers": {name: value}})


def test_a_cookie_that_would_go_with_every_caller_ends_the_start() -> None:
    headers = {"Cookie": "session=of-somebody"}
    assert Connection.model_validate({"headers": headers}).identity == "service"
    with pytest.raises(ValidationError, match="would go with every caller"):
        Connection.model_validate({"headers": headers, "identity": "caller"})


async def test_a_proxy_of_the_environment_that_is_down_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with connected(url="http://airflow.example", token="t") as someone:
        sentence = await someone.refused("get_dag", dag_id="etl")
    assert "HTTPS_PROXY and HTTP_PROXY of the environment) running" in sentence


async def test_a_deployment_below_a_path_gets_its_api_token() -> None:
    hosted = FakeAirflow("3.0.6", prefix="/dzx1abcd").on("GET", "/dags/etl", dag())
    with upstream(hosted) as served:
        async with connected(url=f"{served.url}/dzx1abcd", token="an-api-token-of-the-deployment") as someone:
            await someone.ask("get_dag", dag_id="etl")
        (sent,) = served.sent
        assert sent.headers["authorization"] == "Bearer an-api-token-of-the-deployment"
        assert served.seen[-1].path == "/dzx1abcd/api/v2/dags/etl"
