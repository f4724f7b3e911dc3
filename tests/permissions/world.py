"""A small Airflow of either generation with DAGs, runs, files, pools and logs: what a rule about DAGs has to hide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from tests.unit.fake_airflow import FakeAirflow, Reply, Sent
from tests.unit.samples import dag, dag_run, dag_run_v1, dag_v1, pool, task_instance

Json = dict[str, Any]
_MOMENT = "2026-11-21T22:46:38Z"
_MOST_ROWS = 100  # Airflow's own limit on a page


@dataclass
class Shelf:
    """Objects of one kind that belong to no DAG: their list's key, what names one, and those there are."""

    key: str
    id: str
    names: list[str]
    record: Callable[[str], Json]


def variable(key: str) -> Json:
    """A variable, with a value that tells whose it is."""
    return {"key": key, "value": f"value of {key}", "description": f"about {key}", "is_encrypted": True}


def connection(name: str) -> Json:
    """A connection, with a password."""
    return {
        "connection_id": name,
        "conn_type": "http",
        "host": f"{name}.example",
        "password": "hunter2-of-a-connection",
    }


def user(name: str) -> Json:
    """A user."""
    return {"username": name, "email": "a@example.org", "first_name": "A", "last_name": "B", "roles": [{"name": "Op"}]}


def role(name: str) -> Json:
    """A role."""
    return {"name": name, "actions": [{"action": {"name": "can_read"}, "resource": {"name": "DAGs"}}]}


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
        # Assets by URI: their number, the DAG that makes them and the one that waits for them.
        self.assets = {
            "s3://lake/orders": ("7", "etl_a", "etl_b"),
            "s3://lake/salaries": ("8", "payroll_a", "payroll_a"),
        }
        self.backfills = {5: "etl_a", 6: "payroll_a"}
        self.shelves = {
            "pools": Shelf("pools", "name", self.pools, pool),
            "variables": Shelf("variables", "key", ["limit", "payroll_limit"], variable),
            "connections": Shelf("connections", "connection_id", ["warehouse", "payroll_db"], connection),
            "users": Shelf("users", "username", ["ann"], user),
            "roles": Shelf("roles", "name", ["Viewer"], role),
        }
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
            case ("PATCH", "dags"):
                return {"dags": [self._dag(name) for name in self._asked_for(sent)], "total_entries": len(self.dags)}
            case ("GET", "dagStats"):
                return self._page(sent, "dags", [{"dag_id": name, "stats": []} for name in self.dags])
            case ("PUT", "parseDagFile", _):
                return Reply(201)
            case (method, "assets" | "datasets", *rest):
                return self._of_asset(method, rest, sent)
            case ("POST", "backfills", "dry_run"):
                return {"backfills": [{"logical_date": _MOMENT}], "total_entries": 1}
            case ("GET", "backfills"):
                return self._page(sent, "backfills", [self._backfill(n) for n in self.backfills])
            case ("POST", "backfills"):
                return self._backfill(5)
            case (_, "backfills", number, *_) if int(number) in self.backfills:
                return self._backfill(int(number))
            case ("POST", "connections", "defaults"):
                return Reply(204)
            case (_, "connections", "test" | "enqueue-test"):
                return {"status": True, "message": "it works", "connection_id": "warehouse"}
            case (method, "auth", "fab", "v1", noun, *rest) | (method, noun, *rest) if noun in self.shelves:
                return self._of_shelf(method, self.shelves[noun], "/".join(rest), sent)
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
            case ("POST", "dagRuns", "list"):
                rows = [self._run(n, run) for n in self._listed(sent) for run in self.runs[n]]
                return self._page(sent, "dag_runs", rows)
            case ("POST", "dagRuns", _, "taskInstances", "list"):
                rows = [task_instance(dag_id=n, dag_run_id="r1") for n in self._listed(sent)]
                return self._page(sent, "task_instances", rows)
            case ("PATCH", "dagRuns") | ("PATCH", "dagRuns", _, "taskInstances"):
                return {one["action"]: {"success": ["done"], "errors": []} for one in sent.body["actions"]}
            case ("POST", "clearPartitions"):
                return {"dag_runs_cleared": 1, "task_instances_cleared": 1}
            case ("POST", "clearDagRuns") if sent.body.get("dry_run") is False:
                return {"dag_runs": [self._run(own, "r1")], "total_entries": 1}
            case ("POST", "updateTaskInstancesState" | "clearDagRuns"):
                tasks = [task_instance(dag_id=own, dag_run_id="r1"), *self.affected]
                return {"task_instances": tasks, "total_entries": len(tasks)}
            case ("POST", "clearTaskInstances") | ("POST", "dagRuns", _, "clear"):
                tasks = [task_instance(dag_id=n, dag_run_id="r1") for n in names] + self.affected
                if sent.body.get("dry_run") is False and "dagRuns" in rest:
                    return self._run(own, rest[1])
                return {"task_instances": tasks, "total_entries": len(tasks)}
            case ("GET" | "PATCH", "dagRuns", run) | ("PATCH", "dagRuns", run, "setNote"):
                return self._run(own, run)
            case ("GET", "dagRuns", run, "upstreamAssetEvents" | "upstreamDatasetEvents"):
                key = "dataset_events" if self.legacy else "asset_events"
                return {key: self._asset_events(), "total_entries": len(self.assets)}
            case ("GET", "assets" | "datasets", "queuedEvents" | "queuedEvent"):
                return self._queued(list(self.assets), [name])
            case ("GET", "assets" | "datasets", *_):
                return self._queued(list(self.assets), [name])["queued_events"][0]
            case ("GET", "dagVersions"):
                return self._page(sent, "dag_versions", [{"dag_id": n, "version_number": 1} for n in names])
            case ("GET", "dagRuns", _, "hitlDetails"):
                return self._page(sent, "hitl_details", [self._question(n) for n in names])
            case ("GET", "dagRuns", _, "taskInstances", _, _, "hitlDetails"):
                return self._question(own)
            case ("PATCH", "dagRuns", _, "taskInstances", _, _, "hitlDetails"):
                return {"chosen_options": sent.body["chosen_options"], "responded_at": _MOMENT}
            case ("PATCH", "dagRuns", run, "taskInstances", task, *_, "setNote"):
                return task_instance(task, dag_id=own, dag_run_id=run)
            case ("PATCH", "dagRuns", run, "taskGroupInstances", *_):
                tasks = [task_instance(dag_id=own, dag_run_id=run), *self.affected]
                return {"task_instances": tasks, "total_entries": len(tasks)}
            case ("POST", "favorite" | "unfavorite") | ("PUT" | "PATCH", _, _, _, _, "state-store", _):
                return Reply(204)
            case ("GET", "dagRuns", _, "taskInstances", _, "state-store", *key):
                rows = [{"key": f"key_of_{own}", "value": 1}]
                return rows[0] if key else self._page(sent, "task_state_store", rows)
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
            case ("POST" | "PATCH", "dagRuns", run, "taskInstances", task, "xcomEntries", *key):
                return {"dag_id": own, "dag_run_id": run, "task_id": task, "key": "k", **(sent.body or {})}
            case ("GET", "dagRuns", run, "taskInstances", task, "xcomEntries", *key):
                rows = [{"dag_id": n, "dag_run_id": run, "task_id": task, "key": f"key_of_{n}"} for n in names]
                return rows[0] | {"key": key[0], "value": 1} if key else self._page(sent, "xcom_entries", rows)
            case _:
                return Reply(404, {"detail": f"no {unquote(sent.path)}"})

    def _of_asset(self, method: str, rest: list[str], sent: Sent) -> Any:
        legacy = self.legacy
        match (method, *rest):
            case ("GET",):
                part = dict(sent.query).get("uri_pattern", "")
                rows = [self._asset(uri) for uri in self.assets if part in uri]
                return self._page(sent, "datasets" if legacy else "assets", rows)
            case ("GET", "events"):
                return self._page(sent, "dataset_events" if legacy else "asset_events", self._asset_events())
            case ("POST", "events"):
                return self._asset_events()[0]
            case (
                (_, "queuedEvent", uri)
                | (_, uri, "queuedEvents")
                | (_, uri, "state-store", *_)
                | (_, uri, "materialize")
                | (
                    _,
                    uri,
                )
            ):
                known = next((one for one, facts in self.assets.items() if uri in (one, facts[0])), None)
            case _:
                known = None
        if known is None:
            return Reply(404, {"detail": "no such asset"})
        match (method, *rest[1:]):
            case ("DELETE", *_) | ("PUT", *_):
                return Reply(204)
            case ("POST", "materialize"):
                return self._run(self.assets[known][1], "new")
            case ("GET", "state-store"):
                return self._page(sent, "asset_state_store", [{"key": f"state_of_{known}", "value": 1}])
            case ("GET", "state-store", key):
                return {"key": key, "value": f"state of {self.assets[known][1]}"}
            case ("GET",) if rest[0] != "queuedEvent":
                return self._asset(known)
            case _:
                return self._queued([known], [self.assets[known][2]])

    def _of_shelf(self, method: str, shelf: Shelf, name: str, sent: Sent) -> Any:
        body: Json = sent.body if isinstance(sent.body, dict) else {}
        match method:
            case "GET" if not name:
                return self._page(sent, shelf.key, [shelf.record(one) for one in shelf.names])
            case "POST":
                return Reply(201, shelf.record("new") | body)
            case "PATCH" if not name:
                return {one["action"]: {"success": ["done"], "errors": []} for one in body["actions"]}
            case _ if name not in shelf.names:
                return Reply(404, {"detail": f"no {name}"})
            case "DELETE":
                return Reply(204)
            case _:
                return shelf.record(name) | {key: one for key, one in body.items() if key not in (shelf.id, "pool")}

    def reached(self, sent: Sent) -> set[str]:
        """The DAGs that a request reaches without naming them: through a file, an asset or a backfill."""
        body: Json = sent.body if isinstance(sent.body, dict) else {}
        match (sent.method, *(unquote(part) for part in sent.path.split("/")[1:])):
            case ("PATCH", "dags"):
                return set(self._asked_for(sent))
            case ("PUT", "parseDagFile", token):
                file = self.file_of(token.removeprefix("token-of-"))
                return {name for name in self.dags if self.file_of(name) == file}
            case (_, "backfills", number, *_) if number.isdigit():
                return {self.backfills[int(number)]}
            case (_, "assets" | "datasets", *rest):
                given = [*rest, str(body.get("asset_id")), body.get("dataset_uri")]
                (facts,) = (all_ for uri, all_ in self.assets.items() if uri in given or all_[0] in given)
                return set(facts[1:]) if "state-store" in rest else {facts[1 if "materialize" in rest else 2]}
            case _:
                return set()

    def _asked_for(self, sent: Sent) -> list[str]:
        part = dict(sent.query).get("dag_id_pattern", "").strip("%")
        return [name for name in self.dags if part in name]

    def _listed(self, sent: Sent) -> list[str]:
        return [name for name in self.dags if name in sent.body.get("dag_ids", self.dags)]

    def _asset(self, uri: str) -> Json:
        number, maker, waiter = self.assets[uri]
        tasks = [{"dag_id": maker, "task_id": "make"}] if maker else []
        waiting = {"consuming_dags" if self.legacy else "scheduled_dags": [{"dag_id": waiter}] if waiter else []}
        return {"id": int(number), "name": uri, "uri": uri, "producing_tasks": tasks, "consuming_tasks": [], **waiting}

    def _asset_events(self) -> list[Json]:
        number, uri = ("dataset_id", "dataset_uri") if self.legacy else ("asset_id", "uri")
        return [
            {
                number: int(one),
                uri: name,
                "source_dag_id": maker,
                "created_dagruns": [{"dag_id": waiter, "run_id": "r1"}],
            }
            for name, (one, maker, waiter) in self.assets.items()
        ]

    def _queued(self, uris: list[str], names: list[str]) -> Json:
        rows = [{"dag_id": name, "uri": uri, "created_at": _MOMENT} for uri in uris for name in names]
        return {"queued_events": rows, "total_entries": len(rows)}

    def _backfill(self, number: int) -> Json:
        return {"id": number, "dag_id": self.backfills[number], "from_date": _MOMENT, "to_date": _MOMENT}

    def _question(self, name: str) -> Json:
        place = task_instance(dag_id=name, dag_run_id="r1")
        options = ["Approve", "Reject"]
        return {"task_instance": place, "subject": f"about {name}", "options": options, "response_received": False}

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
