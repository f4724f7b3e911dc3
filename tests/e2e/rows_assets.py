"""The rows of the tools for assets and their events, around the DAGs of dags/assets.py."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import quote

from .harness import PATIENCE, Json, Row, Site, lacks

FLOUR, WATER = "bakery://store/flour?kind=rye", "bakery://store/water"
MILLED: Json = {"source_dag_id": "mill", "source_run_id": "mill-1"}


def asset(site: Site, uri: str) -> Json:
    """An asset as Airflow itself tells it."""
    if site.is_old:
        return site.held(f"/datasets/{quote(uri, safe='')}")
    return next(one for one in site.held("/assets")["assets"] if one["uri"] == uri)


def ways(site: Site, uri: str = FLOUR) -> list[Json]:
    """The arguments that name an asset."""
    return [{"uri": uri}] if site.is_old else [{"uri": uri}, {"asset_id": asset(site, uri)["id"]}]


def queue_path(site: Site) -> str:
    """Where Airflow tells what the oven has queued."""
    return "/dags/oven/datasets/queuedEvent" if site.is_old else "/dags/oven/assets/queuedEvents"


def in_queue(site: Site) -> int:
    """How many events the oven has queued."""
    status, answer = site.rest("GET", queue_path(site))
    return answer["total_entries"] if status == 200 else 0


def add_event(site: Site, uri: str = FLOUR) -> None:
    """An event of an asset, made in Airflow itself."""
    body: Json = {"dataset_uri": uri} if site.is_old else {"asset_id": asset(site, uri)["id"], "extra": {}}
    site.change("POST", "/datasets/events" if site.is_old else "/assets/events", body)


@contextmanager
def queued(site: Site) -> Generator[None]:
    """Flour has come, and water has not: one event is queued for the oven."""
    site.ended("mill", "mill-1")
    try:
        add_event(site)
        assert in_queue(site) == 1
        yield
    finally:
        site.rest("DELETE", queue_path(site))


def list_assets(site: Site) -> None:
    answer = site.admin.ask("list_assets")
    assert answer["total"] == site.held("/datasets" if site.is_old else "/assets")["total_entries"]
    flour, water = site.admin.rows("list_assets", uri_pattern="bakery://store", order_by="uri")
    assert (flour["uri"], water["uri"]) == (FLOUR, WATER)
    assert flour["id"] == asset(site, FLOUR)["id"]
    assert [dag["dag_id"] for dag in flour["scheduled_dags"]] == ["oven"]
    assert [(task["dag_id"], task["task_id"]) for task in flour["producing_tasks"]] == [("mill", "grind")]
    assert water["producing_tasks"] == []
    if site.since("2.9"):
        assert [row["uri"] for row in site.admin.rows("list_assets", dag_ids=["mill"])] == [FLOUR]
    if site.is_old:
        assert "name_pattern needs Airflow 3.0" in site.admin.refusal("list_assets", name_pattern="water")
    else:
        assert [row["uri"] for row in site.admin.rows("list_assets", name_pattern="water")] == [WATER]


def get_asset(site: Site) -> None:
    for way in ways(site):
        told = site.admin.ask("get_asset", **way)
        assert (told["uri"], told["id"]) == (FLOUR, asset(site, FLOUR)["id"])
        assert [dag["dag_id"] for dag in told["scheduled_dags"]] == ["oven"]
        assert [(task["dag_id"], task["task_id"]) for task in told["producing_tasks"]] == [("mill", "grind")]
    unknown = site.admin.refusal("get_asset", uri="bakery://store/salt")
    assert "bakery://store/salt" in unknown
    both = site.admin.refusal("get_asset", uri=FLOUR, asset_id=1)
    assert ("asset_id needs Airflow 3.0 or newer" if site.is_old else "give asset_id or uri, not both") in both
    assert "give at least one of asset_id, uri" in site.admin.refusal("get_asset")


def list_asset_aliases(site: Site) -> None:
    if lacks(site, "list_asset_aliases", "3.0"):
        return
    (grain,) = site.admin.rows("list_asset_aliases")
    assert grain == {"id": site.held("/assets/aliases")["asset_aliases"][0]["id"], "name": "grain", "group": "asset"}
    assert site.admin.rows("list_asset_aliases", name_pattern="rain") == [grain]
    assert site.admin.rows("list_asset_aliases", name_pattern="sand") == []


def get_asset_alias(site: Site) -> None:
    if lacks(site, "get_asset_alias", "3.0", asset_alias_id=1):
        return
    (held,) = site.held("/assets/aliases")["asset_aliases"]
    assert site.admin.ask("get_asset_alias", asset_alias_id=held["id"])["name"] == "grain"
    assert "(404)" in site.admin.refusal("get_asset_alias", asset_alias_id=987)


def list_asset_events(site: Site) -> None:
    site.ended("mill", "mill-1")
    (event,) = site.admin.rows("list_asset_events", **MILLED)
    assert (event["uri"], event["source_task_id"], event["asset_id"]) == (FLOUR, "grind", asset(site, FLOUR)["id"])
    for way in ways(site):
        assert event["id"] in {row["id"] for row in site.admin.rows("list_asset_events", **way)}
    for way in ways(site, WATER):
        assert site.admin.rows("list_asset_events", **way, **MILLED) == []
    every = [row["timestamp"] for row in site.admin.rows("list_asset_events")]
    assert every == sorted(every, reverse=True)
    assert "bakery://store/salt" in site.admin.refusal("list_asset_events", uri="bakery://store/salt")
    if site.is_old:
        later = site.admin.refusal("list_asset_events", timestamp_gte="2026-01-01T00:00:00Z")
        assert "timestamp_gte needs Airflow 3.0" in later
    else:
        assert site.admin.rows("list_asset_events", **MILLED, timestamp_lte="2020-01-01T00:00:00Z") == []


def list_queued_asset_events(site: Site) -> None:
    with queued(site):
        (event,) = site.admin.rows("list_queued_asset_events", dag_id="oven")
        assert event.get("uri") == FLOUR or event["asset_id"] == asset(site, FLOUR)["id"]
        assert event["created_at"]
        assert site.admin.rows("list_queued_asset_events", dag_id="oven", before="2020-01-01T00:00:00Z") == []
    assert site.admin.rows("list_queued_asset_events", dag_id="oven") == []
    assert "There is no DAG 'ofen'" in site.admin.refusal("list_queued_asset_events", dag_id="ofen")


def list_asset_queued_events(site: Site) -> None:
    with queued(site):
        for way in ways(site):
            assert [row["dag_id"] for row in site.admin.rows("list_asset_queued_events", **way)] == ["oven"]
        for way in ways(site, WATER):
            assert site.admin.rows("list_asset_queued_events", **way) == []
    for way in ways(site):
        assert site.admin.rows("list_asset_queued_events", **way) == []
    assert "bakery://store/salt" in site.admin.refusal("list_asset_queued_events", uri="bakery://store/salt")


def get_queued_asset_event(site: Site) -> None:
    with queued(site):
        for way in ways(site):
            event = site.admin.ask("get_queued_asset_event", dag_id="oven", **way)
            assert event["dag_id"] == "oven"
            assert event.get("uri") == FLOUR or event["asset_id"] == asset(site, FLOUR)["id"]
        assert "(404)" in site.admin.refusal("get_queued_asset_event", dag_id="oven", uri=WATER)


def materialize_asset(site: Site) -> None:
    if lacks(site, "materialize_asset", "3.0", uri=FLOUR):
        return
    run = site.admin.ask("materialize_asset", uri=FLOUR, conf={"sacks": 3})
    try:
        assert (run["dag_id"], run["run_type"], run["conf"]) == ("mill", "asset_materialization", {"sacks": 3})
        ended = site.reader.ask(
            "wait_for_dag_run", dag_id="mill", dag_run_id=run["dag_run_id"], timeout_seconds=PATIENCE
        )
        assert (ended["finished"], ended["state"]) == (True, "success")
        held = site.held(f"/dags/mill/dagRuns/{quote(run['dag_run_id'])}")
        assert (held["state"], held["conf"]) == ("success", {"sacks": 3})
        made = site.admin.rows("list_asset_events", source_dag_id="mill", source_run_id=run["dag_run_id"])
        assert [row["uri"] for row in made] == [FLOUR]
    finally:
        site.rest("DELETE", queue_path(site))
    assert "(404)" in site.admin.refusal("materialize_asset", uri=WATER), "no task makes it"


def create_asset_event(site: Site) -> None:
    site.ended("mill", "mill-1")
    try:
        for way in ways(site):
            event = site.admin.ask("create_asset_event", **way, extra={"sacks": 3, "api_key": "hunter2-canary"})
            assert event["uri"] == FLOUR
            assert (event["extra"]["sacks"], event["extra"]["api_key"]) == (3, "***")
            path = f"/datasets/events?dataset_id={event['asset_id']}" if site.is_old else "/assets/events?"
            events = site.held(f"{path}&order_by=-timestamp")["dataset_events" if site.is_old else "asset_events"]
            assert (events[0]["id"], events[0]["extra"]["sacks"]) == (event["id"], 3)
            assert in_queue(site) == 1
        assert "bakery://store/salt" in site.admin.refusal("create_asset_event", uri="bakery://store/salt")
    finally:
        site.rest("DELETE", queue_path(site))


def delete_queued_asset_events(site: Site) -> None:
    with queued(site):
        plan = site.admin.planned("delete_queued_asset_events", dag_id="oven")
        assert in_queue(site) == 1
        assert site.admin.ask("delete_queued_asset_events", dag_id="oven", plan=plan)["done"] is True
        assert in_queue(site) == 0
        assert "nothing matches" in site.admin.refusal("delete_queued_asset_events", dag_id="oven")


def delete_asset_queued_events(site: Site) -> None:
    for way in ways(site):
        with queued(site):
            plan = site.admin.planned("delete_asset_queued_events", **way)
            assert in_queue(site) == 1
            assert site.admin.ask("delete_asset_queued_events", **way, plan=plan)["done"] is True
            assert in_queue(site) == 0
    assert "nothing matches" in site.admin.refusal("delete_asset_queued_events", uri=WATER)


def delete_queued_asset_event(site: Site) -> None:
    for way in ways(site):
        with queued(site):
            assert "(404)" in site.admin.refusal("delete_queued_asset_event", dag_id="oven", uri=WATER)
            plan = site.admin.planned("delete_queued_asset_event", dag_id="oven", **way)
            assert in_queue(site) == 1
            assert site.admin.ask("delete_queued_asset_event", dag_id="oven", **way, plan=plan)["done"] is True
            assert in_queue(site) == 0


READS: dict[str, Row] = {
    row.__name__: row
    for row in (
        list_assets,
        get_asset,
        list_asset_aliases,
        get_asset_alias,
        list_asset_events,
        list_queued_asset_events,
        list_asset_queued_events,
        get_queued_asset_event,
    )
}
CHANGES: dict[str, Row] = {
    row.__name__: row
    for row in (
        materialize_asset,
        create_asset_event,
        delete_queued_asset_events,
        delete_asset_queued_events,
        delete_queued_asset_event,
    )
}
