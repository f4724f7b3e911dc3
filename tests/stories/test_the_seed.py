"""The seeded Airflows hold what their stories say, asked by a real MCP client with the raw tools, and by REST."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from functools import cache
from urllib.parse import quote

import pytest

from tests.e2e.harness import Json, Site, rows_of, text_of
from tests.stories.seed import ODD_RUN_ID
from tests.stories.states import TOLD, RunId, State
from tests.stories.world import DAG_PROCESSOR, SCHEDULER, TRIGGERER, World

ERRORS: dict[tuple[str, str, str], str] = {
    ("publish_report", "report-41", "publish"): "RuntimeError: report 41 could not be published",
    ("wait_for_file", "sales-1", "sales_csv_arrived"): "AirflowSensorTimeout: Sensor has timed out",
    ("send_invoices", "invoices-1", "render_invoice"): "UndefinedError: 'customer' is undefined",
    ("sync_crm", "contacts-1", "push_contacts"): "The conn_id `crm_prod` isn't defined",
    ("dump_database", "dump-1", "dump"): 'pg_dump: error: database "sales_eu" does not exist',
    ("rebuild_day", "rebuild-1", "rebuild"): "ValueError: Invalid isoformat string: 'yesterday'",
    ("import_orders", "tuesday", "read_file"): "UnicodeDecodeError: 'utf-8' codec can't decode byte 0x8b",
    ("price_list", "after", "discount"): "ZeroDivisionError",
    ("crm_export_eu", "export-1", "send_batch"): "ConnectionRefusedError: crm.example:443 refused batch 1017",
    ("crm_export_us", "export-1", "send_batch"): "ConnectionRefusedError: crm.example:443 refused batch 2254",
    ("long_report", "pages-1", "render_pages"): "rendered page 212 of 900",
    ("nightly_chain", "night-1", "extract_orders"): "PermissionError: token of service account etl-orders expired",
    ("flaky_api", "prices-1", "fetch_prices"): "PermissionError: prices.example answered 403: the API key is revoked",
    ("export_everything", "export-1", "export"): "OverflowError: amount of order 88121 does not fit in DECIMAL(8,2)",
    ("bestellungen.zuerich-1", ODD_RUN_ID, "zaehle.groesse-1"): "ValueError: Straße fehlt in Zeile 7: «Größe 42»",
    ("ledger", "may", "post_entries"): "ArithmeticError: ledger is out of balance by 17.20 EUR",
    ("retry_later", "supplier-1", "call_supplier"): "ConnectionError: supplier.example answered 503",
    ("warehouse_load", "copy-1", "copy_table"): "copying table sales_2024",
}
"""DAG, run and task -> what its log says."""

HEALTHY_UNLESS = {SCHEDULER: "scheduler", TRIGGERER: "triggerer", DAG_PROCESSOR: "dag_processor"}


def every_row(site: Site, tool: str, **arguments: object) -> list[Json]:
    """All rows of a list, page by page."""
    rows: list[Json] = []
    more: Json | None = {}
    while more is not None:
        answer = site.reader.ask(tool, **arguments, **more)
        rows += rows_of(answer)
        more = answer.get("more")
    return rows


def log_of(site: Site, ids: tuple[str, str, str], map_index: int = -1, try_number: int = 1) -> list[str]:
    """The lines of a log as Airflow has them."""
    dag_id, run_id, task_id = (quote(part, safe="") for part in ids)
    place = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}?map_index={map_index}"
    content = site.held(place)["content"]
    return (
        content.replace("\\n", "\n").splitlines() if isinstance(content, str) else [json.dumps(row) for row in content]
    )


@cache
def states(site: Site) -> dict[RunId, State]:
    """What TOLD says, as this Airflow says it."""
    tasks: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in every_row(site, "list_task_instances", dag_id="~", dag_run_id="~"):
        tasks[row["dag_id"], row["dag_run_id"]][f"{row['task_id']} {row['state']}"] += 1
    runs = every_row(site, "list_dag_runs", dag_id="~")
    return {ids: (run["state"], dict(tasks[ids])) for run in runs if (ids := (run["dag_id"], run["dag_run_id"]))}


@pytest.mark.parametrize("ids", TOLD, ids=" ".join)
def test_a_run_and_its_tasks_are_in_the_states_of_their_story(site: Site, ids: RunId) -> None:
    assert states(site)[ids] == TOLD[ids]


@pytest.mark.parametrize("ids", ERRORS, ids=" ".join)
def test_a_log_says_what_its_story_says(site: Site, ids: tuple[str, str, str]) -> None:
    dag_id, run_id, task_id = ids
    asked = {"dag_id": dag_id, "dag_run_id": run_id, "task_id": task_id, "max_chars": 20_000}
    result = site.reader.result("read_task_log", asked)
    assert result.structured_content is not None, text_of(result)
    assert ERRORS[ids] in "\n".join(str(value) for value in result.structured_content.values())


def test_the_thousand_fail_in_three_ways_in_three_regions(site: Site) -> None:
    ids = {"dag_id": "load_shards", "dag_run_id": "shards-1"}
    failed = {row["map_index"] for row in every_row(site, "list_task_instances", **ids, state=["failed"])}
    assert failed == {*range(100, 250), *range(400, 500), *range(700, 750)}
    ends = {100: "shard 100 did", 249: "shard 249 did", 400: "customer_id", 499: "customer_id", 700: "shard 700 is"}
    for index, error in ends.items():
        said = site.reader.ask("read_task_log", **ids, task_id="load", map_index=index)["error"]
        assert error in said
        assert "in fetch_shard" in said
    assert "error" not in site.reader.ask("read_task_log", **ids, task_id="load", map_index=99)


def test_a_log_that_was_written_has_the_form_of_one_that_was_run(site: Site) -> None:
    def form(lines: list[str]) -> list[str]:
        if site.is_old:
            found = (re.match(r"\[[\d:.T+-]+\] (\{\w+\.py:\d+\} \w+)", line) for line in lines)
            return [match[1] for match in found if match]
        rows = [json.loads(line) for line in lines]
        return [f"{row.get('level')} {row.get('logger')} {sorted(row)}" for row in rows]

    ran = form(log_of(site, ("load_partitions", "load-1", "load"), 3))
    assert form(log_of(site, ("load_shards", "shards-1", "load"), 421)) == ran
    assert len(ran) > 5


def test_the_decisive_error_stands_in_the_middle_between_two_that_were_handled(site: Site) -> None:
    lines = log_of(site, ("export_everything", "export-1", "export"))
    assert len(lines) > 20_000
    first, decisive, last = (
        next(number for number, line in enumerate(lines) if words in line)
        for words in ("connection reset by partner", "amount of order 88121", "part-05000.lock is gone")
    )
    assert first < decisive < last
    assert 10_000 < decisive < 13_000
    assert sum("error" in line for line in lines) > 2_000


def test_the_first_try_of_a_task_failed_differently_from_the_last(site: Site) -> None:
    ids = {"dag_id": "flaky_api", "dag_run_id": "prices-1", "task_id": "fetch_prices"}
    assert [row["try_number"] for row in every_row(site, "list_task_instance_tries", **ids)] == [3, 2, 1]
    for number in (1, 2):
        said = site.reader.ask("read_task_log", **ids, try_number=number)["error"]
        assert said.startswith("ConnectionResetError: connection reset by prices.example:443")


def test_a_killed_task_has_a_log_without_a_traceback_and_a_zombie_an_event(site: Site) -> None:
    killed = "\n".join(log_of(site, ("crunch_images", "images-1", "resize")))
    assert ("return code -9" if site.is_old else "SIGKILL") in killed
    assert "Traceback" not in killed
    assert "error_detail" not in killed
    events = every_row(site, "list_event_logs", dag_id="long_report", dag_run_id="pages-1")
    assert "heartbeat timeout" in {event["event"] for event in events}


def test_the_confs_of_a_good_and_a_bad_run_differ(site: Site) -> None:
    confs = {
        run: site.reader.ask("get_dag_run", dag_id="import_orders", dag_run_id=run)["conf"]
        for run in ("monday", "tuesday")
    }
    assert confs == {"monday": {"file": "orders-2024-06-03.csv"}, "tuesday": {"file": "orders-2024-06-04.csv.gz"}}
    bad = site.reader.ask("get_dag_run", dag_id="rebuild_day", dag_run_id="rebuild-1")
    assert bad["conf"] == {"day": "yesterday"}


def test_a_changed_file_makes_another_version_where_airflow_has_versions(site: Site) -> None:
    runs = site.held("/dags/price_list/dagRuns")["dag_runs"]
    versions = {run["dag_run_id"]: [v["version_number"] for v in run.get("dag_versions", [])] for run in runs}
    assert versions == ({"before": [], "after": []} if site.is_old else {"before": [1], "after": [2]})


def test_one_pool_is_full_and_another_does_not_exist(site: Site) -> None:
    pool = site.reader.ask("get_pool", pool_name="warehouse")
    assert (pool["slots"], pool["open_slots"], pool["running_slots"], pool["scheduled_slots"]) == (2, 0, 2, 1)
    assert site.reader.result("get_pool", {"pool_name": "gpu"}).is_error


def test_two_files_do_not_import_and_one_of_them_had_a_dag(site: Site) -> None:
    errors = {row["filename"].rpartition("/")[2]: row["stack_trace"] for row in every_row(site, "list_import_errors")}
    assert sorted(errors) == ["customer_sync.py", "orders_v2.py"]
    assert "No module named 'acme_warehouse'" in errors["customer_sync.py"]
    assert "No module named 'acme_orders_schema'" in errors["orders_v2.py"]
    assert site.reader.ask("get_dag", dag_id="orders_v2")["is_stale"] is True
    assert site.rest("GET", "/dags/orders_v2/details")[0] == (404 if site.is_old else 200)
    assert site.reader.result("get_dag", {"dag_id": "customer_sync"}).is_error


def test_only_the_paused_dag_is_paused(site: Site) -> None:
    paused = {row["dag_id"] for row in every_row(site, "list_dags") if row["is_paused"]}
    assert paused == {"paused_backlog"}


def test_limits_are_reached(site: Site) -> None:
    assert site.reader.ask("get_dag_details", dag_id="one_at_a_time")["max_active_runs"] == 1
    assert site.reader.ask("get_dag_details", dag_id="narrow_lane")["max_active_tasks"] == 2
    tasks = every_row(site, "list_task_instances", dag_id="narrow_lane", dag_run_id="lane-1")
    assert Counter(task["state"] for task in tasks) == {"running": 2, "scheduled": 3}


def test_one_of_two_assets_has_come(site: Site) -> None:
    path = "/dags/join_feeds/datasets/queuedEvent" if site.is_old else "/dags/join_feeds/assets/queuedEvents"
    (event,) = site.held(path)["queued_events"]
    names = site.held("/datasets" if site.is_old else "/assets")["datasets" if site.is_old else "assets"]
    uris = {asset["id"]: asset["uri"] for asset in names}
    assert sorted(uris.values()) == ["s3://lake/clicks", "s3://lake/impressions"]
    assert event.get("uri", uris.get(event.get("asset_id"))) == "s3://lake/clicks"
    assert every_row(site, "list_dag_runs", dag_id="join_feeds") == []


def test_a_deferred_task_has_a_trigger_and_a_late_try_its_time(site: Site) -> None:
    deferred = site.held("/dags/wait_for_partner/dagRuns/partner-1/taskInstances/partner_delivers")
    assert deferred["trigger"]["classpath"].endswith("DateTimeTrigger")
    retried = site.held("/dags/retry_later/dagRuns/supplier-1/taskInstances/call_supplier")
    assert (retried["try_number"], retried["max_tries"]) == (1, 3)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("train_model/dagRuns/train-1/taskInstances/train", "non-existent pool 'gpu'"),
        ("warehouse_load/dagRuns/copy-3/taskInstances/copy_table", "0 open slots in pool warehouse"),
        ("ledger/dagRuns/june/taskInstances/post_entries", "depends_on_past is true"),
        ("paused_backlog/dagRuns/backlog-1/taskInstances/archive", "is paused"),
    ],
)
def test_airflow_itself_says_what_a_task_waits_for(site: Site, path: str, reason: str) -> None:
    unmet = site.held(f"/dags/{path}/dependencies")["dependencies"]
    assert reason in " ".join(dependency["reason"] for dependency in unmet)


def test_everything_seems_well_unless_it_is_said_to_be_dead(site: Site) -> None:
    assert isinstance(site.airflow, World)
    parts = [part for part in HEALTHY_UNLESS if not (site.is_old and part == DAG_PROCESSOR)]
    for part in parts:
        name = HEALTHY_UNLESS[part]
        assert site.reader.ask("get_health")[name]["status"] == "healthy"
        with site.airflow.dead(part):
            health = site.reader.ask("get_health")
            assert health[name]["status"] == "unhealthy"
            assert moment(health[name][f"latest_{name}_heartbeat"]) < datetime.now(UTC) - timedelta(hours=1)
        assert site.reader.ask("get_health")[name]["status"] == "healthy"


def test_times_are_as_old_as_the_stories_say(site: Site) -> None:
    now = datetime.now(UTC)
    runs = {(r["dag_id"], r["dag_run_id"]): r for r in site.held("/dags/~/dagRuns?limit=100")["dag_runs"]}
    ended = [moment(run["end_date"]) for run in runs.values() if run["state"] == "failed"]
    assert len(ended) == 20
    assert min(ended) > now - timedelta(hours=3)
    assert max(ended) < now
    for ids in (("import_orders", "monday"), ("price_list", "before")):
        assert now - timedelta(hours=30) < moment(runs[ids]["end_date"]) < now - timedelta(hours=23)
    assert moment(runs["one_at_a_time", "index-1"]["start_date"]) < now - timedelta(hours=4)


def moment(text: str) -> datetime:
    """A time as Airflow writes it."""
    return datetime.fromisoformat(text)
