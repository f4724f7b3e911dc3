"""A human is shown everything that is sent, or is not asked."""

from __future__ import annotations

import re
from typing import Any

import pytest
from mcp.types import CallToolResult, ElicitResult, InputRequiredResult

from tests.permissions.support import Json, changes, connected
from tests.permissions.test_human import NOES, POLICY, YES, Person
from tests.permissions.world import World
from tests.unit.assistant import ERAS, Assistant

pytestmark = pytest.mark.anyio
MOST = 8_000  # characters of a question
PADDINGS: list[tuple[str, Json]] = [
    ("blanks", {"to": "x" + " " * 5_000, "z_delete_all": True}),
    ("newlines", {"to": "x" + "\n" * 500, "z_delete_all": True}),
    ("words", {"to": "lorem ipsum " * 300, "z_delete_all": True}),
    ("unseen", {"to": "x" + "\u200b" * 400, "z_delete_all": True}),
    ("other blanks", {"to": "x" + "\u3000" * 400 + "\u2800" * 100, "z_delete_all": True}),
    ("keys", {**{f"k{number:03}": number for number in range(150)}, "z_delete_all": True}),
    ("depth", {"a": {"b": {"c": [{"d": [1, 2, {"z_delete_all": True}]}]}}}),
    ("a key of blanks", {" " * 300: 1, "z_delete_all": True}),
    ("keys that are tokens", {"glpat-" + "a" * 20: 1, "glpat-" + "b" * 20: {"z_delete_all": True}}),
    ("under a secret's name", {"password": {"z_delete_all": True}}),
]


async def question_about(mode: str, tool: str, world: World | None = None, **arguments: Any) -> str:
    """What a human is asked about this call, which they decline."""
    place = world or World()
    person = Person(place, NOES["decline"])
    async with connected(place.airflow, POLICY, mode=mode, human=person) as someone:
        await someone.refused(tool, **arguments)
    (question,) = person.questions
    return question


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize(("kind", "conf"), PADDINGS, ids=[kind for kind, _ in PADDINGS])
async def test_nothing_in_an_argument_hides_what_stands_beside_it(mode: str, kind: str, conf: Json) -> None:
    question = await question_about(mode, "trigger_dag_run", dag_id="etl_a", conf=conf)
    (line,) = [line for line in question.splitlines() if "z_delete_all" in line]
    assert len(line) < 100
    assert line.endswith("=true") or "digest" in line, kind
    assert "…" not in question
    assert "  " not in question
    assert len(question) <= MOST
    assert all(char == "\n" or char.isprintable() for char in question)


@pytest.mark.parametrize("mode", ERAS)
async def test_every_value_stands_on_a_line_of_its_own(mode: str) -> None:
    conf: Json = {"b": {"x": [1, "two\nlines", None], "empty": {}}, "a": 'quote " and \\u{202E}', "odd.key": 1.5}
    question = await question_about(mode, "trigger_dag_run", dag_id="etl_a", conf=conf, note="by hand")
    for line in (
        '- dag_id="etl_a"',
        '- conf.a="quote \\" and \\\\u{202E}"',
        "- conf.b.empty={}",
        "- conf.b.x[0]=1",
        '- conf.b.x[1]="two\\nlines"',
        "- conf.b.x[2]=null",
        '- conf."odd.key"=1.5',
        '- note="by hand (by local, through airflow-mcp)"',
    ):
        assert f"\n{line}\n" in f"{question}\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("p\u0336r\u0336o\u0336d\u0336", "p\\u{336}r\\u{336}o\\u{336}d\\u{336}"),  # struck through
        ("a\u0338b\u20d2", "a\\u{338}b\\u{20D2}"),  # solidus, vertical line
        ("1\u20dd\u20e0", "1\\u{20DD}\\u{20E0}"),  # in a circle, prohibited
        ("x" + "\u0301" * 6, "x" + "\u0301" * 4 + "\\u{301}" * 2),  # grown into the lines above
        ("\u0301x", "\\u{301}x"),  # on the quotation mark before it
        ("a \u0332b", "a \\u{332}b"),  # on a blank
        ("e\u0301te\u0301 Vie\u0323\u0302t", "e\u0301te\u0301 Vie\u0323\u0302t"),  # French, Vietnamese (NFD)
        ("हिन्दी क़िला தமிழ் বাংলা", "हिन्दी क़िला தமிழ் বাংলা"),
        ("ภาษาไทย ที่นี่", "ภาษาไทย ที่นี่"),
        ("שָׁלוֹם مُحَمَّدٌ", "שָׁלוֹם مُحَمَّدٌ"),
        ("བོད་སྐད བསྒྲུབས", "བོད་སྐད བསྒྲུབས"),
    ],
)
async def test_marks_that_strike_enclose_or_stack_are_written_out_and_those_of_scripts_are_not(
    text: str, shown: str
) -> None:
    question = await question_about("auto", "trigger_dag_run", dag_id="etl_a", conf={"to": text})
    assert f'\n- conf.to="{shown}"\n' in f"{question}\n"


@pytest.mark.parametrize("mode", ERAS)
async def test_the_question_names_tool_airflow_and_caller_and_what_goes_along_unsaid(mode: str) -> None:
    question = await question_about(mode, "clear_task_instances", dag_id="etl_a", dag_run_id="r1", dry_run=False)
    assert question.startswith("Clear task instances: 1 affected.\nTool clear_task_instances, on the Airflow default")
    assert "http://airflow.example:8080" in question
    assert "for the caller local" in question
    assert "- only_failed=true\n" in question, "a default is sent too"
    assert "- dry_run=false\n" in question
    assert not re.search(r"\(targets [0-9a-f]+\)", question)


@pytest.mark.parametrize("mode", ERAS)
async def test_the_order_of_keys_changes_no_word_of_the_question(mode: str) -> None:
    one = await question_about(mode, "trigger_dag_run", dag_id="etl_a", conf={"a": 1, "b": {"c": 2, "d": 3}})
    other = await question_about(mode, "trigger_dag_run", conf={"b": {"d": 3, "c": 2}, "a": 1}, dag_id="etl_a")
    assert one == other


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize(
    "arguments",
    [{"conf": {"text": "x" * MOST}}, {"conf": {f"key_{n}": n for n in range(2_000)}}, {"conf": {"k" * 9_000: 1}}],
    ids=["one value", "many values", "a key"],
)
async def test_what_does_not_fit_is_refused_with_advice_and_nobody_is_asked(mode: str, arguments: Json) -> None:
    world = World()
    person = Person(world, YES)
    async with connected(world.airflow, POLICY, mode=mode, human=person) as someone:
        sentence = await someone.refused("trigger_dag_run", dag_id="etl_a", **arguments)
    assert "Nothing was done, and nobody was asked" in sentence
    assert f"more than {MOST} characters" in sentence
    assert "Send less" in sentence
    assert (person.questions, changes(world.airflow)) == ([], [])


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize(("number", "is_asked"), [(100, True), (1_000, False)])
async def test_every_target_is_named_or_the_call_is_refused(mode: str, number: int, is_asked: bool) -> None:
    world = World()
    names = [f"task_{one:04}" for one in range(number)]
    world.affected = [{"dag_id": "etl_a", "dag_run_id": "r1", "task_id": name, "map_index": -1} for name in names]
    person = Person(world, NOES["decline"])
    async with connected(world.airflow, POLICY, mode=mode, human=person) as someone:
        sentence = await someone.refused("clear_task_instances", dag_id="etl_a", dag_run_id="r1", dry_run=False)
    assert len(person.questions) == is_asked
    assert all(name in question for question in person.questions for name in names)
    assert is_asked or f"{number + 1} objects" in sentence


async def _secrets(mode: str, *passwords: str) -> list[str]:
    """How a question shows each of these passwords, over one server."""
    world = World()
    person = Person(world, NOES["decline"])
    async with connected(world.airflow, POLICY, mode=mode, human=person) as someone:
        for password in passwords:
            call: Json = {"connection_id": "warehouse", "conn_type": "http", "password": password}
            await someone.refused("update_connection", **call)
    return [_line(question, "password") for question in person.questions]


def _line(question: str, name: str) -> str:
    (line,) = [line for line in question.splitlines() if line.startswith(f"- {name}")]
    return line


@pytest.mark.parametrize("mode", ERAS)
async def test_a_secret_shows_its_length_and_a_digest_that_nobody_else_can_make(mode: str) -> None:
    first, again, other = await _secrets(mode, "hunter2-x", "hunter2-x", "hunter3-x")
    assert re.fullmatch(r"- password=\*\*\* \(9 characters, digest [0-9a-f]{6}\)", first)
    assert first == again
    assert first != other
    (elsewhere,) = await _secrets(mode, "hunter2-x")
    assert elsewhere != first, "the key is this server's own"


@pytest.mark.parametrize("mode", ERAS)
async def test_a_secret_inside_a_longer_text_leaves_the_rest_of_it_readable(mode: str) -> None:
    uri = "postgres://ann:hunter2@db.example/orders"
    question = await question_about(mode, "trigger_dag_run", dag_id="etl_a", conf={"source": uri, "limit": 5})
    assert "hunter2" not in question
    line = _line(question, "conf.source")
    assert "db.example/orders" in line
    assert f"({len(uri)} characters, digest" in line
    assert "\n- conf.limit=5\n" in question


async def test_a_yes_is_good_for_no_other_secret_of_the_same_length() -> None:
    world = World()
    call: Json = {"connection_id": "warehouse", "conn_type": "http", "password": "hunter2-x"}
    async with connected(world.airflow, POLICY, human=Person(world, YES)) as someone:
        asked = await _ask(someone, call)
        assert isinstance(asked, InputRequiredResult)
        answer = {"input_responses": {"confirm": YES}, "request_state": asked.request_state}
        sneaked = await _refused_or_asked(someone, {**call, "password": "hunter3-x"}, answer)
        assert sneaked, "another password needs another answer"
        assert changes(world.airflow) == []
        reordered = dict(reversed(call.items()))
        done = await _ask(someone, reordered, **answer)
    assert isinstance(done, CallToolResult)
    assert len(changes(world.airflow)) == 1


async def _ask(someone: Assistant, call: Json, **answer: Any) -> Any:
    return await someone.client.session.call_tool("update_connection", call, allow_input_required=True, **answer)


async def _refused_or_asked(someone: Assistant, call: Json, answer: dict[str, Any]) -> bool:
    try:
        return isinstance(await _ask(someone, call, **answer), InputRequiredResult)
    except Exception as error:  # noqa: BLE001 - the SDK refuses a state of other arguments by itself
        return "state" in str(error).lower()


@pytest.mark.parametrize("mode", ERAS)
async def test_targets_that_change_before_the_answer_are_not_covered_by_it(mode: str) -> None:
    world = World()
    answers: list[ElicitResult] = []

    def grow() -> None:
        late = f"late_{len(answers)}"
        answers.append(YES)
        world.affected = [{"dag_id": "etl_a", "dag_run_id": "r1", "task_id": late, "map_index": -1}]

    person = Person(world, YES, grow)
    async with connected(world.airflow, POLICY, mode=mode, human=person) as someone:
        try:
            result = await someone.client.call_tool(
                "clear_task_instances", {"dag_id": "etl_a", "dag_run_id": "r1", "dry_run": False}
            )
        except Exception:  # noqa: BLE001 - a client gives up asking after some rounds
            result = None
    assert result is None or result.is_error
    assert changes(world.airflow) == []
