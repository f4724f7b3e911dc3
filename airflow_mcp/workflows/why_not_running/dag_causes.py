"""What keeps a DAG from getting runs: paused, gone, broken, not due, or waiting for assets."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import NextCall, next_call
from airflow_mcp.workflows.shared.findings import (
    Finding,
    choose_verb,
    first_names,
    format_age,
    format_count,
    format_duration,
    measure_age,
    parse_time,
)

_SHORTEST_NAME = 4  # letters of a name that mean something in another
_MEND = "Mend the file."
_GRACE = 60.0  # seconds after which a due run should exist


def read_last_line(error: Json) -> str:
    """What an import error says in the end: the exception."""
    lines = [line for line in str(error.get("stack_trace") or "").splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else "no traceback"


def is_error_of(error: Json, dag: Json) -> bool:
    """Whether this import error is about the file of that DAG: 2.x names it whole, 3.x within its bundle."""
    file = str(error.get("filename") or "")
    return file != "" and file in (dag.get("fileloc"), dag.get("relative_fileloc"))


def may_define(error: Json, dag_id: str) -> bool:
    """Whether a file that does not import may be the one that defines this id: by its name, or by naming the id."""
    stem = _simplify_name(PurePosixPath(str(error.get("filename") or "")).stem)
    wanted = _simplify_name(dag_id)
    if (
        stem
        and wanted
        and (stem == wanted or (min(len(stem), len(wanted)) >= _SHORTEST_NAME and (stem in wanted or wanted in stem)))
    ):
        return True
    return re.search(rf"(?<![\w.-]){re.escape(dag_id)}(?![\w.-])", str(error.get("stack_trace") or "")) is not None


def _simplify_name(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def explain_unknown_dag(error: Json) -> Finding:
    """There is no such DAG, because this file does not import."""
    what = f"There is no such DAG, but the file {error.get('filename')}, which may define it, does not import."
    return Finding("blocks", what, read_last_line(error), _MEND, (_advise_traceback(error),))


def find_dag_causes(dag: Json, queued: int, import_errors: list[Json] | None, *, has_run: bool) -> list[Finding]:
    """What keeps every run of this DAG from going on. `import_errors` is None where they could not be read.

    Airflow (2.x and 3.x alike) creates no scheduled run of a DAG whose file does not import, and looks at no run at
    all, queued or running, of one that is stale or paused.
    """
    found: list[Finding] = []
    stale = bool(dag.get("is_stale"))
    mine = [error for error in import_errors or [] if is_error_of(error, dag)]
    if mine or dag.get("has_import_errors"):
        error = mine[0] if mine else {}
        file = error.get("filename") or dag.get("fileloc")
        gone = "Airflow has dropped the DAG (stale): none of its runs goes on"
        what = f"The DAG's file {file} does not import, so {gone if stale else 'it gets no new scheduled run'}."
        evidence = read_last_line(error) if mine else "has_import_errors is true; which error it is could not be read."
        traceback = _advise_traceback(error) if mine else next_call("list_import_errors", "shows the tracebacks")
        found.append(Finding("blocks" if stale or not has_run else "note", what, evidence, _MEND, (traceback,)))
    elif stale:
        found.append(
            Finding(
                "blocks",
                "The DAG is stale: Airflow no longer finds it in its file, so none of its runs goes on.",
                f"File {dag.get('fileloc')}, last parsed {dag.get('last_parsed_time')}.",
                "Put the file back, or the DAG back into it.",
                (next_call("get_health", "tells whether DAG files are read at all"),),
            )
        )
    if dag.get("is_paused"):
        runs = (
            f", and {format_count(queued, 'queued run')} {choose_verb(queued, 'waits', 'wait')} because of it"
            if queued
            else ""
        )
        limit = dag.get("max_consecutive_failed_dag_runs")
        found.append(
            Finding(
                "blocks",
                f"The DAG is paused{runs}.",
                "is_paused is true"
                + (f"; Airflow itself pauses it after {limit} failed runs in a row." if limit else "."),
                calls=(next_call("unpause_dag", "starts it, and any other run that is due", dag_id=dag["dag_id"]),),
            )
        )
    return found


def _advise_traceback(error: Json) -> NextCall:
    return next_call("get_import_error", "shows the traceback", import_error_id=error["import_error_id"])


@dataclass(frozen=True)
class ScheduleAsset:
    """One asset a DAG is scheduled on."""

    uri: str
    last_event: str | None  # when its event was queued for this DAG
    last: str | None = None  # its last event at all, where Airflow tells (3.x)
    producers: tuple[str, ...] | None = ()  # DAGs that produce it; None: some that may not be seen


def collect_assets(
    dag_id: str, assets: list[Json], queued: list[Json], may_see: Callable[[str], bool]
) -> list[ScheduleAsset]:
    """The assets that schedule this DAG, with what has come of them; of their producers those that one `may_see`."""
    came_by: dict[Any, str] = {}
    for row in queued:
        for key in (row.get("asset_id"), row.get("uri")):
            if key is not None:
                came_by[key] = str(row.get("created_at"))
    found: list[ScheduleAsset] = []
    for row in assets:
        scheduled: list[Json] = row.get("scheduled_dags") or []
        if not any(one.get("dag_id") == dag_id for one in scheduled):
            continue
        made = dict.fromkeys(str(one.get("dag_id")) for one in row.get("producing_tasks") or [])
        producers = None if made and not any(map(may_see, made)) else tuple(filter(may_see, made))
        last = (row.get("last_asset_event") or {}).get("timestamp")
        uri = str(row.get("uri"))
        found.append(ScheduleAsset(uri, came_by.get(row.get("id")) or came_by.get(uri), last, producers))
    return found


def explain_assets(dag: Json, assets: list[ScheduleAsset], now: datetime) -> Finding:
    """Which assets the DAG still waits for, and which DAGs make them."""
    missing = [asset for asset in assets if not asset.last_event]
    came = [asset for asset in assets if asset.last_event]
    if not assets:
        return Finding("waits", "The DAG runs when its assets are updated; which they are could not be read.")
    told = [f"came: {asset.uri} {format_age(asset.last_event, now)}" for asset in came]
    for asset in missing:
        last = f", last event {format_age(asset.last, now)}" if asset.last else ""
        maker = f"produced by {first_names(asset.producers, 3)}" if asset.producers else "no DAG here produces it"
        maker = "policy hides the DAG that produces it" if asset.producers is None else maker
        told.append(f"not yet: {asset.uri} ({maker}{last})")
    producers = [name for asset in missing for name in asset.producers or ()]
    hint = "" if producers else "What produces it must send its event."
    calls = [next_call("why_not_running", "is about a DAG that produces one of them", dag_id=one) for one in producers]
    trigger = next_call("trigger_dag_run", "runs it without waiting", dag_id=dag["dag_id"])
    if not missing:
        return Finding(
            "waits", "Every asset it waits for has come; the scheduler should start a run now.", "; ".join(told)
        )
    what = (
        f"The DAG waits for {len(missing)} of {format_count(len(assets), 'asset')}: "
        f"{first_names((a.uri for a in missing), 3)}."
    )
    return Finding("waits", what, "; ".join(told[:8]), hint, (*calls[:1], trigger))


def explain_schedule(dag: Json, latest: Json | None, now: datetime, *, has_cause: bool) -> Finding:
    """When the DAG runs next; not for one that waits for assets. `has_cause`: something else keeps it already."""
    due = dag.get("next_dagrun_run_after")
    last = f"Its latest run {latest['dag_run_id']} is {latest.get('state')}." if latest else "It has no run yet."
    schedule = dag.get("timetable_summary") or dag.get("timetable_description") or "none"
    trigger = (next_call("trigger_dag_run", "runs it now", dag_id=dag["dag_id"]),)
    late = measure_age(due, now)
    start, end = parse_time(dag.get("start_date")), parse_time(dag.get("end_date"))
    if late is not None and late < 0:
        begins = f"; its start_date {dag['start_date']} is in the future" if start and start > now else ""
        what = f"Its next run is due {format_age(due, now)}, at {due}{begins}."
        return Finding("waits", what, f"Schedule {schedule}. {last}", calls=trigger)
    if late is not None and has_cause:
        return Finding("note", f"A run is due since {due}: it is created once the cause is mended.", last)
    if late is not None and late > _GRACE:
        return Finding(
            "note",
            f"A run has been due for {format_duration(late)} and does not exist.",
            f"next_dagrun_run_after {due}; schedule {schedule}. {last}",
            "Look at the scheduler's own log: it should have created the run.",
            trigger,
        )
    if late is not None:
        return Finding("waits", "A run is due now; the scheduler creates it within seconds.", f"Due {due}. {last}")
    if end and end < now:
        what = f"The DAG's end_date {dag['end_date']} is over: it gets no more scheduled runs."
        return Finding("ended", what, last, calls=trigger)
    if str(dag.get("timetable_description") or "never").lower().startswith("never"):
        return Finding("waits", "The DAG has no schedule: it only runs when it is triggered.", last, calls=trigger)
    return Finding("waits", "Airflow has no next run planned for it.", f"Schedule {schedule}. {last}", calls=trigger)
