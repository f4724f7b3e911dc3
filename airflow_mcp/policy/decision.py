"""Decision on a call: a policy and the call's effects give one decision, with the rules that made it. Pure.

An effect touches ids of nouns (DAGs, pools, variables, connections), or everything of a noun: a `~`, a missing filter,
a list of all. A change that could touch something outside an allow rule, or inside a deny rule, is refused. A read of
everything is decided row by row instead (`Decision.by_row`). One refused effect refuses the whole call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
NO_NAMES = ("role:", "scope:")  # prefixes of a rule's `callers` that no caller's name may have


@dataclass(frozen=True)
class Principal:
    """The caller that policy decides about: its name, roles ("role:NAME" and "scope:NAME") and Airflow."""

    name: str = LOCAL
    roles: tuple[str, ...] = ()
    instance: str = "default"
    narrowing: Narrowing = UNRESTRICTED


@dataclass(frozen=True)
class Decision:
    """The decision on one call, and the rules that made it."""

    allowed: bool
    rules: tuple[str, ...]  # "deny rule 1 (airflow-mcp.toml, line 12)", "policy.default", or "no rule"
    confirm: Confirm = "never"
    max_affected: int | None = None
    by_row: frozenset[Noun] = frozenset()  # decide every row of the reply again by these nouns
    parent: ParentCall | None = None  # the call that the decided step or effect belongs to
    denied: Tool | None = None  # the denied effect, where the rule does not deny the tool itself
    missing_effects: tuple[Effect, ...] = ()  # the effects that no rule allows, with all that they reach

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
        """The kinds of the tool's own effect in this call."""
        return frozenset[Kind]().union(*(one.kinds for one in self.effects if one.tool.name == self.tool.name))


def decide_call(policy: Policy, tool: Tool, effects: tuple[Effect, ...], principal: Principal) -> Decision:
    """Decide on a whole call: allowed where each of its effects is, with the strictest confirmation and cap."""
    decisions = [decide(policy, effect, principal, _find_parent(tool, effects, effect)) for effect in effects]
    if refusals := [decision for decision in decisions if not decision.allowed]:
        missing_effects = tuple(
            {effect.tool.name: effect for decision in refusals for effect in decision.missing_effects}.values()
        )
        refusal = next((decision for decision in refusals if not decision.missing_effects), refusals[0])
        return replace(refusal, parent=None, missing_effects=() if not refusal.missing_effects else missing_effects)
    rules = dict.fromkeys(rule for decision in decisions for rule in decision.rules)
    return replace(reduce(combine_decisions, decisions), rules=tuple(rules), parent=None)


def _find_parent(tool: Tool, effects: tuple[Effect, ...], effect: Effect) -> ParentCall | None:
    return ParentCall(tool, effects) if effect.tool.name != tool.name else None


def decide(policy: Policy, effect: Effect, principal: Principal, parent: ParentCall | None = None) -> Decision:
    """Decide on one effect or read: deny wins; among allows the strictest confirmation and cap hold.

    Within a call of another tool, a rule that denies either tool denies the effect; a read is allowed there also by
    what allows an effect of that call, on the ids of both.
    """
    tool, target_ids, changing = effect.tool, effect.target_ids, effect.changes
    outer_tool = parent.tool if parent else None
    if not tool.entry.forwards and (narrowing_reason := principal.narrowing.refuses(tool, outer_tool)):
        return Decision(False, (narrowing_reason,), parent=parent)
    for rule in policy.deny:
        is_about_tool = _is_about(rule, tool, principal, every=True, kinds=effect.kinds)
        is_about_parent = parent is not None and _is_about(rule, parent.tool, principal, every=True, kinds=parent.kinds)
        if (is_about_tool or is_about_parent) and _denies(rule, target_ids, changing):
            return Decision(False, (rule.name,), parent=parent, denied=None if is_about_parent else tool)

    def allows(rule: Allow) -> bool:
        if _is_about(rule, tool, principal, every=False, kinds=effect.kinds) and _covers(rule, target_ids, changing):
            return True
        return (
            not changing
            and parent is not None
            and any(
                _is_about(rule, parent_effect.tool, principal, every=False, kinds=parent_effect.kinds)
                and _covers(rule, parent_effect.target_ids | target_ids, changing)
                for parent_effect in parent.effects
            )
        )

    matching_rules = [rule for rule in policy.allow if allows(rule)]
    if not matching_rules and (changing or policy.default == "none"):
        return Decision(False, ("no rule",), parent=parent, missing_effects=(effect,))
    by_row: frozenset[Noun] = frozenset()
    if not changing:
        actors = (tool, *(parent_effect.tool for parent_effect in parent.effects), parent.tool) if parent else (tool,)
        by_row = frozenset(
            noun for noun, ids in target_ids.items() if ids is None and depends_on(policy, noun, principal, *actors)
        )
    if not matching_rules:
        return Decision(True, ("policy.default",), by_row=by_row, parent=parent)
    confirms: list[Confirm] = [_choose_confirm(rule, tool, outer_tool) for rule in matching_rules]
    caps = [rule.max_affected for rule in matching_rules if rule.max_affected is not None]
    return Decision(
        True,
        tuple(rule.name for rule in matching_rules),
        confirm=_choose_strictest(confirms) if changing else "never",
        max_affected=min(caps, default=None),
        by_row=by_row,
        parent=parent,
    )


def depends_on(policy: Policy, noun: Noun, principal: Principal, *tools: Tool) -> bool:
    """Return whether the decision on any of these depends on a noun's ids: by a denial, or where it needs a rule."""
    return any(
        rule.list_patterns(noun) and _is_about(rule, tool, principal, every=True)
        for tool in tools
        for rule in (*(policy.allow if policy.default == "none" or tool.entry.access != "read" else ()), *policy.deny)
    )


def offers(policy: Policy, tool: Tool, principal: Principal) -> bool:
    """Return whether some call of this tool may be allowed, so that the tool is listed."""
    if _is_denied(policy, tool, frozenset(), principal):
        return False
    if tool.entry.forwards:
        return any(offers(policy, effect, principal) for effect in tool.forwarded_tools)
    if principal.narrowing.refuses(tool):
        return False
    if tool.entry.access == "read" and policy.default == "read":
        return True
    constant_effects = [effect for effect in tool.effects if _always_has(tool, effect)]
    return (all if constant_effects else any)(
        _offers(policy, effect, principal) for effect in constant_effects or tool.effects
    )


def _always_has(tool: Tool, effect: Tool) -> bool:
    arguments = {use.name for use in tool.entry.params}
    uses = (use for use in tool.entry.effects if use.name == effect.name)
    return not tool.entry.effects or any(use.when is None and use.each not in arguments for use in uses)


def _offers(policy: Policy, effect: Tool, principal: Principal) -> bool:
    """Return whether some effect of this name may be allowed, of whatever kinds its arguments may make it."""
    constant_kinds = frozenset[Kind](use.name for use in effect.entry.kinds if use.when is None)
    optional_kinds = effect.entry.possible_kinds - constant_kinds
    kind_choices = chain.from_iterable(combinations(optional_kinds, size) for size in range(len(optional_kinds) + 1))
    return any(
        not _is_denied(policy, effect, kinds, principal)
        and any(
            _is_about(rule, effect, principal, every=False, kinds=kinds) and rule.fits(effect) for rule in policy.allow
        )
        for kinds in (constant_kinds.union(choice) for choice in kind_choices)
    )


def _is_denied(policy: Policy, tool: Tool, kinds: frozenset[Kind], principal: Principal) -> bool:
    """Return whether a rule denies this tool whatever the call touches."""
    unconditional_rules = (rule for rule in policy.deny if not any(map(rule.list_patterns, NOUNS)))
    return any(_is_about(rule, tool, principal, every=True, kinds=kinds) for rule in unconditional_rules)


def combine_decisions(first: Decision, second: Decision) -> Decision:
    """Combine two decisions: the stricter confirmation, the smaller cap, and denied if either is."""
    caps = [decision.max_affected for decision in (first, second) if decision.max_affected is not None]
    confirm = _choose_strictest([first.confirm, second.confirm])
    return replace(second if first.allowed else first, confirm=confirm, max_affected=min(caps, default=None))


def may_ask_for_plan(policy: Policy, tool: Tool, principal: Principal) -> bool:
    """Return whether some call of this tool may have to be confirmed by a plan."""
    return tool.entry.access != "read" and any(
        _is_about(rule, effect, principal, every=False)
        and rule.fits(effect)
        and _choose_confirm(rule, effect, tool) == "plan"
        for effect in tool.effects
        for rule in policy.allow
    )


def reveals_secrets(policy: Policy, principal: Principal) -> bool:
    """Return whether results show this principal secret fields (@secret)."""
    return any(SECRET in rule.tools and _is_for(rule, principal) for rule in policy.allow)


def build_refusal(policy: Policy, tool: Tool, decision: Decision, principal: Principal) -> NotAllowedError:
    """Return the error of a call that is not allowed: its refused effect, the rule, and what would change it.

    It names rules, but neither their patterns nor their callers: a reader may not be allowed to know those.
    """
    start = f"{tool.name} is not allowed here, and nothing was changed"
    if not decision.missing_effects:
        subject = "it" if decision.denied is None else _name_subject(decision.denied, tool)
        return NotAllowedError(f"{start}: {decision.rule} denies {subject}, and no permission lifts a denial.")
    for effect in decision.missing_effects:
        subject = _name_subject(effect.tool, tool)
        # A rule for another noun's ids never helps.
        fitting_rules = [rule for rule in policy.allow if rule.fits(effect.tool)]
        narrower_rules = [
            rule for rule in fitting_rules if _is_about(rule, effect.tool, principal, every=False, kinds=effect.kinds)
        ]
        if narrower_rules:
            nouns = " and ".join(
                word for noun, word in NOUNS.items() if any(rule.list_patterns(noun) for rule in narrower_rules)
            )
            names = " and ".join(rule.name for rule in narrower_rules)
            return NotAllowedError(
                f"{start}: {subject} is allowed only by {names}, for some {nouns} alone, and this call reaches further."
            )
        if any(rule.reaches(effect.tool, every=False, kinds=effect.kinds) for rule in fitting_rules):
            return NotAllowedError(
                f"{start}: rules allow {subject} to other callers than {principal.name!r}, or on other Airflows. The "
                "operator "
                "of this server can say who may do it here."
            )
    first, *other_effects = (effect.tool for effect in decision.missing_effects)
    names = " and ".join(effect.name for effect in (first, *other_effects))
    article = "an" if first.entry.access == "admin" else "a"
    reason = f"{_name_subject(first, tool)} is {article} {first.entry.access} operation that no rule allows"
    if other_effects:
        classes = " and ".join(f"{effect.name} ({effect.entry.access})" for effect in (first, *other_effects))
        reason = f"no rule allows its effects {classes}"
    return NotAllowedError(
        f"{start}: {reason}. The operator of this server can allow it by adding {names} to the setting "
        "AIRFLOW_MCP_ALLOW or to a [[policy.allow]] rule."
    )


def _name_subject(effect: Tool, tool: Tool) -> str:
    return "it" if effect.name == tool.name else f"its effect {effect.name}"


def _choose_confirm(rule: Allow, effect: Tool, outer: Tool | None) -> Confirm:
    """Return the confirmation of a rule, by default that of the class of the effect or of the tool around it."""
    defaults: list[Confirm] = [
        choose_default_confirm(candidate.entry.access) for candidate in (effect, outer) if candidate
    ]
    return rule.confirm or _choose_strictest(defaults)


def _choose_strictest(confirms: list[Confirm]) -> Confirm:
    return max(confirms, key=lambda one: _STRICTNESS[one])


def _is_for(rule: Rule, principal: Principal) -> bool:
    matches_instance = not rule.instances or _any_match([principal.instance], rule.instances)
    role_patterns = tuple(pattern for pattern in rule.callers if pattern.startswith(NO_NAMES))
    name_patterns = tuple(pattern for pattern in rule.callers if not pattern.startswith(NO_NAMES))
    # Separately, so that no caller gets a role by having its name.
    return matches_instance and (
        not rule.callers or _any_match(principal.roles, role_patterns) or _any_match([principal.name], name_patterns)
    )


def _is_about(
    rule: Rule, tool: Tool, principal: Principal, *, every: bool, kinds: frozenset[Kind] | None = None
) -> bool:
    return _is_for(rule, principal) and rule.reaches(tool, every=every, kinds=kinds)


def _covers(rule: Rule, target_ids: TargetIds, changing: bool) -> bool:
    """Return whether all target ids lie inside the rule's patterns; a read of everything is decided by row."""
    return _matches_targets(rule, target_ids, all, unnamed_match=not changing)


def _denies(rule: Rule, target_ids: TargetIds, changing: bool) -> bool:
    """Return whether a target id lies, or for a change could lie, inside the rule's patterns."""
    return _matches_targets(rule, target_ids, any, unnamed_match=changing)


def _matches_targets(
    rule: Rule, target_ids: TargetIds, quantify: Callable[[Iterable[bool]], bool], *, unnamed_match: bool
) -> bool:
    """Return whether the ids of every noun that the rule has patterns for match them, all or any as `quantify` says.

    `unnamed_match` is whether everything of a noun, which names no id, matches patterns that leave some of it out.
    """
    for noun in NOUNS:
        patterns = rule.list_patterns(noun)
        if not patterns:
            continue
        if noun not in target_ids:
            return False
        ids = target_ids[noun]
        if ids is None:
            if not unnamed_match and "*" not in patterns:
                return False
        elif not quantify(_any_match([target_id], patterns) for target_id in ids):
            return False
    return True


def _any_match(values: tuple[str, ...] | list[str], patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(value, pattern) for value in values for pattern in patterns)
