"""Compare the dates of a backfill with the runs that exist already. Pure: no requests."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.text import join_names

_MOST_DATES = 10  # dates listed in a note
_ENDED = ("success", "failed")
_TAKES = {
    "none": "only dates without a run",
    "failed": "dates without a run and those whose run failed",
    "completed": "dates without a run and those whose run ended",
}
_OF_SCHEDULE = ("scheduled", "backfill")  # run types whose dates come from the schedule


def compare_dates(rows: list[Json], runs: list[Json], behavior: str) -> tuple[list[Json], list[str]]:
    """Return the dates that would run, each with its existing run and outcome, and notes on the other runs."""
    by_date: dict[Any, Json] = {}
    for run in sorted(runs, key=lambda run: str(run.get("start_date") or "")):
        by_date[_read_date(run)] = run  # of several runs of a date, Airflow considers the one that began last
    by_date.pop(None, None)
    dates = [row | _describe_outcome(row, by_date.pop(_read_date(row), None)) for row in rows]
    if rows and not any(row.get("dag_run_id") for row in dates):
        dates = rows
        notes = ["None of these dates has a run."]
    else:
        notes = []
    kinds = Counter("schedule" if run.get("run_type") in _OF_SCHEDULE else "other" for run in by_date.values())
    if kinds["schedule"]:
        skipped_runs = [run for run in by_date.values() if run.get("run_type") in _OF_SCHEDULE]
        ordered_runs = sorted(skipped_runs, key=lambda run: str(_read_date(run)))
        texts = join_names(map(_describe_run, ordered_runs), _MOST_DATES)
        notes.append(
            f"Dates whose runs stay as they are: {len(skipped_runs)} ({texts}); reprocess_behavior "
            f"{behavior!r} takes {_TAKES.get(behavior, 'others')}{_waiting(skipped_runs)}."
        )
    if kinds["other"]:
        notes.append(f"Other runs between these dates, started by hand or by assets: {kinds['other']}.")
    return dates, notes


def _describe_outcome(row: Json, run: Json | None) -> Json:
    if run is None:
        return {"then": "a new run"}
    outcome = "cleared, runs again" if row.get("logical_date") else "stays, a new run beside it"
    return {"dag_run_id": run.get("dag_run_id"), "state": run.get("state"), "then": outcome}


def _waiting(kept: list[Json]) -> str:
    return ", and never one in flight" if any(run.get("state") not in _ENDED for run in kept) else ""


def _describe_run(run: Json) -> str:
    """Return the date and state of a run, such as "2026-11-21T00:00:00Z success"."""
    return f"{run.get('logical_date') or run.get('partition_key')} {run.get('state')}"


def _read_date(record: Json) -> Any:
    """Return the logical date or partition key of a date or run; None for a run that has neither."""
    moment = record.get("logical_date")
    if not isinstance(moment, str):
        return record.get("partition_key")
    try:
        return datetime.fromisoformat(moment)
    except ValueError:
        return moment
