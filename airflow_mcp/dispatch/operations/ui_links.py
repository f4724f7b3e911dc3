"""Parse links of Airflow's UI into ids, and build links from ids, for both generations. Pure: no requests.

3.x (its router): /dags/D, /dags/D/runs/R, /dags/D/runs/R/tasks/T[/mapped/N][?try_number=], /dags/D/tasks/T, /assets/ID.
2.x (www/views.py): /dags/D/grid?dag_run_id=&task_id=&map_index=&tab=, and before that a page per view, as
/log?dag_id=&task_id=&execution_date=. A prefix before these, such as a deployment's name, is ignored.
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

_LISTS = {  # list pages of 2.x (/NAME/list/): the page of 3.x
    "home": "dags", "dagrun": "dag_runs", "taskinstance": "task_instances", "pool": "pools", "job": "jobs",
    "variable": "variables", "connection": "connections", "xcom": "xcoms", "provider": "providers", "plugin": "plugins",
    "log": "events", "configuration": "configs",
}  # fmt: skip
_LIST_PAGES = frozenset({
    "dags", "dag_runs", "task_instances", "pools", "events", "xcoms", "jobs", "variables", "connections", "plugins",
    "providers", "configs", "required_actions", "backfills", "asset_events",
})  # fmt: skip
_API = re.compile(r"/api/(v[12])(/(?!auth/).*)")
_VIEWS = frozenset({  # pages of 2.x whose query holds the DAG's id
    "audit_log", "calendar", "code", "confirm", "dag_details", "dagrun_details", "duration", "extra_links", "gantt",
    "graph", "grid", "landing_times", "log", "redirect_to_external_log", "rendered-k8s", "rendered-templates", "task",
    "tree", "tries", "xcom",
})  # fmt: skip
_QUERY = {  # query parameters of 2.x, its lists included: our argument
    "dag_id": "dag_id", "_flt_3_dag_id": "dag_id", "dag_run_id": "dag_run_id", "run_id": "dag_run_id",
    "_flt_3_run_id": "dag_run_id", "task_id": "task_id", "_flt_3_task_id": "task_id",
    "execution_date": "logical_date", "map_index": "map_index", "try_number": "try_number",
}  # fmt: skip
_IDS = (
    "dag_id", "dag_run_id", "logical_date", "task_id", "task_group_id", "map_index", "try_number", "asset_id",
    "asset_uri",
)  # fmt: skip
_LINKED = ("dag_id", "dag_run_id", "task_id", "map_index")  # fields in a record's link, which shows the latest try
_NUMBERS = frozenset({"map_index", "try_number", "asset_id"})
_OFFSET = re.compile(r"T\d\d:\d\d:\d\d(?:\.\d+)?\+\d\d:?\d\d")
_UNKNOWN = (
    "resolve_url: this is no link to a DAG, run, task instance or asset of Airflow's UI. Such are "
    "https://airflow.example.com/dags/etl/runs/manual__1/tasks/load (3.x) and "
    "https://airflow.example.com/dags/etl/grid?dag_run_id=manual__1&task_id=load&tab=logs (2.x)."
)


@dataclass(frozen=True)
class Link:
    """A parsed link: ids by our argument names, the page or tab, its query, and its host."""

    ids: Json
    page: str
    query: tuple[tuple[str, str], ...]  # names and values, decoded
    host: str  # with its port; empty in a link without host
    is_here: bool  # whether it is under the base URL of this Airflow
    api: tuple[Generation, str] | None = None  # of an address of the REST API: its generation, and the path after it
    other_links: int = 0  # number of links in the same text that name other objects

    def describe_other_host(self, base_url: str) -> str | None:
        """Return a note about a link that is not under this base URL; None for one that is."""
        if self.is_here:
            return None
        base = urlsplit(base_url)
        home = f"{base.netloc.rpartition('@')[2]}{base.path.rstrip('/')}"
        return f"The link leads to {self.host}, this Airflow is {home}: unless both are one, what it names is not here."


def read_link(text: str, base_url: str = "") -> Link:
    """Parse the link in a text from a chat or mail: the first under `base_url`, else the first of any Airflow.

    Raises InvalidArgumentsError when no link is one of Airflow's.
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
    distinct_links = {(str(link.ids), link.page) for link in links if link.is_here == first.is_here}
    return replace(first, other_links=len(distinct_links) - 1)


def parse_link(url: str, base_url: str = "") -> Link:
    """Parse one link. Nothing is decoded twice, except the `uri` of 2.x's /datasets, which its page decodes twice.

    `logical_date` identifies the run where a link of 2.x has only an execution_date. Raises InvalidArgumentsError when
    the link is none of Airflow's.
    """
    try:
        parts, base = urlsplit(url.strip()), urlsplit(base_url)
        is_here = not parts.netloc or (_read_address(parts) == _read_address(base) and _is_under(parts.path, base.path))
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        raise InvalidArgumentsError(_UNKNOWN) from None
    path = parts.path.removeprefix(base.path.rstrip("/")) if is_here else parts.path
    pairs = _parse_query(parts.query)
    if match := _API.search(path):
        generation: Generation = "v1" if match[1] == "v1" else "v2"
        return Link({}, "", pairs, host, is_here, api=(generation, match[2]))
    query = dict(pairs)
    query_ids = {ours: query[theirs] for theirs, ours in _QUERY.items() if query.get(theirs)}
    segments = [part for part in path.split("/") if part]
    if not segments and not (is_here and parts.netloc):
        raise InvalidArgumentsError(_UNKNOWN)
    texts, page = _read(_skip_prefix(segments), query, query_ids)
    return Link(convert_ids(texts), page, pairs, host, is_here)


def convert_ids(texts: Json) -> Json:
    """Return the ids of a link in our order and types, without those that are redundant beside others."""
    ids = {name: _parse_number(value) if name in _NUMBERS else value for name, value in texts.items()}
    if ids.get("map_index") == -1 or "task_id" not in ids:
        ids.pop("map_index", None)
    if "dag_run_id" in ids:
        ids.pop("logical_date", None)
    return {name: ids[name] for name in _IDS if ids.get(name) is not None}


def build_link(base_url: str, generation: Generation, ids: Json) -> str | None:
    """Return the URL of the UI's page for these ids; None without such a page. Only 3.x links to a `try_number`."""
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
    """Return the time of a link with its timezone: in 2.x a time without one is UTC.

    Raises InvalidArgumentsError when the text is not an ISO 8601 time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgumentsError(
            f"The link's execution_date {text[:60]!r} is no moment such as 2026-11-21T08:30:00+00:00."
        ) from None
    return moment.isoformat() if moment.tzinfo else f"{moment.isoformat()}Z"


def add_links(reply: OperationResult, base_url: str, generation: Generation) -> OperationResult:
    """Return the records with the URL of their UI page in the field `ui`, which lists never shorten."""
    original = reply.record
    record = original.model_copy(
        update={"keep": (*original.keep, "ui"), "row": (*original.columns, "ui"), "ids": (*original.ids, "ui")}
    )

    def add_link(fields: Json) -> Json:
        ids = {name: fields.get(name) for name in _LINKED}
        # Redaction of the answer would miss a secret in its quoted form.
        is_secret = any(redact_text(str(value)) != str(value) for value in ids.values())
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
    """Parse a query into names and values; a "+" is a space, except in the offset of a time that was not encoded."""
    pairs: list[tuple[str, str]] = []
    for pair in text.split("&") if text else ():
        name, _, value = pair.partition("=")
        plain = unquote(value)
        pairs.append((unquote_plus(name), plain if "+" in value and _OFFSET.search(plain) else unquote_plus(value)))
    return tuple(pairs)


def _skip_prefix(segments: list[str]) -> list[str]:
    """Drop the segments before the first one that Airflow's UI has."""
    known_segments = _LIST_PAGES | _LISTS.keys() | _VIEWS | {"assets", "datasets"}
    start = next((number for number, segment in enumerate(segments) if segment in known_segments), len(segments))
    return segments[start:] if start < len(segments) or not segments else ["?"]


def _read(segments: list[str], query: dict[str, str], query_ids: Json) -> tuple[Json, str]:
    """Return the ids and the page or tab of a path."""
    match segments:
        case []:
            return {}, "dags"
        case ["dags", dag, *rest]:
            path_ids, page = _read_dag(rest)
            return query_ids | {"dag_id": unquote(dag)} | path_ids, query.get("tab") or page
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
    """Return the ids and the page or tab of the path after /dags/D."""
    match rest:
        case ["runs", run, *tail]:
            task_ids, page = _read_task(tail)
            return {"dag_run_id": unquote(run)} | task_ids, page
        case _:
            return _read_task(rest)


def _read_task(rest: list[str]) -> tuple[Json, str]:
    """Return the ids and the page or tab of the path after /dags/D or /dags/D/runs/R.

    A task group takes precedence over a task called `group`, as in Airflow's router.
    """
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
