"""With OpenTelemetry's variables a call is one trace from client to Airflow; no span holds an id or a secret."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import RequestParamsMeta
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.http.collector import Collector, attributes_of, collecting
from tests.http.conftest import furnished
from tests.http.serving import accepted, environment_of, serving
from tests.http.upstream import upstream
from tests.unit.assistant import ERAS, Assistant
from tests.unit.fake_airflow import FakeAirflow, Reply

pytestmark = pytest.mark.anyio
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
OTHER_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
META = RequestParamsMeta(**{"traceparent": f"00-{TRACE}-{PARENT}-01"})
CANARY = "canary-in-an-argument"
SECRET = "password=hunter2hunter2"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Generator[Collector]:
    """A collector that the variables of every process started here name."""
    with collecting() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
        yield running


@pytest.mark.parametrize("mode", ERAS)
async def test_a_call_is_one_trace_from_the_client_to_airflow(collector: Collector, tmp_path: Path, mode: str) -> None:
    audit = tmp_path / "audit.jsonl"
    with upstream(furnished()) as airflow:
        with serving(airflow, tmp_path, audit=str(audit)) as served:
            async with served.assistant(mode=mode) as someone:
                result = await someone.client.call_tool("get_dag", {"dag_id": "etl"}, meta=META)
                assert not result.is_error
        sent = airflow.last("GET", "/dags/etl")
    (server,) = collector.named("tools/call get_dag")
    assert (server.trace_id.hex(), server.parent_span_id.hex()) == (TRACE, PARENT)
    assert server.kind == Span.SPAN_KIND_SERVER
    (request,) = collector.named("GET /api/v2/dags/{dag_id}")
    assert (request.trace_id, request.parent_span_id) == (server.trace_id, server.span_id)
    assert request.kind == Span.SPAN_KIND_CLIENT
    assert attributes_of(request) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.template": "/api/v2/dags/{dag_id}",
        "server.address": "127.0.0.1",
        "airflow_mcp.instance": "default",
    }
    assert sent.headers["traceparent"] == f"00-{TRACE}-{request.span_id.hex()}-01"
    assert "baggage" not in sent.headers
    assert [json.loads(line)["trace_id"] for line in audit.read_text().splitlines()] == [TRACE]
    assert collector.services == {"airflow-mcp"}


async def test_a_trace_that_a_proxy_began_goes_on_where_the_client_has_none(
    collector: Collector, airflow: FakeAirflow, tmp_path: Path
) -> None:
    with serving(airflow, tmp_path) as served:
        async with served.assistant(headers={"traceparent": f"00-{OTHER_TRACE}-{PARENT}-01"}) as someone:
            await someone.ask("get_dag", dag_id="etl")
            await someone.client.call_tool("get_dag", {"dag_id": "etl"}, meta=META)
    calls = collector.named("tools/call get_dag")
    assert [call.trace_id.hex() for call in calls] == [OTHER_TRACE, TRACE]


def test_a_probe_is_no_trace(collector: Collector, airflow: FakeAirflow, tmp_path: Path) -> None:
    before = len(airflow.seen)
    with serving(airflow, tmp_path) as served:
        assert served.request("GET", "/readyz").status_code == 200
    assert len(airflow.seen) > before
    assert collector.spans == []


async def test_each_attempt_is_a_span_and_what_failed_says_how_and_no_more(
    collector: Collector, tmp_path: Path
) -> None:
    airflow = furnished().on("GET", "/dags/etl", Reply(503, {"detail": SECRET}), {"dag_id": "etl"})
    with upstream(airflow), serving(airflow, tmp_path) as served:
        async with served.assistant() as someone:
            await someone.ask("get_dag", dag_id="etl")
    first, second = collector.named("GET /api/v2/dags/{dag_id}")
    assert (first.status.code, attributes_of(first)["error.type"]) == (Status.STATUS_CODE_ERROR, "503")
    assert (second.status.code, "error.type" in attributes_of(second)) == (Status.STATUS_CODE_UNSET, False)


@pytest.mark.parametrize("mode", ERAS)
async def test_no_span_holds_an_id_an_argument_an_error_or_a_token(
    collector: Collector, tmp_path: Path, mode: str
) -> None:
    token = "amcp_token-of-alice-0123456789"
    with upstream(furnished()) as airflow, serving(airflow, tmp_path, config=accepted("alice", token)) as served:
        async with served.assistant(token, mode=mode) as alice:
            await alice.refused("get_dag", dag_id=CANARY)
            await alice.refused("get_dag", dag_id="etl", no_such_argument=SECRET)
            await alice.ask("list_dags", dag_id_pattern=CANARY)
            with pytest.raises(MCPError, match=CANARY):
                await alice.client.read_resource(f"airflow://default/dags/{CANARY}")
            with pytest.raises(MCPError, match="Unknown tool"):
                await alice.client.call_tool(f"get_dag {SECRET}", {})
            with pytest.raises(MCPError, match="Unknown tool"):
                await alice.client.call_tool(CANARY, {})
            meta = RequestParamsMeta(**{"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": f"v={CANARY}"})
            await alice.client.call_tool("list_dags", {}, meta=meta)
    assert collector.named("tools/call unknown")
    assert not any("tracestate" in sent.headers for sent in airflow.seen)
    assert {"tools/call get_dag", "tools/call list_dags", "resources/read"} <= {span.name for span in collector.spans}
    assert collector.named("GET /api/v2/dags")
    for body in collector.bodies:
        for planted in (CANARY, "hunter2", "token-of-alice", "a-token-of-the-operator", "payroll"):
            assert planted.encode() not in body
    assert {span.status.message for span in collector.spans} == {""}


async def test_over_stdio_too(
    collector: Collector, airflow: FakeAirflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "operator's name")
    environment = environment_of(airflow, tmp_path, "", {})
    command = StdioServerParameters(command=sys.executable, args=["-m", "airflow_mcp"], env=environment)
    async with Client(stdio_client(command)) as client:
        await Assistant(client).ask("get_dag", dag_id="etl")
    (server,) = collector.named("tools/call get_dag")
    (request,) = collector.named("GET /api/v2/dags/{dag_id}")
    assert request.parent_span_id == server.span_id
    assert collector.services == {"operator's name"}


@pytest.mark.parametrize("off", ["", "OTEL_SDK_DISABLED=true", "OTEL_TRACES_EXPORTER=none"])
async def test_without_being_asked_airflow_is_sent_no_trace_and_a_collector_nothing(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, off: str
) -> None:
    if off:
        monkeypatch.setenv(*off.split("="))
    else:
        monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    audit = tmp_path / "audit.jsonl"
    with upstream(furnished()) as airflow, serving(airflow, tmp_path, audit=str(audit)) as served:
        async with served.assistant() as someone:
            result = await someone.client.call_tool("get_dag", {"dag_id": "etl"}, meta=META)
            assert not result.is_error
    assert collector.bodies == []
    assert not [sent for sent in airflow.seen if {"traceparent", "tracestate", "baggage"} & set(sent.headers)]
    assert json.loads(audit.read_text())["trace_id"] == TRACE, "the client's own is worth writing down"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("OTEL_TRACES_EXPORTER", "console", "'console' is not known here, so no traces are sent; otlp is."),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "1", "A variable of OTEL_* is not right, so no traces are sent: "),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "no traces are sent by 'grpc'; http/protobuf would do."),
    ],
)
def test_what_cannot_be_sent_as_asked_is_said_and_ends_nothing(
    collector: Collector,
    airflow: FakeAirflow,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    words: str,
) -> None:
    monkeypatch.setenv(name, value)
    with serving(airflow, tmp_path) as served:
        assert served.request("GET", "/healthz").status_code == 200
    assert words in served.stderr


def test_without_the_extra_it_is_said_how_to_have_it(
    collector: Collector, airflow: FakeAirflow, tmp_path: Path
) -> None:
    without = "import sys; sys.modules['opentelemetry.sdk'] = None; from airflow_mcp.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", without],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment_of(airflow, tmp_path, "", {}),
        check=True,
    )
    assert re.fullmatch(r"airflow-mcp: WARNING OTEL_.*none are sent.*pip install '\.\[otel\]'\.\n", done.stderr)
