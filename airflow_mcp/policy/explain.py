"""What policy says about a call that is not made: the verdict, the rule behind it, and what would change it."""

from __future__ import annotations

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.load import Catalog, Tool
from airflow_mcp.policy.decide import Asker, Decision, Within, decide, decide_call, offers, refusal
from airflow_mcp.policy.effects import Effect, effect_names, effects_of
from airflow_mcp.policy.rules import Policy

_CONFIRMATION = {
    "plan": "the call first answers with a preview and a plan; calling again with the plan does it",
    "human": "the user of the client is asked first, and shown what would be touched",
}


def explain(policy: Policy, catalog: Catalog, tool: Tool, arguments: Json, asker: Asker) -> Json:
    """The verdict (allowed, confirm or denied), by which rule, and what would change it, as one flat record."""
    effects = effects_of(tool, arguments)
    decision = decide_call(policy, tool, effects, asker)
    facts: Json = {"tool": tool.name, "class": tool.entry.access, "rule": decision.rule}
    if names := [name for name in effect_names(effects) if name != tool.name]:
        facts["effects"] = names
    if tool.entry.forwards:
        return _explain_way(policy, tool, decision, asker)
    if tool.entry.is_dry(arguments):
        facts["dry_run"] = (
            "a dry run needs no confirmation, and gives the plan where one is needed; this is about doing it"
        )
    if tool.entry.look_up:
        facts["rows"] = "which DAGs it touches is looked up when it is called; this is about a call that reaches any"
    if tool.entry.scope.dag == "file" and not decision.by_row:
        facts["rows"] = "the other DAGs in the file are looked up when it is called, and each of them counts"
    if any(use.each in catalog.operations for use in tool.entry.effects):
        facts["rows"] = "which DAGs fit is looked up when it is called; this is about a call that reaches any"
    if not decision.allowed or not offers(policy, tool, asker):
        why = str(refusal(policy, tool, decision, asker))
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


def _reads_of(tool: Tool, effects: tuple[Effect, ...], catalog: Catalog) -> list[Effect]:
    """The reads that a composite takes, each about the ids of one of its effects."""
    steps = [catalog.operations[name] for name in tool.entry.steps]
    reads = [step for step in steps if step.entry.access == "read"]
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
