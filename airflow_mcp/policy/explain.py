"""What policy says about a call that is not made: the verdict, the rule behind it, and what would change it."""

from __future__ import annotations

from dataclasses import replace

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.load import Catalog, Tool
from airflow_mcp.policy.decide import Asker, Decision, Within, decide, decide_call, offers, refusal
from airflow_mcp.policy.effects import ARGUMENTS, Effect, effect_names, effects_of
from airflow_mcp.policy.rules import Policy

_CONFIRMATION = {
    "plan": "the call first answers with a preview and a plan; calling again with the plan does it",
    "human": "the user of the client is asked first, and shown what would be touched",
}


def explain(policy: Policy, catalog: Catalog, tool: Tool, arguments: Json, asker: Asker) -> Json:
    """The verdict (allowed, confirm or denied), by which rule, and what would change it, as one flat record.

    Arguments that say no more than which DAG, pool, variable or connection it is about are enough.
    """
    effects = tuple(_on_named(effect, arguments) for effect in effects_of(tool, arguments))
    decision = decide_call(policy, tool, effects, asker)
    facts: Json = {"tool": tool.name, "class": tool.entry.access, "rule": decision.rule}
    reaches_any = any(None in effect.touched.values() for effect in effects)
    if names := [name for name in effect_names(effects) if name != tool.name]:
        facts["effects"] = names
    if tool.entry.forwards:
        return _explain_way(policy, tool, decision, asker)
    if tool.entry.is_dry(arguments):
        facts["dry_run"] = (
            "a dry run needs no confirmation, and gives the plan where one is needed; this is about doing it"
        )
    if tool.entry.look_up and reaches_any:
        facts["rows"] = "which DAGs it touches is looked up when it is called; this is about a call that reaches any"
    if tool.entry.scope.dag == "file" and not decision.by_row:
        facts["rows"] = "the other DAGs in the file are looked up when it is called, and each of them counts"
    if reaches_any and any(use.each in catalog.operations for use in tool.entry.effects):
        facts["rows"] = "which DAGs fit is looked up when it is called; this is about a call that reaches any"
    if not decision.allowed or not offers(policy, tool, asker):
        why = str(refusal(policy, tool, decision, asker))
        if offers(policy, tool, asker) and (allowed := _allowed(policy, tool, effects, asker)):
            facts["allowed_effects"] = allowed
        return {**facts, "verdict": "denied", "change": why}
    for step in _reads_of(tool, effects, catalog):
        taken = decide(policy, step, asker, Within(tool, effects))
        if not taken.allowed:
            why = str(refusal(policy, step.tool, taken, asker))
            return {**facts, "verdict": "denied", "rule": taken.rule, "change": why}
    if decision.by_row:
        nouns = " and ".join(sorted(decision.by_row))
        facts["rows"] = f"rows of a {nouns} that a rule denies are hidden"
    if decision.max_affected is not None:
        facts["max_affected"] = decision.max_affected
    if decision.confirm == "never":
        return {**facts, "verdict": "allowed", "change": "a [[policy.deny]] rule would deny it"}
    how = _CONFIRMATION[decision.confirm]
    change = 'confirm = "never" in every rule that allows it would drop the confirmation'
    return {**facts, "verdict": "confirm", "confirm": decision.confirm, "how": how, "change": change}


def _allowed(policy: Policy, tool: Tool, effects: tuple[Effect, ...], asker: Asker) -> list[str]:
    """Those effects that a call may have which has no other one."""
    by_name = {name: tuple(one for one in effects if one.tool.name == name) for name in effect_names(effects)}
    return [name for name, same in by_name.items() if decide_call(policy, tool, same, asker).allowed]


def _on_named(effect: Effect, arguments: Json) -> Effect:
    """An effect that could reach everything of a noun, on the one that the arguments name."""
    named = {
        noun: frozenset({str(value)})
        for noun, ids in effect.touched.items()
        for name in ARGUMENTS[noun]
        if ids is None and effect.changes and (value := arguments.get(name)) is not None and value != "~"
    }
    return replace(effect, touched=effect.touched | named) if named else effect


def _reads_of(tool: Tool, effects: tuple[Effect, ...], catalog: Catalog) -> list[Effect]:
    """The reads that a workflow takes, each about the ids of one of its effects; none for an effect it has not now."""
    steps = [catalog.operations[name] for name in tool.entry.steps]
    absent = {use.name for use in tool.entry.effects} - {effect.tool.name for effect in effects}
    reads = [step for step in steps if step.entry.access == "read" and step.entry.part_of not in absent]
    return [read for step in reads for effect in effects for read in effects_of(step, effect.arguments)]


def _explain_way(policy: Policy, tool: Tool, decision: Decision, asker: Asker) -> Json:
    """The same for a tool that runs others: it has no permission of its own, but may be denied."""
    if not offers(policy, tool, asker):
        denials = {rule.name for rule in policy.deny}
        nothing = "no tool that it could run is allowed; what allows such a tool allows it through this one too"
        change = str(refusal(policy, tool, decision, asker)) if decision.rule in denials else nothing
        return {"tool": tool.name, "verdict": "denied", "rule": decision.rule, "change": change}
    change = "a [[policy.deny]] rule that names it would deny it"
    how = "it has no permission of its own: what it runs is decided as if called directly, so ask about that tool"
    return {"tool": tool.name, "verdict": "allowed", "rule": "that of the tool it runs", "how": how, "change": change}
