"""What an operator wrote is what holds, on each Airflow; what is misspelt stops the start, with file and line."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_mcp.cli.main import main
from airflow_mcp.errors import SettingsError
from airflow_mcp.policy.decision import ParentCall, Principal, decide
from airflow_mcp.policy.effects import Effect, TargetIds
from airflow_mcp.policy.rules import parse_policy
from tests.permissions.support import CATALOG, FILTERED, Json, changes, connected, patient, talking_to, whole_call
from tests.permissions.world import World
from tests.unit.assistant import ERAS, text_of

pytestmark = pytest.mark.anyio
Run = Any  # run(words, **variables) -> (exit code, stdout, stderr)
TWO = """[instances.staging]
url = "http://staging.example"
allow = [{ tools = ["@write"] }]

[instances.prod]
url = "http://prod.example"
allow = [{ tools = ["pause_dag"], dags = ["etl_*"] }]
deny = [{ tools = ["get_dag_source"] }]
"""
BROKEN: list[tuple[str, int, str]] = [  # the file, the line of what is wrong, and words of the sentence
    ("[policy]\ndefault = 'non'\n", 2, "policy.default"),
    ("[policy]\ndefualt = 'none'\n", 2, "policy.defualt: defualt is not a key of [policy]. Did you mean default?"),
    ("[policy]\nper_minute = { writes = 3 }\n", 2, "writes is not a key of per_minute. Did you mean write?"),
    ("[policy.per_minute]\nread = 5\nwrite = 0\n", 3, "policy.per_minute.write"),
    ("[[policy.allow]]\ntools = ['pause_dgs']\n", 2, "Did you mean pause_dag"),
    (
        "[[policy.allow]]\ntools = ['*']\n\n[[policy.allow]]\ntools = ['*']\ndag = ['etl_*']\n",
        6,
        "dag is not a key of a rule. Did you mean dags?",
    ),
    ("[[policy.allow]]\ntools = ['*']\nconfirm = 'ask'\n", 3, "confirm"),
    ("[[policy.allow]]\ntools = ['*']\nmax_affected = 0\n", 3, "max_affected"),
    ("[[policy.allow]]\ndags = ['etl_*']\n", 1, "allow rule 1: tools: Field required"),
    ("[[policy.allow]]\ntools = []\n", 2, "tools"),
    ("[[policy.allow]]\ntools = 'pause_dag'\n", 2, "tools"),
    ("[[policy.allow]]\ntools = ['*']\ninstances = ['stagng']\n", 3, "matches no instance"),
    (
        "[[policy.allow]]\ntools = ['*']\n[[policy.deny]]\ntools = ['*']\nconfirm = 'human'\n",
        5,
        "deny rule 1: confirm is not a key of a deny rule.",
    ),
    ("# first\n[[policy.deny]]\ntools = ['*']\ndags = 'payroll'\n", 4, "deny rule 1: dags:"),
    ("[[policy.deny]]\ntools = ['@secret']\n", 2, "@secret"),
    ("[policy]\nallow = [{ tools = ['pause_dgs'] }]\n", 2, "pause_dgs"),
    ("[policy]\n\n[instances.a]\nurl = 'http://a'\nallow = [{ tools = ['pause_dgs'] }]\n", 5, "pause_dgs"),
    ("[[policy.allow]]\ntools = ['*']\n[instances.a]\ndeny = [{ tools = ['*'], dag = ['x'] }]\n", 4, "you mean dags?"),
    ("[instances.a]\nurll = 'http://a'\n", 2, "instances.a.urll"),
    ("timeout = 5\nallow = ['pause_dgs']\n", 2, "pause_dgs"),
    ("[[policy.deny]]\ntools = [\n  'pause_dag',\n  'pause_dgs',\n]\n", 4, "pause_dgs"),
    ("allow = [\n  'pause_dag',\n  'pause_dgs',\n]\n", 1, "pause_dgs"),
    (
        "[instances.'eu.prod']\nurl = 'http://a'\nallow = [{ tools = ['pause_dgs'] }]\n",
        3,
        "eu.prod: allow rule 1: 'pause_dgs'",
    ),
    ("[instances.'eu.prod']\nurl = 'http://a'\ntimeout = 'x'\n", 3, "instances.eu.prod.timeout"),
    (
        "[instances.a]\nallow = [\n  { tools = ['*'] },  # [policy]\n  { tools = ['pause_dgs'] },\n]\n",
        4,
        "a: allow rule 2: 'pause_dgs'",
    ),
    (
        "[instances.a]\nurl = 'http://a'\n[[instances.a.deny]]\ntools = ['*']\n[[instances.a.deny]]\ntools = ['x_y']\n",
        6,
        "a: deny rule 2: ",
    ),
    (
        "[instances]\na.url = 'http://a'\nb.url = 'http://b'\nb . deny = [{ tools = ['x_y'] }]\n",
        4,
        "b: deny rule 1: ",
    ),
    ("[instances.a]\nallow = [{ tools = ['*'], instances = ['b'] }]\n", 2, "instances.a.allow is about this Airflow"),
    ("instances = { a = { url = 'http://a' }, b = { urll = 1 } }\n", 1, "instances.b.urll"),
    ("[instances.a]\ntoken_command = '''\n[policy]\ndefault = 1\n'''\n[policy]\ndefault = 2\n", 7, "policy.default"),
]
# What an operator might mean by an empty list is nobody and nothing, so it must not be read as everybody and all.
EMPTY = ["instances", "callers", "dags", "pools", "variables", "connections"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`airflow-mcp WORDS` as an operator runs it."""

    def command(*words: str, **variables: str) -> tuple[int, str, str]:
        for name, value in variables.items():
            monkeypatch.setenv(f"AIRFLOW_MCP_{name}", value)
        monkeypatch.setenv("COLUMNS", "400")
        monkeypatch.setattr(sys, "argv", ["airflow-mcp", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return command


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "airflow-mcp.toml"


@pytest.mark.parametrize(("text", "line", "words"), BROKEN)
def test_a_broken_file_stops_check_and_start_and_names_line_and_key(
    run: Run, file: Path, text: str, line: int, words: str
) -> None:
    file.write_text(text, encoding="utf-8")
    for command, variables in ((("policy", "check", str(file)), {}), ((), {"CONFIG": str(file)}), (("tools",), {})):
        code, out, error = run(*command, **variables)
        assert (code, out, error.count("\n")) == (1, "", 1), error
        assert error.startswith(f"airflow-mcp: {file}, line {line}: "), error
        assert words in error


@pytest.mark.parametrize("kind", ["allow", "deny"])
@pytest.mark.parametrize("key", EMPTY)
def test_an_empty_list_is_not_read_as_everything(kind: str, key: str) -> None:
    with pytest.raises(SettingsError, match=key):
        parse_policy((), CATALOG, table={kind: [{"tools": ["*"], key: []}]})


def test_a_file_that_is_right_is_said_to_be_and_what_it_amounts_to(run: Run, file: Path) -> None:
    deny = '[[policy.deny]]\ntools = ["*"]\ndags = ["payroll_*"]\n'
    file.write_text(f'[[policy.allow]]\ntools = ["*_pool"]\npools = ["small"]\n{deny}', encoding="utf-8")
    code, out, error = run("policy", "check", str(file))
    assert (code, error) == (0, "")
    assert "allow rule 1 (airflow-mcp.toml, line 1)  tools *_pool; pools small" in out
    assert "4 tools: get_pool, create_pool, update_pool, delete_pool" in out
    assert "delete_pool" not in out.partition("deny rule 1")[2], "a rule about DAGs is about no tool that touches none"


def test_the_variable_adds_to_the_rules_of_the_file(run: Run, file: Path) -> None:
    file.write_text('[[policy.allow]]\ntools = ["pause_dag"]\ndags = ["etl_*"]\n', encoding="utf-8")
    variables = {"CONFIG": str(file), "ALLOW": "unpause_dag,delete_*"}

    def verdict(*words: str) -> str:
        _, out, _ = run("policy", "explain", *words, **variables)
        return next(line.split()[-1] for line in out.splitlines() if line.startswith("verdict"))

    assert verdict("pause_dag", "--dag", "etl_a") == "allowed"
    assert verdict("pause_dag", "--dag", "ops") == "denied"
    assert verdict("unpause_dag", "--dag", "ops") == "allowed"
    assert verdict("delete_dag", "--dag", "ops") == "confirm"
    assert verdict("trigger_dag_run", "--dag", "etl_a") == "denied"


async def test_no_variable_lifts_a_denial_or_a_confirmation_of_the_file() -> None:
    world = World()
    policy: Json = {
        "allow": [{"tools": ["clear_*"], "confirm": "human"}],
        "deny": [{"tools": ["pause_dag"], "dags": ["payroll_*"]}],
    }
    async with connected(world.airflow, policy, allow=("*", "@admin", "pause_dag", "clear_dag_run")) as someone:
        assert "no permission lifts a denial" in await someone.refused("pause_dag", dag_id="payroll_a")
        sentence = await someone.refused("clear_dag_run", dag_id="etl_a", dag_run_id="r1", dry_run=False)
    assert "wants a human" in sentence
    assert changes(world.airflow) == []


def two() -> tuple[dict[str, World], dict[str, Any]]:
    """A staging where everything may be written, and a prod where little may."""
    worlds = {"staging": World("2.11.2"), "prod": World("3.3.2")}
    return worlds, {name: world.airflow for name, world in worlds.items()}


RULES: Json = {
    "allow": [
        {"tools": ["@write", "delete_pool"], "instances": ["staging"]},
        {"tools": ["pause_dag"], "dags": ["etl_*"], "instances": ["prod"]},
    ],
    "deny": [{"tools": ["get_dag_source"], "instances": ["prod"]}],
}


@pytest.mark.parametrize("mode", ERAS)
async def test_with_several_airflows_changes_name_one_reads_may_and_answers_say_which(mode: str) -> None:
    worlds, places = two()
    async with connected(places, RULES, mode=mode) as someone:
        for tool in (await someone.client.list_tools()).tools:
            if CATALOG.tools[tool.name].entry.forwards:
                assert set(tool.input_schema["properties"]) == {"tool", "arguments"}
                continue
            assert tool.input_schema["properties"]["instance"]["enum"] == ["staging", "prod"], tool.name
            is_read = CATALOG.tools[tool.name].entry.access == "read"
            assert ("instance" in tool.input_schema.get("required", [])) is not is_read, tool.name
        assert "instance is required" in await someone.refused("pause_dag", dag_id="etl_a")
        assert (await someone.ask("get_dag", dag_id="etl_a"))["instance"] == "staging"
        assert (await someone.ask("list_dags", instance="prod"))["instance"] == "prod"
        assert (await someone.ask("pause_dag", dag_id="etl_a", instance="prod"))["instance"] == "prod"
        assert (await someone.ask("delete_pool", pool_name="small", instance="staging"))["instance"] == "staging"
    assert [len(changes(world.airflow)) for world in worlds.values()] == [0, 1]


@pytest.mark.parametrize("tool", ["pause_dag", "get_dag"])
@pytest.mark.parametrize("wrong", ["", "PROD", "prod ", "default", "~", "*", 1, ["prod"], {"prod": 1}])
async def test_an_instance_that_is_none_of_them_is_refused_with_those_there_are(tool: str, wrong: Any) -> None:
    worlds, places = two()
    async with connected(places, RULES) as someone:
        sentence = await someone.refused(tool, dag_id="etl_a", instance=wrong)
    assert "one of staging, prod" in sentence
    assert [world.airflow.seen for world in worlds.values()] == [[], []]


async def test_every_airflow_has_its_own_rules() -> None:
    worlds, places = two()
    async with connected(places, RULES) as someone:
        await someone.ask("unpause_dag", dag_id="payroll_a", instance="staging")
        for tool, dag_id in (("unpause_dag", "etl_a"), ("pause_dag", "payroll_a"), ("get_dag_source", "etl_a")):
            await someone.refused(tool, dag_id=dag_id, instance="prod")
        await someone.ask("get_dag_source", dag_id="etl_a", instance="staging")
    assert len(changes(worlds["staging"].airflow)) == 1
    assert worlds["prod"].airflow.sent == []


def test_the_rules_inside_an_instance_hold_there_alone(run: Run, file: Path) -> None:
    file.write_text(TWO, encoding="utf-8")
    expected = {
        ("staging", "unpause_dag", "ops"): "allowed",
        ("prod", "unpause_dag", "ops"): "denied",
        ("prod", "pause_dag", "etl_a"): "allowed",
        ("prod", "pause_dag", "ops"): "denied",
        ("staging", "get_dag_source", "ops"): "allowed",
        ("prod", "get_dag_source", "ops"): "denied",
    }
    for (instance, tool, dag_id), verdict in expected.items():
        words = ("policy", "explain", tool, "--dag", dag_id, "--instance", instance)
        _, out, _ = run(*words, CONFIG=str(file))
        assert f"verdict      {verdict}" in out, (instance, tool, dag_id)


async def test_an_explanation_is_about_the_airflow_that_the_call_would_name() -> None:
    _, places = two()
    async with connected(places, RULES) as someone:
        arguments = {"dag_id": "payroll_a", "instance": "prod"}
        told = await someone.ask("explain_permission", tool="pause_dag", arguments=arguments)
        await someone.refused("pause_dag", **arguments)
    assert told["verdict"] == "denied"


OWN = sorted(name for name, tool in CATALOG.tools.items() if not tool.entry.forwards)
KINDS = ["@delete", "@starts_runs", "@state", "@config", "@access"]
tools = st.sampled_from([*OWN, *KINDS, "*", "@write", "@read", "@destructive", "*_dag", "list_*", "pools", "dags"])
rule = st.fixed_dictionaries(
    {"tools": st.lists(tools, min_size=1, max_size=3)},
    optional={"dags": st.sampled_from([["etl_*"], ["*"], ["payroll_a"]]), "pools": st.just(["small"])},
)
allowing = rule.filter(lambda one: not any(CATALOG.tools[name].is_vehicle for name in {*OWN} & {*one["tools"]}))
allow_rule = st.tuples(allowing, st.sampled_from([{}, {"confirm": "never"}, {"confirm": "plan"}, {"confirm": "human"}]))
policies = st.fixed_dictionaries(
    {
        "default": st.sampled_from(["read", "none"]),
        "allow": st.lists(allow_rule.map(lambda parts: {**parts[0], **parts[1]}), max_size=2).map(
            lambda rules: [*rules, {"tools": ["explain_permission"]}]
        ),
        "deny": st.lists(rule.filter(lambda one: not set(one["tools"]) & {"*", "@read"}), max_size=1),
    }
)


@pytest.mark.parametrize("tool", ["wait_for_dag_run", "read_task_log", "trigger_dag_run"])
async def test_leave_for_a_workflow_is_leave_for_the_reads_that_it_takes_and_for_no_others(tool: str) -> None:
    rules: list[Json] = [{"tools": [tool], "dags": ["etl_*"]}, {"tools": ["explain_permission"]}]
    async with connected(World().airflow, {"default": "none", "allow": rules}) as someone:
        arguments = arguments_for(tool, "etl_a")
        told = await someone.ask("explain_permission", tool=tool, arguments=arguments)
        await someone.ask(tool, **arguments)
        assert "not allowed" in await someone.refused("get_dag_run", dag_id="etl_a", dag_run_id="r1")
        assert "not allowed" in await someone.refused(tool, **arguments_for(tool, "payroll_a"))
    assert told["verdict"] == "allowed"


@pytest.mark.parametrize("tool", ["wait_for_dag_run", "read_task_log", "trigger_dag_run"])
async def test_what_is_denied_alone_is_denied_within_a_workflow_and_so_it_is_explained(tool: str) -> None:
    for step in CATALOG.tools[tool].entry.steps:
        if CATALOG.operations[step].entry.part_of:
            continue
        world = World()
        deny: Json = {"tools": [step], "dags": ["etl_a"]}
        async with connected(world.airflow, {"allow": [{"tools": [tool]}], "deny": [deny]}) as someone:
            arguments = arguments_for(tool, "etl_a")
            told = await someone.ask("explain_permission", tool=tool, arguments=arguments)
            result = await someone.client.call_tool(tool, arguments)
        assert (told["verdict"], told["rule"]) == ("denied", "deny rule 1")
        if result.is_error:
            assert f"{step} is not allowed" in text_of(result)
        else:  # a step that this call did not need
            read = CATALOG.operations[step].entry.v2
            assert read
            assert not any(line.endswith(read.path.rpartition("/")[2]) for line in world.airflow.lines())


async def test_what_a_tool_alone_sends_is_denied_to_every_workflow_with_that_tool() -> None:
    reading = CATALOG.tools["read_task_log"]
    other = replace(reading, name="diagnose", entry=reading.entry.model_copy(update={"title": "Diagnose"}))
    target_ids: TargetIds = {"dag": frozenset({"etl_a"})}
    parent = ParentCall(other, (Effect(other, target_ids),))
    for denied in ("read_task_log", "read_*"):
        policy = parse_policy((), CATALOG, table={"deny": [{"tools": [denied]}]})
        step = Effect(CATALOG.operations["get_task_log"], target_ids)
        assert not decide(policy, step, Principal(), parent).allowed


ASKING: Json = {"tools": ["*"], "confirm": "human"}
PLANNING: Json = {"tools": ["*"], "confirm": "plan"}


def arguments_for(name: str, dag_id: str) -> Json:
    """A whole call of a tool, about this DAG where it is about one."""
    tool = CATALOG.tools[name]
    needed = {use.name for use in tool.entry.params if use.required}
    others = {"import_error_id": 0, "xcom_key": "k", "tool": "get_version", "url": f"/dags/{dag_id}/runs/r1"}
    others |= {"query": "pause"}
    if tool.entry.any_of and not needed & set(tool.entry.any_of):
        needed.add("uri" if "uri" in tool.entry.any_of else tool.entry.any_of[0])
    arguments = {key: value for key, value in {**whole_call(tool, dag_id=dag_id), **others}.items() if key in needed}
    if tool.entry.preview == "flag":
        arguments["dry_run"] = False
    if name == "clear_task_instances":
        arguments["start_date"] = "2026-01-01T00:00:00Z"
    return arguments


def test_an_explanation_says_what_a_call_then_does() -> None:
    seen: Counter[str] = Counter()

    @patient(60)
    @example({"default": "read", "allow": [ASKING], "deny": []}, ["delete_dag", "pause_dag", "clear_dag_run"], False)
    @example({"default": "none", "allow": [PLANNING], "deny": []}, ["delete_dag", "pause_dag", "clear_dag_run"], True)
    @given(policies, st.lists(st.sampled_from(OWN), min_size=1, max_size=4), st.booleans())
    def compare(policy: Json, names: list[str], stranger: bool) -> None:
        world = World()
        with talking_to(world.airflow, policy) as call:
            if call("explain_permission", tool="get_version").is_error:
                return  # a rule denies the explanation itself
            for name in names:
                arguments = arguments_for(name, "payroll_a" if stranger else "etl_a")
                told = call("explain_permission", tool=name, arguments=arguments).structured_content or {}
                result = call(name, **arguments)
                said, answer = text_of(result) if result.is_error else "", result.structured_content or {}
                kind = told.get("confirm", told["verdict"])
                match kind:
                    case "denied" if (CATALOG.tools[name].entry.look_up or name in FILTERED) and not said:
                        assert "looked up" in told["rows"], "whose it is was not asked"
                    case "denied":  # a workflow tells what it may, and says what it may not
                        assert "not allowed" in (said or json.dumps(answer)), (name, arguments, said)
                    case "allowed":
                        assert "plan" not in answer
                        by_row = "a rule about its DAG" in said
                        assert by_row or f"{name} is not allowed" not in said, (arguments, said)
                    case "plan":
                        assert "plan" in answer, (name, said)
                    case _:
                        assert "wants a human" in said, (name, said)
                seen[kind] += 1

    compare()
    assert set(seen) == {"denied", "allowed", "plan", "human"}
    assert min(seen.values()) >= 3, seen
