"""Where a manifest is right although Airflow's document says otherwise: every exception of the referee, in one list."""

from __future__ import annotations

from typing import NamedTuple

from tests.referee.compare import Kind, Problem

V1 = ("2.7.3", "2.10.5", "2.11.2")
V2 = ("3.0.6", "3.1.8", "3.2.2", "3.3.2")
RECORDS = "records"  # stands for a version where a record is held against all documents together


class Excuse(NamedTuple):
    """Problems that are none, and why."""

    tool: str
    kind: Kind
    subjects: tuple[str, ...]
    versions: tuple[str, ...]
    reason: str

    def covers(self, problem: Problem, version: str) -> bool:
        """Whether this is that problem."""
        same = (self.tool, self.kind) == (problem.tool, problem.kind)
        return same and version in self.versions and problem.subject in self.subjects


EXCUSED = (
    Excuse(
        "list_dag_warnings", "reply", ("dag_warnings",), ("2.7.3",),
        "the document gives it the reply of importErrors; DagWarningCollectionSchema answers dag_warnings",
    ),
    Excuse(
        "list_task_instance_tries", "reply", ("task_instances",), ("2.10.5", "2.11.2"),
        "the document says task_instances_history; Airflow answers task_instances (seen on 2.11.2)",
    ),
    Excuse(
        "list_task_instance_tries", "since", ("limit", "offset"), ("2.10.5", "2.11.2"),
        "the document lists them; get_task_instance_tries takes neither and answers every try",
    ),
    Excuse(
        "list_queued_asset_events", "reply", ("queued_events",), ("2.10.5", "2.11.2"),
        "the document says datasets; Airflow answers queued_events (seen on 2.11.2)",
    ),
    Excuse(
        "clear_task_instances", "value", ("start_date", "end_date"), V1,
        "the document misspells the format date-time as datetime",
    ),
    Excuse(
        "clear_task_instances", "value", ("task_ids",), V1,
        "[task_id, map_index] is described as being for 3.x; 2.x refuses it with 400 and changes nothing",
    ),
    Excuse(
        "preview_task_instance_state", "reply", ("task_instances",), V1,
        "2.x has no dry run of it and reaches the one task instance: that one is read, as `single` says",
    ),
    Excuse(
        "post_dag_run", "required", ("logical_date",), V2,
        "trigger_dag_run always sends it, null when the caller names none",
    ),
    Excuse(
        "queued_asset_event", "field", ("uri",), (RECORDS,),
        "the documents of 2.x describe its list wrongly, see list_queued_asset_events; 2.11.2 answers uri",
    ),
    Excuse(
        "dag_details", "field", ("template_searchpath",), (RECORDS,),
        "the documents of 2.x say template_search_path; 2.11.2 answers template_searchpath",
    ),
)  # fmt: skip

# Tools that only read, although their request uses a method that may change something: name -> why it does not.
READS_BY_POST = {
    "preview_backfill": "Airflow 3 previews a backfill with the body that would start it",
    "preview_task_instance_state": "Airflow 3 previews a new state with the body that would set it",
}
