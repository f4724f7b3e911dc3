"""May this call happen? Pure: a policy and the effects of a call give one decision, with the rules that made it.

An effect touches ids of nouns (DAGs, pools, variables, connections), or everything of a noun: a `~`, a missing filter,
a list of all. A change that could touch something outside an allow rule, or inside a deny rule, is refused. A read of
everything is decided row by row instead: `Decision.by_row` says so. One refused effect refuses the whole call.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import reduce
from itertools import chain, combinations

from airflow_mcp.catalog.grammar import Noun
from airflow_mcp.catalog.loader import Tool
from airflow_mcp.catalog.manifest_syntax import Kind
from airflow_mcp.errors import NotAllowedError
from airflow_mcp.http_tokens import LOCAL
from airflow_mcp.policy.effects import Effect, TargetIds
from airflow_mcp.policy.narrowing import UNRESTRICTED, Narrowing
from airflow_mcp.policy.rules import NOUNS, SECRET, Allow, Confirm, Policy, Rule, choose_default_confirm

_STRICTNESS: dict[Confirm, int] = {"never": 0, "plan": 1, "human": 2}
NO_NAMES = ("role:", "scope:")  # what a rule's `callers` may start with and a caller's name may not


@dataclass(frozen=True)
class Principal:
    """Who asks and where: a caller's name, its roles as "role:NAME" and "scope:NAME", and the Airflow it asks of."""

    name: str = LOCAL
    roles: tuple[str, ...] = ()
    instance: str = "default"
    narrowing: Narrowing = UNRESTRICTED


@dataclass(frozen=True)
class Decision:
    """The verdict on one call, and the rule that made it."""

    allowed: bool
    rules: tuple[str, ...]  # "deny rule 1 (airflow-mcp.toml, line 12)", "policy.default", or "no rule"
    confirm: Confirm = "never"
    max_affected: int | None = None
    by_row: frozenset[Noun] = frozenset()  # decide every row of the reply again by these nouns
    parent: ParentCall | None = None  # whose step this is about
    denied: Tool | None = None  # the effect that a rule denies, where it is not the tool itself that is denied
    missing_effects: tuple[Effect, ...] = ()  # the effects that no rule allows, as far as they reach

    @property
    def rule(self) -> str:
        """The rules in one line."""
        return ", ".join(self.rules)


@dataclass(frozen=True)
class ParentCall:
    """The call that an effect or a step is part of, and all of its effects."""

    tool: Tool
    effects: tuple[Effect, ...]

    @property
    def kinds(self) -> frozenset[Kind]:
        """What kinds the tool's own effect is of in this call."""
        return frozenset[Kind]().union(*(one.kinds for one in self.effects if one.tool.name == self.tool.name))


def decide_call(policy: Policy, tool: Tool, effects: tuple[Effect, ...], principal: Principal) -> Decision:
    """The decision on a whole call: allowed where each of its effects is, with the strictest confirmation and cap."""
    decisions = [decide(policy, effect, principal, _find_parent(tool, effects, effect)) for effect in effects]
    if refused := [decision for decision in decisions if not decision.allowed]:
        lacking = tuple({one.tool.name: one for decision in refused for one in decision.missing_effects}.values())
        first = next((decision for decision in refused if not decision.missing_effects), refused[0])
        return replace(first, parent=None, missing_effects=() if not first.missing_effects else lacking)
    rules = dict.fromkeys(rule for decision in decisions for rule in decision.rules)
    return replace(reduce(combine_decisions, decisions), rules=tuple(rules), parent=None)


def _find_parent(tool: Tool, effects: tuple[Effect, ...], effect: Effect) -> ParentCall | None:
    return ParentCall(tool, effects) if effect.tool.name != tool.name else None


def decide(policy: Policy, effect: Effect, principal: Principal, parent: ParentCall | None = None) -> Decision:
    """The decision on one effect or read. Deny wins; among allows the strictest confirmation and cap hold.

    Within a call of another tool it is denied by what denies either; a read is allowed there also by what allows an
    effect of that call, on the ids of both.
    """
    tool, target_ids, changing = effect.tool, effect.target_ids, effect.changes
    outer = parent.tool if parent else None
    if not tool.entry.forwards and (left_out := principal.narrowing.refuses(tool, outer)):
        return Decision(False, (left_out,), parent=parent)
    for rule in policy.deny:
        itself = _is_about(rule, tool, principal, every=True, kinds=effect.kinds)
        around = parent is not None and _is_about(rule, parent.tool, principal, every=True, kinds=parent.kinds)
        if (itself or around) and _denies(rule, target_ids, changing):
            return Decision(False, (rule.name,), parent=parent, denied=None if around else tool)

    def allows(rule: Allow) -> bool:
        if _is_about(rule, tool, principal, every=False, kinds=effect.kinds) and _covers(rule, target_ids, changing):
            return True
        return (
            not changing
            and parent is not None
            and any(
                _is_about(rule, one.tool, principal, every=False, kinds=one.kinds)
                and _covers(rule, one.target_ids | target_ids, changing)
                for one in parent.effects
            )
        )

    matching = [rule for rule in policy.allow if allows(rule)]
    if not matching and (changing or policy.default == "none"):
        return Decision(False, ("no rule",), parent=parent, missing_effects=(effect,))
    by_row: frozenset[Noun] = frozenset()
    if not changing:
        actors = (tool, *(one.tool for one in parent.effects), parent.tool) if parent else (tool,)
        by_row = frozenset(
            noun for noun, ids in target_ids.items() if ids is None and depends_on(policy, noun, principal, *actors)
        )
    if not matching:
        return Decision(True, ("policy.default",), by_row=by_row, parent=parent)
    confirms: list[Confirm] = [_choose_confirm(rule, tool, outer) for rule in matching]
    caps = [rule.max_affected for rule in matching if rule.max_affected is not None]
    return Decision(
        True,
        tuple(rule.name for rule in matching),
        confirm=_choose_strictest(confirms) if changing else "never",
        max_affected=min(caps, default=None),
        by_row=by_row,
        parent=parent,
    )


def depends_on(policy: Policy, noun: Noun, principal: Principal, *tools: Tool) -> bool:
    """Whether the decision on any of these depends on a noun's ids: by a denial, or where it needs a rule."""
    return any(
        rule.list_patterns(noun) and _is_about(rule, tool, principal, every=True)
        for tool in tools
        for rule in (*(policy.allow if policy.default == "none" or tool.entry.access != "read" else ()), *policy.deny)
    )


def offers(policy: Policy, tool: Tool, principal: Principal) -> bool:
    """Whether some call of this tool may be allowed: what a list shows."""
    if _is_denied(policy, tool, frozenset(), principal):
        return False
    if tool.entry.forwards:
        return any(offers(policy, one, principal) for one in tool.forwarded_tools)
    if principal.narrowing.refuses(tool):
        return False
    if tool.entry.access == "read" and policy.default == "read":
        return True
    always = [one for one in tool.effects if _always_has(tool, one)]
    return (all if always else any)(_offers(policy, one, principal) for one in always or tool.effects)


def _always_has(tool: Tool, effect: Tool) -> bool:
    arguments = {use.name for use in tool.entry.params}
    uses = (use for use in tool.entry.effects if use.name == effect.name)
    return not tool.entry.effects or any(use.when is None and use.each not in arguments for use in uses)


def _offers(policy: Policy, effect: Tool, principal: Principal) -> bool:
    """Whether some effect of this name may be allowed, of whatever kinds its arguments may make it."""
    always = frozenset[Kind](use.name for use in effect.entry.kinds if use.when is None)
    at_times = effect.entry.possible_kinds - always
    choices = chain.from_iterable(combinations(at_times, size) for size in range(len(at_times) + 1))
    return any(
        not _is_denied(policy, effect, kinds, principal)
        and any(
            _is_about(rule, effect, principal, every=False, kinds=kinds) and rule.fits(effect) for rule in policy.allow
        )
        for kinds in (always.union(some) for some in choices)
    )


def _is_denied(policy: Policy, tool: Tool, kinds: frozenset[Kind], principal: Principal) -> bool:
    """Whether a rule denies this whatever it touches."""
    everywhere = (rule for rule in policy.deny if not any(map(rule.list_patterns, NOUNS)))
    return any(_is_about(rule, tool, principal, every=True, kinds=kinds) for rule in everywhere)


def combine_decisions(first: Decision, second: Decision) -> Decision:
    """Both decisions at once: the stricter confirmation, the smaller cap, and denied if either is."""
    caps = [each.max_affected for each in (first, second) if each.max_affected is not None]
    confirm = _choose_strictest([first.confirm, second.confirm])
    return replace(second if first.allowed else first, confirm=confirm, max_affected=min(caps, default=None))


def may_ask_for_plan(policy: Policy, tool: Tool, principal: Principal) -> bool:
    """Whether some call of this tool may have to be confirmed by a plan."""
    return tool.entry.access != "read" and any(
        _is_about(rule, effect, principal, every=False)
        and rule.fits(effect)
        and _choose_confirm(rule, effect, tool) == "plan"
        for effect in tool.effects
        for rule in policy.allow
    )


def reveals_secrets(policy: Policy, principal: Principal) -> bool:
    """Whether results show this asker secret fields (@secret)."""
    return any(SECRET in rule.tools and _is_for(rule, principal) for rule in policy.allow)


def build_refusal(policy: Policy, tool: Tool, decision: Decision, principal: Principal) -> NotAllowedError:
    """The sentence for a call that is not allowed: which effect of it, by which rule, and what would change it.

    Rules are named, and neither their patterns nor their callers told: those may be what a reader must not know of.
    """
    start = f"{tool.name} is not allowed here, and nothing was changed"
    if not decision.missing_effects:
        what = "it" if decision.denied is None else _name_subject(decision.denied, tool)
        return NotAllowedError(f"{start}: {decision.rule} denies {what}, and no permission lifts a denial.")
    for effect in decision.missing_effects:
        what = _name_subject(effect.tool, tool)
        fitting = [rule for rule in policy.allow if rule.fits(effect.tool)]  # one of another noun's ids never helps
        narrower = [
            rule for rule in fitting if _is_about(rule, effect.tool, principal, every=False, kinds=effect.kinds)
        ]
        if narrower:
            nouns = " and ".join(
                word for noun, word in NOUNS.items() if any(rule.list_patterns(noun) for rule in narrower)
            )
            names = " and ".join(rule.name for rule in narrower)
            return NotAllowedError(
                f"{start}: {what} is allowed only by {names}, for some {nouns} alone, and this call reaches further."
            )
        if any(rule.reaches(effect.tool, every=False, kinds=effect.kinds) for rule in fitting):
            return NotAllowedError(
                f"{start}: rules allow {what} to other callers than {principal.name!r}, or on other Airflows. The "
                "operator "
                "of this server can say who may do it here."
            )
    first, *others = (effect.tool for effect in decision.missing_effects)
    names = " and ".join(effect.name for effect in (first, *others))
    article = "an" if first.entry.access == "admin" else "a"
    why = f"{_name_subject(first, tool)} is {article} {first.entry.access} operation that no rule allows"
    if others:
        classes = " and ".join(f"{effect.name} ({effect.entry.access})" for effect in (first, *others))
        why = f"no rule allows its effects {classes}"
    return NotAllowedError(
        f"{start}: {why}. The operator of this server can allow it by adding {names} to the setting AIRFLOW_MCP_ALLOW "
        "or to a [[policy.allow]] rule."
    )


def _name_subject(effect: Tool, tool: Tool) -> str:
    return "it" if effect.name == tool.name else f"its effect {effect.name}"


def _choose_confirm(rule: Allow, effect: Tool, outer: Tool | None) -> Confirm:
    """What a rule asks for; one that says nothing, what the class of the effect or of the tool around it does."""
    usual: list[Confirm] = [choose_default_confirm(one.entry.access) for one in (effect, outer) if one]
    return rule.confirm or _choose_strictest(usual)


def _choose_strictest(confirms: list[Confirm]) -> Confirm:
    return max(confirms, key=lambda one: _STRICTNESS[one])


def _is_for(rule: Rule, principal: Principal) -> bool:
    here = not rule.instances or _any_match([principal.instance], rule.instances)
    roles = tuple(pattern for pattern in rule.callers if pattern.startswith(NO_NAMES))
    people = tuple(pattern for pattern in rule.callers if not pattern.startswith(NO_NAMES))
    # Apart, so that nobody gets a role by being called like one.
    return here and (not rule.callers or _any_match(principal.roles, roles) or _any_match([principal.name], people))


def _is_about(
    rule: Rule, tool: Tool, principal: Principal, *, every: bool, kinds: frozenset[Kind] | None = None
) -> bool:
    return _is_for(rule, principal) and rule.reaches(tool, every=every, kinds=kinds)


def _covers(rule: Rule, target_ids: TargetIds, changing: bool) -> bool:
    """Whether all that is touched lies inside the rule's patterns; a read of everything is decided by row."""
    for noun in NOUNS:
        patterns = rule.list_patterns(noun)
        if not patterns:
            continue
        if noun not in target_ids:
            return False
        ids = target_ids[noun]
        if ids is None:
            if changing and "*" not in patterns:
                return False
        elif not all(_any_match([one], patterns) for one in ids):
            return False
    return True


def _denies(rule: Rule, target_ids: TargetIds, changing: bool) -> bool:
    """Whether something that is touched, or for a change could be, lies inside the rule's patterns."""
    for noun in NOUNS:
        patterns = rule.list_patterns(noun)
        if not patterns:
            continue
        if noun not in target_ids:
            return False
        ids = target_ids[noun]
        if ids is None:
            if not changing and "*" not in patterns:
                return False
        elif not any(_any_match([one], patterns) for one in ids):
            return False
    return True


def _any_match(values: tuple[str, ...] | list[str], patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(value, pattern) for value in values for pattern in patterns)
