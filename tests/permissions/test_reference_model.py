"""Every decision is what a naive reading of docs/permissions.md says, for policies and calls that nobody chose."""

from __future__ import annotations

from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.policy.decision import Principal, decide, decide_call, offers
from airflow_mcp.policy.effects import Effect, derive_effects, find_target_ids
from airflow_mcp.policy.rules import Policy, parse_policy
from tests.permissions.kinds import more_tools
from tests.permissions.reference import LISTS, VEHICLES, Ids, Part, parts_of
from tests.permissions.support import CATALOG, Json, patient

# Where a call names what it touches, as a reader of the tools' manifests finds it.
PLACES = {
    "dag": ("dag_id", "dag_ids"),
    "pool": ("pool_name",),
    "variable": ("variable_key",),
    "connection": ("connection_id",),
}
KEYS = {"dag": "dags", "pool": "pools", "variable": "variables", "connection": "connections"}
UNIVERSE = ("etl_a", "etl_b", "payroll_a", "ops", "x[1]", "Etl_a", "")
GLOBS = ("*", "etl_*", "payroll_*", "etl_a", "?tl_a", "*_a", "ops", "[eE]tl_a", "nobody")
INSTANCES = ("staging", "prod", "prod-eu")
CALLERS = ("*", "ann", "b*", "role:oncall", "role:*")
PLACES_MEANT = ("*", "*", "staging", "prod*")
STRICT = ("never", "plan", "human")
SHOWING = st.just({"tools": ["@secret"]})  # permits no call
ROLES = st.sampled_from([(), ("role:oncall",)])


def glob(pattern: str, text: str) -> bool:
    """Whether a pattern of *, ? and [abc] is the whole text, by trying everything."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(glob(pattern[1:], text[skip:]) for skip in range(len(text) + 1))
    if not text:
        return False
    if pattern[0] == "[":
        inside, _, rest = pattern[1:].partition("]")
        return text[0] in inside and glob(rest, text[1:])
    return pattern[0] in ("?", text[0]) and glob(pattern[1:], text[1:])


def among(patterns: list[str], text: str) -> bool:
    return any(glob(pattern, text) for pattern in patterns)


def names(word: str, tool: Tool, *, deny: bool, kinds: set[str] | None = None) -> bool:
    """Whether a word of `tools` is about a tool, whose effect is of these kinds."""
    if tool.name in VEHICLES:
        return deny and (glob(word, tool.name) or word == tool.toolset)
    if word in (tool.name, f"@{tool.entry.access}"):
        return True
    if word.startswith("@") and word[1:] in (kinds or ()):
        return deny or word == "@access" or tool.entry.access != "admin"
    if word.startswith("@") or (tool.entry.access == "admin" and not deny):
        return False
    return glob(word, tool.name) or word == tool.toolset


def is_meant(word: str, principal: Principal) -> bool:
    """Whether a word of `callers` is about who asks; nobody has a role by being called like one."""
    if word.startswith("role:"):
        return any(glob(word, role) for role in principal.roles)
    return glob(word, principal.name)


def is_about(rule: Json, part: Part, principal: Principal, *, deny: bool) -> bool:
    return (
        any(names(word, part.tool, deny=deny, kinds=part.kinds) for word in rule["tools"])
        and ("instances" not in rule or among(rule["instances"], principal.instance))
        and ("callers" not in rule or any(is_meant(word, principal) for word in rule["callers"]))
        and all(noun in part.ids for noun, key in KEYS.items() if key in rule)
    )


def model(policy: Json, tool: Tool, parts: list[Part], principal: Principal) -> tuple[bool, str, int | None]:
    """Allowed, confirmation and cap of one call: every part of it is, and the strictest of them."""
    answers = [model_of_part(policy, tool, part, principal) for part in parts]
    if not all(allowed for allowed, _, _ in answers):
        return False, "", None
    caps = [cap for _, _, cap in answers if cap is not None]
    return True, max((confirm for _, confirm, _ in answers), key=STRICT.index), min(caps, default=None)


def model_of_part(policy: Json, tool: Tool, part: Part, principal: Principal) -> tuple[bool, str, int | None]:
    """The same of one effect of a call of this tool, or of a read; None as ids is everything there is."""
    ids, read = part.ids, tool.entry.access == "read"
    around = Part(tool, ids, set[str]() if tool.name != part.tool.name else part.kinds)

    def denies(rule: Json) -> bool:  # it reaches everything: could touch what is denied
        return all(
            any(among(rule[key], one) for one in touched) if (touched := ids[noun]) is not None else True
            for noun, key in KEYS.items()
            if key in rule
        )

    def covers(rule: Json) -> bool:  # it reaches everything: could touch what no pattern is for
        return all(
            all(among(rule[key], one) for one in touched) if (touched := ids[noun]) is not None else "*" in rule[key]
            for noun, key in KEYS.items()
            if key in rule
        )

    for one in (part, around):
        if any(is_about(rule, one, principal, deny=True) and denies(rule) for rule in policy["deny"]):
            return False, "", None
    matching = [rule for rule in policy["allow"] if is_about(rule, part, principal, deny=False) and covers(rule)]
    if not matching and not (read and policy["default"] == "read"):
        return False, "", None
    strict = {"destructive", "admin"} & {tool.entry.access, part.tool.entry.access}
    usual = "plan" if strict else "never"
    asked = [STRICT.index(rule.get("confirm", usual)) for rule in matching]
    caps = [rule["max_affected"] for rule in matching if "max_affected" in rule]
    return True, "never" if read else STRICT[max(asked)], min(caps, default=None)


def words_of(catalog: Catalog) -> list[str]:
    """What a rule's `tools` may hold: every name, class and toolset that allows something, and some globs."""
    globs = ("*", "get_*", "clear_*", "*_dag", "delete_*", "list_*", "*_pool", "????_*", "create_*", "edit_*")
    kinds = ("@delete", "@starts_runs", "@state", "@config", "@access")
    classes = ("@read", "@write", "@destructive", "@admin", *kinds)
    words = [*own(catalog), *globs, *sorted(catalog.toolsets)]
    named = [word for word in words if any(names(word, one, deny=False) for one in own(catalog).values())]
    return [*named, *classes]


def own(catalog: Catalog) -> dict[str, Tool]:
    """The tools that have a decision of their own: what runs others has none (test_forwarding.py)."""
    return {name: tool for name, tool in catalog.tools.items() if not tool.entry.forwards}


class Kind:
    """One tool with the policies and calls to try on it."""

    def __init__(self, words: list[str], tool: Tool) -> None:
        self.tool = tool
        self.policies = st.fixed_dictionaries(
            {
                "default": st.sampled_from(["read", "none"]),
                "allow": st.lists(st.one_of(rules(words, tool, deny=False), SHOWING), max_size=3),
                "deny": st.lists(rules(words, tool, deny=True), max_size=2),
            }
        )
        self.calls = calls(tool)


def some(values: tuple[str, ...] | list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2)


def rules(words: list[str], tool: Tool, *, deny: bool) -> st.SearchStrategy[Json]:
    """Rules, most of which are about this tool."""
    able = {part.tool.name: part for arguments in calls(tool) for part in parts_of(tool, arguments)}
    about = [*able.values(), Part(tool, {}, set[str]())]
    fitting = [word for word in words if any(names(word, one.tool, deny=True, kinds=one.kinds) for one in about)]
    fitting += [word for word in (tool.name,) if deny and word not in fitting]
    nouns = [key for noun, key in KEYS.items() if getattr(tool.entry.scope, noun)]
    optional: dict[str, Any] = {"instances": some(PLACES_MEANT), "callers": some(CALLERS)}
    optional |= {key: some(GLOBS) for key in nouns}
    optional["pools" if "pools" not in nouns else "variables"] = some(GLOBS)
    if not deny:
        optional |= {"confirm": st.sampled_from(STRICT), "max_affected": st.integers(1, 9)}
    tools = st.one_of(some(fitting), some(words))
    return st.fixed_dictionaries({"tools": tools}, optional=optional)


def calls(tool: Tool) -> list[Json]:
    """Every call that names what is touched, names everything, or names nothing."""
    given = {use.name for use in tool.entry.params}
    places = [name for noun in PLACES for name in PLACES[noun] if name in given and getattr(tool.entry.scope, noun)]
    missing, ids = object(), ([*UNIVERSE, "~"] if len(places) < 2 else ["etl_a", "payroll_a", "~"])
    lists = [[one, other] for one in ids for other in ids] + [[]]
    values = [[missing, *(lists if name == "dag_ids" else ids)] for name in places]
    others: Json = {name: chosen for name, chosen in OTHERS.items() if name in given}
    others |= {word: bulks(tool, word) for word in LISTS if tool.entry.bulk and word in given}
    if tool.name == "set_dag_run_state":
        others["state"] = ["failed", "queued"]
    places += others
    values += [[missing, *chosen] for chosen in others.values()]
    return [
        {name: value for name, value in zip(places, chosen, strict=True) if value is not missing}
        for chosen in product(*values)
    ]


OTHERS: Json = {"on_existing": ["overwrite"], "mode": ["backfill"], "commit_on_success": [True]}


def bulks(tool: Tool, word: str) -> list[list[Any]]:
    """Entities of a bulk call: one's own DAG, a stranger's, both, those that say nothing of it, and none."""
    noun = next(noun for noun in PLACES if getattr(tool.entry.scope, noun))
    if noun == "dag":
        state = "state" if tool.name == "bulk_dag_runs" else "new_state"
        what: list[Json] = [{state: "failed"}, {"note": "n"}, {"state": "queued", "note": "n"}, {}]
        what = what if word == "update" else [{}] * 4
        ones: list[Any] = [
            {"dag_run_id": "r", "dag_id": one} | more
            for one, more in zip(("etl_a", "payroll_a", "~", ""), what, strict=True)
        ]
        ones += [{"dag_run_id": "r"} | what[0]]
        ones += ["r"] if word == "delete" else []
    else:
        key = PLACES[noun][-1]
        ones = [one if word == "delete" else {key: one} for one in ("etl_a", "payroll_a", "~")]
    return [[], *([one] for one in ones), *([ones[0], one] for one in ones[1:])]


def agree(policy: Json, parsed: Policy, tool: Tool, arguments: Json, principal: Principal) -> str:
    """Compare one call; for a read of everything, what becomes of each row. Returns what kind of case it was."""
    decided = decide_call(parsed, tool, derive_effects(tool, arguments), principal)
    parts = parts_of(tool, arguments)
    if decided.allowed:
        assert offers(parsed, tool, principal), "a call is allowed of a tool that is not offered"
    if tool.entry.access == "read" and None in (ids := parts[0].ids).values():
        open_nouns = [noun for noun, one in ids.items() if one is None]
        for ones in product(UNIVERSE if len(ids) == 1 else UNIVERSE[:4], repeat=len(open_nouns)):
            row: dict[Any, str] = dict(zip(open_nouns, ones, strict=True))
            seen = find_target_ids(tool, arguments)
            seen |= {noun: frozenset({row[noun]}) for noun in decided.by_row}
            shown = decided.allowed and (not decided.by_row or decide(parsed, Effect(tool, seen), principal).allowed)
            known: Ids = ids | {noun: {one} for noun, one in row.items()}
            expected = model(policy, tool, [Part(tool, known, set[str]())], principal)[0]
            assert shown is expected, f"the row of {row}"
        return "read by row"
    allowed, confirm, cap = model(policy, tool, parts, principal)
    assert decided.allowed is allowed, decided.rule
    assert not decided.by_row
    if allowed:
        assert (decided.confirm, decided.max_affected) == (confirm, cap)
    what = "way" if tool.name in VEHICLES else tool.entry.access
    return f"{what} {'allowed' if allowed else 'refused'}"


def check(catalog: Catalog, examples: int, *, admins: int = 0) -> Counter[str]:
    """Run the comparison for policies around every tool of a catalog; how many cases of each kind there were.

    Tools for administrators, few and hardest to allow, come so many times more often than others.
    """
    seen: Counter[str] = Counter()
    words = words_of(catalog)
    kinds = [Kind(words, tool) for tool in own(catalog).values()]
    kinds += [kind for kind in kinds if kind.tool.entry.access == "admin" for _ in range(admins)]
    askers = st.builds(Principal, st.sampled_from(["ann", "bob", "eve"]), ROLES, st.sampled_from(INSTANCES))
    cases = st.sampled_from(kinds).flatmap(lambda kind: st.tuples(st.just(kind), kind.policies, askers))

    @patient(examples)
    @given(cases)
    def compare(case: tuple[Kind, Json, Principal]) -> None:
        kind, policy, principal = case
        parsed = parse_policy((), catalog, table=policy, instances=INSTANCES)
        for arguments in kind.calls:
            seen[agree(policy, parsed, kind.tool, arguments, principal)] += 1

    compare()
    return seen


def test_every_decision_on_the_catalog_is_what_the_page_says() -> None:
    seen = check(CATALOG, 1200, admins=8) + check(CATALOG, 1400, admins=10)
    classes = ("read", "write", "destructive", "admin", "way")
    assert set(seen) == {f"{c} {r}" for c in classes for r in ("allowed", "refused")} | {"read by row"}
    assert min(seen.values()) > 10, seen
    assert seen["way allowed"] > 300, seen


def test_every_decision_on_administrators_variables_and_lists_of_dags_is_what_the_page_says(tmp_path: Path) -> None:
    seen = check(more_tools(tmp_path / "manifests"), 400, admins=1)
    assert {f"{c} {r}" for c in ("write", "destructive", "admin") for r in ("allowed", "refused")} <= set(seen)
    assert min(seen.values()) > 10, seen


def test_every_pair_of_globs_is_decided_as_the_page_says_for_every_list_of_dags(tmp_path: Path) -> None:
    catalog = more_tools(tmp_path / "manifests")
    tool, principal, seen = catalog.tools["clear_many"], Principal(), Counter[str]()
    for allowed, denied in product([[], ["ops", "payroll_*"], *([one] for one in GLOBS)], repeat=2):
        policy: Json = {
            "default": "read",
            "allow": [{"tools": ["*"]} | ({"dags": allowed} if allowed else {})],
            "deny": [{"tools": ["*"], "dags": denied}] if denied else [],
        }
        parsed = parse_policy((), catalog, table=policy)
        for arguments in calls(tool):
            seen[agree(policy, parsed, tool, arguments, principal)] += 1
    assert min(seen["write allowed"], seen["write refused"]) > 1000, seen


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [("etl_*", "etl_", "Etl_a"), ("?tl", "etl", "tl"), ("[ab]c", "bc", "cc"), ("*", "", None), ("a*b", "a\nb", "ab ")],
)
def test_the_models_own_globs_are_right(pattern: str, yes: str, no: str | None) -> None:
    assert glob(pattern, yes)
    assert no is None or not glob(pattern, no)
