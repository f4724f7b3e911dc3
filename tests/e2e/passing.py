"""What rows need for a while, and take away again: runs, questions to people, backfills. So a row can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps

from .harness import PATIENCE, Json, Row, Site, lacks


@contextmanager
def passing_run(site: Site, run_id: str, dag_id: str = "still", **more: object) -> Generator[Json]:
    """A new run for the block, as arguments; of a paused DAG it stays queued, its tasks without a state."""
    path = f"/dags/{dag_id}/dagRuns"
    site.change("POST", path, {"dag_run_id": run_id} | ({} if site.is_old else {"logical_date": None}) | more)
    try:
        yield {"dag_id": dag_id, "dag_run_id": run_id}
    finally:
        site.rest("PATCH", f"{path}/{run_id}", {"state": "failed"})  # Airflow 3.3 deletes none that runs
        site.rest("DELETE", f"{path}/{run_id}")


@contextmanager
def passing_question(site: Site, run_id: str, dag_id: str = "rows_human") -> Generator[Json]:
    """A task that asks a person, for the block, as arguments.

    Airflow fails a task that is answered before its scheduler has heard that the process which asked has ended.
    """
    heard = processes_ended(site, run_id)
    with passing_run(site, run_id, dag_id) as run:
        for _ in range(PATIENCE):
            waited = site.reader.ask("wait_for_dag_run", **run, timeout_seconds=1)
            assert not waited["finished"], waited
            if processes_ended(site, run_id) > heard:
                break
        assert processes_ended(site, run_id) > heard
        assert site.held(f"/dags/{dag_id}/dagRuns/{run_id}/hitlDetails")["total_entries"] == 1
        yield run | {"task_id": "choose"}


def processes_ended(site: Site, run_id: str) -> int:
    """How many ends of tasks' processes of that run the scheduler says it has heard of."""
    lines = site.airflow.find_log_file("scheduler").read_text(errors="replace").splitlines()
    return sum("Received executor event with state success" in line and f"run_id='{run_id}'" in line for line in lines)


@contextmanager
def passing_backfill(site: Site, day: str, **more: object) -> Generator[int]:
    """A backfill of one day of a paused DAG, for the block; its run stays queued."""
    body: Json = {"dag_id": "grouped", "from_date": day, "to_date": day} | more
    status, held = site.rest("POST", "/backfills", body)
    for _ in range(PATIENCE):
        if status in (500, 503):  # on SQLite it fails while another writes
            status, held = site.rest("POST", "/backfills", body)
    assert status == 200, held
    try:
        yield held["id"]
    finally:
        end_backfill(site, held["id"])


def end_backfill(site: Site, backfill_id: int) -> None:
    """Cancel it if it still goes on, and delete the runs of it."""
    site.rest("PUT", f"/backfills/{backfill_id}/cancel")
    for run_id in backfilled(site):
        site.change("DELETE", f"/dags/grouped/dagRuns/{run_id.replace(':', '%3A').replace('+', '%2B')}")


def backfilled(site: Site) -> dict[str, str]:
    """Runs of backfills, each with its state, as Airflow says."""
    held = site.held("/dags/grouped/dagRuns?run_type=backfill")["dag_runs"]
    return {run["dag_run_id"]: run["state"] for run in held}


def made(site: Site, run_id: str = "made-1") -> Json:
    """A run that made an asset and told another DAG, ended, as arguments; it stays for who asks next."""
    path = "/dags/rows_source/dagRuns"
    if site.rest("GET", f"{path}/{run_id}")[0] == 404:
        site.change("POST", path, {"dag_run_id": run_id} | ({} if site.is_old else {"logical_date": None}))
    return {"dag_id": "rows_source", "dag_run_id": site.ended("rows_source", run_id)}


def taken(site: Site, dag_id: str = "rows_eater") -> Json:
    """A run that Airflow started because of that asset (or another, for another DAG), ended, as arguments."""
    for number in range(1, 11):
        made(site, f"made-{number}")  # whose end is a while in which the scheduler has been busy
        if runs := site.held(f"/dags/{dag_id}/dagRuns")["dag_runs"]:
            return {"dag_id": dag_id, "dag_run_id": site.ended(dag_id, runs[0]["dag_run_id"])}
    raise AssertionError(f"Airflow started no run of {dag_id}")


def newer(since: str, **arguments: object) -> Callable[[Row], Row]:
    """A row of a tool that an older Airflow does not have: there, a call with these arguments is refused."""

    def wrap(row: Row) -> Row:
        @wraps(row)
        def either(site: Site) -> None:
            if not lacks(site, row.__name__, since, **arguments):
                row(site)

        return either

    return wrap


def refused_in_the_end(site: Site, tool: str, **arguments: object) -> str:
    """The words of a call whose preview is given, and which then fails."""
    return site.admin.refusal(tool, **arguments, plan=site.admin.planned(tool, **arguments))
