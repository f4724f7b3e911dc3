"""Secrets of every known form, planted wherever Airflow shows something: none is in any byte that leaves the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.client import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult

from airflow_mcp.catalog.load import load_catalog

from .canaries import CODE, FORMS, NESTED, UNSEEN, block, forms_of, held_in, text, tree, unseen
from .harness import Heard, Json, Site, Talker

RUN: Json = {"dag_id": "canaries", "dag_run_id": "full-1"}
SUNG: Json = RUN | {"task_id": "sing"}
FALLEN: Json = RUN | {"task_id": "fall"}
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
    "exception": block("exception"),
}
ALL: Json = {"fields": ["*"], "max_chars": 100_000}
LONG: Json = {"max_chars": 100_000}
READS: list[tuple[str, Json]] = [
    ("list_dags", {"dag_id_pattern": "canaries"} | ALL),
    ("get_dag", {"dag_id": "canaries"} | ALL),
    ("get_dag_details", {"dag_id": "canaries"} | ALL),
    ("get_dag_source", {"dag_id": "canaries"} | ALL),
    ("list_tasks", {"dag_id": "canaries"} | ALL),
    ("list_dag_tags", {}),
    ("list_dag_warnings", ALL),
    ("list_dag_runs", {"dag_id": "canaries"} | ALL),
    ("list_dag_runs", {"dag_id": "~"} | ALL),
    ("get_dag_run", RUN | ALL),
    ("wait_for_dag_run", RUN),
    ("diagnose_dag_run", RUN | LONG),
    ("why_not_running", RUN | LONG),
    ("health_report", LONG),
    ("get_dag_overview", {"dag_id": "canaries"} | LONG),
    ("resolve_url", {"url": "http://127.0.0.1/dags/canaries/runs/full-1"}),
    ("list_task_instances", RUN | ALL),
    ("get_task_instance", SUNG | ALL),
    ("list_task_instance_tries", SUNG | ALL),
    ("read_task_log", SUNG | LONG),
    ("read_task_log", SUNG),
    ("read_task_log", FALLEN | LONG),
    ("read_task_log", FALLEN | {"max_chars": 600}),
    ("list_xcoms", SUNG | ALL),
    ("get_xcom", SUNG | ALL | {"xcom_key": "return_value"}),
    ("get_xcom", SUNG | ALL | {"xcom_key": "text"}),
    ("list_event_logs", {"dag_id": "canaries"} | ALL),
    ("list_event_logs", ALL),
    ("list_import_errors", ALL),
    ("list_pools", ALL),
    ("get_pool", POOL | ALL),
    ("get_health", ALL),
    ("get_version", ALL),
    ("list_providers", ALL),
    ("explain_permission", {"tool": "trigger_dag_run", "arguments": RUN | {"conf": CONF}}),
]
CHANGES: list[tuple[str, Json]] = [
    ("clear_dag_run", RUN | LONG),
    ("clear_dag_run", RUN | LONG | {"dry_run": False}),
    ("clear_task_instances", RUN | LONG | {"dry_run": False}),
    ("delete_dag_run", RUN),
    ("delete_dag", {"dag_id": "canaries"}),
    ("delete_pool", POOL),
    ("update_pool", POOL | {"slots": 2}),
    ("create_pool", {"name": "aviary", "slots": 1, "description": block("pool")}),
    ("set_dag_run_state", RUN | {"state": "failed"}),
    ("trigger_dag_run", RUN | {"conf": CONF, "note": block("argument")}),
    *[("trigger_dag_run", {"dag_id": "canaries", "conf": {"birds": text("error", form)}}) for form in FORMS],
]
"""Previews that are not carried out, changes that leave what is planted as it is, and calls that Airflow refuses."""

PATHS: dict[str, str] = {
    "conf": "/dags/canaries/dagRuns/full-1",
    "run note": "/dags/canaries/dagRuns/full-1",
    "text": "/dags/canaries/dagRuns/full-1/taskInstances/sing/xcomEntries/text",
    "xcom": "/dags/canaries/dagRuns/full-1/taskInstances/sing/xcomEntries/return_value",
    "rendered": "/dags/canaries/dagRuns/full-1/taskInstances/sing",
    "task note": "/dags/canaries/dagRuns/full-1/taskInstances/sing",
    LOGGED: "/dags/canaries/dagRuns/full-1/taskInstances/sing/logs/1",
    PRINTED: "/dags/canaries/dagRuns/full-1/taskInstances/sing/logs/1",
    "exception": "/dags/canaries/dagRuns/full-1/taskInstances/fall/logs/1",
    "param": "/dags/canaries/details",
    "doc": "/dags/canaries/details",
    "import error": "/importErrors",
    "pool": "/pools/aviary",
    "variable": "/variables/aviary",
    "connection": "/connections/aviary",
    "config": "/config",
}
"""Where Airflow's own REST API shows each place; "source" and "code" are in the DAG's source, "error" in a refusal."""
PLACES = (*PATHS, "source", "code", "error", "argument")
UNREAD = ("variable", "connection", "config")
"""Places that no tool reads: what is planted there must not come out by another way either."""
STRUCTURED = ("conf", "xcom")
"""Places that are an object, so that a secret can stand under a telling key in it."""


def forms_in(place: str) -> set[str]:
    """The forms that are planted in a place."""
    return {*forms_of(place), *([NESTED] if place in STRUCTURED else [])}


def put_notes(site: Site) -> None:
    """Write the notes, each in the way of this Airflow."""
    run, task = PATHS["run note"], PATHS["task note"]
    for path, place in ((run, "run note"), (task, "task note")):
        site.change("PATCH", f"{path}/setNote" if site.is_old else path, {"note": block(place)})


@pytest.fixture(scope="module")
def planted(site: Site) -> Iterator[Site]:
    """The Airflow with everything planted; what other tests would see is gone afterwards."""
    body = {"dag_run_id": RUN["dag_run_id"], "conf": CONF} | ({} if site.is_old else {"logical_date": None})
    site.change("POST", "/dags/canaries/dagRuns", body)
    site.ended("canaries", "full-1")
    put_notes(site)
    pool = {"name": "aviary", "slots": 1, "description": block("pool"), "include_deferred": False}
    site.change("POST", "/pools", pool)
    site.change("POST", "/variables", {"key": "aviary", "value": block("variable")})
    connection = {"connection_id": "aviary", "conn_type": "http", "host": "aviary.example.invalid", "login": "wren"}
    secrets = {"password": text("connection", "pair"), "extra": json.dumps(tree("connection"))}
    site.change("POST", "/connections", connection | secrets | {"description": block("connection")})
    try:
        yield site
    finally:
        for path in ("/pools/aviary", "/variables/aviary", "/connections/aviary"):
            site.change("DELETE", path)


class Caught:
    """What one server gave away, by what it was asked, and what it wrote."""

    def __init__(self, talker: Talker, audit: Path) -> None:
        self.said: dict[str, str] = {}
        self.failed: list[str] = []
        self._talker = talker
        self._audit = audit

    def ask(self, tool: str, arguments: Json) -> Json:
        """Make a call and keep the whole of its result, and its progress."""
        heard: Heard = []
        result = self._talker.result(tool, arguments, heard)
        self.said[f"{tool} {len(self.said)}"] = result.model_dump_json() + str(heard)
        if result.is_error:
            self.failed.append(tool)
        return result.structured_content or {}

    def everything(self) -> dict[str, str]:
        """All of it, with the audit file and stderr."""
        return self.said | {"audit": self._audit.read_text(), "stderr": self._talker.stderr}


def catch(site: Site, name: str, allow: str, folder: Path) -> Caught:
    """Ask one server every read that can show what is planted."""
    audit = folder / f"{name}-{site.version}.jsonl"
    caught = Caught(site.talker(name, allow=allow, audit=str(audit)), audit)
    for tool, arguments in READS:
        caught.ask(tool, arguments)
    errors = site.reader.rows("list_import_errors")
    for row in errors:
        caught.ask("get_import_error", {"import_error_id": row["import_error_id"]} | ALL)
    return caught


@pytest.fixture(scope="module")
def masked(planted: Site, tmp_path_factory: pytest.TempPathFactory) -> Caught:
    """What the server gives to everybody, previews and refusals included, and the question it puts to a human."""
    folder = tmp_path_factory.mktemp("canaries")
    caught = catch(planted, "canaries", "*", folder)
    for tool, arguments in CHANGES:
        caught.ask(tool, arguments)
    rules = '[[policy.allow]]\ntools = ["delete_pool", "delete_dag_run"]\nconfirm = "human"\n'
    questions: list[str] = []

    async def decline(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        questions.append(params.model_dump_json())
        return ElicitResult(action="decline")

    talker = planted.ruled("canaries-human", rules, mode="legacy", human=decline)
    talker.refusal("delete_pool", **POOL)
    talker.refusal("delete_dag_run", **RUN)
    assert len(questions) == 2
    caught.said["questions"] = str(questions)
    return caught


@pytest.fixture(scope="module")
def shown(planted: Site, tmp_path_factory: pytest.TempPathFactory) -> Caught:
    """What the server gives to whom the operator shows secrets."""
    return catch(planted, "canaries-shown", "*,@secret", tmp_path_factory.mktemp("canaries-shown"))


def held_by_airflow(site: Site, place: str) -> set[str]:
    """The forms of a place that Airflow itself gives away to whoever may read there."""
    if place in ("source", "code"):
        name = site.held("/dags/canaries")["file_token"] if site.is_old else "canaries"
        return held_in(str(site.held(f"/dagSources/{name}")), place)
    if place == "error":
        said: list[Any] = []
        for form in FORMS:
            body: Json = {"dag_run_id": "never", "conf": {"birds": text(place, form)}}
            body |= {} if site.is_old else {"logical_date": None}
            status, answer = site.rest("POST", "/dags/canaries/dagRuns", body)
            assert status in (400, 422), answer
            said.append(answer)
        return held_in(str(said), place)
    return held_in(str(site.held(PATHS[place])), place)


@pytest.mark.parametrize("place", [place for place in PLACES if place != "argument"])
def test_airflow_itself_shows_what_is_planted(planted: Site, place: str) -> None:
    """Else the tests below would prove nothing. Airflow 3.3 masks JSON web tokens in log lines by itself."""
    masked_by_airflow = {"jwt"} if place in (LOGGED, PRINTED) and not planted.is_old else set[str]()
    assert forms_in(place) - held_by_airflow(planted, place) == masked_by_airflow


def test_airflow_writes_the_conf_of_a_run_into_its_event_log(planted: Site) -> None:
    """It masks what stands under a telling key there, and nothing else."""
    logs = str(planted.held("/eventLogs?dag_id=canaries"))
    assert forms_in("conf") - held_in(logs, "conf") == {NESTED}


@pytest.mark.parametrize("form", [*FORMS, NESTED, *CODE])
def test_no_byte_that_leaves_holds_a_secret_of_this_form(masked: Caught, form: str) -> None:
    found = {
        f"{place} in {label.split()[0]}"
        for label, said in masked.everything().items()
        for place in PLACES
        if form in forms_in(place) & held_in(said, place)
    }
    assert found == set()


def test_a_character_that_is_not_seen_hides_no_secret_and_does_not_leave(masked: Caught, planted: Site) -> None:
    assert planted.held(PATHS["conf"])["conf"]["hidden"] == HIDDEN_TEXT
    everything = masked.everything()
    assert {label.split()[0] for label, said in everything.items() if HIDDEN in said} == set()
    assert {label.split()[0] for label, said in everything.items() if UNSEEN in said} == set()


def test_every_read_of_the_catalog_was_asked(masked: Caught, planted: Site) -> None:
    asked = {label.split()[0] for label in masked.said}
    assert {name for name, tool in load_catalog().tools.items() if tool.entry.access == "read"} - asked == set()
    refused = {"create_pool", "trigger_dag_run", *(["list_dag_tags"] if planted.is_old else [])}
    assert set(masked.failed) == refused


def test_what_was_changed_on_the_way_left_the_secrets_in_airflow_as_they_were(masked: Caught, planted: Site) -> None:
    assert masked.said
    pool = planted.held("/pools/aviary")
    assert (pool["slots"], pool["description"]) == (2, block("pool"))
    run = planted.held(PATHS["conf"])
    assert (run["conf"], run["note"]) == (CONF, block("run note"))


@pytest.mark.parametrize("place", [place for place in PATHS if place not in (LOGGED, PRINTED, "exception", *UNREAD)])
def test_whom_the_operator_shows_secrets_sees_them(shown: Caught, place: str) -> None:
    """This also says that the same calls, without that permission, left something out."""
    seen: set[str] = set().union(*(held_in(said, place) for said in shown.said.values()))
    assert forms_in(place) - seen == set()


def test_whom_the_operator_shows_secrets_sees_them_in_the_source(shown: Caught) -> None:
    (source,) = (said for label, said in shown.said.items() if label.startswith("get_dag_source"))
    assert held_in(source, "source") == forms_in("source")
    assert held_in(source, "code") == forms_in("code")


def test_the_audit_file_holds_no_secret_even_where_results_show_them(shown: Caught) -> None:
    written = shown.everything()["audit"]
    assert "explain_permission" in written
    found = {form for form in FORMS if form in held_in(written, "conf")}
    assert found == set()
