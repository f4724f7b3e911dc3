"""Secrets of every known form, planted wherever Airflow shows something: none is in any byte that leaves the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.client import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult

from .canaries import CODE, FORMS, NESTED, UNSEEN, block, held_in, text, tree
from .harness import Heard, Json, Site, Talker
from .planting import (
    ASKING,
    CONF,
    HIDDEN,
    HIDDEN_TEXT,
    LOGGED,
    MORE,
    MORE_NEW,
    NEST,
    PLACES,
    POOL,
    PRINTED,
    RUN,
    SUNG,
    TOOLS,
    TRIED,
    WIDE,
    forms_in,
    paths,
    planted_in,
    questions,
)
from .test_every_tool import can_succeed

LONG: Json = {"max_chars": 100_000}
MADE: Json = SUNG | {"xcom_key": "made"}
OF_TASK: Json = SUNG | {"state_key": "aviary"}
OF_ASSET: Json = {"uri": NEST, "state_key": "aviary"}
VARIABLE: Json = {"variable_key": "aviary"}
CONNECTION: Json = {"connection_id": "aviary"}
SECRETS: Json = {"password": text("argument", "pair"), "extra": tree("argument")}
KEPT: Json = {"password": text("argument", "spaced"), "extra": tree("extra")}
CHANGES: list[tuple[str, Json]] = [
    ("clear_dag_run", RUN | LONG),
    ("clear_dag_run", RUN | LONG | {"dry_run": False}),
    ("clear_task_instances", RUN | LONG | {"dry_run": False}),
    ("clear_dag_runs", {"dag_id": "canaries", "dag_run_ids": ["full-1"]} | LONG),
    ("set_task_instance_state", SUNG | {"new_state": "failed", "dry_run": True}),
    ("delete_dag_run", RUN),
    ("delete_dag", {"dag_id": "canaries"}),
    ("delete_task_instance", SUNG),
    ("delete_pool", POOL),
    ("update_pool", POOL | {"slots": 2}),
    ("set_dag_run_state", RUN | {"state": "failed"}),
    ("set_task_instance_note", SUNG | {"note": block("task note")}),
    ("create_asset_event", {"uri": NEST, "extra": tree("event")}),
    ("set_asset_state", OF_ASSET | {"value": tree("asset state")}),
    ("delete_asset_state", OF_ASSET),
    ("clear_asset_states", {"uri": NEST}),
    ("set_task_state", OF_TASK | {"value": tree("task state")}),
    ("update_task_state", OF_TASK | {"value": tree("task state")}),
    ("delete_task_state", OF_TASK),
    ("clear_task_states", SUNG),
    ("update_xcom", MADE | {"value": tree("made")}),
    ("delete_xcom", MADE),
    ("update_variable", VARIABLE | {"value": block("variable")}),
    ("delete_variable", VARIABLE),
    ("bulk_variables", {"update": [{"variable_key": "aviary", "value": block("variable")}], "delete": ["aviary-tree"]}),
    ("update_connection", CONNECTION | KEPT | {"description": block("connection description")}),
    ("delete_connection", CONNECTION),
    ("bulk_connections", {"update": [CONNECTION | KEPT]}),
    ("test_connection", TRIED),
    ("test_connection", TRIED | {"conn_type": "no_such_kind"} | SECRETS),
    ("create_backfill", {"dag_id": "grouped", "from_date": "2026-03-09T00:00:00Z", "to_date": "2026-03-09T00:00:00Z"}),
    ("answer_hitl_detail", ASKING | {"chosen_options": ["sing"], "params_input": {"words": block("answer")}}),
    ("get_hitl_detail", ASKING | WIDE),
    ("list_hitl_details", ASKING | WIDE),
]
"""Previews that are not carried out, and changes that leave what is planted as it is."""
REFUSED: list[tuple[str, Json]] = [
    ("create_pool", {"pool_name": "aviary", "slots": 1, "description": block("argument")}),
    ("create_variable", VARIABLE | {"value": block("argument")}),
    ("create_connection", CONNECTION | {"conn_type": "http"} | SECRETS),
    ("create_xcom", MADE | {"value": tree("argument")}),
    ("trigger_dag_run", RUN | {"conf": CONF, "note": block("argument")}),
    ("trigger_and_wait", RUN | {"conf": CONF, "note": block("argument")}),
    ("get_dag_source", {"dag_id": text("argument", "pair")}),
    *[("trigger_dag_run", {"dag_id": "canaries", "conf": {"birds": text("error", form)}}) for form in FORMS],
]
"""Calls that are refused."""


@pytest.fixture(scope="module")
def planted(site: Site) -> Iterator[Site]:
    """The Airflow with everything planted; what other tests would see is gone afterwards."""
    with planted_in(site):
        yield site


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
    for tool, arguments in [*questions(site), *MORE, *([] if site.is_old else MORE_NEW)]:
        caught.ask(tool, arguments)
    return caught


@pytest.fixture(scope="module")
def masked(planted: Site, tmp_path_factory: pytest.TempPathFactory) -> Caught:
    """What the server gives to everybody, previews and refusals included, and the question it puts to a human."""
    folder = tmp_path_factory.mktemp("canaries")
    caught = catch(planted, "canaries", "*", folder)
    for tool, arguments in [*CHANGES, *REFUSED]:
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


SAID_BY_US = ("argument", "answer")
"""Places that only a call of ours brings to Airflow."""
UNSHOWN = (*SAID_BY_US, LOGGED, PRINTED, "exception", "source", "code", "error", "tried")
"""Places that the calls of that test do not show."""
CUT = ("config", "event", "plugin")
"""Places that are only in rows, whose texts are cut."""


def kept_by_airflow(site: Site, place: str) -> set[str]:
    """The forms of a place that Airflow does not show: it masks them itself, or has no such place."""
    if place not in paths(site) and place not in ("source", "code", "error", "tried"):
        return forms_in(place)
    if place in (LOGGED, PRINTED):
        return set() if site.is_old else {"jwt"}
    masked = {"extra"} if site.is_old else {"extra", "variable tree", "event"}
    return {NESTED} if place in masked else set()


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
    if place == "tried":
        return held_in(str(site.rest("POST", "/connections/test", TRIED)), place)
    path = paths(site).get(place)
    return held_in(str(site.held(path)), place) if path else set()


@pytest.mark.parametrize("place", [place for place in PLACES if place not in SAID_BY_US])
def test_airflow_itself_shows_what_is_planted(planted: Site, place: str) -> None:
    """Else the tests below would prove nothing. What it masks by itself, and what it lacks, is told here."""
    assert forms_in(place) - held_by_airflow(planted, place) == kept_by_airflow(planted, place)


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
    assert planted.held(paths(planted)["conf"])["conf"]["hidden"] == HIDDEN_TEXT
    everything = masked.everything()
    assert {label.split()[0] for label, said in everything.items() if HIDDEN in said} == set()
    assert {label.split()[0] for label, said in everything.items() if UNSEEN in said} == set()


def test_every_read_of_the_catalog_was_asked(masked: Caught, planted: Site) -> None:
    """And answered, but for what this Airflow lacks."""
    asked = {label.split()[0] for label in masked.said}
    assert {name for name, tool in TOOLS.items() if tool.entry.access == "read"} - asked == set()
    lacking = {name for name in asked & TOOLS.keys() if not can_succeed(planted, name)}
    assert set(masked.failed) == lacking | {tool for tool, _ in REFUSED}


def test_what_was_changed_on_the_way_left_the_secrets_in_airflow_as_they_were(masked: Caught, planted: Site) -> None:
    assert masked.said
    pool = planted.held("/pools/aviary")
    assert (pool["slots"], pool["description"]) == (2, block("pool"))
    run = planted.held(paths(planted)["conf"])
    assert (run["conf"], run["note"]) == (CONF, block("run note"))


@pytest.mark.parametrize("place", [place for place in PLACES if place not in UNSHOWN])
def test_whom_the_operator_shows_secrets_sees_them(shown: Caught, planted: Site, place: str) -> None:
    """This also says that the same calls, without that permission, left something out."""
    seen: set[str] = set().union(*(held_in(said, place) for said in shown.said.values()))
    forms = forms_in(place) - kept_by_airflow(planted, place)
    assert forms & seen if place in CUT and forms else forms <= seen


def test_whom_the_operator_shows_secrets_sees_them_in_the_source(shown: Caught) -> None:
    (source,) = (said for label, said in shown.said.items() if label.startswith("get_dag_source"))
    assert held_in(source, "source") == forms_in("source")
    assert held_in(source, "code") == forms_in("code")


def test_the_audit_file_holds_no_secret_even_where_results_show_them(shown: Caught) -> None:
    written = shown.everything()["audit"]
    assert "explain_permission" in written
    found = {form for form in FORMS if form in held_in(written, "conf")}
    assert found == set()
