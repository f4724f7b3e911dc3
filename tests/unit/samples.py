"""Records as Airflow 2.11 and 3.3 write them, for a test to change a field of."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
_TEAMS = ("finance", "marketing", "warehouse", "ops")


def dag(number: int = 0, **fields: Any) -> Json:
    """A DAG of 3.x: an id of about 25 characters, a cron schedule, two tags, a next run."""
    team = _TEAMS[number % len(_TEAMS)]
    dag_id = f"{team}_daily_export_{number:04d}"
    moment = f"2026-11-22T{number % 24:02d}:15:00Z"
    record: Json = {
        "dag_id": dag_id,
        "dag_display_name": dag_id,
        "is_paused": number % 7 == 0,
        "is_stale": False,
        "last_parsed_time": "2026-11-21T22:46:03.971812Z",
        "last_expired": None,
        "bundle_name": "dags-folder",
        "bundle_version": None,
        "relative_fileloc": f"{dag_id}.py",
        "fileloc": f"/opt/airflow/dags/{dag_id}.py",
        "description": "Exports the day's orders.",
        "timetable_summary": f"15 {number % 24} * * *",
        "timetable_description": "At 15 minutes past the hour",
        "tags": [{"name": team, "dag_id": dag_id}, {"name": "daily", "dag_id": dag_id}],
        "max_active_tasks": 16,
        "max_active_runs": 16,
        "has_import_errors": False,
        "next_dagrun_logical_date": moment,
        "next_dagrun_run_after": moment,
        "owners": ["airflow"],
        "file_token": "eyJidW5kbGVfbmFtZSI6ImRhZ3MtZm9sZGVyIn0.oadmfy9tZGApbA6Xxpw0",
    }
    return record | fields


def dag_v1(number: int = 0, **fields: Any) -> Json:
    """The same DAG in the words of 2.x."""
    newer = dag(number)
    kept = ("dag_id", "dag_display_name", "is_paused", "description", "fileloc", "owners", "has_import_errors")
    record: Json = {name: newer[name] for name in kept}
    record |= {
        "is_active": True,
        "is_subdag": False,
        "root_dag_id": None,
        "schedule_interval": {"__type": "CronExpression", "value": newer["timetable_summary"]},
        "timetable_description": newer["timetable_description"],
        "tags": [{"name": tag["name"]} for tag in newer["tags"]],
        "next_dagrun": newer["next_dagrun_logical_date"].replace("Z", "+00:00"),
        "next_dagrun_create_after": newer["next_dagrun_run_after"].replace("Z", "+00:00"),
        "last_parsed_time": "2026-11-21T22:55:00.412933+00:00",
        "file_token": "Ii9vcHQvYWlyZmxvdy9kYWdzL2V0bC5weSI.dxrL1pToxpR2kl0JZOlKe050MlY",
    }
    return record | fields


def dag_run(dag_run_id: str = "manual__1", state: str = "failed", **fields: Any) -> Json:
    """A run of 3.x."""
    return {
        "dag_run_id": dag_run_id,
        "dag_id": "etl",
        "logical_date": None,
        "queued_at": "2026-11-21T22:46:38.214817Z",
        "start_date": "2026-11-21T22:46:39.796668Z",
        "end_date": "2026-11-21T22:46:57.861256Z",
        "duration": 18.064588,
        "run_after": "2026-11-21T22:46:38.208012Z",
        "run_type": "manual",
        "state": state,
        "triggered_by": "rest_api",
        "triggering_user_name": "admin",
        "conf": {"rows": 12},
        "note": None,
        "dag_versions": [{"version_number": 3, "dag_id": "etl", "bundle_name": "dags-folder"}],
        "bundle_version": None,
        "partition_key": None,
    } | fields


def dag_run_v1(dag_run_id: str = "manual__1", state: str = "failed", **fields: Any) -> Json:
    """A run of 2.x."""
    return {
        "conf": {"rows": 12},
        "dag_id": "etl",
        "dag_run_id": dag_run_id,
        "end_date": "2026-11-21T22:58:42.110391+00:00",
        "execution_date": "2026-11-21T22:55:32.045902+00:00",
        "external_trigger": True,
        "logical_date": "2026-11-21T22:55:32.045902+00:00",
        "note": None,
        "run_type": "manual",
        "start_date": "2026-11-21T22:55:33.578652+00:00",
        "state": state,
    } | fields


def task_instance(task_id: str = "load", state: str | None = "failed", **fields: Any) -> Json:
    """A task instance of 3.x."""
    return {
        "id": "01a2004d-5817-7259-8b6a-226a277c961d",
        "task_id": task_id,
        "dag_id": "etl",
        "dag_run_id": "manual__1",
        "map_index": -1,
        "logical_date": None,
        "start_date": "2026-11-21T22:46:56.705133Z",
        "end_date": "2026-11-21T22:47:06.705133Z",
        "duration": 10.0,
        "state": state,
        "try_number": 1,
        "max_tries": 0,
        "hostname": "worker-1",
        "pool": "default_pool",
        "queue": "default",
        "operator": "PythonOperator",
        "operator_name": "PythonOperator",
        "pid": None,
        "note": None,
        "rendered_fields": {},
        "dag_version": {"version_number": 3, "dag_id": "etl"},
    } | fields


def pool(name: str = "small", slots: int = 3, **fields: Any) -> Json:
    """A pool; both generations write it alike."""
    return {
        "name": name,
        "slots": slots,
        "description": "for small things",
        "include_deferred": False,
        "occupied_slots": 0,
        "running_slots": 0,
        "queued_slots": 0,
        "scheduled_slots": 0,
        "open_slots": slots,
        "deferred_slots": 0,
    } | fields


def page(key: str, rows: list[Json], total: int | None = None) -> Json:
    """A list as Airflow answers it."""
    return {key: rows, "total_entries": len(rows) if total is None else total}


def a_value(schema: dict[str, Any]) -> Any:
    """Something that fits a parameter's schema."""
    if "anyOf" in schema:
        return a_value(schema["anyOf"][0])
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("format") == "date-time":
        return "2026-11-21T00:00:00Z"
    kind = schema.get("type", "string")
    if kind == "array":
        return [a_value(schema["items"])]
    if kind == "object":
        properties = schema.get("properties", {})
        names = [*schema.get("required", ()), *(name for name in properties if name not in schema.get("required", ()))]
        wanted = names[: max(len(schema.get("required", ())), schema.get("minProperties", 0))]
        return {name: a_value(properties[name]) for name in wanted}
    return {"integer": schema.get("minimum", 1), "number": 1.5, "boolean": True, "string": "x"}[kind]
