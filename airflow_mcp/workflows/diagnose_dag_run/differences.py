"""Compare a run with an earlier one that succeeded."""

from __future__ import annotations

from datetime import datetime

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.answer.render import dumps, take_fitting
from airflow_mcp.redact import MASK
from airflow_mcp.text import shorten

_VALUE = 80  # characters of a value
_CONF = 500  # characters of a whole conf
_MOST = 6  # differences named
_FIELDS = ("dag_version", "bundle_version", "run_type", "partition_key")


def compare_runs(run: Json, success: Json | None) -> Json:
    """Return `last_success` and `differences` (`field: before -> now`), in words where there is nothing to compare."""
    if success is None:
        return {"last_success": "none before this run"}
    changes = [
        _describe_change(name, success.get(name), run.get(name))
        for name in _FIELDS
        if success.get(name) != run.get(name)
    ]
    earlier_conf, later_conf = success.get("conf") or {}, run.get("conf") or {}
    changes += [
        _describe_change(f"conf.{key}", earlier_conf.get(key), later_conf.get(key))
        for key in dict.fromkeys([*earlier_conf, *later_conf])
        if earlier_conf.get(key) != later_conf.get(key)
    ]
    rest_count = len(changes) - _MOST
    return {
        "last_success": f"{success['dag_run_id']}, {success.get('end_date') or success.get('start_date')}",
        "took": f"{_measure_duration(success)} s then, {_measure_duration(run)} s now",
        "differences": [*changes[:_MOST], *([f"and {rest_count} more"] if rest_count > 0 else [])]
        or "none that can be seen",
        **({"not_compared": ", ".join(hidden_fields)} if (hidden_fields := _list_hidden(run, success)) else {}),
    }


def shorten_conf(conf: Json) -> Json:
    """Return a short conf unchanged, of a long one the first keys with short values, to leave space for the cause."""
    if len(dumps(conf)) <= _CONF:
        return conf
    short_items = [
        (key, value if len(dumps(value)) <= _VALUE else _shorten_value(value)) for key, value in conf.items()
    ]
    short_conf = dict(take_fitting(short_items, _CONF))
    rest_count = len(conf) - len(short_conf)
    return short_conf | ({"...": f"{rest_count} more keys"} if rest_count else {})


def _list_hidden(run: Json, success: Json) -> list[str]:
    """List what may have changed unnoticed: Airflow 2 does not report a code version, and masked values look alike."""
    has_version = any(dag_run.get(name) for dag_run in (run, success) for name in ("dag_version", "bundle_version"))
    has_masked_value = MASK in dumps([run.get("conf"), success.get("conf")])
    return [*([] if has_version else ["the code's version"]), *(["masked values of conf"] if has_masked_value else [])]


def _describe_change(name: str, before: object, now: object) -> str:
    return f"{name}: {_shorten_value(before)} -> {_shorten_value(now)}"


def _shorten_value(value: object) -> str:
    return "none" if value is None else shorten(value if isinstance(value, str) else dumps(value), _VALUE)


def _measure_duration(run: Json) -> str:
    """Return how long a run took in seconds, as text; Airflow 2 has no duration of a run."""
    start, end = run.get("start_date"), run.get("end_date")
    if not start or not end:
        return "?"
    return f"{(datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds():.0f}"
