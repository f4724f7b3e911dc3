"""An issuer's access token lets its bearer in, by the name, the roles and the scopes that it says."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.types import ElicitResult, InputRequiredResult

from tests.http.issuer import AUDIENCE, Issuer, issuing
from tests.http.serving import Served, accepted, serving
from tests.http.test_metrics import counts_of
from tests.unit.assistant import ERAS
from tests.unit.fake_airflow import FakeAirflow

pytestmark = pytest.mark.anyio
ACCEPT = {"Accept": "application/json, text/event-stream"}
CHANGING = {"pause_dag", "create_pool", "delete_pool"}
RULES = f"""
toolsets = "all"
{accepted("bob", "token-of-bob", "oncall")}
[[policy.allow]]
tools = ["pause_dag"]
callers = ["role:oncall"]
[[policy.allow]]
tools = ["create_pool"]
callers = ["scope:airflow:pools"]
[[policy.allow]]
tools = ["delete_pool"]
callers = ["ann"]
[[policy.allow]]
tools = ["pause_dag"]
callers = ["scope:airflow:ask"]
confirm = "human"
[[policy.deny]]
tools = ["*"]
callers = ["role:guest"]
dags = ["payroll"]
"""


@pytest.fixture(scope="module")
def issuer() -> Generator[Issuer]:
    with issuing(Issuer()) as served:
        yield served


@pytest.fixture(scope="module")
def guarded(airflow: FakeAirflow, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    """One server that takes an issuer's tokens, which need a scope, and one token of its operator."""
    config = RULES + issuer.config(required_scopes=["airflow"])
    with serving(airflow, tmp_path_factory.mktemp("guarded"), config=config) as served:
        yield served


def call(server: Served, token: str, method: str = "tools/list", **more: str) -> Any:
    """One request of the legacy protocol as it goes over the wire."""
    initialize = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    params = initialize if method == "initialize" else {}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    headers = {**ACCEPT, **({"Authorization": f"Bearer {token}"} if token else {}), **more}
    return server.request("POST", "/mcp", json=body, headers=headers)


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize(
    ("claims", "may"),
    [
        ({"sub": "ann", "scope": "airflow"}, {"delete_pool"}),
        ({"sub": "joe", "scope": "airflow"}, set[str]()),
        ({"sub": "joe", "scope": "airflow", "roles": ["oncall", "cook"]}, {"pause_dag"}),
        ({"sub": "joe", "scope": "airflow", "roles": "oncall"}, {"pause_dag"}),
        ({"sub": "joe", "scope": "airflow airflow:pools"}, {"create_pool"}),
        ({"sub": "joe", "scp": ["airflow", "airflow:pools"], "roles": ["oncall"]}, {"pause_dag", "create_pool"}),
        ({"sub": "joe", "scp": "airflow airflow:pools"}, {"create_pool"}),
        ({"sub": "joe", "scope": "airflow", "roles": ["role:oncall", "scope:airflow:pools", "ann"]}, set[str]()),
    ],
)
async def test_name_roles_and_scopes_reach_the_rules(
    guarded: Served, issuer: Issuer, mode: str, claims: dict[str, Any], may: set[str]
) -> None:
    async with guarded.assistant(issuer.token(**claims), mode=mode) as assistant:
        assert set(await assistant.tools()) & CHANGING == may
        assert (await assistant.ask("list_dags"))["total"] == 2


@pytest.mark.parametrize("mode", ERAS)
async def test_a_role_denies_as_well_as_it_allows(guarded: Served, issuer: Issuer, mode: str) -> None:
    token = issuer.token(sub="ann", scope="airflow", roles=["guest"])
    async with guarded.assistant(token, mode=mode) as guest:
        assert [row[0] for row in (await guest.ask("list_dags"))["rows"]] == ["etl"]
        assert "denies it" in await guest.refused("get_dag", dag_id="payroll")


@pytest.mark.parametrize("mode", ERAS)
async def test_a_token_of_the_operator_is_accepted_beside_those_of_the_issuer(guarded: Served, mode: str) -> None:
    async with guarded.assistant("token-of-bob", mode=mode) as bob:
        assert set(await bob.tools()) & CHANGING == {"pause_dag"}


@pytest.mark.parametrize("mode", ERAS)
async def test_names_and_roles_are_found_where_the_operator_says(
    airflow: FakeAirflow, issuer: Issuer, tmp_path: Path, mode: str
) -> None:
    claims: dict[str, Any] = {"preferred_username": "ann", "realm_access": {"roles": ["oncall"]}, "roles": ["guest"]}
    where = issuer.config(name_claim="preferred_username", roles_claim="realm_access.roles")
    audit = tmp_path / "audit.jsonl"
    with serving(airflow, tmp_path, config=RULES + where, audit=str(audit)) as served:
        async with served.assistant(issuer.token(sub="5f1c", **claims), mode=mode) as ann:
            assert set(await ann.tools()) & CHANGING == {"pause_dag", "delete_pool"}
            assert (await ann.ask("list_dags"))["total"] == 2
    assert {json.loads(line)["caller"] for line in audit.read_text().splitlines()} == {"ann"}


async def test_a_plan_is_good_for_its_own_caller_alone(guarded: Served, issuer: Issuer, airflow: FakeAirflow) -> None:
    ann, joe = (issuer.token(sub=name, scope="airflow") for name in ("ann", "joe"))
    async with guarded.assistant(ann) as hers, guarded.assistant(joe) as his:
        answer = await hers.ask("delete_pool", pool_name="small")
        assert "not allowed" in await his.refused("delete_pool", pool_name="small", plan=answer["plan"])
        assert (await hers.ask("delete_pool", pool_name="small", plan=answer["plan"]))["done"] is True


def test_a_session_is_its_callers_own(guarded: Served, issuer: Issuer) -> None:
    ann = issuer.token(sub="ann", scope="airflow")
    opened = call(guarded, ann, "initialize")
    assert opened.status_code == 200
    session = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}
    others = [
        issuer.token(sub="joe", scope="airflow"),
        issuer.token(sub="ann", scope="airflow", azp="another-client"),
        "token-of-bob",
    ]
    for other in others:
        assert call(guarded, other, **session).status_code == 404
    renewed = issuer.token(sub="ann", scope="airflow", jti="another")
    assert call(guarded, renewed, **session).status_code == 200


async def test_a_yes_counts_for_the_caller_who_was_asked_alone(
    guarded: Served, issuer: Issuer, airflow: FakeAirflow
) -> None:
    yes = ElicitResult(action="accept", content={"confirm": True})

    async def person(context: Any, params: Any) -> ElicitResult:
        return yes

    async def pause(client: Client, **answer: Any) -> Any:
        return await client.session.call_tool("pause_dag", {"dag_id": "etl"}, allow_input_required=True, **answer)

    ann, joe = (issuer.token(sub=name, scope="airflow airflow:ask") for name in ("ann", "joe"))
    async with guarded.assistant(ann, human=person) as hers, guarded.assistant(joe, human=person) as his:
        asked = await pause(hers.client)
        assert isinstance(asked, InputRequiredResult)
        answer = {"input_responses": {"confirm": yes}, "request_state": asked.request_state}
        before = len(airflow.sent)
        with pytest.raises(MCPError):
            await pause(his.client, **answer)
        assert [sent for sent in airflow.sent[before:] if sent.method != "GET"] == []
        assert not (await pause(hers.client, **answer)).is_error


@pytest.mark.parametrize("scope", [None, "", "other", "airflow:pools", "AIRFLOW"])
def test_a_token_without_the_required_scope_is_told_which_to_ask_for(
    guarded: Served, issuer: Issuer, scope: str | None
) -> None:
    answer = call(guarded, issuer.token(scope=scope))
    assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope")
    challenge = answer.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="airflow"' in challenge
    assert 'resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"' in challenge
    assert counts_of(guarded, issuer.token(scope="airflow"))["requests_refused_total{scope}"] >= 1


def test_who_bears_no_token_is_told_where_to_get_one(guarded: Served, issuer: Issuer) -> None:
    answer = call(guarded, "")
    assert answer.status_code == 401
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith("Bearer ")
    assert 'scope="airflow"' in challenge
    assert 'resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"' in challenge


@pytest.mark.parametrize("host", ["", "mcp.example.com"])
def test_the_metadata_is_open_to_whoever_comes_by_a_name_of_this_server(
    guarded: Served, issuer: Issuer, host: str
) -> None:
    headers = {"Host": host} if host else {}
    answer = guarded.request("GET", "/.well-known/oauth-protected-resource/mcp", headers=headers)
    assert answer.status_code == 200
    assert answer.json() == {
        "resource": AUDIENCE,
        "authorization_servers": [issuer.url],
        "scopes_supported": ["airflow"],
        "bearer_methods_supported": ["header"],
    }


def test_the_metadata_is_not_told_under_another_name(guarded: Served) -> None:
    path = "/.well-known/oauth-protected-resource/mcp"
    assert guarded.request("GET", path, headers={"Host": "evil.example"}).status_code == 421


def test_the_server_answers_to_the_name_of_its_audience(guarded: Served, issuer: Issuer) -> None:
    token = issuer.token(scope="airflow")
    assert call(guarded, token, "initialize", Host="mcp.example.com").status_code == 200
    assert call(guarded, token, "initialize", Host="mcp.example.org").status_code == 421


def test_an_issuer_is_enough_for_an_address_that_others_reach(issuer: Issuer, tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match=r"name an issuer there under \[oauth\]"),
        serving(None, tmp_path, "--host", "0.0.0.0"),
    ):
        pass
    with serving(None, tmp_path, "--host", "0.0.0.0", config=issuer.config()) as served:
        assert f"to the bearers of access tokens of {issuer.url}" in served.stderr
