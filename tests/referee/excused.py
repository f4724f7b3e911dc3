"""Where a manifest is right although Airflow's document says otherwise: every exception of the referee, in one list."""

from __future__ import annotations

from typing import NamedTuple

from tests.referee.compare import Kind, Problem

V1 = ("2.7.3", "2.8.4", "2.9.3", "2.10.5", "2.11.2")
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
        "list_dag_warnings", "reply", ("dag_warnings",), ("2.7.3", "2.8.4", "2.9.3"),
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
        "get_config", "since", ("section",), (*V1, *V2),
        "3.x finds a section only where airflow.cfg names it (404 for core on 3.3.2), so rows are chosen here",
    ),
    Excuse(
        "list_queued_asset_events", "reply", ("queued_events",), ("2.9.3", "2.10.5", "2.11.2"),
        "the document says datasets; Airflow answers queued_events (seen on 2.11.2)",
    ),
    Excuse(
        "list_asset_queued_events", "reply", ("queued_events",), ("2.9.3", "2.10.5", "2.11.2"),
        "the document says datasets; Airflow answers queued_events",
    ),
    *(
        Excuse(
            tool, "value", ("before",), V2,
            "the document says any string; Airflow parses it as a date-time",
        )
        for tool in (
            "list_queued_asset_events", "list_asset_queued_events", "get_queued_asset_event",
            "delete_queued_asset_events", "delete_asset_queued_events", "delete_queued_asset_event",
        )
    ),
    Excuse(
        "get_dag_stats", "required", ("dag_ids",), ("2.10.5", "2.11.2"),
        "the summary says to name the DAGs on 2.x; without them Airflow's own refusal says so",
    ),
    Excuse(
        "get_config", "since", ("section",), (*V1, *V2),
        "3.x finds a section only where its file airflow.cfg names it, so rows are picked here on every version",
    ),
    Excuse(
        "create_variable", "since", ("description",), ("2.7.3",),
        "the document has it; Airflow 2.7 answers with it and does not store it (seen on 2.7.3)",
    ),
    Excuse(
        "list_dag_reports", "reply", ("dag_reports",), ("3.0.6",),
        "the document leaves the reply open; Airflow 3.0 answers dag_reports",
    ),
    Excuse(
        "bulk_task_instances", "action",
        ("update.dag_id", "update.dag_run_id", "delete.dag_id", "delete.dag_run_id"), ("3.1.8",),
        "their description says 3.2; 3.1 takes the ids of the path, and refuses others in words",
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
        "post_dag_run", "required", ("logical_date",), V2,
        "trigger_dag_run always sends it, null when the caller names none",
    ),
    Excuse(
        "dag_details", "field", ("template_searchpath",), (RECORDS,),
        "the documents of 2.x say template_search_path; 2.11.2 answers template_searchpath",
    ),
)  # fmt: skip

# Tools that only read, although their request uses a method that may change something: name -> why it does not.
READS_BY_POST = {
    "preview_backfill": "Airflow 3 previews a backfill with the body that would start it",
    "preview_task_instance_state": "a dry run: 2.x is told so in the body, 3.x has a route for it",
    "preview_task_instances_state": "a dry run, told so in the body",
    "preview_task_group_state": "a dry run has a route of its own",
    "query_dag_runs": "the filters of this list are a body",
    "query_task_instances": "the filters of this list are a body",
}
