"""Pure: a link of Airflow's UI becomes ids, and ids become a link, in the forms of both generations.

3.x (its router): /dags/D, /dags/D/runs/R, /dags/D/runs/R/tasks/T[/mapped/N][?try_number=], /dags/D/tasks/T, /assets/ID.
2.x (www/views.py): /dags/D/grid?dag_run_id=&task_id=&map_index=&tab=, and before that a page per view, as
/log?dag_id=&task_id=&execution_date=. A prefix before these, such as a deployment's name, is passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import SplitResult, quote, unquote, unquote_plus, urlsplit

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.versions import Generation
from airflow_mcp.dispatch.operations.link_text import extract_links, is_login
from airflow_mcp.dispatch.operations.result import OperationResult
from airflow_mcp.errors import InvalidArgumentsError
from airflow_mcp.redact import redact_text

_LISTS = {  # pages of 2.x that list, behind them /list/: the page of 3.x
    "home": "dags", "dagrun": "dag_runs", "taskinstance": "task_instances", "pool": "pools", "job": "jobs",
    "variable": "variables", "connection": "connections", "xcom": "xcoms", "provider": "providers", "plugin": "plugins",
    "log": "events", "configuration": "configs",
}  # fmt: skip
_LIST_PAGES = frozenset({
    "dags", "dag_runs", "task_instances", "pools", "events", "xcoms", "jobs", "variables", "connections", "plugins",
    "providers", "configs", "required_actions", "backfills", "asset_events",
})  # fmt: skip
_API = re.compile(r"/api/(v[12])(/(?!auth/).*)")
_VIEWS = frozenset({  # pages of 2.x that name their DAG in the query
    "audit_log", "calendar", "code", "confirm", "dag_details", "dagrun_details", "duration", "extra_links", "gantt",
    "graph", "grid", "landing_times", "log", "redirect_to_external_log", "rendered-k8s", "rendered-templates", "task",
    "tree", "tries", "xcom",
})  # fmt: skip
_QUERY = {  # in the query of 2.x, its lists included: our name
    "dag_id": "dag_id", "_flt_3_dag_id": "dag_id", "dag_run_id": "dag_run_id", "run_id": "dag_run_id",
    "_flt_3_run_id": "dag_run_id", "task_id": "task_id", "_flt_3_task_id": "task_id",
    "execution_date": "logical_date", "map_index": "map_index", "try_number": "try_number",
}  # fmt: skip
_IDS = (
    "dag_id", "dag_run_id", "logical_date", "task_id", "task_group_id", "map_index", "try_number", "asset_id",
    "asset_uri",
)  # fmt: skip
_LINKED = ("dag_id", "dag_run_id", "task_id", "map_index")  # of a record; the page shows the latest try
_NUMBERS = frozenset({"map_index", "try_number", "asset_id"})
_OFFSET = re.compile(r"T\d\d:\d\d:\d\d(?:\.\d+)?\+\d\d:?\d\d")
_UNKNOWN = (
    "resolve_url: this is no link to a DAG, run, task instance or asset of Airflow's UI. Such are "
    "https://airflow.example.com/dags/etl/runs/manual__1/tasks/load (3.x) and "
    "https://airflow.example.com/dags/etl/grid?dag_run_id=manual__1&task_id=load&tab=logs (2.x)."
)


@dataclass(frozen=True)
class Link:
    """What a link names: ids by our argument names, the page or tab, its query, and whose host it is."""

    ids: Json
    page: str
    query: tuple[tuple[str, str], ...]  # names and values as they stand in the link, decoded
    host: str  # with its port; empty where the link has none
    is_here: bool  # under the address that was given as ours
    api: tuple[Generation, str] | None = None  # an address of the REST API: its generation, and the path behind that
    other_links: int = 0  # further links of the same text that name something else

    def describe_other_host(self, base_url: str) -> str | None:
        """What to say of a link that is not under this address."""
        if self.is_here:
            return None
        ours = urlsplit(base_url)
        here = f"{ours.netloc.rpartition('@')[2]}{ours.path.rstrip('/')}"
        return f"The link leads to {self.host}, this Airflow is {here}: unless both are one, what it names is not here."


def read_link(text: str, base_url: str = "") -> Link:
    """Read the link in a text as a chat or a mail hands it on: the first under `base_url`, else the first of Airflow.

    Raises InvalidArgumentsError.
    """
    links: list[Link] = []
    for url in extract_links(text):
        try:
            links += [] if is_login(url) else [parse_link(url, base_url)]
        except InvalidArgumentsError:
            continue
    if not links:
        raise InvalidArgumentsError(_UNKNOWN)
    first = next((link for link in links if link.is_here), links[0])
    others = {(str(link.ids), link.page) for link in links if link.is_here == first.is_here}
    return replace(first, other_links=len(others) - 1)


def parse_link(url: str, base_url: str = "") -> Link:
    """Read one link. Nothing is decoded twice, but the `uri` of 2.x's /datasets, which its page decodes twice.

    `logical_date` stands for the run where a link of 2.x has an execution_date only. Raises InvalidArgumentsError.
    """
    try:
        parts, base = urlsplit(url.strip()), urlsplit(base_url)
        here = not parts.netloc or (_read_address(parts) == _read_address(base) and _is_under(parts.path, base.path))
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        raise InvalidArgumentsError(_UNKNOWN) from None
    path = parts.path.removeprefix(base.path.rstrip("/")) if here else parts.path
    pairs = _parse_query(parts.query)
    if match := _API.search(path):
        generation: Generation = "v1" if match[1] == "v1" else "v2"
        return Link({}, "", pairs, host, here, api=(generation, match[2]))
    query = dict(pairs)
    asked = {ours: query[theirs] for theirs, ours in _QUERY.items() if query.get(theirs)}
    segments = [part for part in path.split("/") if part]
    if not segments and not (here and parts.netloc):
        raise InvalidArgumentsError(_UNKNOWN)
    found, page = _read(_skip_prefix(segments), query, asked)
    return Link(convert_ids(found), page, pairs, host, here)


def convert_ids(texts: Json) -> Json:
    """The ids that a link names, in our order and types, without what says nothing beside the others."""
    ids = {name: _parse_number(value) if name in _NUMBERS else value for name, value in texts.items()}
    if ids.get("map_index") == -1 or "task_id" not in ids:
        ids.pop("map_index", None)
    if "dag_run_id" in ids:
        ids.pop("logical_date", None)
    return {name: ids[name] for name in _IDS if ids.get(name) is not None}


def build_link(base_url: str, generation: Generation, ids: Json) -> str | None:
    """The UI's page about these ids; None where there is none. `try_number` has a link in 3.x only."""
    base = base_url.rstrip("/")
    if ids.get("dag_id") is None:
        if generation == "v2" and ids.get("asset_id") is not None:
            return f"{base}/assets/{ids['asset_id']}"
        uri = ids.get("asset_uri")
        return f"{base}/datasets?uri={_quote(_quote(uri))}" if generation == "v1" and uri else None
    dag, run, task = (ids.get(name) for name in ("dag_id", "dag_run_id", "task_id"))
    index = ids.get("map_index", -1)
    index = -1 if index is None else index
    if generation == "v1":
        query = {"dag_run_id": run, "task_id": task, "map_index": index if task and index >= 0 else None}
        words = [f"{name}={_quote(value)}" for name, value in query.items() if value is not None]
        words += ["tab=logs"] if run and task else []
        return f"{base}/dags/{_quote(dag)}/grid" + (f"?{'&'.join(words)}" if words else "")
    path = f"{base}/dags/{_quote(dag)}" + (f"/runs/{_quote(run)}" if run else "")
    if task is None:
        return path
    path += f"/tasks/{_quote(task)}" + (f"/mapped/{index}" if run and index >= 0 else "")
    return path + (f"?try_number={ids['try_number']}" if run and ids.get("try_number") else "")


def add_timezone(text: str) -> str:
    """A moment of a link with its timezone: 2.x means UTC where there is none. Raises InvalidArgumentsError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgumentsError(
            f"The link's execution_date {text[:60]!r} is no moment such as 2026-11-21T08:30:00+00:00."
        ) from None
    return moment.isoformat() if moment.tzinfo else f"{moment.isoformat()}Z"


def add_links(reply: OperationResult, base_url: str, generation: Generation) -> OperationResult:
    """The same records, each with the UI's page about it in the field `ui`, which a list never cuts."""
    shown = reply.record
    record = shown.model_copy(
        update={"keep": (*shown.keep, "ui"), "row": (*shown.columns, "ui"), "ids": (*shown.ids, "ui")}
    )

    def add_link(fields: Json) -> Json:
        ids = {name: fields.get(name) for name in _LINKED}
        is_secret = any(redact_text(str(value)) != str(value) for value in ids.values())  # a link would hold it quoted
        return fields | {"ui": None if is_secret else build_link(base_url, generation, ids)}

    rows = None if reply.rows is None else [add_link(row) for row in reply.rows]
    return replace(reply, rows=rows, single=None if reply.single is None else add_link(reply.single), record=record)


def _quote(value: Any) -> str:
    return quote(str(value), safe="")


def _read_address(parts: SplitResult) -> tuple[str | None, int | None]:
    return parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _is_under(path: str, base: str) -> bool:
    return f"{path}/".startswith(f"{base.rstrip('/')}/")


def _parse_query(text: str) -> tuple[tuple[str, str], ...]:
    """Names and values; a "+" is a space, but in a moment's offset: whoever pasted that forgot to encode it."""
    pairs: list[tuple[str, str]] = []
    for pair in text.split("&") if text else ():
        name, _, value = pair.partition("=")
        plain = unquote(value)
        pairs.append((unquote_plus(name), plain if "+" in value and _OFFSET.search(plain) else unquote_plus(value)))
    return tuple(pairs)


def _skip_prefix(segments: list[str]) -> list[str]:
    """The path from the first segment on that Airflow's UI knows."""
    known = _LIST_PAGES | _LISTS.keys() | _VIEWS | {"assets", "datasets"}
    start = next((number for number, segment in enumerate(segments) if segment in known), len(segments))
    return segments[start:] if start < len(segments) or not segments else ["?"]


def _read(segments: list[str], query: dict[str, str], query_ids: Json) -> tuple[Json, str]:
    """Ids, and the page or tab."""
    match segments:
        case []:
            return {}, "dags"
        case ["dags", dag, *rest]:
            found, page = _read_dag(rest)
            return query_ids | {"dag_id": unquote(dag)} | found, query.get("tab") or page
        case ["assets", asset, *_] if asset.isdecimal():
            return {"asset_id": asset}, ""
        case ["assets"]:
            return {}, "assets"
        case ["datasets", *_] if query.get("uri"):
            return {"asset_uri": unquote(query["uri"])}, ""
        case [page, "list", *_] if page in _LISTS:
            return query_ids, _LISTS[page]
        case [page, *_] if page in _VIEWS and "dag_id" in query_ids:
            return query_ids, page
        case ["home", *_]:
            return query_ids, "dags"
        case [page, *_] if page in _LIST_PAGES:
            return query_ids, page
        case _:
            raise InvalidArgumentsError(_UNKNOWN)


def _read_dag(rest: list[str]) -> tuple[Json, str]:
    """What stands behind /dags/D."""
    match rest:
        case ["runs", run, *more]:
            found, page = _read_task(more)
            return {"dag_run_id": unquote(run)} | found, page
        case _:
            return _read_task(rest)


def _read_task(rest: list[str]) -> tuple[Json, str]:
    """What stands behind /dags/D or /dags/D/runs/R; a group comes before a task called `group`, as in the router."""
    match rest:
        case ["tasks", task, "mapped", index, *page] if index.isdecimal():
            return {"task_id": unquote(task), "map_index": index}, page[0] if page else ""
        case ["tasks", "group", group, *page]:
            return {"task_group_id": unquote(group)}, page[0] if page else ""
        case ["tasks", task, *page]:
            return {"task_id": unquote(task)}, page[0] if page else ""
        case [page, *_]:
            return {}, page
        case _:
            return {}, ""


def _parse_number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?\d{1,9}", text) else None
