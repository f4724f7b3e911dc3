"""A small Airflow of either generation with DAGs, runs, files, pools and logs: what a rule about DAGs has to hide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from tests.unit.fake_airflow import FakeAirflow, Reply, Sent
from tests.unit.samples import dag, dag_run, dag_run_v1, dag_v1, pool, task_instance

Json = dict[str, Any]
_MOMENT = "2026-11-21T22:46:38Z"
_MOST_ROWS = 100  # Airflow's own limit on a page


class World:
    """Answers like Airflow for these DAGs; `files` maps a DAG to its file where that is not one of its own."""

    def __init__(
        self,
        version: str = "3.3.2",
        dags: Sequence[str] = ("etl_a", "etl_b", "payroll_a"),
        *,
        pools: Sequence[str] = ("small", "payroll_pool"),
        files: dict[str, str] | None = None,
    ) -> None:
        self.dags = list(dags)
        self.pools = list(pools)
        self.files = files or {}
        self.runs = {name: ["r1"] for name in dags}  # a DAG's runs
        self.affected: list[Json] = []  # what a dry run says beside the run's own task
        self.errors = [f"{name}.py" for name in dags]  # files that do not import
        self.events: list[str | None] = [*dags, None]  # the DAG of each line of the event log
        self.airflow = FakeAirflow(version).otherwise(self.answer)
        self.legacy = self.airflow.generation == "v1"

    def file_of(self, name: str) -> str:
        """The file a DAG is defined in, as an import error of this generation names it."""
        relative = self.files.get(name, f"{name}.py")
        return f"/opt/airflow/dags/{relative}" if self.legacy else relative

    def answer(self, sent: Sent) -> Any:
        """The reply to any request, by its path."""
        match (sent.method, *(unquote(part) for part in sent.path.split("/")[1:])):
            case ("GET", "dags"):
                part = dict(sent.query).get("dag_id_pattern", "").strip("%")
                return self._page(sent, "dags", [self._dag(name) for name in self.dags if part in name])
            case ("GET", "dagTags"):
                return self._page(sent, "tags", [f"tag_of_{name}" for name in self.dags])
            case ("GET", "dagWarnings"):
                rows = [{"dag_id": name, "warning_type": "non-existent pool", "message": name} for name in self.dags]
                return self._page(sent, "dag_warnings", [row for row in rows if self._is_asked(sent, row["dag_id"])])
            case ("GET", "dagSources", key):
                name = key.removeprefix("token-of-")
                return {"dag_id": name, "content": f"source of {name}", "version_number": 1}
            case ("GET", "eventLogs"):
                rows = [self._event(n, name) for n, name in enumerate(self.events) if self._is_asked(sent, name)]
                return self._page(sent, "event_logs", rows)
            case ("GET", "importErrors"):
                return self._page(sent, "import_errors", [self._error(n) for n in range(len(self.errors))])
            case ("GET", "importErrors", number) if int(number) < len(self.errors):
                return self._error(int(number))
            case ("GET", "pools"):
                return self._page(sent, "pools", [pool(name) for name in self.pools])
            case ("POST", "pools"):
                return Reply(201, pool(sent.body["name"], sent.body["slots"]))
            case ("PATCH", "pools", name) if name in self.pools:
                return pool(name, **{key: value for key, value in sent.body.items() if key not in ("name", "pool")})
            case ("GET", "pools", name) if name in self.pools:
                return pool(name)
            case ("DELETE", "pools", name) if name in self.pools:
                return Reply(204)
            case (method, "dags", name, *rest) if name == "~" or name in self.dags:
                return self._of_dag(method, name, rest, sent)
            case _:
                return Reply(404, {"detail": f"no {unquote(sent.path)}"})

    def _of_dag(self, method: str, name: str, rest: list[str], sent: Sent) -> Any:
        names = self.dags if name == "~" else [name]
        own = self.dags[0] if name == "~" else name
        match (method, *rest):
            case ("GET" | "PATCH",) if name != "~":
                return self._dag(name) | (sent.body or {})
            case ("GET", "details") if name != "~":
                return self._dag(name) | {"doc_md": f"about {name}"}
            case ("GET", "tasks"):
                return {"tasks": [{"task_id": f"load_{name}", "operator_name": "X"}], "total_entries": 1}
            case ("DELETE", *_):
                return Reply(204)
            case ("GET", "dagRuns"):
                state = dict(sent.query).get("state", "success")
                return self._page(sent, "dag_runs", [self._run(n, run, state) for n in names for run in self.runs[n]])
            case ("POST", "dagRuns"):
                return self._run(own, sent.body.get("dag_run_id") or "new")
            case ("POST", "clearTaskInstances") | ("POST", "dagRuns", _, "clear"):
                tasks = [task_instance(dag_id=n, dag_run_id="r1") for n in names] + self.affected
                if sent.body.get("dry_run") is False and "dagRuns" in rest:
                    return self._run(own, rest[1])
                return {"task_instances": tasks, "total_entries": len(tasks)}
            case ("GET" | "PATCH", "dagRuns", run):
                return self._run(own, run)
            case ("GET", "dagRuns", _, "taskInstances"):
                return self._page(sent, "task_instances", [task_instance(dag_id=n, dag_run_id="r1") for n in names])
            case ("PATCH", "dagRuns", run, "taskInstances", task, *_, "dry_run"):
                tasks = [task_instance(task, dag_id=own, dag_run_id=run), *self.affected]
                return {"task_instances": tasks, "total_entries": len(tasks)}
            case ("GET" | "PATCH", "dagRuns", run, "taskInstances", task, *more) if not more or more[0].isdigit():
                return task_instance(task, dag_id=own, dag_run_id=run)
            case ("GET", "dagRuns", run, "taskInstances", task, *_, "tries"):
                return {"task_instances": [task_instance(task, dag_id=own, dag_run_id=run)], "total_entries": 1}
            case ("GET", "dagRuns", _, "taskInstances", _, "logs", _):
                return Reply(200, f'{{"event":"log of {name}"}}\n' if not self.legacy else f"log of {name}\n")
            case ("GET", "dagRuns", run, "taskInstances", task, "xcomEntries", *key):
                rows = [{"dag_id": n, "dag_run_id": run, "task_id": task, "key": f"key_of_{n}"} for n in names]
                return rows[0] | {"key": key[0], "value": 1} if key else self._page(sent, "xcom_entries", rows)
            case _:
                return Reply(404, {"detail": f"no {unquote(sent.path)}"})

    def _is_asked(self, sent: Sent, name: str | None) -> bool:
        return dict(sent.query).get("dag_id", name) == name

    def _page(self, sent: Sent, key: str, rows: list[Any]) -> Json:
        asked = dict(sent.query)
        offset, limit = int(asked.get("offset", 0)), min(int(asked.get("limit", _MOST_ROWS)), _MOST_ROWS)
        return {key: rows[offset : offset + limit], "total_entries": len(rows)}

    def _dag(self, name: str) -> Json:
        relative = self.files.get(name, f"{name}.py")
        whole: Json = {"fileloc": f"/opt/airflow/dags/{relative}", "file_token": f"token-of-{name}"}
        if self.legacy:
            return dag_v1(dag_id=name, dag_display_name=name, is_paused=False, **whole)
        return dag(dag_id=name, dag_display_name=name, is_paused=False, relative_fileloc=relative, **whole)

    def _run(self, name: str, run: str, state: str = "success") -> Json:
        return (dag_run_v1 if self.legacy else dag_run)(run, state, dag_id=name)

    def _event(self, number: int, name: str | None) -> Json:
        return {"event_log_id": number, "when": _MOMENT, "event": "seen", "dag_id": name, "owner": f"owner-of-{name}"}

    def _error(self, number: int) -> Json:
        relative = self.errors[number]
        file = f"/opt/airflow/dags/{relative}" if self.legacy else relative
        facts = {"import_error_id": number, "timestamp": _MOMENT, "filename": file, "stack_trace": f"Error in {file}"}
        return facts if self.legacy else facts | {"bundle_name": "dags-folder"}
