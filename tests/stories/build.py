"""Builds a home with every run made that is quick to make; kept by version and hash, for copies to be seeded."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anyio.from_thread import start_blocking_portal

from airflow_mcp.demo.airflow_home import HomeMemory
from airflow_mcp.demo.install import find_cache_folder, find_release
from airflow_mcp.demo.local_airflow import LocalAirflow
from airflow_mcp.demo.processes import DemoError, hold_lock
from tests.e2e.guard import guarded
from tests.e2e.harness import Site
from tests.stories.states import RAN, RunId

HERE = Path(__file__).parent
DAGS = HERE / "dags"
USERS = {"admin": "admin", "viewer": "viewer"}
"""Users and their passwords, which need no secret on loopback; the roles are called the same."""

PATIENCE = 240.0
"""Seconds in which something must happen; however long it takes altogether, a slow machine comes to its end."""

Run = tuple[str, str, dict[str, Any]]

FIRST: Run = ("too_slow", "vacuum-1", {})
"""Starts while nothing else does, since its task must be under way before the run's time is up."""

REAL: tuple[Run, ...] = (
    ("load_partitions", "load-1", {}),
    ("nightly_chain", "night-1", {}),
    ("flaky_api", "prices-1", {}),
    ("publish_report", "report-41", {}),
    ("ledger", "may", {"broken": True}),
    ("wait_for_file", "sales-1", {}),
    ("send_invoices", "invoices-1", {}),
    ("sync_crm", "contacts-1", {}),
    ("dump_database", "dump-1", {}),
    ("rebuild_day", "rebuild-1", {"day": "yesterday"}),
    ("import_orders", "monday", {"file": "orders-2024-06-03.csv"}),
    ("crunch_images", "images-1", {}),
    ("feed_clicks", "clicks-1", {}),
    ("export_everything", "export-1", {}),
    ("bestellungen.zuerich-1", "zurich-7", {}),
    ("crm_export_eu", "export-1", {}),
    ("crm_export_us", "export-1", {}),
    ("price_list", "before", {}),
    ("wait_for_partner", "partner-1", {}),
    ("retry_later", "supplier-1", {}),
)
"""Runs that really happen: DAG, run id, conf."""

AFTERWARDS: tuple[Run, ...] = (
    ("ledger", "june", {}),
    ("import_orders", "tuesday", {"file": "orders-2024-06-04.csv.gz"}),
    ("price_list", "after", {}),
)
"""Runs that really happen, each after the one before it of the same DAG has ended."""

FROZEN: tuple[Run, ...] = (
    ("load_shards", "shards-1", {}),
    ("train_model", "train-1", {}),
    ("warehouse_load", "copy-1", {}),
    ("warehouse_load", "copy-2", {}),
    ("warehouse_load", "copy-3", {}),
    ("paused_backlog", "backlog-1", {}),
    ("paused_backlog", "backlog-2", {}),
    ("paused_backlog", "backlog-3", {}),
    ("hourly_rollup", "rollup-1", {}),
    ("one_at_a_time", "index-1", {}),
    ("one_at_a_time", "index-2", {}),
    ("one_at_a_time", "index-3", {}),
    ("narrow_lane", "lane-1", {}),
    ("stuck_in_queue", "cube-1", {}),
    ("long_report", "pages-1", {}),
    ("orders_v2", "orders-1", {}),
)
"""Runs of paused DAGs: Airflow makes their rows, the seed writes their states."""

NOT_STARTED = (None, "scheduled", "queued")
ENDED = ("success", "failed")
LOGICAL_DATES = {("ledger", "may"): "2024-05-31T00:00:00Z", ("ledger", "june"): "2024-06-30T00:00:00Z"}


def ran_home(version: str, report: Callable[[str], None], cache: Path | None = None) -> Path:
    """A stopped home of Airflow `version` with every run made; built first unless the cache has it. Copy it to use it.

    Its file `finished` holds the moment that was.

    Raises:
        DemoError: Airflow cannot be installed or started, or a run is not in the state of its story; such a home is
            not kept.
    """
    cache = cache or find_cache_folder()
    home = cache / "stories" / f"airflow-{version}-{_hash(version)}"
    finished = home / "finished"
    with hold_lock(home.with_name(f"{home.name}.lock"), lambda: report("waiting for another build")):
        if not finished.exists():
            shutil.rmtree(home, ignore_errors=True)
            report(f"building the stories on Airflow {version}, once")
            with guarded([home]):
                _build(version, home, cache, report)
            finished.write_text(f"{time.time()}")
    return home


def _hash(version: str) -> str:
    """What the home depends on: the DAGs, how it is built, and every package of that Airflow."""
    files = [*sorted(DAGS.glob("*.py")), HERE / "build.py", HERE / "states.py", find_release(version).lock]
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return whole.hexdigest()[:12]


def _build(version: str, home: Path, cache: Path, report: Callable[[str], None]) -> None:
    home.mkdir(parents=True, mode=0o700)
    dags = home / "dags"
    shutil.copytree(DAGS, dags, ignore=shutil.ignore_patterns("__pycache__"))
    memory = HomeMemory(passwords=dict(USERS))
    memory.save(home)
    with (
        LocalAirflow.start(version, home, dags, report, cache=cache, users={"viewer": "viewer"}) as airflow,
        start_blocking_portal() as portal,
    ):
        site = Site(airflow, portal, home)
        report("running what is quick to run")
        wait = Wait(airflow)
        _prepare(site)
        _start_first(site, wait)
        for run in (*REAL, *FROZEN):
            _trigger(site, *run)
        with (dags / "orders_v2.py").open("a") as file:
            file.write("\nimport acme_orders_schema\n")
        waiting = list(AFTERWARDS)
        while left := missing(site, waiting):
            wait.until(left)


class Wait:
    """Patience with an Airflow that gets on, however slowly, and none with one that does not."""

    def __init__(self, airflow: LocalAirflow) -> None:
        self._airflow = airflow
        self._missing = ""
        self._since = 0.0

    def until(self, missing: str) -> None:
        """Wait a moment for what is missing. Raises DemoError when it has been the same for too long."""
        now = time.monotonic()
        if missing != self._missing:
            self._missing, self._since = missing, now
        if now - self._since > PATIENCE:
            raise DemoError(f"Airflow {self._airflow.version}: {PATIENCE:.0f} seconds have not brought {missing}.")
        self._airflow.check()
        time.sleep(1)


def _start_first(site: Site, wait: Wait) -> None:
    """Start FIRST, and wait until its task is under way; on a busy machine its run's time may be up before that.

    It is started once: what becomes of a process of a deleted run would be taken for news of the new one.
    """
    _trigger(site, *FIRST)
    while site.held(f"/dags/{FIRST[0]}/dagRuns/{FIRST[1]}/taskInstances/vacuum_tables")["state"] in NOT_STARTED:
        wait.until("the first task to run")


def _prepare(site: Site) -> None:
    site.change("POST", "/pools", {"name": "warehouse", "slots": 2, "description": "Sessions of the warehouse"})


def _trigger(site: Site, dag_id: str, run_id: str, conf: dict[str, Any]) -> None:
    body: dict[str, Any] = {"dag_run_id": run_id, "conf": conf}
    logical_date = LOGICAL_DATES.get((dag_id, run_id))
    if logical_date or not site.is_old:
        body["logical_date"] = logical_date
    site.change("POST", f"/dags/{dag_id}/dagRuns", body)


def _changed(site: Site, dag_id: str) -> bool:
    """Whether all is ready for this DAG's second run; one DAG's file is changed before it."""
    if dag_id == "price_list":
        file = site.airflow.home / "dags" / "price_list.py"
        if '["collect"]' in (text := file.read_text()):
            file.write_text(text.replace('["collect"]', '["collect", "discount"]'))
        return len(site.held("/dags/price_list/tasks")["tasks"]) == 2
    return True


def missing(site: Site, waiting: list[Run]) -> str:
    """What must still happen, in words, or nothing; starts each of `waiting` when its time has come.

    Raises:
        DemoError: a run has ended in another way than its story tells.
    """
    rows = site.held("/dags/~/dagRuns?limit=100")["dag_runs"]
    runs = {(row["dag_id"], row["dag_run_id"]): row["state"] for row in rows}
    for run in [run for run in waiting if _is_over(run[0], runs) and _changed(site, run[0])]:
        waiting.remove(run)
        _trigger(site, *run)
    left: list[str] = []
    for ids, (state, _) in RAN.items():
        found = runs.get(ids, "not started")
        if found in ENDED and found != state:
            raise DemoError(f"Airflow {site.version}: {' '.join(ids)} is {found}, and its story needs it {state}.")
        left += [f"{' '.join(ids)} to be {state} instead of {found}"] if found != state else []
    stock = next((row["state"] for row in rows if row["dag_id"] == "daily_stock"), "not started")
    if stock == "failed":
        raise DemoError(f"Airflow {site.version}: daily_stock is failed, and its story needs a success.")
    left += [f"the success of daily_stock, which is {stock}"] if stock != "success" else []
    return ", ".join(left) or _missing_in_runs(site) or _missing_beside(site)


def _is_over(dag_id: str, runs: dict[RunId, str]) -> bool:
    """Whether the DAG's first run has ended."""
    return all(runs.get((dag, run)) in ENDED for dag, run, _ in REAL if dag == dag_id)


def _missing_in_runs(site: Site) -> str:
    """The first run whose task instances are not as its story needs them; all runs are."""
    for (dag_id, run_id), (_, tasks) in RAN.items():
        rows = site.held(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        found = Counter(f"{row['task_id']} {row['state']}" for row in rows)
        if found != tasks:
            return f"{dag_id} {run_id} to have {tasks} instead of {dict(found)}"
    return ""


def _missing_beside(site: Site) -> str:
    """What is missing that is no run."""
    if len(site.held("/importErrors")["import_errors"]) < 2:
        return "both import errors"
    # Airflow 3 does not look whether a pool exists when it parses a file.
    if site.is_old and not site.held("/dagWarnings?dag_id=train_model")["dag_warnings"]:
        return "the warning of the unknown pool"
    path = "datasets/queuedEvent" if site.is_old else "assets/queuedEvents"
    status, events = site.rest("GET", f"/dags/join_feeds/{path}")
    if status != 200 or not events["queued_events"]:  # Airflow 2 answers 404 for none
        return "the clicks to be queued for join_feeds"
    return ""
