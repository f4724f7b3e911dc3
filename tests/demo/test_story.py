"""The on-call story, told to a server in memory: it passes as written, and says so when a step goes otherwise."""

import io
import json
from typing import Any

import pytest
from mcp import Client
from mcp.server import MCPServer
from mcp.types import CallToolResult, TextContent
from rich.console import Console

from airflow_mcp.demo.story import CAUSE, DemoConnection, ToolAnswer, play_with

RUN = {"dag_id": "load_orders", "dag_run_id": "manual__1", "state": "failed"}
FAILED = {"columns": ["task_id", "map_index", "state"], "rows": [["check_order", 3, "failed"]], "total": 1}
PLANNED = {"preview": FAILED, "plan": "sealed-plan"}
# A tool's answer, or its answers in order, the last of them for every later call.
AS_WRITTEN: dict[str, Any] = {
    "list_import_errors": {"columns": ["stack_trace"], "rows": [["No module named 'warehouse_client'"]], "total": 1},
    "list_dags": {"columns": ["dag_id"], "rows": [["daily_sales"], ["load_orders"]], "total": 2},
    "trigger_dag_run": RUN,
    "wait_for_dag_run": {"run": RUN},
    "diagnose_dag_run": {"failed": "1: check_order[3]", "log": f"{'noise ' * 500}ValueError: {CAUSE}{' noise' * 500}"},
    "clear_task_instances": [FAILED, PLANNED, {"done": True, **FAILED}],
}
REFUSED = CallToolResult(
    content=[TextContent(type="text", text="delete_dag is not allowed; AIRFLOW_MCP_ALLOW would allow it.")],
    is_error=True,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def server(answers: dict[str, Any], delete: CallToolResult = REFUSED) -> MCPServer:
    """A server whose tools give these answers whatever the arguments are."""
    made = MCPServer("in memory")

    def add(name: str, answer: Any) -> None:
        results = [
            one if isinstance(one, CallToolResult) else answered(one)
            for one in (answer if isinstance(answer, list) else [answer])
        ]

        def tool() -> CallToolResult:
            return results.pop(0) if len(results) > 1 else results[0]

        made.add_tool(tool, name=name)

    for name, answer in {**answers, "delete_dag": delete}.items():
        add(name, answer)
    return made


def answered(data: dict[str, Any]) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=json.dumps(data))], structured_content=data)


async def told(made: MCPServer) -> tuple[str | None, str]:
    """What went wrong, and what was printed."""
    output = io.StringIO()
    return await play_with(Client(made), Console(file=output, width=200)), output.getvalue()


async def test_the_story_passes_as_written_and_prints_every_call_and_the_cause():
    problem, text = await told(server(AS_WRITTEN))
    assert problem is None
    for tool in [*AS_WRITTEN, "delete_dag"]:
        assert f"{tool} {{" in text
    assert 'diagnose_dag_run {"dag_id": "load_orders", "dag_run_id": "manual__1"}' in text
    assert "ValueError: order 1003: amount is negative" in text
    of_run = '"dag_id": "load_orders", "dag_run_id": "manual__1"'
    assert [line for line in text.splitlines() if line.startswith("clear_task_instances ")] == [
        f'clear_task_instances {{{of_run}, "dry_run": true}}',
        f'clear_task_instances {{{of_run}, "dry_run": false}}',
        f'clear_task_instances {{{of_run}, "dry_run": false, "plan": "sealed-plan"}}',
    ]


async def test_a_delete_that_is_not_refused_ends_the_story():
    problem, _ = await told(server(AS_WRITTEN, delete=answered({"deleted": "load_orders"})))
    assert problem == "The story expected delete_dag to be refused, and it was not."


async def test_a_refusal_that_does_not_name_the_setting_ends_the_story():
    vague = CallToolResult(content=[TextContent(type="text", text="no")], is_error=True)
    problem, _ = await told(server(AS_WRITTEN, delete=vague))
    assert problem
    assert "the refusal to name the setting" in problem


@pytest.mark.parametrize(
    ("tool", "answer", "expected"),
    [
        ("list_import_errors", {"columns": [], "rows": [], "total": 0}, "missing module"),
        ("list_dags", {"columns": ["dag_id"], "rows": [], "total": 0}, "list load_orders"),
        ("trigger_dag_run", {"state": "queued"}, "answer with a dag_run_id"),
        ("wait_for_dag_run", {"run": {"state": "success"}}, "to fail"),
        ("diagnose_dag_run", {"failed": "1: check_order[3]"}, "the diagnosis to say"),
        ("diagnose_dag_run", {"failed": f"1: other, {CAUSE}"}, "the diagnosis to name"),
        ("clear_task_instances", {"columns": [], "rows": []}, "to name check_order"),
        ("clear_task_instances", [FAILED, {"done": True, **FAILED}], "to ask for confirmation with a plan"),
        ("clear_task_instances", [FAILED, PLANNED], "the clear to be done"),
    ],
)
async def test_a_step_that_goes_otherwise_ends_the_story_with_a_sentence(
    tool: str, answer: dict[str, Any] | list[dict[str, Any]], expected: str
):
    problem, _ = await told(server({**AS_WRITTEN, tool: answer}))
    assert problem
    assert expected in problem


async def test_an_error_answer_ends_the_story():
    failed = CallToolResult(content=[TextContent(type="text", text="Airflow is down")], is_error=True)
    problem, _ = await told(server({**AS_WRITTEN, "list_dags": failed}))
    assert problem == "The story expected list_dags to be answered, and it was not."


async def test_a_long_answer_is_cut_around_what_matters_and_says_what_it_left_out():
    short = ToolAnswer(answered({"text": f"{'x' * 5000} here {'y' * 5000}"})).shorten("here")
    assert " here " in short
    assert short.startswith("(… 4,")
    assert short.endswith(" characters more)")
    assert len(short) < 800


async def test_the_client_configuration_is_what_the_story_itself_uses():
    connection = DemoConnection("http://127.0.0.1:4711", "admin", "secret")
    entry = json.loads(connection.write_client_config())["mcpServers"]["airflow"]
    assert entry["args"] == ["-m", "airflow_mcp", "serve"]
    assert entry["env"] == connection.build_server().env
