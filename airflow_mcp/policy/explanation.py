"""Explanation of policy for a call that is not made: the verdict, its rule, and what would change it."""

from __future__ import annotations

from dataclasses import replace

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.policy.decision import Decision, ParentCall, Principal, build_refusal, decide, decide_call, offers
from airflow_mcp.policy.effects import ARGUMENTS, Effect, derive_effects, list_effect_names
from airflow_mcp.policy.rules import Policy

_CONFIRMATION = {
    "plan": "the call first answers with a preview and a plan; calling again with the plan does it",
    "human": "the user of the client is asked first, and shown what would be touched",
}


def explain_decision(policy: Policy, catalog: Catalog, tool: Tool, arguments: Json, principal: Principal) -> Json:
    """Return the verdict (allowed, confirm or denied), its rule, and what would change it, as one flat record.

    Arguments that only say which DAG, pool, variable or connection the call is about are enough.
    """
    effects = tuple(_narrow_to_ids(effect, arguments) for effect in derive_effects(tool, arguments))
    decision = decide_call(policy, tool, effects, principal)
    facts: Json = {"tool": tool.name, "class": tool.entry.access, "rule": decision.rule}
    reaches_any = any(None in effect.target_ids.values() for effect in effects)
    if names := [name for name in list_effect_names(effects) if name != tool.name]:
        facts["effects"] = names
    if tool.entry.forwards:
        return _explain_forwarder(policy, tool, decision, principal)
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
    if not decision.allowed or not offers(policy, tool, principal):
        refusal = str(build_refusal(policy, tool, decision, principal))
        if offers(policy, tool, principal) and (allowed_effects := _find_allowed(policy, tool, effects, principal)):
            facts["allowed_effects"] = allowed_effects
        return {**facts, "verdict": "denied", "change": refusal}
    for step in _derive_reads(tool, effects, catalog):
        step_decision = decide(policy, step, principal, ParentCall(tool, effects))
        if not step_decision.allowed:
            refusal = str(build_refusal(policy, step.tool, step_decision, principal))
            return {**facts, "verdict": "denied", "rule": step_decision.rule, "change": refusal}
    if decision.by_row:
        nouns = " and ".join(sorted(decision.by_row))
        facts["rows"] = f"rows of a {nouns} that a rule denies are hidden"
    if decision.max_affected is not None:
        facts["max_affected"] = decision.max_affected
    if decision.confirm == "never":
        return {**facts, "verdict": "allowed", "change": "a [[policy.deny]] rule would deny it"}
    note = _CONFIRMATION[decision.confirm]
    change = 'confirm = "never" in every rule that allows it would drop the confirmation'
    return {**facts, "verdict": "confirm", "confirm": decision.confirm, "how": note, "change": change}


def _find_allowed(policy: Policy, tool: Tool, effects: tuple[Effect, ...], principal: Principal) -> list[str]:
    """Return the effects that would be allowed in a call that has no other effect."""
    by_name = {
        name: tuple(effect for effect in effects if effect.tool.name == name) for name in list_effect_names(effects)
    }
    return [name for name, subset in by_name.items() if decide_call(policy, tool, subset, principal).allowed]


def _narrow_to_ids(effect: Effect, arguments: Json) -> Effect:
    """Narrow an effect that could reach everything of a noun to the id that the arguments name."""
    named_ids = {
        noun: frozenset({str(value)})
        for noun, ids in effect.target_ids.items()
        for name in ARGUMENTS[noun]
        if ids is None and effect.changes and (value := arguments.get(name)) is not None and value != "~"
    }
    return replace(effect, target_ids=effect.target_ids | named_ids) if named_ids else effect


def _derive_reads(tool: Tool, effects: tuple[Effect, ...], catalog: Catalog) -> list[Effect]:
    """Return the reads of a workflow's steps, on the ids of each effect; none for an effect that it lacks now."""
    steps = [catalog.operations[name] for name in tool.entry.steps]
    absent = {use.name for use in tool.entry.effects} - {effect.tool.name for effect in effects}
    reads = [step for step in steps if step.entry.access == "read" and step.entry.part_of not in absent]
    return [read for step in reads for effect in effects for read in derive_effects(step, effect.arguments)]


def _explain_forwarder(policy: Policy, tool: Tool, decision: Decision, principal: Principal) -> Json:
    """Explain a tool that runs others: it has no permission of its own, but may be denied."""
    if not offers(policy, tool, principal):
        denials = {rule.name for rule in policy.deny}
        explanation = "no tool that it could run is allowed; what allows such a tool allows it through this one too"
        change = str(build_refusal(policy, tool, decision, principal)) if decision.rule in denials else explanation
        return {"tool": tool.name, "verdict": "denied", "rule": decision.rule, "change": change}
    change = "a [[policy.deny]] rule that names it would deny it"
    note = "it has no permission of its own: what it runs is decided as if called directly, so ask about that tool"
    return {
        "tool": tool.name,
        "verdict": "allowed",
        "rule": "that of the tool it runs",
        "how": note,
        "change": change,
    }
