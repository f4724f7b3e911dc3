"""Over HTTP a caller is whom its token names: that name stands in rules, lists and the audit trail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.http.serving import Served, accepted, serving
from tests.unit.assistant import ERAS
from tests.unit.fake_airflow import FakeAirflow

pytestmark = pytest.mark.anyio
PAUSING = {"pause_dag"}
CHANGING = {"pause_dag", "create_pool", "delete_pool"}


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize(("token", "may"), [("alice", CHANGING), ("bob", PAUSING), ("eve", set[str]())])
async def test_the_list_is_what_policy_allows_its_caller(server: Served, mode: str, token: str, may: set[str]) -> None:
    async with server.assistant(f"token-of-{token}", mode=mode) as assistant:
        assert set(await assistant.tools()) & CHANGING == may


@pytest.mark.parametrize("mode", ERAS)
async def test_what_one_may_another_may_not(server: Served, airflow: FakeAirflow, mode: str) -> None:
    async with server.assistant("token-of-bob", mode=mode) as bob:
        assert (await bob.ask("pause_dag", dag_id="etl"))["is_paused"] is True
        before = len(airflow.sent)
        assert "delete_pool is not allowed here" in await bob.refused("delete_pool", pool_name="small")
        assert [sent for sent in airflow.sent[before:] if sent.method != "GET"] == []


@pytest.mark.parametrize("mode", ERAS)
async def test_rows_are_hidden_from_whom_a_denial_names_alone(server: Served, mode: str) -> None:
    async with server.assistant("token-of-eve", mode=mode) as eve:
        assert [row[0] for row in (await eve.ask("list_dags"))["rows"]] == ["etl"]
        assert "denies it" in await eve.refused("get_dag", dag_id="payroll")
    async with server.assistant("token-of-bob", mode=mode) as bob:
        assert [row[0] for row in (await bob.ask("list_dags"))["rows"]] == ["etl", "payroll"]


async def test_a_plan_is_good_for_its_own_caller_alone(server: Served, airflow: FakeAirflow) -> None:
    async with server.assistant("token-of-alice") as alice, server.assistant("token-of-bob") as bob:
        answer = await alice.ask("delete_pool", pool_name="small")
        await bob.refused("delete_pool", pool_name="small", plan=answer["plan"])
        assert (await alice.ask("delete_pool", pool_name="small", plan=answer["plan"]))["done"] is True


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic dG9rZW4tb2YtYWxpY2U6", "Bearer token-of-alic"])
def test_who_bears_no_token_of_ours_gets_nothing(server: Served, airflow: FakeAirflow, header: str) -> None:
    before = len(airflow.seen)
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    accept = {"Accept": "application/json, text/event-stream", **({"Authorization": header} if header else {})}
    answer = server.request("POST", "/mcp", json=body, headers=accept)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert "tools" not in answer.text
    assert len(airflow.seen) == before


def test_an_address_that_others_reach_needs_tokens(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="airflow-mcp token new NAME"),
        serving(None, tmp_path, "--host", "0.0.0.0"),
    ):
        pass
    with serving(None, tmp_path, "--host", "0.0.0.0", config=accepted("alice", "t")) as served:
        assert "to the bearers of tokens (alice)" in served.stderr


async def test_the_audit_trail_and_the_note_name_the_caller(tmp_path: Path, airflow: FakeAirflow) -> None:
    run = {"dag_run_id": "r", "dag_id": "etl", "state": "queued"}
    airflow.on("GET", "/dags/etl/details", {"dag_id": "etl", "params": {}, "is_paused": False})
    airflow.on("POST", "/dags/etl/dagRuns", run)
    config = f'allow = "trigger_dag_run"\n{accepted("alice", "t")}'
    audit = tmp_path / "audit.jsonl"
    with serving(airflow, tmp_path, config=config, audit=str(audit)) as served:
        async with served.assistant("t") as alice:
            await alice.ask("trigger_dag_run", dag_id="etl", dag_run_id="r")
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert {line["caller"] for line in lines} == {"alice"}
    assert airflow.last("POST", "/dags/etl/dagRuns").body["note"] == "by alice, through airflow-mcp"
