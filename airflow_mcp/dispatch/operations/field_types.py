"""The types of Airflow's fields, on which workflows may rely: a value of another type becomes None.

Names and types are those of Airflow's OpenAPI documents of 2.x and 3.x, in which a name means the same in every record.
Fields that are not listed here may have any type, and workflows only show them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from airflow_mcp.catalog.grammar import Json

_LARGEST = 2**53  # the largest integer that every JSON parser reads exactly (RFC 8259, section 6)
# The fields that identify an object, by the name of its record in the catalog.
KEYS: dict[str, tuple[str, ...]] = {
    "dag": ("dag_id",),
    "dag_details": ("dag_id",),
    "dag_run": ("dag_id", "dag_run_id"),
    "task_instance": ("dag_id", "dag_run_id", "task_id"),
    "task": ("task_id",),
    "pool": ("name",),
    "import_error": ("import_error_id",),
    "dag_warning": ("dag_id",),
    "backfill": ("dag_id",),
}


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else None


def _number(value: Any) -> Any:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST
    return value if fits else None


def _integer(value: Any) -> Any:
    return value if isinstance(value, int) and _number(value) is not None else None


def _bool(value: Any) -> Any:
    return value if isinstance(value, bool) else None


def _moment(value: Any) -> Any:
    try:
        return value if isinstance(value, str) and datetime.fromisoformat(value).tzinfo else None
    except ValueError:
        return None


def _object(value: Any) -> Any:
    return value if isinstance(value, dict) else None


def _record(value: Any) -> Any:
    return conform(value) if isinstance(value, dict) else None


def _references(value: Any) -> Any:
    """Return the DAGs or tasks that an asset refers to, without those that have no DAG id."""
    records = [conform(item) for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    return [record for record in records if record.get("dag_id") is not None]


def _texts(value: Any) -> Any:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else None


_TYPES: dict[str, Callable[[Any], Any]] = {
    name: check
    for check, names in (
        (
            _text,
            "dag_id dag_run_id task_id state run_type partition_key uri name pool queue operator_name hostname event "
            "message stack_trace filename bundle_name bundle_version fileloc relative_fileloc timezone warning_type "
            "description timetable_summary timetable_description trigger_rule triggered_by status classpath class_name "
            "rendered_map_index reason key",
        ),
        (
            _moment,
            "start_date end_date queued_at queued_when logical_date run_after created_at created_date timestamp when "
            "completed_at from_date to_date next_dagrun_run_after next_dagrun_logical_date last_parsed_time "
            "latest_scheduler_heartbeat latest_triggerer_heartbeat latest_dag_processor_heartbeat",
        ),
        (
            _integer,
            "map_index try_number max_tries slots open_slots occupied_slots running_slots queued_slots scheduled_slots "
            "deferred_slots import_error_id asset_id triggerer_id max_active_runs max_active_tasks backfill_id "
            "max_active_tis_per_dag max_active_tis_per_dagrun max_consecutive_failed_dag_runs days microseconds",
        ),
        (_number, "duration retries priority_weight seconds"),
        (
            _bool,
            "is_paused is_stale has_import_errors is_mapped include_deferred multiple response_received "
            "depends_on_past wait_for_downstream retry_exponential_backoff catchup",
        ),
        (_object, "conf params rendered_fields asset_expression"),
        (
            _record,
            "metadatabase scheduler triggerer dag_processor trigger class_ref last_asset_event schedule_interval "
            "retry_delay",
        ),
        (_references, "scheduled_dags producing_tasks consuming_tasks"),
        (_texts, "downstream_task_ids options chosen_options owners"),
    )
    for name in names.split()
}


def conform(fields: Json) -> Json:
    """Return the fields with None for each value that is not of its field's type."""
    return {name: _TYPES[name](value) if name in _TYPES else value for name, value in fields.items()}


def find_missing_keys(kind: str | None, fields: Json) -> list[str]:
    """Return the identifying fields of this kind of object that have no value."""
    return [name for name in KEYS.get(kind or "", ()) if fields.get(name) is None]
