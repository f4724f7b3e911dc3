"""What is different between a run and an earlier one that succeeded."""

from __future__ import annotations

from datetime import datetime

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.dispatch.answer.render import dumps, take_fitting
from airflow_mcp.redact import MASK
from airflow_mcp.text import shorten

_VALUE = 80  # characters of a value
_CONF = 500  # and of a conf that is shown
_MOST = 6  # differences named
_FIELDS = ("dag_version", "bundle_version", "run_type", "partition_key")


def compare_runs(run: Json, success: Json | None) -> Json:
    """`last_success` and `differences` (`field: before -> now`), in words where there is nothing to compare."""
    if success is None:
        return {"last_success": "none before this run"}
    changes = [
        _describe_change(name, success.get(name), run.get(name))
        for name in _FIELDS
        if success.get(name) != run.get(name)
    ]
    before, now = success.get("conf") or {}, run.get("conf") or {}
    changes += [
        _describe_change(f"conf.{key}", before.get(key), now.get(key))
        for key in dict.fromkeys([*before, *now])
        if before.get(key) != now.get(key)
    ]
    more = len(changes) - _MOST
    return {
        "last_success": f"{success['dag_run_id']}, {success.get('end_date') or success.get('start_date')}",
        "took": f"{_measure_duration(success)} s then, {_measure_duration(run)} s now",
        "differences": [*changes[:_MOST], *([f"and {more} more"] if more > 0 else [])] or "none that can be seen",
        **({"not_compared": ", ".join(hidden)} if (hidden := _list_hidden(run, success)) else {}),
    }


def shorten_conf(conf: Json) -> Json:
    """A conf as it is; of a long one the first keys, their values cut, so that it takes no room from the cause."""
    if len(dumps(conf)) <= _CONF:
        return conf
    cut = [(key, value if len(dumps(value)) <= _VALUE else _shorten_value(value)) for key, value in conf.items()]
    kept = dict(take_fitting(cut, _CONF))
    more = len(conf) - len(kept)
    return kept | ({"...": f"{more} more keys"} if more else {})


def _list_hidden(run: Json, success: Json) -> list[str]:
    """What may have changed unseen: Airflow 2 does not tell the code's version, and masked values look alike."""
    versions = any(one.get(name) for one in (run, success) for name in ("dag_version", "bundle_version"))
    masked = MASK in dumps([run.get("conf"), success.get("conf")])
    return [*([] if versions else ["the code's version"]), *(["masked values of conf"] if masked else [])]


def _describe_change(name: str, before: object, now: object) -> str:
    return f"{name}: {_shorten_value(before)} -> {_shorten_value(now)}"


def _shorten_value(value: object) -> str:
    return "none" if value is None else shorten(value if isinstance(value, str) else dumps(value), _VALUE)


def _measure_duration(run: Json) -> str:
    """How long it took; Airflow 2 has no duration of a run."""
    start, end = run.get("start_date"), run.get("end_date")
    if not start or not end:
        return "?"
    return f"{(datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds():.0f}"
