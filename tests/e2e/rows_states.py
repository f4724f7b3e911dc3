"""The rows of the tools for the state stores of assets and of task instances, which Airflow 3.3 brought."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from .harness import CANARY, Json, Row, Site
from .rows_assets import FLOUR, asset, lacks, ways

TASK: Json = {"dag_id": "ok", "dag_run_id": "ok-1", "task_id": "produce"}
INDEXED: Json = {"dag_id": "mapped", "dag_run_id": "map-1", "task_id": "load", "map_index": 2}
IN_TASK = "/dags/ok/dagRuns/ok-1/taskInstances/produce/state-store"
SECRET: Json = {"sacks": 3, "api_key": CANARY}


def in_asset(site: Site) -> str:
    """Where Airflow keeps what it holds for flour."""
    return f"/assets/{asset(site, FLOUR)['id']}/state-store"


def values(site: Site, path: str) -> dict[str, Any]:
    """All that Airflow holds there, key -> value."""
    answer = site.held(path)
    return {row["key"]: row["value"] for row in answer.get("asset_state_store") or answer.get("task_state_store") or []}


@contextmanager
def holding(site: Site, path: str, **held: Any) -> Generator[None]:
    """These keys and no others are there, and afterwards none."""
    site.change("DELETE", path)
    try:
        for key, value in held.items():
            site.change("PUT", f"{path}/{key}", {"value": value})
        yield
    finally:
        site.change("DELETE", path)


def list_asset_states(site: Site) -> None:
    if lacks(site, "list_asset_states", "3.3", uri=FLOUR):
        return
    with holding(site, in_asset(site), mark=SECRET, api_token=CANARY, count=7):
        for way in ways(site):
            rows = site.admin.rows("list_asset_states", **way)
            told = {row["key"]: row["value"] for row in rows}
            assert told == {"mark": {"sacks": 3, "api_key": "***"}, "api_token": "***", "count": 7}
            assert {row["last_updated_by"]["kind"] for row in rows} == {"api"}
        assert len(site.admin.rows("list_asset_states", uri=FLOUR, limit=1, offset=1)) == 1


def get_asset_state(site: Site) -> None:
    if lacks(site, "get_asset_state", "3.3", uri=FLOUR, state_key="mark"):
        return
    with holding(site, in_asset(site), mark=SECRET):
        for way in ways(site):
            told = site.admin.ask("get_asset_state", **way, state_key="mark")
            assert (told["key"], told["value"]) == ("mark", {"sacks": 3, "api_key": "***"})
        assert "'none' not found" in site.admin.refusal("get_asset_state", uri=FLOUR, state_key="none")


def set_asset_state(site: Site) -> None:
    if lacks(site, "set_asset_state", "3.3", uri=FLOUR, state_key="mark", value=1):
        return
    with holding(site, in_asset(site)):
        for value in (SECRET, [1, "zwölf", None], "text", 0, False):
            for way in ways(site):
                site.admin.ask("set_asset_state", **way, state_key="shelf/mark", value=value)
                assert values(site, in_asset(site)) == {"shelf/mark": value}
        assert "value" in site.admin.refusal("set_asset_state", uri=FLOUR, state_key="mark", value=None)
        masked = site.admin.refusal("set_asset_state", uri=FLOUR, state_key="shelf/mark", value={"api_key": "***"})
        assert "value holds ***, which masks a secret" in masked
        assert values(site, in_asset(site)) == {"shelf/mark": False}


def delete_asset_state(site: Site) -> None:
    if lacks(site, "delete_asset_state", "3.3", uri=FLOUR, state_key="mark"):
        return
    with holding(site, in_asset(site), mark=CANARY, other=2, third=3):
        for way, key in zip(ways(site), ("mark", "third"), strict=True):
            plan = site.admin.planned("delete_asset_state", **way, state_key=key)
            assert key in values(site, in_asset(site))
            assert site.admin.ask("delete_asset_state", **way, state_key=key, plan=plan)["done"] is True
            assert key not in values(site, in_asset(site))
        assert values(site, in_asset(site)) == {"other": 2}
        assert "'mark' not found" in site.admin.refusal("delete_asset_state", uri=FLOUR, state_key="mark")


def clear_asset_states(site: Site) -> None:
    if lacks(site, "clear_asset_states", "3.3", uri=FLOUR):
        return
    for way in ways(site):
        with holding(site, in_asset(site), mark=1, other=2):
            shown = site.admin.result("clear_asset_states", way).structured_content
            assert shown is not None
            assert shown["preview"]["affected"] == 2
            assert {"mark", "other"} <= set(shown["preview"]["targets"])
            assert values(site, in_asset(site)) == {"mark": 1, "other": 2}
            assert site.admin.ask("clear_asset_states", **way, plan=shown["plan"])["done"] is True
            assert values(site, in_asset(site)) == {}
            assert "nothing matches" in site.admin.refusal("clear_asset_states", **way)


def list_task_states(site: Site) -> None:
    if lacks(site, "list_task_states", "3.3", **TASK):
        return
    site.ended("ok", "ok-1")
    site.ended("mapped", "map-1")
    with holding(site, IN_TASK, mark=SECRET, api_token=CANARY):
        told = {row["key"]: row["value"] for row in site.admin.rows("list_task_states", **TASK)}
        assert told == {"mark": {"sacks": 3, "api_key": "***"}, "api_token": "***"}
    assert site.admin.rows("list_task_states", **TASK) == []
    assert site.admin.rows("list_task_states", **INDEXED) == []
    assert "no task of DAG 'ok' named 'nope'" in site.admin.refusal("list_task_states", **TASK | {"task_id": "nope"})


def get_task_state(site: Site) -> None:
    if lacks(site, "get_task_state", "3.3", **TASK, state_key="mark"):
        return
    site.ended("ok", "ok-1")
    with holding(site, IN_TASK, mark=SECRET):
        told = site.admin.ask("get_task_state", **TASK, state_key="mark")
        assert (told["key"], told["value"]) == ("mark", {"sacks": 3, "api_key": "***"})
        assert told["expires_at"] == site.held(f"{IN_TASK}/mark")["expires_at"]
        assert "'none' not found" in site.admin.refusal("get_task_state", **TASK, state_key="none")


def set_task_state(site: Site) -> None:
    if lacks(site, "set_task_state", "3.3", **TASK, state_key="mark", value=1):
        return
    site.ended("ok", "ok-1")
    site.ended("mapped", "map-1")
    with holding(site, IN_TASK):
        for value in (SECRET, [1, "zwölf", None], "text", 0):
            site.admin.ask("set_task_state", **TASK, state_key="shelf/mark", value=value)
            assert values(site, IN_TASK) == {"shelf/mark": value}
        in_days = datetime.fromisoformat(site.held(IN_TASK)["task_state_store"][0]["expires_at"]) - datetime.now(UTC)
        assert timedelta(days=29) < in_days <= timedelta(days=30)
        site.admin.ask("set_task_state", **TASK, state_key="shelf/mark", value=1, expires_at=None)
        assert site.held(IN_TASK)["task_state_store"][0]["expires_at"] is None
        site.admin.ask("set_task_state", **TASK, state_key="shelf/mark", value=1, expires_at="2099-01-02T03:04:05Z")
        assert site.held(IN_TASK)["task_state_store"][0]["expires_at"].startswith("2099-01-02T03:04:05")
        masked = site.admin.refusal("set_task_state", **TASK, state_key="shelf/mark", value="***")
        assert "value holds ***, which masks a secret" in masked
        assert values(site, IN_TASK) == {"shelf/mark": 1}
    mapped = "/dags/mapped/dagRuns/map-1/taskInstances/load/state-store?map_index="
    with holding(site, f"{mapped}2"):
        site.admin.ask("set_task_state", **INDEXED, state_key="mark", value=2)
        assert (values(site, f"{mapped}2"), values(site, f"{mapped}1")) == ({"mark": 2}, {})
        site.admin.ask("update_task_state", **INDEXED, state_key="mark", value=3)
        assert site.admin.ask("get_task_state", **INDEXED, state_key="mark")["value"] == 3
        site.admin.ask("delete_task_state", **INDEXED, state_key="mark")
        assert values(site, f"{mapped}2") == {}


def update_task_state(site: Site) -> None:
    if lacks(site, "update_task_state", "3.3", **TASK, state_key="mark", value=1):
        return
    site.ended("ok", "ok-1")
    with holding(site, IN_TASK, mark=1, other=2):
        site.admin.ask("update_task_state", **TASK, state_key="mark", value=SECRET)
        assert values(site, IN_TASK) == {"mark": SECRET, "other": 2}
        assert "'none' not found" in site.admin.refusal("update_task_state", **TASK, state_key="none", value=1)
        masked = site.admin.refusal("update_task_state", **TASK, state_key="mark", value={"api_key": "***"})
        assert "value holds ***, which masks a secret" in masked
        assert values(site, IN_TASK) == {"mark": SECRET, "other": 2}


def delete_task_state(site: Site) -> None:
    if lacks(site, "delete_task_state", "3.3", **TASK, state_key="mark"):
        return
    site.ended("ok", "ok-1")
    with holding(site, IN_TASK, mark=1, other=2):
        plan = site.admin.planned("delete_task_state", **TASK, state_key="mark")
        assert values(site, IN_TASK) == {"mark": 1, "other": 2}
        assert site.admin.ask("delete_task_state", **TASK, state_key="mark", plan=plan)["done"] is True
        assert values(site, IN_TASK) == {"other": 2}
        assert "'mark' not found" in site.admin.refusal("delete_task_state", **TASK, state_key="mark")


def clear_task_states(site: Site) -> None:
    if lacks(site, "clear_task_states", "3.3", **TASK):
        return
    site.ended("ok", "ok-1")
    with holding(site, IN_TASK, mark=1, other=2):
        shown = site.admin.result("clear_task_states", TASK).structured_content
        assert shown is not None
        assert shown["preview"]["affected"] == 2
        assert {"mark", "other"} <= set(shown["preview"]["targets"])
        assert values(site, IN_TASK) == {"mark": 1, "other": 2}
        assert site.admin.ask("clear_task_states", **TASK, plan=shown["plan"])["done"] is True
        assert values(site, IN_TASK) == {}
        assert "nothing matches" in site.admin.refusal("clear_task_states", **TASK)


READS: dict[str, Row] = {
    row.__name__: row for row in (list_asset_states, get_asset_state, list_task_states, get_task_state)
}
CHANGES: dict[str, Row] = {
    row.__name__: row
    for row in (
        set_asset_state,
        delete_asset_state,
        clear_asset_states,
        set_task_state,
        update_task_state,
        delete_task_state,
        clear_task_states,
    )
}
