"""May this call happen? Pure: a policy and the parsed call give one decision, with the rule that made it.

A call touches ids of nouns (DAGs, pools, variables, connections), or everything of a noun: a `~`, a missing filter, a
list of all. A changing call that could touch something outside an allow rule, or inside a deny rule, is refused. A read
of everything is decided row by row instead: `Decision.by_row` says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from airflow_mcp.catalog.grammar import Json, Noun
from airflow_mcp.catalog.load import Tool
from airflow_mcp.errors import NotAllowedError
from airflow_mcp.policy.narrow import WHOLE, Narrowing
from airflow_mcp.policy.rules import NOUNS, SECRET, Allow, Confirm, Policy, Rule, default_confirm
from airflow_mcp.tokens import LOCAL

Touched = dict[Noun, frozenset[str] | None]  # ids, or None for everything of that noun
_STRICTNESS: dict[Confirm, int] = {"never": 0, "plan": 1, "human": 2}
NO_NAMES = ("role:", "scope:")  # what a rule's `callers` may start with and a caller's name may not
_ARGUMENTS: dict[Noun, tuple[str, ...]] = {  # where a call's ids of a noun stand
    "dag": ("dag_id", "dag_ids"),
    "pool": ("pool_name",),
    "variable": ("variable_key", "key"),
    "connection": ("connection_id",),
}


@dataclass(frozen=True)
class Asker:
    """Who asks and where: a caller's name, its roles as "role:NAME" and "scope:NAME", and the Airflow it asks of."""

    name: str = LOCAL
    roles: tuple[str, ...] = ()
    instance: str = "default"
    narrowing: Narrowing = WHOLE


@dataclass(frozen=True)
class Decision:
    """The verdict on one call, and the rule that made it."""

    allowed: bool
    rule: str  # "deny rule 1 (airflow-mcp.toml, line 12)", "policy.default", or "no rule"
    confirm: Confirm = "never"
    max_affected: int | None = None
    by_row: frozenset[Noun] = frozenset()  # decide every row of the reply again by these nouns
    within: Within | None = None  # whose step this is about


@dataclass(frozen=True)
class Within:
    """The composite that takes a step, and what its own call touches."""

    tool: Tool
    touched: Touched


def touched_by(tool: Tool, arguments: Json) -> Touched:
    """What the parsed call touches of each noun in its entry's scope."""
    touched: Touched = {}
    for noun in NOUNS:
        where = getattr(tool.entry.scope, noun)
        if where is None:
            continue
        ids = _ids(tool, noun, arguments) if where != "every_row" else None
        touched[noun] = ids or None
    return touched


def _ids(tool: Tool, noun: Noun, arguments: Json) -> frozenset[str] | None:
    """The ids of a noun that a call names; None where it may touch others."""
    singly, several = set[str](), set[str]()
    for name in _ARGUMENTS[noun]:
        value = arguments.get(name)
        if isinstance(value, list):
            several |= {str(item) for item in value}
        elif value is not None:
            singly.add(str(value))
    narrowed = bool(tool.entry.instead and several)  # "~" and a list of ids: those of the list
    if bulk := tool.entry.bulk:
        entities = [one for word in ("create", "update", "delete") for one in arguments.get(word) or ()]
        own = [_of_entity(one, _ARGUMENTS[noun], [*bulk.ids][-1]) for one in entities]
        several |= {one for one in own if one}
        narrowed = narrowed or all(own)  # "~", and every entity says whose it is
    if narrowed:
        singly.discard("~")
    ids = singly | several
    return None if "~" in ids else frozenset(ids)


def _of_entity(entity: object, names: tuple[str, ...], key: str) -> str:
    """The id of a noun that one entity of a bulk call names, or nothing; a text is what names the entity."""
    if not isinstance(entity, dict):
        return str(entity) if key in names else ""
    return next((str(entity[name]) for name in names if entity.get(name)), "")


def decide(policy: Policy, tool: Tool, touched: Touched, asker: Asker, within: Within | None = None) -> Decision:
    """The decision on a call that touches this. Deny wins; among allows the strictest confirmation and cap hold.

    A step `within` a composite is denied by what denies either, and allowed by what allows the composite; a reading one
    also by what allows it alone.
    """
    changing = tool.entry.access != "read"
    actors = (tool, within.tool) if within else (tool,)
    if not tool.entry.forwards and (left_out := asker.narrowing.refuses(tool, within.tool if within else None)):
        return Decision(False, left_out, within=within)
    for rule in policy.deny:
        if any(_is_about(rule, one, asker, every=True) for one in actors) and _denies(rule, touched, changing):
            return Decision(False, rule.name, within=within)
    alone = None if changing and within else tool  # a changing step has no leave but the composite's

    def allows(rule: Allow) -> bool:
        if alone and _is_about(rule, alone, asker, every=False) and _covers(rule, touched, changing):
            return True
        about = within is not None and _is_about(rule, within.tool, asker, every=False)
        return within is not None and about and _covers(rule, within.touched | touched, changing)

    matching = [rule for rule in policy.allow if allows(rule)]
    if not matching and (changing or policy.default == "none"):
        return Decision(False, "no rule", within=within)
    by_row: frozenset[Noun] = frozenset()
    if not changing:
        by_row = frozenset(
            noun for noun, ids in touched.items() if ids is None and depends_on(policy, noun, asker, *actors)
        )
    if not matching:
        return Decision(True, "policy.default", by_row=by_row, within=within)
    confirms: list[Confirm] = [_confirm(rule, tool) for rule in matching]
    confirm: Confirm = max(confirms, key=lambda one: _STRICTNESS[one]) if changing else "never"
    caps = [rule.max_affected for rule in matching if rule.max_affected is not None]
    return Decision(
        True,
        ", ".join(rule.name for rule in matching),
        confirm=confirm,
        max_affected=min(caps, default=None),
        by_row=by_row,
        within=within,
    )


def depends_on(policy: Policy, noun: Noun, asker: Asker, *tools: Tool) -> bool:
    """Whether the decision on any of these depends on a noun's ids: by a denial, or where it needs a rule."""
    return any(
        rule.patterns(noun) and _is_about(rule, tool, asker, every=True)
        for tool in tools
        for rule in (*(policy.allow if policy.default == "none" or tool.entry.access != "read" else ()), *policy.deny)
    )


def offers(policy: Policy, tool: Tool, asker: Asker) -> bool:
    """Whether some call of this tool may be allowed: what a list shows."""
    unconditional = (rule for rule in policy.deny if not any(map(rule.patterns, NOUNS)))
    if any(_is_about(rule, tool, asker, every=True) for rule in unconditional):
        return False
    if tool.entry.forwards:
        return any(offers(policy, one, asker) for one in tool.reach)
    if asker.narrowing.refuses(tool):
        return False
    if tool.entry.access == "read" and policy.default == "read":
        return True
    return any(_is_about(rule, tool, asker, every=False) and rule.fits(tool) for rule in policy.allow)


def stricter(one: Decision, other: Decision) -> Decision:
    """Both decisions at once: the stricter confirmation, the smaller cap, and denied if either is."""
    caps = [each.max_affected for each in (one, other) if each.max_affected is not None]
    confirms: list[Confirm] = [one.confirm, other.confirm]
    confirm: Confirm = max(confirms, key=lambda each: _STRICTNESS[each])
    return replace(other if one.allowed else one, confirm=confirm, max_affected=min(caps, default=None))


def may_ask_for_plan(policy: Policy, tool: Tool, asker: Asker) -> bool:
    """Whether some call of this tool may have to be confirmed by a plan."""
    rules = (rule for rule in policy.allow if _is_about(rule, tool, asker, every=False) and rule.fits(tool))
    return tool.entry.access != "read" and any(_confirm(rule, tool) == "plan" for rule in rules)


def reveals_secrets(policy: Policy, asker: Asker) -> bool:
    """Whether results show this asker secret fields (@secret)."""
    return any(SECRET in rule.tools and _is_for(rule, asker) for rule in policy.allow)


def refusal(policy: Policy, tool: Tool, decision: Decision, asker: Asker) -> NotAllowedError:
    """The sentence for a call that is not allowed: by which rule, and what would change it.

    Rules are named, and neither their patterns nor their callers told: those may be what a reader must not know of.
    """
    access = tool.entry.access
    start = f"{tool.name} is not allowed here, and nothing was changed"
    if decision.rule != "no rule":
        return NotAllowedError(f"{start}: {decision.rule} denies it, and no permission lifts a denial.")
    narrower = [rule for rule in policy.allow if _is_about(rule, tool, asker, every=False)]
    if narrower:
        nouns = " and ".join(word for noun, word in NOUNS.items() if any(rule.patterns(noun) for rule in narrower))
        names = " and ".join(rule.name for rule in narrower)
        return NotAllowedError(
            f"{start}: it is allowed only by {names}, for some {nouns} alone, and this call reaches further."
        )
    if any(rule.reaches(tool, every=False) for rule in policy.allow):
        return NotAllowedError(
            f"{start}: rules allow it to other callers than {asker.name!r}, or on other Airflows. The operator of this "
            "server can say who may do it here."
        )
    article = "an" if access == "admin" else "a"
    return NotAllowedError(
        f"{start}: it is {article} {access} operation that no rule allows. The operator of this server can allow it by "
        f"adding {tool.name} (or @{access}) to the setting AIRFLOW_MCP_ALLOW or to a [[policy.allow]] rule."
    )


def _confirm(rule: Allow, tool: Tool) -> Confirm:
    return rule.confirm or default_confirm(tool.entry.access)


def _is_for(rule: Rule, asker: Asker) -> bool:
    here = not rule.instances or _any_match([asker.instance], rule.instances)
    roles = tuple(pattern for pattern in rule.callers if pattern.startswith(NO_NAMES))
    people = tuple(pattern for pattern in rule.callers if not pattern.startswith(NO_NAMES))
    # Apart, so that nobody gets a role by being called like one.
    return here and (not rule.callers or _any_match(asker.roles, roles) or _any_match([asker.name], people))


def _is_about(rule: Rule, tool: Tool, asker: Asker, *, every: bool) -> bool:
    return _is_for(rule, asker) and rule.reaches(tool, every=every)


def _covers(rule: Rule, touched: Touched, changing: bool) -> bool:
    """Whether all that is touched lies inside the rule's patterns; a read of everything is decided by row."""
    for noun in NOUNS:
        patterns = rule.patterns(noun)
        if not patterns:
            continue
        if noun not in touched:
            return False
        ids = touched[noun]
        if ids is None:
            if changing and "*" not in patterns:
                return False
        elif not all(_any_match([one], patterns) for one in ids):
            return False
    return True


def _denies(rule: Rule, touched: Touched, changing: bool) -> bool:
    """Whether something that is touched, or for a change could be, lies inside the rule's patterns."""
    for noun in NOUNS:
        patterns = rule.patterns(noun)
        if not patterns:
            continue
        if noun not in touched:
            return False
        ids = touched[noun]
        if ids is None:
            if not changing and "*" not in patterns:
                return False
        elif not any(_any_match([one], patterns) for one in ids):
            return False
    return True


def _any_match(values: tuple[str, ...] | list[str], patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(value, pattern) for value in values for pattern in patterns)
