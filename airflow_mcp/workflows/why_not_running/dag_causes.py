"""Find out why a DAG gets no runs: it is paused, stale, broken or not due, or it waits for assets."""

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

_SHORTEST_NAME = 4  # letters from which on a name within another one counts as a match
_MEND = "Mend the file."
_GRACE = 60.0  # seconds after which a due run should exist


def read_last_line(error: Json) -> str:
    """Return the last line of an import error's traceback, which names the exception."""
    lines = [line for line in str(error.get("stack_trace") or "").splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else "no traceback"


def is_error_of(error: Json, dag: Json) -> bool:
    """Tell whether an import error is about the DAG's file; 2.x gives its full path, 3.x the path in its bundle."""
    file = str(error.get("filename") or "")
    return file != "" and file in (dag.get("fileloc"), dag.get("relative_fileloc"))


def may_define(error: Json, dag_id: str) -> bool:
    """Tell whether a file that does not import may define a DAG id: its name is like the id, or its error names it."""
    stem = _simplify_name(PurePosixPath(str(error.get("filename") or "")).stem)
    dag_name = _simplify_name(dag_id)
    if (
        stem
        and dag_name
        and (
            stem == dag_name
            or (min(len(stem), len(dag_name)) >= _SHORTEST_NAME and (stem in dag_name or dag_name in stem))
        )
    ):
        return True
    return re.search(rf"(?<![\w.-]){re.escape(dag_id)}(?![\w.-])", str(error.get("stack_trace") or "")) is not None


def _simplify_name(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def explain_unknown_dag(error: Json) -> Finding:
    """Return the finding that there is no such DAG because this file does not import."""
    what = f"There is no such DAG, but the file {error.get('filename')}, which may define it, does not import."
    return Finding("blocks", what, read_last_line(error), _MEND, (_advise_traceback(error),))


def find_dag_causes(dag: Json, queued: int, import_errors: list[Json] | None, *, has_run: bool) -> list[Finding]:
    """Return what keeps every run of this DAG from proceeding; `import_errors` is None where they are unread.

    Airflow (2.x and 3.x alike) creates no scheduled run of a DAG whose file does not import, and looks at no run,
    queued or running, of a stale or paused DAG.
    """
    findings: list[Finding] = []
    stale = bool(dag.get("is_stale"))
    errors = [error for error in import_errors or [] if is_error_of(error, dag)]
    if errors or dag.get("has_import_errors"):
        error = errors[0] if errors else {}
        file = error.get("filename") or dag.get("fileloc")
        clause = "Airflow has dropped the DAG (stale): none of its runs goes on"
        what = f"The DAG's file {file} does not import, so {clause if stale else 'it gets no new scheduled run'}."
        evidence = (
            read_last_line(error) if errors else "has_import_errors is true; which error it is could not be read."
        )
        traceback = _advise_traceback(error) if errors else next_call("list_import_errors", "shows the tracebacks")
        findings.append(Finding("blocks" if stale or not has_run else "note", what, evidence, _MEND, (traceback,)))
    elif stale:
        findings.append(
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
        findings.append(
            Finding(
                "blocks",
                f"The DAG is paused{runs}.",
                "is_paused is true"
                + (f"; Airflow itself pauses it after {limit} failed runs in a row." if limit else "."),
                calls=(next_call("unpause_dag", "starts it, and any other run that is due", dag_id=dag["dag_id"]),),
            )
        )
    return findings


def _advise_traceback(error: Json) -> NextCall:
    return next_call("get_import_error", "shows the traceback", import_error_id=error["import_error_id"])


@dataclass(frozen=True)
class ScheduleAsset:
    """One asset that a DAG is scheduled on."""

    uri: str
    last_event: str | None  # time at which its event was queued for this DAG
    last: str | None = None  # time of its latest event for any DAG, which only 3.x reports
    producers: tuple[str, ...] | None = ()  # DAGs that produce it; None where policy hides all of them


def collect_assets(
    dag_id: str, assets: list[Json], queued: list[Json], may_see: Callable[[str], bool]
) -> list[ScheduleAsset]:
    """Return the assets that schedule this DAG, with their events and those of their producers that `may_see` admits.

    `queued` are the asset events queued for this DAG.
    """
    times: dict[Any, str] = {}
    for row in queued:
        for key in (row.get("asset_id"), row.get("uri")):
            if key is not None:
                times[key] = str(row.get("created_at"))
    results: list[ScheduleAsset] = []
    for row in assets:
        scheduled: list[Json] = row.get("scheduled_dags") or []
        if not any(entry.get("dag_id") == dag_id for entry in scheduled):
            continue
        makers = dict.fromkeys(str(entry.get("dag_id")) for entry in row.get("producing_tasks") or [])
        producers = None if makers and not any(map(may_see, makers)) else tuple(filter(may_see, makers))
        last = (row.get("last_asset_event") or {}).get("timestamp")
        uri = str(row.get("uri"))
        results.append(ScheduleAsset(uri, times.get(row.get("id")) or times.get(uri), last, producers))
    return results


def explain_assets(dag: Json, assets: list[ScheduleAsset], now: datetime) -> Finding:
    """Return the finding on which assets the DAG still waits for, and which DAGs produce them."""
    missing = [asset for asset in assets if not asset.last_event]
    updated = [asset for asset in assets if asset.last_event]
    if not assets:
        return Finding("waits", "The DAG runs when its assets are updated; which they are could not be read.")
    facts = [f"came: {asset.uri} {format_age(asset.last_event, now)}" for asset in updated]
    for asset in missing:
        last = f", last event {format_age(asset.last, now)}" if asset.last else ""
        maker = f"produced by {first_names(asset.producers, 3)}" if asset.producers else "no DAG here produces it"
        maker = "policy hides the DAG that produces it" if asset.producers is None else maker
        facts.append(f"not yet: {asset.uri} ({maker}{last})")
    producers = [name for asset in missing for name in asset.producers or ()]
    hint = "" if producers else "What produces it must send its event."
    calls = [
        next_call("why_not_running", "is about a DAG that produces one of them", dag_id=name) for name in producers
    ]
    trigger = next_call("trigger_dag_run", "runs it without waiting", dag_id=dag["dag_id"])
    if not missing:
        return Finding(
            "waits", "Every asset it waits for has come; the scheduler should start a run now.", "; ".join(facts)
        )
    what = (
        f"The DAG waits for {len(missing)} of {format_count(len(assets), 'asset')}: "
        f"{first_names((asset.uri for asset in missing), 3)}."
    )
    return Finding("waits", what, "; ".join(facts[:8]), hint, (*calls[:1], trigger))


def explain_schedule(dag: Json, latest: Json | None, now: datetime, *, has_cause: bool) -> Finding:
    """Return the finding on when the DAG runs next, for a DAG that does not wait for assets.

    `has_cause`: another finding explains already why it does not run.
    """
    due = dag.get("next_dagrun_run_after")
    history = f"Its latest run {latest['dag_run_id']} is {latest.get('state')}." if latest else "It has no run yet."
    schedule = dag.get("timetable_summary") or dag.get("timetable_description") or "none"
    trigger = (next_call("trigger_dag_run", "runs it now", dag_id=dag["dag_id"]),)
    delay = measure_age(due, now)
    start, end = parse_time(dag.get("start_date")), parse_time(dag.get("end_date"))
    if delay is not None and delay < 0:
        clause = f"; its start_date {dag['start_date']} is in the future" if start and start > now else ""
        what = f"Its next run is due {format_age(due, now)}, at {due}{clause}."
        return Finding("waits", what, f"Schedule {schedule}. {history}", calls=trigger)
    if delay is not None and has_cause:
        return Finding("note", f"A run is due since {due}: it is created once the cause is mended.", history)
    if delay is not None and delay > _GRACE:
        return Finding(
            "note",
            f"A run has been due for {format_duration(delay)} and does not exist.",
            f"next_dagrun_run_after {due}; schedule {schedule}. {history}",
            "Look at the scheduler's own log: it should have created the run.",
            trigger,
        )
    if delay is not None:
        return Finding("waits", "A run is due now; the scheduler creates it within seconds.", f"Due {due}. {history}")
    if end and end < now:
        what = f"The DAG's end_date {dag['end_date']} is over: it gets no more scheduled runs."
        return Finding("ended", what, history, calls=trigger)
    if str(dag.get("timetable_description") or "never").lower().startswith("never"):
        return Finding("waits", "The DAG has no schedule: it only runs when it is triggered.", history, calls=trigger)
    return Finding("waits", "Airflow has no next run planned for it.", f"Schedule {schedule}. {history}", calls=trigger)
