"""Explain why a queued run does not start, and describe a DAG's other active runs and ended runs."""

from __future__ import annotations

from datetime import datetime

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.next_calls import next_call
from airflow_mcp.workflows.shared.findings import (
    Finding,
    choose_verb,
    first_names,
    format_age,
    format_count,
    measure_age,
)

_MOST_NAMES = 4  # runs named as occupying a limit
_PATIENCE = 60.0  # seconds a queued run may wait without that being remarkable


def explain_queued_run(
    dag: Json,
    run: Json,
    active: list[Json],
    active_total: int,
    backfill: Json | None,
    now: datetime,
    *,
    has_cause: bool,
) -> list[Finding]:
    """Return why this queued run does not start; `active` are the DAG's queued and running runs, oldest first.

    Runs of backfills have a limit of their own, so only runs of the same kind are counted. Where no cause is found, a
    finding says so, unless another one explains the wait already (`has_cause`).
    """
    findings: list[Finding] = []
    due = run.get("run_after") or run.get("logical_date")
    age = measure_age(due, now)
    if age is not None and age < 0:
        findings.append(
            Finding(
                "waits", f"The run may not start before {due}, {format_age(due, now)}.", "run_after is in the future."
            )
        )
    of_backfill = run.get("run_type") == "backfill"  # backfill runs have a limit of their own
    limit = (backfill or {}).get("max_active_runs") if of_backfill else dag.get("max_active_runs")
    peers = [row for row in active if (row.get("run_type") == "backfill") == of_backfill]
    running = [row for row in peers if row.get("state") == "running"]
    if limit and len(running) >= limit:
        label = "max_active_runs of the backfill" if of_backfill else "max_active_runs"
        texts = "; ".join(
            f"{row['dag_run_id']} since {format_age(row.get('start_date'), now)}" for row in running[:_MOST_NAMES]
        )
        rest = f"; {len(running) - _MOST_NAMES} more" if len(running) > _MOST_NAMES else ""
        queued = len(peers) - len(running)
        least = "at least " if active_total > len(active) else ""
        oldest = {"dag_id": dag["dag_id"], "dag_run_id": running[0]["dag_run_id"]}
        findings.append(
            Finding(
                "blocks",
                f"{label} is reached: {len(running)} of {limit} {choose_verb(len(running), 'is', 'are')} running, and "
                f"{least}{format_count(queued, 'run')} {choose_verb(queued, 'waits', 'wait')} behind.",
                f"Running: {texts}{rest}.",
                "When one of them ends, the next one starts.",
                (next_call("why_not_running", "says what the oldest of them waits for", **oldest),),
            )
        )
    if backfill and backfill.get("is_paused"):
        dates = f"{backfill.get('from_date')} to {backfill.get('to_date')}"
        findings.append(
            Finding(
                "blocks",
                f"The run belongs to backfill {backfill.get('id')}, which is paused.",
                f"Backfill of {dates}; is_paused is true.",
                calls=(next_call("unpause_backfill", "lets its runs start", backfill_id=backfill.get("id")),),
            )
        )
    if not findings and not has_cause:
        delay = measure_age(run.get("queued_at") or due, now)
        since = f"Queued since {format_age(run.get('queued_at') or due, now)}."
        if delay is not None and delay > _PATIENCE:
            what = "The run is queued, and nothing seen here keeps it from starting: the scheduler has not taken it up."
            findings.append(Finding("note", what, since, "Look at the scheduler's own log."))
        else:
            findings.append(
                Finding("waits", "The run was queued just now; the scheduler starts it within seconds.", since)
            )
    return findings


def describe_other_runs(runs: list[Json], run: Json, total: int) -> Finding:
    """Return the note on the DAG's other active runs, which may have other causes; its call examines the latest."""
    run_ids = [row["dag_run_id"] for row in runs if row["dag_run_id"] != run["dag_run_id"]]
    count = total - 1
    return Finding(
        "note",
        f"{format_count(count, 'more run')} of the DAG {choose_verb(count, 'is', 'are')} active and "
        f"{choose_verb(count, 'was', 'were')} not "
        f"looked at: {first_names(run_ids)}.",
        calls=tuple(
            next_call("why_not_running", "is about one of them", dag_id=run["dag_id"], dag_run_id=run_id)
            for run_id in run_ids[-1:]
        ),
    )


def describe_ended_run(run: Json, now: datetime) -> Finding:
    """Return the finding that a run has ended, with the call that says why it failed."""
    ids = {"dag_id": run["dag_id"], "dag_run_id": run["dag_run_id"]}
    state = run.get("state")
    calls = (next_call("diagnose_dag_run", "says why", **ids),) if state == "failed" else ()
    return Finding(
        "ended", f"The run is over: {state}.", f"It ended {format_age(run.get('end_date'), now)}.", calls=calls
    )
