"""Where canaries are planted in an Airflow, how they get there and leave again, and what asks for each place."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.catalog.schema import build_input_schema

from .canaries import FORMS, NESTED, block, forms_of, text, tree, unseen
from .harness import Json, Site
from .passing import passing_backfill, passing_question, taken
from .rows_assets import asset

TOOLS = load_catalog().tools
NEST = "x-canaries://nest"
RUN: Json = {"dag_id": "canaries", "dag_run_id": "full-1"}
SUNG: Json = RUN | {"task_id": "sing"}
FALLEN: Json = RUN | {"task_id": "fall"}
ASKING: Json = {"dag_id": "canaries_asking", "dag_run_id": "asked", "task_id": "choose"}
POOL: Json = {"pool_name": "aviary"}
LOGGED, PRINTED = "log", "print"
HIDDEN, HIDDEN_TEXT = unseen("conf")
CONF: Json = {
    "conf": tree("conf"),
    "hidden": HIDDEN_TEXT,
    LOGGED: [text(LOGGED, form) for form in FORMS],
    PRINTED: block(PRINTED),
    "text": block("text"),
    "xcom": tree("xcom"),
    "rendered": block("rendered"),
    "mapped": block("mapped"),
    "exception": block("exception"),
}
TRIED: Json = {"connection_id": "tried", "conn_type": "fs", "extra": json.dumps({"path": block("tried")})}
"""A connection whose test says what it tried."""

_RUN = "/dags/canaries/dagRuns/full-1"
_TASK = f"{_RUN}/taskInstances/sing"
_ASKED = "/dags/canaries_asking/dagRuns/asked/taskInstances/choose/-1/hitlDetails"
PATHS: dict[str, str] = {
    "conf": _RUN,
    "run note": _RUN,
    "text": f"{_TASK}/xcomEntries/text",
    "xcom": f"{_TASK}/xcomEntries/return_value",
    "rendered": _TASK,
    "mapped": f"{_RUN}/taskInstances/echo/listMapped",
    "task note": _TASK,
    LOGGED: f"{_TASK}/logs/1",
    PRINTED: f"{_TASK}/logs/1",
    "exception": f"{_RUN}/taskInstances/fall/logs/1",
    "param": "/dags/canaries/details",
    "doc": "/dags/canaries/details",
    "task doc": "/dags/canaries/tasks/sing",
    "link": f"{_RUN}/taskInstances/perch/links",
    "import error": "/importErrors",
    "pool": "/pools/aviary",
    "variable": "/variables/aviary",
    "variable tree": "/variables/aviary-tree",
    "variable description": "/variables/aviary",
    "connection description": "/connections/aviary",
    "host": "/connections/aviary",
    "login": "/connections/aviary",
    "schema": "/connections/aviary",
    "extra": "/connections/aviary",
    "config": "/config",
    "asset": "/assets",
    "event": "/assets/events",
}
"""Where Airflow's own REST API shows each place; "source" and "code" are in the DAG's source, "error" in a refusal."""
ONLY_OLD: dict[str, str] = {"asset": "/datasets", "event": "/datasets/events", "user": "/users/wren"}
ONLY_NEW: dict[str, str] = {
    "made": f"{_TASK}/xcomEntries/made",
    "asset state": "/assets/{asset_id}/state-store/aviary",
    "task state": f"{_TASK}/state-store/aviary",
    "backfill": "/backfills?dag_id=grouped",
    "plugin": "/plugins/importErrors",
    "subject": _ASKED,
    "body": _ASKED,
    "choice": _ASKED,
}
PLACES = (*PATHS, "user", *ONLY_NEW, "source", "code", "error", "tried", "argument", "answer")
STRUCTURED = (
    *("conf", "xcom", "variable tree", "extra", "event"),
    *("made", "asset state", "task state", "backfill"),
)
"""Places that are an object, so that a secret can stand under a telling key in it."""

SHORT = {"host": "address", "login": "pair", "schema": "header", "user": "spaced"}
"""Places that have room for one form alone."""


def paths(site: Site) -> dict[str, str]:
    """The path of every place that this Airflow has."""
    if site.is_old:
        return PATHS | ONLY_OLD
    number = asset(site, NEST)["id"]
    return PATHS | {place: path.format(asset_id=number) for place, path in ONLY_NEW.items()}


def forms_in(place: str) -> set[str]:
    """The forms that are planted in a place."""
    return {SHORT[place]} if place in SHORT else {*forms_of(place), *([NESTED] if place in STRUCTURED else [])}


def new_run(site: Site, dag_run: Json) -> None:
    """Start the run and wait for its end."""
    dag_id, run_id = dag_run["dag_id"], dag_run["dag_run_id"]
    body = {"dag_run_id": run_id, "conf": CONF} | ({} if site.is_old else {"logical_date": None})
    site.change("POST", f"/dags/{dag_id}/dagRuns", body)
    site.ended(dag_id, run_id)


def put_notes(site: Site) -> None:
    """Write the notes, each in the way of this Airflow."""
    for place in ("run note", "task note"):
        site.change("PATCH", f"{PATHS[place]}/setNote" if site.is_old else PATHS[place], {"note": block(place)})


def put_states(site: Site) -> None:
    """What Airflow 3.3 remembers of a task and of an asset, and an XCom that no task pushed."""
    held = paths(site)
    for place in ("asset state", "task state"):
        site.change("PUT", held[place], {"value": tree(place)})
    site.change("POST", held["made"].removesuffix("/made"), {"key": "made", "value": tree("made")})


PUT: list[tuple[str, str, Json]] = [
    ("/pools", "/aviary", {"name": "aviary", "slots": 1, "description": block("pool"), "include_deferred": False}),
    (
        "/variables",
        "/aviary",
        {"key": "aviary", "value": block("variable"), "description": block("variable description")},
    ),
    ("/variables", "/aviary-tree", {"key": "aviary-tree", "value": json.dumps(tree("variable tree"))}),
    (
        "/connections",
        "/aviary",
        {"connection_id": "aviary", "conn_type": "http", "description": block("connection description")}
        | {name: text(name, SHORT[name]) for name in ("host", "login", "schema")}
        | {"password": text("argument", "spaced"), "extra": json.dumps(tree("extra"))},
    ),
]
"""What is there for a while: where it is made, where under it it then is, and what it is."""
USER: Json = {
    "username": "wren",
    "email": "w@example.invalid",
    "first_name": text("user", SHORT["user"]),
    "last_name": "W.",
    "password": text("argument", "jwt"),
    "roles": [{"name": "Viewer"}],
}


@contextmanager
def planted_in(site: Site) -> Generator[None]:
    """Everything is planted for the block; what other tests would see is gone afterwards."""
    with ExitStack() as undo:
        for path, name, body in [*PUT, *([("/users", "/wren", USER)] if site.is_old else [])]:
            site.change("POST", path, body)
            undo.callback(site.change, "DELETE", path + name)
        event: Json = {"dataset_uri": NEST} if site.is_old else {"asset_id": asset(site, NEST)["id"]}
        site.change("POST", paths(site)["event"], event | {"extra": tree("event")})
        new_run(site, RUN)
        put_notes(site)
        if not site.is_old:
            put_states(site)
            undo.enter_context(passing_backfill(site, "2026-03-09T00:00:00Z", dag_run_conf=tree("backfill")))
            undo.enter_context(passing_question(site, ASKING["dag_run_id"], ASKING["dag_id"]))
        yield


# -- what to ask --

IDS: Json = (
    SUNG
    | POOL
    | {
        "try_number": 1,
        "version_number": 1,
        "xcom_key": "text",
        "uri": NEST,
        "variable_key": "aviary",
        "connection_id": "aviary",
        "state_key": "aviary",
        "username": "wren",
        "role_name": "Viewer",
        "option": "instance_name",
        "subdir": "dags",
        "query": block("argument"),
        "url": "http://127.0.0.1/dags/canaries/runs/full-1",
        "tool": "get_xcom",
    }
)
"""What a tool that needs an argument of this name is told."""
WIDE: Json = {"fields": ["*"], "max_chars": 100_000}
OWN_IDS: dict[str, Json] = {
    "list_mapped_task_instances": {"task_id": "echo"},
    "list_extra_links": {"task_id": "perch"},
    "list_backfills": {"dag_id": "grouped"},
    "get_dag_stats": {"dag_ids": ["canaries"]},
    "list_queued_asset_events": {"dag_id": "canaries_brooding"},
    "get_queued_asset_event": {"dag_id": "canaries_brooding"},
    **dict.fromkeys(("list_hitl_details", "get_hitl_detail", "get_hitl_detail_try"), ASKING),
    "call_tool": {"arguments": SUNG | WIDE | {"xcom_key": "return_value"}},
    "explain_permission": {"tool": "trigger_dag_run", "arguments": RUN | {"conf": CONF}},
}
"""What a tool is told instead, or besides."""


def numbers(site: Site) -> dict[str, Json]:
    """Arguments that only this Airflow knows: ids that it gave."""
    event = "api.post_dag_run" if site.is_old else "trigger_dag_run"
    written = site.held(f"/eventLogs?dag_id=canaries&event={event}")["event_logs"]
    broken = [one for one in site.held("/importErrors")["import_errors"] if "canaries" in one["filename"]]
    found: dict[str, Json] = {
        "get_event_log": {"event_log_id": written[0]["event_log_id"]},
        "get_import_error": {"import_error_id": broken[0]["import_error_id"]},
        "list_upstream_asset_events": taken(site, "canaries_nesting"),
        "get_config_value": {"section": "webserver" if site.is_old else "api"},
        "get_asset_alias": {"asset_alias_id": 1},
        "get_backfill": {"backfill_id": 1},
        "wait_for_backfill": {"backfill_id": 1, "timeout_seconds": 1},
        "get_connection_test": {"token": "none"},
    }
    if site.is_old:
        return found
    found["get_asset_alias"]["asset_alias_id"] = site.held("/assets/aliases")["asset_aliases"][0]["id"]
    backfills = site.held("/backfills?dag_id=grouped&order_by=-id")["backfills"]
    found["get_backfill"]["backfill_id"] = found["wait_for_backfill"]["backfill_id"] = backfills[0]["id"]
    found["get_connection_test"]["token"] = tried(site)
    return found


def tried(site: Site) -> str:
    """The token of a connection test that a worker has made."""
    token = site.admin.ask("enqueue_connection_test", **TRIED)["token"]
    while site.admin.ask("get_connection_test", token=token)["state"] in ("pending", "queued", "running"):
        pass
    return token


def questions(site: Site) -> list[tuple[str, Json]]:
    """A call of every tool that reads, about what is planted, with all fields."""
    own, asked = numbers(site), list[tuple[str, Json]]()
    for name, tool in TOOLS.items():
        if tool.entry.access != "read":
            continue
        ids = IDS | OWN_IDS.get(name, {}) | own.get(name, {})
        properties = build_input_schema(tool, load_catalog())["properties"]
        wanted = {use.name for use in tool.entry.params if use.required} | OWN_IDS.get(name, {}).keys()
        wanted |= {*tool.entry.any_of[-1:]} if "uri" in tool.entry.any_of else {*tool.entry.any_of[:1]}
        wanted |= own.get(name, {}).keys()
        told = {key: ids[key] for key in sorted(wanted & properties.keys())}
        asked.append((name, told | {key: value for key, value in WIDE.items() if key in properties}))
    return asked


MORE: list[tuple[str, Json]] = [
    ("list_dag_runs", {"dag_id": "~"} | WIDE),
    ("diagnose_dag_run", RUN | {"max_chars": 100_000}),
    ("why_not_running", RUN | {"max_chars": 100_000}),
    ("read_task_log", SUNG),
    ("read_task_log", FALLEN | {"max_chars": 100_000}),
    ("read_task_log", FALLEN | {"max_chars": 600}),
    ("get_xcom", SUNG | WIDE | {"xcom_key": "return_value"}),
    ("get_variable", {"variable_key": "aviary-tree"} | WIDE),
    ("list_event_logs", {"dag_id": "canaries"} | WIDE),
    ("list_task_instances", {"dag_id": "~", "dag_run_id": "~"} | WIDE),
    ("list_xcoms", {"dag_id": "~", "dag_run_id": "~", "task_id": "~"} | WIDE),
    ("list_dags", {"dag_id_pattern": block("argument")}),
]
"""Reads in other ways."""
MORE_NEW: list[tuple[str, Json]] = [
    ("get_xcom", SUNG | WIDE | {"xcom_key": "made"}),
    ("get_xcom", RUN | WIDE | {"task_id": "perch", "xcom_key": "_link_Song"}),
    ("list_hitl_details", {"dag_id": "~", "dag_run_id": "~"} | WIDE),
]
