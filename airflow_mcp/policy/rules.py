"""Permission rules as an operator writes them: allow and deny rules, checked against the catalog.

    [policy]
    default = "read"                        # reads need no rule; "none": they do
    [[policy.allow]]
    tools = ["trigger_dag_run", "clear_*", "@write", "@delete", "pools"]   # names, globs, classes, kinds, toolsets
    instances = ["staging"]                 # each of these is optional; without it the rule is for every one
    dags = ["etl_*"]                        # likewise pools, variables, connections
    callers = ["role:oncall"]               # names, or role:NAME and scope:NAME, which no name matches
    confirm = "human"                       # never | plan | human
    max_affected = 50                       # objects one call may touch
    [[policy.deny]]
    tools = ["*"]
    dags = ["payroll_*"]

Deny wins. `AIRFLOW_MCP_ALLOW` is one more allow rule.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, PrivateAttr, ValidationError
from pydantic_core import ErrorDetails

from airflow_mcp.catalog.effect_checks import CLASSES
from airflow_mcp.catalog.grammar import Access, ManifestModel, Noun
from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.catalog.manifest_syntax import Kind
from airflow_mcp.errors import SettingsError, choose_error
from airflow_mcp.toml_lines import name_rule

Confirm = Literal["never", "plan", "human"]
SECRET = "@secret"  # noqa: S105 - a word of the policy: shows secret fields, permits no call
NOUNS: dict[Noun, str] = {"dag": "dags", "pool": "pools", "variable": "variables", "connection": "connections"}
KINDS: tuple[Kind, ...] = get_args(Kind)
_WORDS = (*(f"@{name}" for name in CLASSES), *(f"@{kind}" for kind in KINDS))


RulePath = tuple[str | int, ...]  # path to a rule, or to a key of one, in the whole policy
SHORT: RulePath = ("AIRFLOW_MCP_ALLOW",)  # path of the rule that this setting makes
Patterns = Annotated[tuple[str, ...], Field(min_length=1)]  # an empty list would allow objects that nobody named


class Rule(ManifestModel):
    """The subject of a rule; a missing key matches everything."""

    tools: tuple[str, ...] = Field(min_length=1)
    instances: Patterns = ()
    callers: Patterns = ()
    dags: Patterns = ()
    pools: Patterns = ()
    variables: Patterns = ()
    connections: Patterns = ()
    _name: str = PrivateAttr(default="")

    @property
    def name(self) -> str:
        """The public name, as in "deny rule 1 (airflow-mcp.toml, line 12)"; it reveals none of the patterns."""
        return self._name

    def with_name(self, name: str) -> Self:
        """Return the same rule under that name."""
        rule = self.model_copy()
        rule._name = name
        return rule

    def list_patterns(self, noun: Noun) -> tuple[str, ...]:
        """Return the patterns of this rule for a noun's ids; empty where it has none."""
        return {"dag": self.dags, "pool": self.pools, "variable": self.variables, "connection": self.connections}[noun]

    def reaches(self, tool: Tool, *, every: bool, kinds: frozenset[Kind] | None = None) -> bool:
        """Return whether this rule is about a tool; `every` for a deny rule, whose globs reach admin tools too.

        For an effect, `kinds` are those that it has; without them, those that it may have.
        """
        return any(matches_tool(pattern, tool, every=every, kinds=kinds) for pattern in self.tools)

    def fits(self, tool: Tool) -> bool:
        """Return whether the tool declares every noun that this rule has patterns for; else the rule never matches."""
        return all(getattr(tool.entry.scope, noun) is not None for noun in NOUNS if self.list_patterns(noun))

    def describe(self) -> str:
        """Return the rule as an operator wrote it, for an operator: a caller may not know what it names."""
        keys = ("tools", "instances", "callers", *NOUNS.values())
        return "; ".join(f"{key} {', '.join(getattr(self, key))}" for key in keys if getattr(self, key))


class Allow(Rule):
    """A permission, with the confirmation that it requires before a change."""

    confirm: Confirm | None = None  # default: plan for destructive and admin calls, never for others
    max_affected: int | None = Field(default=None, ge=1)


class Deny(Rule):
    """A refusal, which no permission lifts."""


class PerMinute(ManifestModel):
    """Calls a caller may make in a minute, by class; unset means any number."""

    read: int | None = Field(default=None, ge=1)
    write: int | None = Field(default=None, ge=1)
    destructive: int | None = Field(default=None, ge=1)
    admin: int | None = Field(default=None, ge=1)


class Policy(ManifestModel):
    """The operator's decision, made at start."""

    default: Literal["read", "none"] = "read"
    allow: tuple[Allow, ...] = ()
    deny: tuple[Deny, ...] = ()
    per_minute: PerMinute = PerMinute()

    def names_tool(self, tool: Tool) -> bool:
        """Whether an allow rule names this tool literally."""
        return any(tool.name in rule.tools for rule in self.allow)


def parse_policy(
    allow: Iterable[str],
    catalog: Catalog,
    *,
    table: dict[str, Any] | None = None,
    instances: Iterable[str] = ("default",),
    name_of: Callable[[RulePath], str] = name_rule,
) -> Policy:
    """Build one policy from the entries of AIRFLOW_MCP_ALLOW and the `[policy]` table; `name_of` names a rule.

    Raises SettingsError for what the grammar does not know and for an entry that matches nothing: a misspelt permission
    must not pass for a valid one.
    """
    try:
        policy = Policy.model_validate(table or {})
    except ValidationError as error:
        details = choose_error(error.errors())
        path = ("policy", *details["loc"])
        raise SettingsError(f"{name_rule(path)}: {_describe_error(details)}", path) from None
    instance_names = tuple(instances)
    named_rules: dict[str, tuple[Rule, ...]] = {}
    for kind, rules in (("allow", policy.allow), ("deny", policy.deny)):
        for index, rule in enumerate(rules):
            _check(rule, ("policy", kind, index), catalog, instance_names)
        named_rules[kind] = tuple(rule.with_name(name_of(("policy", kind, index))) for index, rule in enumerate(rules))
    policy = policy.model_copy(update=named_rules)
    entries = tuple(dict.fromkeys(entry.strip() for entry in allow if entry.strip()))
    if not entries:
        return policy
    setting_rule = Allow(tools=entries)
    _check(setting_rule, SHORT, catalog, instance_names)
    return policy.model_copy(update={"allow": (*policy.allow, setting_rule.with_name(name_of(SHORT)))})


def _describe_error(error: ErrorDetails) -> str:
    """Return pydantic's error as a sentence; for an unknown key, with the key that may have been meant."""
    if error["type"] != "extra_forbidden":
        key_path = ".".join(map(str, error["loc"][2:] if error["loc"][0] in ("allow", "deny") else ()))
        return f"{key_path}: {error['msg']}." if key_path else f"{error['msg']}."
    model, section = Policy, "[policy]"
    match error["loc"]:
        case ("allow", *_, _):
            model, section = Allow, "a rule"
        case ("deny", *_, _):
            model, section = Deny, "a deny rule"
        case ("per_minute", _):
            model, section = PerMinute, "per_minute"
        case _:
            pass
    key = str(error["loc"][-1])
    close_keys = difflib.get_close_matches(key, model.model_fields, n=1, cutoff=0.5)
    hint = f"Did you mean {close_keys[0]}?" if close_keys else f"Its keys are {', '.join(model.model_fields)}."
    return f"{key} is not a key of {section}. {hint}"


def _check(rule: Rule, path: tuple[str | int, ...], catalog: Catalog, instances: tuple[str, ...]) -> None:
    place = name_rule(path)
    for number, pattern in enumerate(rule.tools):
        if pattern == SECRET and isinstance(rule, Allow):
            if any(map(rule.list_patterns, NOUNS)):
                sentence = f"{place}: @secret goes with instances and callers, not with {', '.join(NOUNS.values())}."
                raise SettingsError(sentence, (*path, "tools"))
            continue
        every = isinstance(rule, Deny)
        if not every and pattern in catalog.tools and catalog.tools[pattern].entry.forwards:
            sentence = f"{place}: {pattern} has no permission of its own: allow the tools that it may run."
            raise SettingsError(sentence, (*path, "tools"))
        if not every and pattern in catalog.tools and catalog.tools[pattern].is_vehicle:
            effects = " and ".join(tool.name for tool in catalog.tools[pattern].effects)
            sentence = f"{place}: {pattern} has no permission of its own: allow what it does, {effects}."
            raise SettingsError(sentence, (*path, "tools", number))
        if pattern in _WORDS or any(matches_tool(pattern, tool, every=every) for tool in catalog.tools.values()):
            continue
        if vehicles := [
            tool for tool in catalog.tools.values() if tool.is_vehicle and matches_tool(pattern, tool, every=True)
        ]:
            effects = ", ".join(dict.fromkeys(effect.name for tool in vehicles for effect in tool.effects))
            sentence = f"{place}: {pattern!r} matches only tools without a permission of their own: allow {effects}."
            raise SettingsError(sentence, (*path, "tools", number))
        close_words = difflib.get_close_matches(pattern, [*catalog.tools, *_WORDS, SECRET], n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(close_words)}?" if close_words else "`airflow-mcp tools` lists every tool."
        raise SettingsError(f"{place}: {pattern!r} matches no tool. {hint}", (*path, "tools", number))
    for pattern in rule.instances:
        if not any(fnmatchcase(name, pattern) for name in instances):
            existing_names = ", ".join(instances)
            sentence = f"{place}: {pattern!r} matches no instance; there are {existing_names}."
            raise SettingsError(sentence, (*path, "instances"))


def matches_tool(pattern: str, tool: Tool, *, every: bool = False, kinds: frozenset[Kind] | None = None) -> bool:
    """Return whether a rule's word names a tool: its name, a glob, its class, a kind, its toolset or its parent.

    The parent is the tool that it is part of. No glob, no toolset and of the kinds only @access reaches an admin tool,
    since whoever may create a user may create an administrator; in a deny rule (`every`) they do. Tools without a
    permission of their own, vehicles and those that forward calls, may be denied by name, glob or toolset.
    """
    if tool.entry.forwards or tool.is_vehicle:
        return every and (fnmatchcase(tool.name, pattern) or pattern == tool.toolset)
    within_reach = every or tool.entry.access != "admin"
    if pattern.startswith("@"):
        is_kind = pattern[1:] in (tool.entry.possible_kinds if kinds is None else kinds)
        return pattern == f"@{tool.entry.access}" or (is_kind and (within_reach or pattern == "@access"))
    if pattern in (tool.name, tool.entry.part_of):
        return True
    return within_reach and (fnmatchcase(tool.entry.part_of or tool.name, pattern) or pattern == tool.toolset)


def choose_default_confirm(access: Access) -> Confirm:
    """Return the confirmation of a rule that sets none, by the class of the tool."""
    return "plan" if access in ("destructive", "admin") else "never"
