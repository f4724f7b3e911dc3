"""/metrics counts what happened, exactly, and names nothing but tools, Airflows and a few words."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx2
import pytest
from mcp.client.context import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult
from prometheus_client.parser import text_string_to_metric_families

from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.errors import AirflowError
from airflow_mcp.http_tokens import hash_token
from airflow_mcp.server.http.serve import build_application
from airflow_mcp.server.telemetry.metrics import Metrics
from airflow_mcp.settings.http import Token
from airflow_mcp.settings.settings import Settings
from tests.http.conftest import RULES, furnished
from tests.http.serving import PATIENCE, Served, accepted, serving
from tests.http.test_reload import WORKERS, each_of, workers_of
from tests.http.upstream import upstream
from tests.unit.fake_airflow import FakeAirflow, Reply, Sent

pytestmark = pytest.mark.anyio
DOCS = Path(__file__).parents[2] / "docs" / "observability.md"
CANARY = "canary-in-an-argument"
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
ACCEPT = {"Accept": "application/json, text/event-stream", "Authorization": "Bearer token-of-alice"}
Counts = dict[str, float]


def counts_of(served: Served, token: str = "", **headers: str) -> Counts:
    """Every sample by its name and labels, as {"calls_total{ok,list_dags,read}": 2.0}, labels by their names' order."""
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    return dict(_samples(served.request("GET", "/metrics", headers=headers).text))


def _samples(text: str) -> Iterator[tuple[str, float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(value for _, value in sorted(sample.labels.items()))
            yield sample.name.removeprefix("airflow_mcp_") + (f"{{{labels}}}" if labels else ""), sample.value


def named(counts: Counts, name: str) -> Counts:
    """Those of one metric."""
    return {key: value for key, value in counts.items() if key.partition("{")[0] == name}


async def until(happened: Callable[[], bool]) -> None:
    """Look again and again, for there is nothing to wait for: what is counted is told to nobody."""
    with anyio.fail_after(PATIENCE):
        while not happened():
            await anyio.lowlevel.checkpoint()


async def test_calls_are_counted_by_tool_class_and_outcome(tmp_path: Path) -> None:
    with upstream(furnished()) as airflow, serving(airflow, tmp_path, config=RULES) as served:
        async with served.assistant("token-of-alice") as alice, served.assistant("token-of-eve") as eve:
            await alice.ask("list_dags")
            await eve.ask("list_dags")
            await alice.ask("call_tool", tool="list_dags", arguments={})
            await alice.ask("pause_dag", dag_id="etl")
            await eve.refused("pause_dag", dag_id=CANARY)
            await eve.refused("get_dag", dag_id="payroll")
            await alice.refused("get_dag", dag_id=CANARY)
            await alice.refused("get_dag")
            plan = (await alice.ask("delete_pool", pool_name="small"))["plan"]
            await alice.ask("delete_pool", pool_name="small", plan=plan)
        counts = counts_of(served, "token-of-alice")
        assert named(counts, "calls_total") == {
            "calls_total{read,ok,list_dags}": 3,
            "calls_total{write,ok,pause_dag}": 1,
            "calls_total{write,refused,pause_dag}": 1,
            "calls_total{read,refused,get_dag}": 1,
            "calls_total{read,error,get_dag}": 2,
            "calls_total{destructive,ok,delete_pool}": 2,
        }
        assert named(counts, "call_seconds_count") == {
            f"call_seconds_count{{{tool}}}": times
            for tool, times in {"list_dags": 3, "pause_dag": 2, "get_dag": 3, "delete_pool": 2}.items()
        }
        assert named(counts, "airflow_errors_total") == {"airflow_errors_total{default,not_found}": 1}
        assert counts["calls_in_flight"] == 0
        answers = named(counts, "airflow_request_seconds_count")
        assert sum(answers.values()) == len(airflow.seen)
        assert answers["airflow_request_seconds_count{default,4xx}"] == 2, "the DAG, and whether it ever was"


async def test_a_question_is_no_error_and_its_answer_makes_the_call(airflow: FakeAirflow, tmp_path: Path) -> None:
    async def yes(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult(action="accept", content={"confirm": True})

    config = '[[policy.allow]]\ntools = ["pause_dag"]\nconfirm = "human"\n'
    with serving(airflow, tmp_path, config=config) as served:
        async with served.assistant(human=yes) as someone:
            await someone.ask("pause_dag", dag_id="etl")
        assert named(counts_of(served), "calls_total") == {
            "calls_total{write,asked,pause_dag}": 1,
            "calls_total{write,ok,pause_dag}": 1,
        }


async def test_a_call_is_in_flight_until_it_is_over_or_its_caller_has_left(tmp_path: Path) -> None:
    asked, go_on = threading.Event(), threading.Event()

    async def slow(sent: Sent) -> Any:
        asked.set()
        await anyio.to_thread.run_sync(go_on.wait, PATIENCE)
        return {"dags": [], "total_entries": 0}

    slowed = furnished().on("GET", "/dags", slow)
    with upstream(slowed) as airflow, serving(airflow, tmp_path, http_per_minute="100000") as served:
        async with served.assistant() as someone:
            with anyio.CancelScope() as leaving:
                async with anyio.create_task_group() as group:
                    group.start_soon(someone.ask, "list_dags")
                    await anyio.to_thread.run_sync(asked.wait, PATIENCE)
                    assert counts_of(served)["calls_in_flight"] == 1
                    leaving.cancel()
            await until(lambda: counts_of(served)["calls_in_flight"] == 0)
            go_on.set()
            await someone.ask("list_dags")
        counts = counts_of(served)
        assert counts["calls_in_flight"] == 0
        assert named(counts, "calls_total") == {
            "calls_total{read,cancelled,list_dags}": 1,
            "calls_total{read,ok,list_dags}": 1,
        }


async def test_an_airflow_that_fails_is_counted_by_how(tmp_path: Path) -> None:
    airflow = furnished()
    airflow.on("GET", "/dags/broken", Reply(503, {"detail": "no"}), Reply(200, {"dag_id": "broken"}))
    airflow.on("GET", "/dags/forbidden", Reply(403, {"detail": "Forbidden"}))
    with upstream(airflow):
        config = (
            f'[instances.up]\nurl = "{airflow.url}"\ntoken = "t"\n[instances.down]\nurl = "http://127.0.0.1:9"\n'
            'token = "t"\n'
        )
        with serving(airflow, tmp_path, config=config) as served:
            async with served.assistant() as someone:
                await someone.ask("get_dag", dag_id="broken", instance="up")
                await someone.refused("get_dag", dag_id="forbidden", instance="up")
                await someone.refused("get_dag", dag_id="etl", instance="down")
                await someone.refused("get_dag", dag_id="etl", instance=CANARY)
            counts = counts_of(served)
        assert counts["airflow_request_seconds_count{up,5xx}"] == 1
        assert counts["airflow_request_seconds_count{up,4xx}"] == 1
        assert counts["airflow_request_seconds_count{down,none}"] >= 1
        assert named(counts, "airflow_errors_total") == {
            "airflow_errors_total{up,forbidden}": 1,
            "airflow_errors_total{down,unreachable}": 1,
        }
        assert counts["calls_total{read,error,get_dag}"] == 3
        assert CANARY not in str(counts)


async def test_a_login_that_is_made_again_is_counted(tmp_path: Path) -> None:
    airflow = furnished().on("POST", "/auth/token", {"access_token": "a-jwt"})
    airflow.on("GET", "/dags/etl", Reply(401, {"detail": "expired"}), {"dag_id": "etl"})
    login = {"username": "ann", "password": "pass-of-ann"}
    with upstream(airflow), serving(None, tmp_path, url=airflow.url, **login) as served:
        async with served.assistant() as someone:
            await someone.ask("list_dags")
            assert named(counts_of(served), "airflow_relogins_total") == {}
            await someone.ask("get_dag", dag_id="etl")
        assert named(counts_of(served), "airflow_relogins_total") == {"airflow_relogins_total{default}": 1}


def test_what_is_turned_away_is_counted_by_its_reason(airflow: FakeAirflow, tmp_path: Path) -> None:
    settings = {"http_max_body": "2048", "http_per_minute": "9"}
    with serving(airflow, tmp_path, config=accepted("alice", "token-of-alice"), **settings) as served:

        def post(body: Any = PING, **headers: str) -> int:
            sent = ACCEPT | {name.replace("_", "-"): value for name, value in headers.items()}
            return served.request("POST", "/mcp", json=body, headers=sent).status_code

        assert post(Host="evil.example") == 421
        assert post(Origin="https://evil.example") == 403
        assert [post(Authorization=f"Bearer {one}") for one in ("wrong", CANARY)] == [401, 401]
        assert post(X_Airflow_MCP_Read_Only="perhaps") == 400
        assert post({**PING, "params": {"filler": "x" * 4096}}) == 413
        counts = counts_of(served, "token-of-alice")
        assert named(counts, "requests_refused_total") == {
            f"requests_refused_total{{{reason}}}": times
            for reason, times in {"host": 1, "origin": 1, "token": 2, "narrowing": 1, "body": 1}.items()
        }
        while post() != 429:
            pass
        assert served.request("GET", "/metrics", headers=ACCEPT).status_code == 429, "a scrape is a request too"


def test_without_tokens_anyone_on_the_machine_may_scrape_who_is_no_page_of_a_browser(
    airflow: FakeAirflow, tmp_path: Path
) -> None:
    with serving(airflow, tmp_path) as served:
        answer = served.request("GET", "/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert served.request("GET", "/metrics", headers={"Host": "evil.example"}).status_code == 421


def test_where_callers_say_who_they_are_a_scraper_does_too_on_loopback_as_elsewhere(
    airflow: FakeAirflow, tmp_path: Path
) -> None:
    """A proxy on the same machine may hand on what comes from anywhere."""
    with serving(airflow, tmp_path, config=accepted("alice", "token-of-alice")) as served:
        answer = served.request("GET", "/metrics")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
        assert "airflow_mcp" not in answer.text
        bearer = {"Authorization": "Bearer token-of-alice", "Host": "10.0.0.7:8765"}
        assert counts_of(served, **bearer)["requests_refused_total{token}"] == 1


async def test_elsewhere_a_token_is_needed_and_any_name_of_the_server_will_do() -> None:
    """The application of a server that would listen everywhere, asked without a socket."""
    tokens = {"alice": Token(sha256=hash_token("token-of-alice"))}
    app = build_application(Settings(http_host="0.0.0.0", tokens=tokens))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://10.0.0.7:8765") as scraper:
        assert (await scraper.get("/metrics")).status_code == 401
        assert (await scraper.get("/metrics", headers={"Authorization": "Bearer wrong"})).status_code == 401
        answer = await scraper.get("/metrics", headers={"Authorization": "Bearer token-of-alice"})
        assert dict(_samples(answer.text))["requests_refused_total{token}"] == 2
        assert (await scraper.post("/mcp", json=PING)).status_code == 421


async def test_a_scrape_of_one_worker_has_the_counts_of_all_and_a_dead_one_leaves_nothing_in_flight(
    tmp_path: Path,
) -> None:
    asked, go_on = threading.Semaphore(0), threading.Event()

    async def slow(sent: Sent) -> Any:
        asked.release()
        await anyio.to_thread.run_sync(go_on.wait, PATIENCE)
        return {"dag_id": "slow"}

    slowed = furnished().on("GET", "/dags/slow", slow)
    with upstream(slowed) as airflow, serving(airflow, tmp_path, **WORKERS) as served:
        await each_of(served, 6, lambda someone: someone.ask("list_dags"))
        for _ in range(4):  # whoever of them answers
            assert counts_of(served)["calls_total{read,ok,list_dags}"] == 6
        processes = workers_of(served)
        assert len(processes) == 2
        async with anyio.create_task_group() as group:

            async def lost() -> None:
                async with served.assistant() as someone:
                    await someone.ask("get_dag", dag_id="slow")

            group.start_soon(lost)
            await anyio.to_thread.run_sync(asked.acquire)
            assert counts_of(served)["calls_in_flight"] == 1
            group.cancel_scope.cancel()
            for process in processes:
                os.kill(process, signal.SIGKILL)
        go_on.set()
        await until(lambda: not processes & workers_of(served))
        counts = counts_of(served)
        assert counts["calls_in_flight"] == 0
        assert counts["calls_total{read,ok,list_dags}"] == 6


def test_over_stdio_nothing_of_it_is_imported() -> None:
    code = (
        "import sys, airflow_mcp.server.transports, airflow_mcp.server.app, airflow_mcp.dispatch.registry.assembly\n"
        "print({'prometheus_client', 'opentelemetry.sdk'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_page_has_every_metric_with_its_labels() -> None:
    rows = re.findall(r"^\| `(airflow_mcp_\w+)` \| (\w+) \| (.*?) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    written = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert written == {
        f"{metric.name}{'_total' if metric.type == 'counter' else ''}": (metric.type, labels)
        for metric, labels in definitions()
    }


def definitions() -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Each metric with the names of its labels, once everything has happened that can."""
    metrics = Metrics(load_catalog().tools.keys())
    metrics.call_ended("list_dags", "read", "default", 0.1, AirflowError("no", 500))
    metrics.request_ended("default", 200, 0.1)
    metrics.login_renewed("default")
    metrics.count_refusal("host")
    for metric in metrics.registry.collect():
        yield metric, tuple(name for name in metric.samples[0].labels if name != "le")
