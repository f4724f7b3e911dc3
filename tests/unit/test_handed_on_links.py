"""Links as chats, mails, scanners and login pages hand them on, list pages with their filters, and API addresses."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mcp.dispatch.operations.link_text import extract_links
from airflow_mcp.dispatch.operations.ui_links import read_link
from tests.unit.assistant import GENERATIONS, Json, assistant, calls_of
from tests.unit.fake_airflow import FakeAirflow
from tests.unit.samples import dag_run

pytestmark = pytest.mark.anyio
HERE = "http://airflow.example:8080"
RUN_ID = "manual__2026-01-01T00:00:00+00:00"
QUOTED = quote(RUN_ID, safe="")
RUN: Json = {"dag_id": "etl", "dag_run_id": RUN_ID}
TASK = RUN | {"task_id": "load"}
PAGE = f"{HERE}/dags/etl/runs/{QUOTED}/tasks/load"
INNER = quote(PAGE, safe="")
OLD_PAGE = f"{HERE}/dags/etl/grid?dag_run_id={QUOTED}&task_id=load"

DEFENSE_2 = "".join({"/": "_"}.get(one, one if one.isalnum() or one == "." else f"-{ord(one):02X}") for one in PAGE)

TEXTS = [
    f"<{PAGE}|load failed>",
    f"<{PAGE}>",
    f"[the run]({PAGE})",
    f"[{PAGE}]({PAGE})",
    f'[the run](<{PAGE}> "a title")',
    f"[load|{PAGE}]",
    f"({PAGE})",
    f"{PAGE}.",
    f"**{PAGE}**",
    f"`{PAGE}`",
    f"'{PAGE}',",
    f"Why did this fail?\n{PAGE}\nThanks!",
    f"see {PAGE}, it is red; or https://wiki.example/runbook.",
    f"https://wiki.example/runbook says to look at {PAGE}",
    f'<a href="{PAGE}">load</a>',
    OLD_PAGE.replace("&", "&amp;"),
    OLD_PAGE.replace("&", "&amp;amp;"),
    OLD_PAGE.replace("&", "&#38;"),
    f"{PAGE}\u200b",
    f"{HERE}/auth/login?next={INNER}",
    f"{HERE}/auth/login/?next={quote(INNER, safe='')}",
    f"{HERE}/api/v2/auth/login?next={INNER}",
    f"{HERE}/auth/login?next={quote(PAGE.removeprefix(HERE), safe='')}",
    f"{HERE}/login/?next={quote(OLD_PAGE, safe='')}",
    f"https://sso.example/oauth2/start?rd={INNER}",
    f"https://eur01.safelinks.protection.outlook.com/?url={INNER}&data=05%7C02&reserved=0",
    f"https://www.google.com/url?q={INNER}&sa=D",
    f"https://slack-redir.net/link?url={INNER}",
    f"https://linkprotect.cudasvc.com/url?a={INNER}&c=E,1",
    f"https://secure-web.cisco.com/1Xy/{INNER}",
    f"https://urldefense.com/v3/__{PAGE.replace('%', '*')}__;JSUlJSU!!abc$",
    f"https://urldefense.proofpoint.com/v2/url?u={DEFENSE_2}&d=x",
    f"https://mail.example/?url={quote(f'{HERE}/auth/login?next={INNER}', safe='')}",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_link_is_read_however_it_is_handed_on(text: str) -> None:
    link = read_link(text, HERE)
    assert (link.ids, link.is_here, link.other_links) == (TASK, True, 0)


def test_of_several_links_the_first_of_this_airflow_is_read_and_the_others_are_counted() -> None:
    text = f"https://other.example/dags/x and {HERE}/dags/etl and {HERE}/dags/second"
    link = read_link(text, HERE)
    assert (link.ids, link.other_links) == ({"dag_id": "etl"}, 1)


@given(st.text(max_size=200) | st.text("htps:/?&=%()[]<>|.*_u'\" ;!~-", max_size=200))
def test_any_text_gives_links_that_are_texts(text: str) -> None:
    assert all(isinstance(link, str) for link in extract_links(text))


def test_a_long_text_costs_no_more_than_its_first_characters() -> None:
    assert extract_links("x" * 1_000_000 + PAGE) != [PAGE]
    assert extract_links(f"{PAGE} {'(' * 1_000_000}")[0] == PAGE


ANY_RUN: Json = {"dag_id": "~", "dag_run_id": "~"}
LISTS: list[tuple[str, str, Json]] = [
    ("/task_instances?state=failed", "list_task_instances", ANY_RUN | {"state": ["failed"]}),
    (
        "/task_instances?state=failed&state=queued&pool=small",
        "list_task_instances",
        ANY_RUN | {"state": ["failed", "queued"], "pool": ["small"]},
    ),
    (
        "/dag_runs?state=failed&dag_id_pattern=etl_&run_after_gte=2026-01-01T00%3A00%3A00Z&limit=50&offset=100",
        "list_dag_runs",
        {"dag_id": "~", "state": ["failed"], "dag_id_pattern": "etl_", "run_after_gte": "2026-01-01T00:00:00Z"},
    ),
    ("/dag_runs?sort=-start_date&run_id_pattern=man", "list_dag_runs",
     {"dag_id": "~", "order_by": "-start_date", "run_id_pattern": "man"}),
    ("/dags/etl/runs?state=failed", "list_dag_runs", {"dag_id": "etl", "state": ["failed"]}),
    ("/events?dag_id=etl", "list_event_logs", {"dag_id": "etl"}),
    ("/events?event_type=trigger_dag_run&user=ann&after=2026-01-01T00:00:00Z", "list_event_logs",
     {"event": "trigger_dag_run", "owner": "ann", "after": "2026-01-01T00:00:00Z"}),
    ("/dags/etl/events", "list_event_logs", {"dag_id": "etl"}),
    (f"/dags/etl/runs/{QUOTED}/events", "list_event_logs", RUN),
    ("/xcoms?dag_id=etl", "list_xcoms", {"dag_id": "etl", "dag_run_id": "~", "task_id": "~"}),
    ("/xcoms?key_pattern=ret", "list_xcoms", ANY_RUN | {"task_id": "~", "xcom_key_pattern": "ret"}),
    ("/jobs?job_type=SchedulerJob", "list_jobs", {"job_type": "SchedulerJob"}),
    ("/variables", "list_variables", {}),
    ("/connections", "list_connections", {}),
    ("/providers", "list_providers", {}),
    ("/configs", "get_config", {}),
    ("/assets?name_pattern=sales", "list_assets", {"name_pattern": "sales"}),
    ("/dags?paused=true&tags=a&tags=b&last_dag_run_state=failed", "list_dags",
     {"paused": True, "tags": ["a", "b"], "last_dag_run_state": "failed"}),
    ("/dags?name_pattern=etl", "list_dags", {"dag_id_pattern": "etl"}),
    ("/dags/etl/backfills", "list_backfills", {"dag_id": "etl"}),
    ("/required_actions?response_received=false", "list_hitl_details", ANY_RUN | {"response_received": False}),
]  # fmt: skip


async def resolved(form: str, version: str) -> Json:
    airflow = FakeAirflow(version).on("GET", f"/dags/etl/dagRuns/{QUOTED}", dag_run(RUN_ID, "failed"))
    async with assistant(airflow) as someone:
        return await someone.ask("resolve_url", url=f"{HERE}{form}")


@pytest.mark.parametrize(("form", "tool", "arguments"), LISTS)
async def test_a_list_page_of_3x_keeps_its_filters(form: str, tool: str, arguments: Json) -> None:
    answer = await resolved(form, "3.3.2")
    assert calls_of(answer) == [(tool, arguments)]
    assert "hint" not in answer


async def test_a_filter_without_an_argument_is_named_and_never_dropped_in_silence() -> None:
    answer = await resolved("/dag_runs?state=failed&bundle_version=abc&conf_contains=x", "3.3.2")
    assert calls_of(answer) == [("list_dag_runs", {"dag_id": "~", "state": ["failed"]})]
    assert "bundle_version, conf_contains" in answer["hint"]


@pytest.mark.parametrize(
    ("form", "tool", "arguments"),
    [
        ("/dagrun/list/?_flt_3_dag_id=etl&_flt_3_state=failed", "list_dag_runs",
         {"dag_id": "etl", "state": ["failed"]}),
        ("/taskinstance/list/?_flt_3_state=failed&_flt_3_dag_id=etl", "list_task_instances",
         {"dag_id": "etl", "dag_run_id": "~", "state": ["failed"]}),
        ("/home?status=paused&tags=a", "list_dags", {"paused": True, "tags": ["a"]}),
        ("/home?search=etl", "list_dags", {"dag_id_pattern": "etl"}),
        ("/variable/list/", "list_variables", {}),
        ("/connection/list/", "list_connections", {}),
        ("/xcom/list/?_flt_3_dag_id=etl", "list_xcoms", {"dag_id": "etl", "dag_run_id": "~", "task_id": "~"}),
    ],
)  # fmt: skip
async def test_a_list_page_of_2x_keeps_its_filters(form: str, tool: str, arguments: Json) -> None:
    assert calls_of(await resolved(form, "2.11.2")) == [(tool, arguments)]


API: list[tuple[str, str, Json]] = [
    (f"/dags/etl/dagRuns/{QUOTED}/taskInstances/load/3/logs/1", "read_task_log",
     TASK | {"map_index": 3, "try_number": 1}),
    (f"/dags/etl/dagRuns/{QUOTED}/taskInstances/load/logs/2?map_index=3", "read_task_log",
     TASK | {"map_index": 3, "try_number": 2}),
    (f"/dags/etl/dagRuns/{QUOTED}/taskInstances/load", "get_task_instance", TASK),
    (f"/dags/etl/dagRuns/{QUOTED}/taskInstances/load/3", "get_task_instance", TASK | {"map_index": 3}),
    (f"/dags/etl/dagRuns/{QUOTED}/taskInstances/load/xcomEntries", "list_xcoms", TASK),
    (f"/dags/etl/dagRuns/{QUOTED}", "diagnose_dag_run", RUN),
    (f"/dags/etl/dagRuns/{QUOTED}/taskInstances?state=failed", "list_task_instances", RUN | {"state": ["failed"]}),
    ("/dags/etl/dagRuns?state=failed&limit=5", "list_dag_runs", {"dag_id": "etl", "state": ["failed"]}),
    ("/dags/etl", "get_dag_overview", {"dag_id": "etl"}),
    ("/dags/etl/details", "get_dag_overview", {"dag_id": "etl"}),
    ("/dags/etl/tasks", "list_tasks", {"dag_id": "etl"}),
    ("/pools/small", "get_pool", {"pool_name": "small"}),
    ("/variables/a%2Fb", "get_variable", {"variable_key": "a/b"}),
    ("/importErrors", "list_import_errors", {}),
    ("/eventLogs?dag_id=etl", "list_event_logs", {"dag_id": "etl"}),
]  # fmt: skip


@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize(("path", "tool", "arguments"), API)
async def test_an_address_of_the_api_is_the_call_that_reads_it(
    version: str, path: str, tool: str, arguments: Json
) -> None:
    answer = await resolved(f"/api/v{2 if version.startswith('3') else 1}{path}", version)
    assert calls_of(answer) == [(tool, arguments)]


async def test_an_address_of_the_api_that_no_tool_reads_is_refused() -> None:
    async with assistant(FakeAirflow()) as someone:
        sentence = await someone.refused("resolve_url", url=f"{HERE}/api/v2/nothing/here")
    assert "no tool reads the API's address '/nothing/here'" in sentence


async def test_a_diagnosis_takes_the_same_texts() -> None:
    airflow = FakeAirflow()
    async with assistant(airflow) as someone:
        await someone.client.call_tool("diagnose_dag_run", {"url": f"<{PAGE}|load>"})
    assert any(QUOTED in sent.path or RUN_ID in dict(sent.query).values() for sent in airflow.sent)
