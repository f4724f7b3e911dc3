"""Rules have one name everywhere, which tells nothing but where they are written; and what they say in vain."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_mcp.cli.main import main
from airflow_mcp.policy.rule_warnings import CallerNames, find_warnings
from airflow_mcp.policy.rules import parse_policy
from tests.permissions.support import CATALOG, Json, connected
from tests.permissions.world import World
from tests.unit.assistant import ERAS

Run = Callable[..., tuple[int, str, str]]
RULES = """\
[[policy.allow]]
tools = ["pause_dag", "update_*"]
dags = ["etl_*"]
callers = ["ceo", "local"]
[[policy.deny]]
tools = ["*"]
dags = ["payroll_*"]
"""
SEVERAL = """\
[[policy.deny]]
tools = ["delete_*"]
[instances.prod]
url = "http://127.0.0.1:9"
[instances.staging]
url = "http://127.0.0.1:9"
allow = [{ tools = ["pause_dag"] }]
deny = [
  { tools = ["*"], dags = ["x"] },
  { tools = ["*"], dags = ["payroll_*"] },
]
"""
EXPLAINED = [
    (RULES, "pause_dag --dag etl_a", 0, "allow rule 1 (airflow-mcp.toml, line 1)"),
    (RULES, "pause_dag --dag payroll_a", 1, "deny rule 1 (airflow-mcp.toml, line 5)"),
    (RULES, "get_dag --dag payroll_a", 1, "deny rule 1 (airflow-mcp.toml, line 5)"),
    (RULES, "get_dag --dag etl_a", 0, "policy.default"),
    (SEVERAL, "delete_pool --pool x --instance prod", 1, "deny rule 1 (airflow-mcp.toml, line 1)"),
    (SEVERAL, "pause_dag --dag a --instance staging", 0, "staging: allow rule 1 (airflow-mcp.toml, line 7)"),
    (SEVERAL, "get_dag --dag payroll_a --instance staging", 1, "staging: deny rule 2 (airflow-mcp.toml, line 10)"),
    (SEVERAL, "get_dag --dag payroll_a --instance prod", 0, "policy.default"),
    ('# first\nallow = ["pause_dag"]\n', "pause_dag --dag a", 0, "allow (airflow-mcp.toml, line 2)"),
    ("[policy]\n", "pause_dag --dag a", 1, "no rule"),
]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """`airflow-mcp WORDS` with a configuration file, in a folder whose name is nobody's business."""

    def command(text: str, *words: str, **variables: str) -> tuple[int, str, str]:
        file = tmp_path / "airflow-mcp.toml"
        file.write_text(text, encoding="utf-8")
        for name, value in {"CONFIG": str(file), **variables}.items():
            monkeypatch.setenv(f"AIRFLOW_MCP_{name}", value)
        monkeypatch.setenv("COLUMNS", "400")
        monkeypatch.setattr(sys, "argv", ["airflow-mcp", *(str(file) if word == "{file}" else word for word in words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return command


@pytest.mark.parametrize(("text", "words", "code", "rule"), EXPLAINED)
def test_policy_explain_names_the_rule_where_it_is_written(
    run: Run, tmp_path: Path, text: str, words: str, code: int, rule: str
) -> None:
    ended, out, _ = run(text, "policy", "explain", *words.split())
    said = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (ended, said["rule"]) == (code, rule)
    assert str(tmp_path) not in out
    if code and rule != "no rule":
        assert rule in said["change"]


def test_the_short_setting_is_called_like_its_variable(run: Run) -> None:
    code, out, _ = run("[policy]\n", "policy", "explain", "pause_dag", "--dag", "a", ALLOW="pause_dag")
    assert code == 0
    assert "AIRFLOW_MCP_ALLOW" in out
    assert "line" not in out


NOUN_RULES = (
    '[[policy.allow]]\ntools = ["update_*"]\n{noun}s = ["mine_*"]\n[[policy.deny]]\ntools = ["*"]\n{noun}s = ["x_*"]\n'
)


@pytest.mark.parametrize("noun", ["variable", "connection", "pool"])
def test_policy_explain_is_about_every_noun_and_exits_1_where_denied(run: Run, noun: str) -> None:
    text = NOUN_RULES.format(noun=noun)
    for name, verdict, code in (("mine_a", "allowed", 0), ("yours", "denied", 1), ("x_a", "denied", 1)):
        ended, out, _ = run(text, "policy", "explain", f"update_{noun}", f"--{noun}", name)
        said = dict(line.split(maxsplit=1) for line in out.splitlines())
        assert (ended, said["verdict"]) == (code, verdict), name
    assert run(text, "policy", "explain", f"get_{noun}", f"--{noun}", "x_a")[0] == 1


POOLS_AND_DAGS = (
    '[[policy.allow]]\ntools = ["create_pool", "update_pool"]\npools = ["small"]\n'
    '[[policy.allow]]\ntools = ["delete_pool"]\npools = ["small"]\nconfirm = "human"\n'
    '[[policy.allow]]\ntools = ["@write", "clear_*"]\ndags = ["etl_*"]\n'
    '[[policy.deny]]\ntools = ["create_backfill"]\n'
)


@pytest.mark.parametrize(
    ("words", "verdict", "effects"),
    [
        ("bulk_pools --pool small", "confirm", "create_pool, update_pool, delete_pool"),
        ("bulk_pools --pool big", "denied", "create_pool, update_pool, delete_pool"),
        ("bulk_pools", "denied", "create_pool, update_pool, delete_pool"),
        ("plan_recovery --dag etl_a", "confirm", "clear_task_instances"),
        ("plan_recovery --dag other", "denied", "clear_task_instances"),
        ("trigger_and_wait --dag etl_a", "allowed", "trigger_dag_run"),
        ("pause_dags --dag etl_a", "allowed", "pause_dag"),
        ("pause_dags", "denied", "pause_dag"),
        ("bulk_dag_runs --dag etl_a", "denied", "set_dag_run_state, set_dag_run_note, delete_dag_run"),
    ],
)
def test_policy_explain_of_a_vehicle_decides_its_effects_on_what_is_named(
    run: Run, words: str, verdict: str, effects: str
) -> None:
    code, out, _ = run(POOLS_AND_DAGS, "policy", "explain", *words.split())
    said = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (code, said["verdict"], said["effects"]) == (int(verdict == "denied"), verdict, effects)
    if words.startswith("bulk_dag_runs"):
        assert said["allowed_effects"] == "set_dag_run_state, set_dag_run_note"
        assert "its effect delete_dag_run is a destructive operation that no rule allows" in said["change"]
    if words == "pause_dags --dag etl_a":
        assert "rows" not in said


def test_a_rule_about_ids_of_another_noun_is_no_reason_why_not(run: Run) -> None:
    text = '[[policy.allow]]\ntools = ["*"]\npools = ["small"]\ncallers = ["{who}"]\n'
    for who in ("local", "somebody"):
        for tool in ("pause_dag", "trigger_and_wait", "delete_dag"):
            _, out, _ = run(text.format(who=who), "policy", "explain", tool, "--dag", "etl_a")
            assert "operation that no rule allows" in out, tool


def test_policy_explain_of_a_confirmed_call_exits_0(run: Run) -> None:
    code, out, _ = run('[[policy.allow]]\ntools = ["delete_pool"]\n', "policy", "explain", "delete_pool")
    assert (code, "confirm" in out) == (0, True)


REFUSED: list[tuple[str, Json]] = [
    ("get_dag", {"dag_id": "payroll_a"}),
    ("pause_dag", {"dag_id": "payroll_a"}),
    ("pause_dag", {"dag_id": "other"}),
    ("unpause_dag", {"dag_id": "etl_a"}),
    ("delete_pool", {"pool_name": "small"}),
    ("explain_permission", {"tool": "pause_dag", "arguments": {"dag_id": "payroll_a"}}),
    ("explain_permission", {"tool": "pause_dag", "arguments": {"dag_id": "other"}}),
    ("explain_permission", {"tool": "unpause_dag", "arguments": {"dag_id": "etl_a"}}),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize(("tool", "arguments"), REFUSED)
async def test_a_refusal_names_no_pattern_and_no_caller_that_its_reader_may_not_know(
    tool: str, arguments: Json, mode: str
) -> None:
    policy: Json = {
        "allow": [
            {"tools": ["pause_dag"], "dags": ["etl_secret_*", "etl_b"]},
            {"tools": ["unpause_dag"], "callers": ["ceo", "role:board"]},
            {"tools": ["delete_pool"], "pools": ["hidden_*"]},
        ],
        "deny": [{"tools": ["*"], "dags": ["payroll_*"], "callers": ["loc*"]}],
    }
    async with connected(World().airflow, policy, mode=mode) as someone:
        result = await someone.client.call_tool(tool, arguments)
    words = str(result.structured_content) + str(result.content)
    for secret in ("etl_secret", "etl_b", "payroll_*", "ceo", "board", "hidden_", "loc*"):
        assert secret not in words
    assert "rule" in words


@pytest.mark.anyio
async def test_the_audit_trail_names_rules_like_a_refusal_does(tmp_path: Path) -> None:
    trail = tmp_path / "audit.jsonl"
    policy: Json = {"deny": [{"tools": ["delete_*"]}, {"tools": ["*"], "dags": ["payroll_*"]}]}
    async with connected(World().airflow, policy, audit=str(trail)) as someone:
        sentence = await someone.refused("get_dag", dag_id="payroll_a")
    assert "deny rule 2 denies it" in sentence
    (line,) = map(json.loads, trail.read_text().splitlines())
    assert line["rule"] == "deny rule 2"


ISSUER = '[oauth]\nissuer = "https://issuer.example"\naudience = "https://mcp.example/mcp"\n'
TOKEN = f'[tokens.bob]\nsha256 = "{"0" * 64}"\nroles = ["oncall"]\n'


def allowing(*lines: str) -> str:
    return "\n".join(["[[policy.allow]]", *lines, ""])


def denying(*lines: str) -> str:
    return "\n".join(["[[policy.deny]]", *lines, ""])


PAUSE = 'tools = ["pause_dag"]'
IN_VAIN = [
    (
        allowing(PAUSE, 'callers = ["role:oncal"]') + TOKEN,
        "allow rule 1 (airflow-mcp.toml, line 1): no token gives the role oncal",
    ),
    (allowing(PAUSE, 'callers = ["role:*"]'), "no token gives the role *"),
    (
        denying(PAUSE, 'callers = ["scope:x"]') + TOKEN,
        "deny rule 1 (airflow-mcp.toml, line 1): only an issuer gives scopes such as x",
    ),
    (allowing(PAUSE, 'callers = ["bbo"]') + TOKEN, "no token is named bbo"),
    (
        allowing('tools = ["*_pool"]', 'dags = ["etl"]'),
        "it can match nothing: none of its tools touches what it names (dags)",
    ),
    (
        denying('tools = ["*_pool"]', 'dags = ["etl"]'),
        "it can match nothing: none of its tools touches what it names (dags)",
    ),
    (allowing('tools = ["pause_dag", "create_pool"]', 'dags = ["etl"]'), "create_pool matches nothing in it"),
    (allowing('tools = ["pause_dag"]', 'dags = ["a"]', 'pools = ["b"]'), "it can match nothing: none of its tools"),
    (
        allowing(PAUSE) + denying('tools = ["pause_*"]'),
        "all that it allows is denied by deny rule 1 (airflow-mcp.toml, line 3)",
    ),
    (
        allowing(PAUSE, 'dags = ["payroll_a*"]') + denying('tools = ["*"]', 'dags = ["payroll_*"]'),
        "is denied by deny rule 1",
    ),
    (
        allowing(PAUSE, 'dags = ["a", "b"]') + denying('tools = ["*"]', 'dags = ["b", "[a]"]'),
        "is denied by deny rule 1",
    ),
    (
        allowing('tools = ["pause_dag", "delete_dag"]') + denying(PAUSE) + denying('tools = ["delete_*"]'),
        "is denied by deny rule 1 (airflow-mcp.toml, line 3) and deny rule 2 (airflow-mcp.toml, line 5)",
    ),
    (
        '[instances.a]\nurl = "http://a"\nallow = [{ tools = ["pause_dag"] }]\n[instances.b]\nurl = "http://b"\n'
        + denying(PAUSE, 'instances = ["a"]'),
        "a: allow rule 1 (airflow-mcp.toml, line 3): it can match nothing: all that it allows is denied by deny rule 1",
    ),
    (
        allowing(PAUSE, 'callers = ["bob"]') + denying(PAUSE, 'callers = ["b*"]') + TOKEN,
        "it can match nothing: all that it allows is denied",
    ),
]
WITH_EFFECT = [
    allowing(PAUSE, 'callers = ["role:oncall", "bob"]') + TOKEN,
    allowing(PAUSE, 'callers = ["role:any", "scope:x", "anybody"]') + ISSUER,
    allowing(PAUSE, 'callers = ["local"]'),
    allowing('tools = ["*"]', 'dags = ["etl_*"]'),
    allowing('tools = ["@write"]', 'pools = ["etl_*"]'),
    allowing('tools = ["@secret"]') + denying('tools = ["delete_*"]'),
    allowing(PAUSE) + denying('tools = ["*"]', 'dags = ["payroll_*"]'),
    allowing(PAUSE, 'dags = ["pay*"]') + denying('tools = ["*"]', 'dags = ["payroll_*"]'),
    allowing(PAUSE, 'dags = ["a*b"]') + denying('tools = ["*"]', 'dags = ["a?b"]'),
    allowing(PAUSE, 'dags = ["a"]') + denying('tools = ["*"]', 'pools = ["*"]'),
    allowing(PAUSE) + denying(PAUSE, 'callers = ["bob"]') + TOKEN,
    allowing(PAUSE, 'callers = ["*"]') + denying(PAUSE, 'callers = ["role:*"]') + TOKEN,
    allowing('tools = ["pause_dag", "delete_dag"]') + denying('tools = ["delete_*"]'),
    '[instances.a]\nurl = "http://a"\n[instances.b]\nurl = "http://b"\n'
    + allowing(PAUSE)
    + denying(PAUSE, 'instances = ["a"]'),
]


@pytest.mark.parametrize(("text", "words"), IN_VAIN)
def test_policy_check_warns_of_what_a_rule_says_in_vain(run: Run, text: str, words: str) -> None:
    code, out, error = run(text, "policy", "check", "{file}")
    assert (code, error) == (0, "")
    (warning,) = [line for line in out.splitlines() if line.startswith("warning")]
    assert words in warning


@pytest.mark.parametrize("text", WITH_EFFECT)
def test_policy_check_does_not_warn_of_rules_that_may_match(run: Run, text: str) -> None:
    code, out, error = run(text, "policy", "check", "{file}")
    assert (code, error) == (0, "")
    assert [line for line in out.splitlines() if line.startswith("warning")] == []


ALLOWED: Json = {"tools": ["@write", "@destructive"]}
NOBODY = CallerNames(frozenset({"local"}), frozenset(), has_issuer=False)


@pytest.mark.parametrize(
    ("deny", "words"),
    [
        ([{"tools": ["trigger_*"]}], "trigger_* leaves others of its kind allowed (materialize_asset"),
        ([{"tools": ["delete_*"]}], "(clear_asset_states, clear_task_states); @delete denies them all"),
        ([{"tools": ["trigger_*"]}, {"tools": ["@starts_runs"]}], ""),
        ([{"tools": ["trigger_*"], "dags": ["etl_*"]}, {"tools": ["@starts_runs"], "dags": ["x"]}], "trigger_*"),
        ([{"tools": ["*"]}], ""),
        ([{"tools": ["trigger_dag_run"]}], ""),
        ([{"tools": ["@starts_runs"]}], ""),
    ],
)
def test_a_denied_glob_that_leaves_others_of_its_kind_allowed_is_warned_about(deny: list[Json], words: str) -> None:
    policy = parse_policy((), CATALOG, table={"allow": [ALLOWED], "deny": deny})
    told = [one for one in find_warnings(policy, CATALOG, NOBODY, ["default"]) if "of its kind" in one]
    assert (words in " ".join(told)) if words else told == []


def test_a_permission_of_which_a_kind_alone_is_denied_is_not_in_vain() -> None:
    rules: Json = {"allow": [{"tools": ["set_dag_run_state"]}], "deny": [{"tools": ["@starts_runs"]}]}
    assert find_warnings(parse_policy((), CATALOG, table=rules), CATALOG, NOBODY, ["default"]) == []
