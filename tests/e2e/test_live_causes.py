"""Why real runs failed: the cause stands in the answer of diagnose_dag_run, and different causes stay apart."""

from __future__ import annotations

import json

import pytest

from .harness import Json, Site

# DAG -> what the error rows say, a list of texts for each
CAUSES: dict[str, list[tuple[str, ...]]] = {
    "cause_command": [
        ('ERROR: column "depth_m" does not exist',),
        ("ERROR: permission denied for schema harbour",),
    ],
    "cause_chained": [("RuntimeError: the ship cannot dock", "KeyError: 'berth'")],
    "cause_groups": [
        ("RuntimeError: the sounding failed", "ValueError: bay 2: the lead line is cut", "TimeoutError: bay 5: no echo")
    ],
    "cause_first_line": [("unexpected 'FRM'",), ("Object 'BAY.BUOYS' does not exist",)],
    "cause_nested": [
        ("ConnectionError: buoys of the outer bay may not be listed",),
        ("ConnectionError: the pilot boat vanished",),
    ],
    "cause_remote": [
        ("AnalysisException: [TABLE_OR_VIEW_NOT_FOUND]",),
        ("OutOfMemoryError: GC overhead limit exceeded",),
    ],
    "cause_exit": [("setting QUAY is missing",)],
    "cause_long": [("manifest rejected", "reason: field 'tonnage' is not valid")],
}


@pytest.fixture(scope="module")
def started(site: Site) -> Site:
    """An Airflow where a run of each of these DAGs has been started."""
    for dag_id in CAUSES:
        body: Json = {"dag_run_id": "why-1"} | ({} if site.is_old else {"logical_date": None})
        site.change("POST", f"/dags/{dag_id}/dagRuns", body)
    return site


@pytest.mark.parametrize("dag_id", CAUSES)
def test_the_cause_of_a_failed_run_is_named_and_causes_stay_apart(started: Site, dag_id: str) -> None:
    started.ended(dag_id, "why-1")
    answer = started.reader.ask("diagnose_dag_run", dag_id=dag_id, dag_run_id="why-1")
    rows = [json.dumps(row, ensure_ascii=False).replace('\\"', '"') for row in answer["errors"]]
    assert len(rows) == len(CAUSES[dag_id]), rows
    for texts in CAUSES[dag_id]:
        assert any(all(text in row for text in texts) for row in rows), (texts, rows)
    assert "killed or lost" not in json.dumps(answer)
