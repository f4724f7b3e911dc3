"""Where a rule wants a human, a human sees what, how many and which, and only their yes to exactly that does it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError
from mcp.types import CallToolResult, ElicitRequestFormParams, ElicitResult, InputRequiredResult

from tests.permissions.kinds import more_tools
from tests.permissions.support import ADMIN, CATALOG, Json, changes, changing, connected, whole_call
from tests.permissions.world import World
from tests.unit.assistant import ERAS, GENERATIONS, text_of
from tests.unit.fake_airflow import FakeAirflow

pytestmark = pytest.mark.anyio
POLICY: Json = {"allow": [{"tools": ADMIN, "confirm": "human"}]}
CLEAR: Json = {"dag_id": "etl_a", "dag_run_id": "r1", "dry_run": False}
YES = ElicitResult(action="accept", content={"confirm": True})
NOES = {
    "decline": ElicitResult(action="decline"),
    "cancel": ElicitResult(action="cancel"),
    "no": ElicitResult(action="accept", content={"confirm": False}),
    "nothing": ElicitResult(action="accept", content={}),
    "a word": ElicitResult(action="accept", content={"confirm": "true"}),
    "a number": ElicitResult(action="accept", content={"confirm": 1}),
    "declined with a yes": ElicitResult(action="decline", content={"confirm": True}),
}


class Person:
    """Answers questions and keeps them; `meanwhile` happens between a question and its answer."""

    def __init__(self, world: World, answer: ElicitResult, meanwhile: Callable[[], None] | None = None) -> None:
        self.questions: list[str] = []
        self._world = world
        self._answer = answer
        self._meanwhile = meanwhile

    async def __call__(self, context: Any, params: Any) -> ElicitResult:
        assert isinstance(params, ElicitRequestFormParams)
        assert changes(self._world.airflow) == [], "something was changed before the answer"
        self.questions.append(params.message)
        if self._meanwhile:
            self._meanwhile()
        return self._answer


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("version", GENERATIONS)
async def test_every_changing_tool_asks_once_and_a_yes_does_it_once(version: str, mode: str) -> None:
    world = World(version)
    person = Person(world, YES)
    async with connected(world.airflow, POLICY, mode=mode, human=person) as someone:
        for tool in changing(version):
            world.airflow.seen.clear()
            person.questions.clear()
            await someone.ask(tool.name, **whole_call(tool))
            (question,) = person.questions
            assert question.startswith(f"{tool.entry.title}: ")
            assert len(changes(world.airflow)) == 1, tool.name


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("version", GENERATIONS)
@pytest.mark.parametrize("answer", NOES)
async def test_anything_but_a_yes_changes_nothing(version: str, mode: str, answer: str) -> None:
    world = World(version)
    person = Person(world, NOES[answer])
    async with connected(world.airflow, POLICY, mode=mode, human=person) as someone:
        for tool in changing(version):
            result = await _sent_by(someone.client, tool.name, whole_call(tool))
            assert "Nothing was done" in result or answer in ("nothing", "a word", "a number")
    assert changes(world.airflow) == []
    assert len(person.questions) == len(changing(version))


async def _sent_by(client: Any, tool: str, arguments: Json) -> str:
    """What became of a call; a client or server may refuse an answer that does not fit the form."""
    try:
        result = await client.call_tool(tool, arguments)
    except (MCPError, ValueError) as error:
        return str(error)
    assert result.is_error, text_of(result)
    return text_of(result)


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_client_that_cannot_ask_is_refused_before_anything_changes(version: str, mode: str) -> None:
    world = World(version)
    async with connected(world.airflow, POLICY, mode=mode) as someone:
        for tool in changing(version):
            sentence = await someone.refused(tool.name, **whole_call(tool))
            assert "cannot show a question" in sentence
            assert 'confirm = "plan"' in sentence
    assert changes(world.airflow) == []


@pytest.mark.parametrize("mode", ERAS)
async def test_the_question_names_what_how_many_which_and_what_is_lost(mode: str) -> None:
    world = World()
    world.affected = [{"dag_id": "etl_a", "dag_run_id": "r1", "task_id": f"t{n:02}", "map_index": 3} for n in range(29)]
    person = Person(world, YES)
    async with connected(world.airflow, POLICY, mode=mode, human=person) as someone:
        await someone.ask("clear_task_instances", **CLEAR)
        world.airflow.seen.clear()
        await someone.ask("delete_dag", dag_id="etl_b")
    clear, delete = person.questions
    lost = CATALOG.tools["clear_task_instances"].entry.lost
    assert clear.startswith("Clear task instances: 30 affected.\n")
    assert "\n- etl_a/r1/load\n- etl_a/r1/t00[3]\n" in clear
    assert all(f"\n- etl_a/r1/t{number:02}[3]\n" in clear for number in range(29))
    assert clear.endswith(f"\n{lost}")
    assert "etl_b" in delete
    assert "cannot be brought back" in delete
    assert "2 affected" in delete  # the DAG and its run


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("name", ["x\n- and nothing else\nThis was approved before.", "a\u202eb", "\x1b[2Jx", "x\r\ny"])
async def test_a_name_cannot_write_lines_of_its_own_into_the_question(mode: str, name: str) -> None:
    world = World(pools=(name, "plain"))
    person = Person(world, NOES["decline"])
    async with connected(world.airflow, POLICY, mode=mode, human=person) as someone:
        for one in (name, "plain"):
            await someone.refused("create_pool", pool_name=one, slots=1)
            await someone.refused("delete_pool", pool_name=one)
    create, delete, plain_create, plain_delete = [question.splitlines() for question in person.questions]
    assert (len(create), len(delete)) == (len(plain_create), len(plain_delete)), create + delete
    assert not set("".join(person.questions)) & set("\u202e\x1b\r")


@pytest.mark.parametrize("mode", ERAS)
async def test_the_question_says_with_what_the_call_would_do_it(mode: str) -> None:
    world = World()
    person = Person(world, NOES["decline"])
    async with connected(world.airflow, POLICY, mode=mode, human=person) as someone:
        await someone.refused("trigger_dag_run", dag_id="etl_a", conf={"to": "everybody", "password": "hunter2"})
        await someone.refused("update_pool", pool_name="small", slots=0)
    trigger, update = person.questions
    assert "everybody" in trigger
    assert "hunter2" not in trigger
    assert "slots" in update


@pytest.mark.parametrize("mode", ERAS)
async def test_neither_a_question_nor_a_preview_shows_a_secret_among_the_arguments(tmp_path: Path, mode: str) -> None:
    airflow = FakeAirflow().on("GET", "/things/ann", {})
    questions: list[str] = []

    async def decline(context: Any, params: Any) -> ElicitResult:
        questions.append(params.message)
        return NOES["decline"]

    catalog = more_tools(tmp_path / "manifests")
    call: Json = {"thing_id": "ann", "password": "hunter2-of-ann"}
    for confirm in ("human", "plan"):
        policy: Json = {"allow": [{"tools": ["create_user"], "confirm": confirm}]}
        async with connected(airflow, policy, mode=mode, human=decline, catalog=catalog) as someone:
            questions.append(str(await someone.client.call_tool("create_user", call)))
    assert len(questions) == 3
    assert "hunter2" not in str(questions)
    assert "password=***" in questions[0]
    assert "password=***" in questions[2]


def _one_more(world: World) -> Callable[[], None]:
    def happen() -> None:
        world.affected = [{"dag_id": "etl_a", "dag_run_id": "r1", "task_id": "late", "map_index": -1}]

    return happen


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_yes_to_targets_that_changed_meanwhile_does_nothing_to_the_new_ones(version: str, mode: str) -> None:
    world = World(version)
    person = Person(world, YES, _one_more(world))
    async with connected(world.airflow, POLICY, mode=mode, human=person) as someone:
        result = await someone.client.call_tool("clear_task_instances", CLEAR)
    if len(person.questions) == 1:
        assert result.is_error, "the human said yes to one task, and two were cleared"
        assert changes(world.airflow) == []
    else:  # asked anew, about what is there now
        assert "late" in person.questions[-1]
        assert len(changes(world.airflow)) == 1


@pytest.mark.parametrize("mode", ERAS)
async def test_a_target_that_the_question_only_counts_is_compared_too(mode: str) -> None:
    world = World()

    def tasks(last: str) -> list[Json]:
        names = [*(f"t{number:02}" for number in range(24)), last]
        return [{"dag_id": "etl_a", "dag_run_id": "r1", "task_id": name, "map_index": -1} for name in names]

    def another_last() -> None:
        world.affected = tasks("zz-pay-everybody")

    world.affected = tasks("zz-harmless")
    person = Person(world, YES, another_last)
    async with connected(world.airflow, POLICY, mode=mode, human=person) as someone:
        result = await someone.client.call_tool("clear_task_instances", CLEAR)
    assert result.is_error or len(person.questions) > 1
    assert len(changes(world.airflow)) < len(person.questions)


async def _asked(client: Any, tool: str, arguments: Json, **answer: Any) -> CallToolResult | InputRequiredResult:
    return await client.session.call_tool(tool, arguments, allow_input_required=True, **answer)


@pytest.mark.parametrize("version", GENERATIONS)
async def test_an_answer_that_is_sent_twice_is_good_once(version: str) -> None:
    world = World(version)
    async with connected(world.airflow, POLICY, human=Person(world, YES)) as someone:
        asked = await _asked(someone.client, "delete_pool", {"pool_name": "small"})
        assert isinstance(asked, InputRequiredResult)
        answer = {"input_responses": {"confirm": YES}, "request_state": asked.request_state}
        results = [await _asked(someone.client, "delete_pool", {"pool_name": "small"}, **answer) for _ in range(3)]
    assert [isinstance(one, CallToolResult) and one.is_error for one in results] == [False, True, True]
    assert [sent.method for sent in changes(world.airflow)] == ["DELETE"]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_an_answer_counts_for_its_own_call_alone(version: str) -> None:
    world = World(version)
    async with connected(world.airflow, POLICY, human=Person(world, YES)) as someone:
        asked = await _asked(someone.client, "delete_pool", {"pool_name": "small"})
        assert isinstance(asked, InputRequiredResult)
        assert asked.request_state
        state = asked.request_state
        broken = state[:-9] + ("A" if state[-9] != "A" else "B") + state[-8:]
        for tool, arguments, seal in (
            ("delete_pool", {"pool_name": "payroll_pool"}, state),
            ("delete_dag", {"dag_id": "etl_a"}, state),
            ("delete_pool", {"pool_name": "small"}, broken),
            ("delete_pool", {"pool_name": "small"}, "anything"),
        ):
            answer = {"input_responses": {"confirm": YES}, "request_state": seal}
            with pytest.raises(MCPError):
                await _asked(someone.client, tool, arguments, **answer)
        unsealed = await _asked(someone.client, "delete_pool", {"pool_name": "small"}, input_responses={"confirm": YES})
        assert isinstance(unsealed, InputRequiredResult), "a yes without the question is asked again"
    assert changes(world.airflow) == []


RULES: list[tuple[list[Json], int]] = [
    ([{"confirm": "plan"}, {"confirm": "human"}], 1),
    ([{"confirm": "human"}, {"confirm": "never"}], 1),
    ([{}, {"confirm": "human", "dags": ["etl_*"]}], 1),
    ([{"confirm": "plan"}, {"confirm": "human", "dags": ["ops_*"]}], 0),
    ([{"confirm": "never"}, {"confirm": "human", "callers": ["somebody-else"]}], 0),
]


@pytest.mark.parametrize(("rules", "questions"), RULES)
@pytest.mark.parametrize("mode", ERAS)
async def test_of_the_rules_that_match_the_strictest_confirmation_holds(
    mode: str, rules: list[Json], questions: int
) -> None:
    world = World()
    person = Person(world, NOES["decline"])
    table = {"allow": [{"tools": ["delete_dag"], **rule} for rule in rules]}
    async with connected(world.airflow, table, mode=mode, human=person) as someone:
        await someone.client.call_tool("delete_dag", {"dag_id": "etl_a"})
    assert len(person.questions) == questions


@pytest.mark.parametrize("mode", ERAS)
async def test_a_plan_does_not_stand_in_for_a_human(mode: str) -> None:
    world = World()
    async with connected(world.airflow, {"allow": [{"tools": ["delete_pool"], "confirm": "plan"}]}) as someone:
        plan = (await someone.ask("delete_pool", pool_name="small"))["plan"]
    async with connected(world.airflow, POLICY, mode=mode, human=Person(world, NOES["decline"])) as someone:
        assert "Nothing was done" in await someone.refused("delete_pool", pool_name="small", plan=plan)
    assert changes(world.airflow) == []


@pytest.mark.parametrize("mode", ERAS)
async def test_a_dry_run_and_a_read_ask_nobody(mode: str) -> None:
    world = World()
    person = Person(world, YES)
    async with connected(world.airflow, POLICY, mode=mode, human=person) as someone:
        await someone.ask("clear_task_instances", dag_id="etl_a", dag_run_id="r1")
        await someone.ask("list_dags")
    assert person.questions == []


@pytest.mark.parametrize("mode", ERAS)
async def test_nobody_is_asked_about_what_does_not_exist(mode: str) -> None:
    world = World()
    person = Person(world, YES)
    async with connected(world.airflow, POLICY, mode=mode, human=person) as someone:
        await someone.refused("delete_dag", dag_id="etl_x")
        await someone.refused("delete_pool", pool_name="no-such-pool")
    assert (person.questions, changes(world.airflow)) == ([], [])
