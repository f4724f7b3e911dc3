"""Every decision is what a naive reading of docs/permissions.md says, for policies and calls that nobody chose."""

from __future__ import annotations

from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mcp.catalog.load import Catalog, Tool
from airflow_mcp.policy.decide import Asker, decide, offers, touched_by
from airflow_mcp.policy.rules import Policy, parse_policy
from tests.permissions.kinds import more_tools
from tests.permissions.support import CATALOG, Json, patient

# Where a call names what it touches, as a reader of the tools' manifests finds it.
PLACES = {
    "dag": ("dag_id", "dag_ids"),
    "pool": ("pool_name",),
    "variable": ("variable_key", "key"),
    "connection": ("connection_id",),
}
NAMES = {
    "pool": "pool_name",
    "variable": "key",
    "connection": "connection_id",
}  # of an entity of a bulk call
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


def names(word: str, tool: Tool, *, deny: bool) -> bool:
    """Whether a word of `tools` is about a tool."""
    if word in (tool.name, f"@{tool.entry.access}"):
        return True
    if word.startswith("@") or (tool.entry.access == "admin" and not deny):
        return False
    return glob(word, tool.name) or word == tool.toolset


def is_meant(word: str, asker: Asker) -> bool:
    """Whether a word of `callers` is about who asks; nobody has a role by being called like one."""
    if word.startswith("role:"):
        return any(glob(word, role) for role in asker.roles)
    return glob(word, asker.name)


def is_about(rule: Json, tool: Tool, asker: Asker, *, deny: bool) -> bool:
    return (
        any(names(word, tool, deny=deny) for word in rule["tools"])
        and ("instances" not in rule or among(rule["instances"], asker.instance))
        and ("callers" not in rule or any(is_meant(word, asker) for word in rule["callers"]))
        and all(getattr(tool.entry.scope, noun) for noun, key in KEYS.items() if key in rule)
    )


def model(policy: Json, tool: Tool, ids: dict[str, set[str] | None], asker: Asker) -> tuple[bool, str, int | None]:
    """Allowed, confirmation and cap of one call; None as ids is everything there is."""
    read = tool.entry.access == "read"

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

    if any(is_about(rule, tool, asker, deny=True) and denies(rule) for rule in policy["deny"]):
        return False, "", None
    matching = [rule for rule in policy["allow"] if is_about(rule, tool, asker, deny=False) and covers(rule)]
    if not matching and not (read and policy["default"] == "read"):
        return False, "", None
    usual = "plan" if tool.entry.access in ("destructive", "admin") else "never"
    asked = [STRICT.index(rule.get("confirm", usual)) for rule in matching]
    caps = [rule["max_affected"] for rule in matching if "max_affected" in rule]
    return True, "never" if read else STRICT[max(asked)], min(caps, default=None)


def words_of(catalog: Catalog) -> list[str]:
    """What a rule's `tools` may hold: every name, class and toolset that allows something, and some globs."""
    globs = ("*", "get_*", "clear_*", "*_dag", "delete_*", "list_*", "*_pool", "????_*", "create_*", "edit_*")
    words = [*own(catalog), *globs, *sorted(catalog.toolsets), "@read", "@write", "@destructive", "@admin"]
    classes = {"@read", "@write", "@destructive", "@admin"}
    return [
        word for word in words if word in classes or any(names(word, one, deny=False) for one in own(catalog).values())
    ]


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
    fitting = [word for word in words if names(word, tool, deny=True)]
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
    for word in ("create", "update", "delete"):
        if tool.entry.bulk and word in given:
            places.append(word)
            values.append([missing, *bulks(tool, word)])
    return [
        {name: value for name, value in zip(places, chosen, strict=True) if value is not missing}
        for chosen in product(*values)
    ]


def bulks(tool: Tool, word: str) -> list[list[Any]]:
    """Entities of a bulk call: one's own DAG, a stranger's, both, and those that say nothing of it."""
    noun = next(noun for noun in PLACES if getattr(tool.entry.scope, noun))
    ids = ["etl_a", "payroll_a", "~", ""]
    if noun == "dag":
        ones: list[Any] = [{"dag_run_id": "r", "dag_id": one} for one in ids] + [{"dag_run_id": "r"}]
        ones += ["r"] if word == "delete" else []
    else:
        ones = [*ids[:3]] if word == "delete" else [{NAMES[noun]: one} for one in ids[:3]]
    return [[one] for one in ones] + [[ones[0], one] for one in ones[1:]]


def name_in(noun: str, entity: Any) -> str:
    """What an entity of a bulk call says of this noun, or nothing: a text names a pool, but a run or task of a DAG."""
    if isinstance(entity, dict):
        return str(entity.get(NAMES.get(noun, "dag_id")) or "")
    return "" if noun == "dag" else str(entity)


def touches(tool: Tool, arguments: Json) -> dict[str, set[str] | None]:
    """What a call touches of each noun; None where that is everything.

    "~" is everything, but as the DAG of a path beside a list that says which: the list of a filter, or the entities of
    a bulk call, each of which names its own.
    """
    found: dict[str, set[str] | None] = {}
    for noun, places in PLACES.items():
        if getattr(tool.entry.scope, noun) in (None, "every_row"):
            if getattr(tool.entry.scope, noun):
                found[noun] = None
            continue
        path = [str(arguments[name]) for name in places if isinstance(arguments.get(name), str)]
        listed = [str(one) for name in places if isinstance(arguments.get(name), list) for one in arguments[name]]
        said = [name_in(noun, one) for word in ("create", "update", "delete") for one in arguments.get(word, ())]
        beside = (tool.entry.instead and listed) or (tool.entry.bulk and all(said))
        ids = {one for one in path if not (beside and one == "~")} | set(listed) | {one for one in said if one}
        found[noun] = ids if ids and "~" not in ids else None
    return found


def agree(policy: Json, parsed: Policy, tool: Tool, arguments: Json, asker: Asker) -> str:
    """Compare one call; for a read of everything, what becomes of each row. Returns what kind of case it was."""
    decided = decide(parsed, tool, touched_by(tool, arguments), asker)
    ids = touches(tool, arguments)
    if decided.allowed:
        assert offers(parsed, tool, asker), "a call is allowed of a tool that is not offered"
    if tool.entry.access == "read" and None in ids.values():
        open_nouns = [noun for noun, one in ids.items() if one is None]
        for ones in product(UNIVERSE if len(ids) == 1 else UNIVERSE[:4], repeat=len(open_nouns)):
            row: dict[Any, str] = dict(zip(open_nouns, ones, strict=True))
            seen = touched_by(tool, arguments)
            seen |= {noun: frozenset({row[noun]}) for noun in decided.by_row}
            shown = decided.allowed and (not decided.by_row or decide(parsed, tool, seen, asker).allowed)
            expected = model(policy, tool, ids | {noun: {one} for noun, one in row.items()}, asker)[0]
            assert shown is expected, f"the row of {row}"
        return "read by row"
    allowed, confirm, cap = model(policy, tool, ids, asker)
    assert decided.allowed is allowed, decided.rule
    assert not decided.by_row
    if allowed:
        assert (decided.confirm, decided.max_affected) == (confirm, cap)
    return f"{tool.entry.access} {'allowed' if allowed else 'refused'}"


def check(catalog: Catalog, examples: int, *, admins: int = 0) -> Counter[str]:
    """Run the comparison for policies around every tool of a catalog; how many cases of each kind there were.

    Tools for administrators, few and hardest to allow, come so many times more often than others.
    """
    seen: Counter[str] = Counter()
    words = words_of(catalog)
    kinds = [Kind(words, tool) for tool in own(catalog).values()]
    kinds += [kind for kind in kinds if kind.tool.entry.access == "admin" for _ in range(admins)]
    askers = st.builds(Asker, st.sampled_from(["ann", "bob", "eve"]), ROLES, st.sampled_from(INSTANCES))
    cases = st.sampled_from(kinds).flatmap(lambda kind: st.tuples(st.just(kind), kind.policies, askers))

    @patient(examples)
    @given(cases)
    def compare(case: tuple[Kind, Json, Asker]) -> None:
        kind, policy, asker = case
        parsed = parse_policy((), catalog, table=policy, instances=INSTANCES)
        for arguments in kind.calls:
            seen[agree(policy, parsed, kind.tool, arguments, asker)] += 1

    compare()
    return seen


def test_every_decision_on_the_catalog_is_what_the_page_says() -> None:
    seen = check(CATALOG, 1200, admins=8)
    classes = ("read", "write", "destructive", "admin")
    assert set(seen) == {f"{c} {r}" for c in classes for r in ("allowed", "refused")} | {"read by row"}
    assert min(seen.values()) > 10, seen


def test_every_decision_on_administrators_variables_and_lists_of_dags_is_what_the_page_says(tmp_path: Path) -> None:
    seen = check(more_tools(tmp_path / "manifests"), 400)
    assert {f"{c} {r}" for c in ("write", "destructive", "admin") for r in ("allowed", "refused")} <= set(seen)
    assert min(seen.values()) > 10, seen


def test_every_pair_of_globs_is_decided_as_the_page_says_for_every_list_of_dags(tmp_path: Path) -> None:
    catalog = more_tools(tmp_path / "manifests")
    tool, asker, seen = catalog.tools["clear_many"], Asker(), Counter[str]()
    for allowed, denied in product([[], ["ops", "payroll_*"], *([one] for one in GLOBS)], repeat=2):
        policy: Json = {
            "default": "read",
            "allow": [{"tools": ["*"]} | ({"dags": allowed} if allowed else {})],
            "deny": [{"tools": ["*"], "dags": denied}] if denied else [],
        }
        parsed = parse_policy((), catalog, table=policy)
        for arguments in calls(tool):
            seen[agree(policy, parsed, tool, arguments, asker)] += 1
    assert min(seen["write allowed"], seen["write refused"]) > 1000, seen


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [("etl_*", "etl_", "Etl_a"), ("?tl", "etl", "tl"), ("[ab]c", "bc", "cc"), ("*", "", None), ("a*b", "a\nb", "ab ")],
)
def test_the_models_own_globs_are_right(pattern: str, yes: str, no: str | None) -> None:
    assert glob(pattern, yes)
    assert no is None or not glob(pattern, no)
