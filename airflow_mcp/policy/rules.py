"""What an operator may write about permissions: allow and deny rules, checked against what exists.

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


RulePath = tuple[str | int, ...]  # to a rule, or to a key of one, in the whole policy
SHORT: RulePath = ("AIRFLOW_MCP_ALLOW",)  # the place of the rule that this setting is
Patterns = Annotated[tuple[str, ...], Field(min_length=1)]  # an empty list would allow what nobody named


class Rule(ManifestModel):
    """What a rule is about; a missing key means every one."""

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
        """What everybody is told of this rule: "deny rule 1 (airflow-mcp.toml, line 12)"; of its patterns nothing."""
        return self._name

    def with_name(self, name: str) -> Self:
        """The same rule under that name."""
        rule = self.model_copy()
        rule._name = name
        return rule

    def list_patterns(self, noun: Noun) -> tuple[str, ...]:
        """The patterns this rule has for a noun's ids; empty when it has none."""
        return {"dag": self.dags, "pool": self.pools, "variable": self.variables, "connection": self.connections}[noun]

    def reaches(self, tool: Tool, *, every: bool, kinds: frozenset[Kind] | None = None) -> bool:
        """Whether this rule is about a tool; `every` for a deny rule, whose globs reach admin tools too.

        Of an effect, `kinds` are those that it is of; without them, those that it may be of.
        """
        return any(matches_tool(pattern, tool, every=every, kinds=kinds) for pattern in self.tools)

    def fits(self, tool: Tool) -> bool:
        """A rule about a noun's ids never matches a tool that does not say it touches that noun."""
        return all(getattr(tool.entry.scope, noun) is not None for noun in NOUNS if self.list_patterns(noun))

    def describe(self) -> str:
        """The rule as an operator wrote it, for an operator: a caller may not know what it names."""
        keys = ("tools", "instances", "callers", *NOUNS.values())
        return "; ".join(f"{key} {', '.join(getattr(self, key))}" for key in keys if getattr(self, key))


class Allow(Rule):
    """A permission, with what it asks for before a change happens."""

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
    """The entries of AIRFLOW_MCP_ALLOW and the `[policy]` table as one policy; `name_of` says what a rule is called.

    Raises SettingsError for what the grammar does not know and for an entry that matches nothing: a misspelt
    permission must not pass for a given one.
    """
    try:
        policy = Policy.model_validate(table or {})
    except ValidationError as error:
        first = choose_error(error.errors())
        path = ("policy", *first["loc"])
        raise SettingsError(f"{name_rule(path)}: {_describe_error(first)}", path) from None
    known = tuple(instances)
    named: dict[str, tuple[Rule, ...]] = {}
    for kind, rules in (("allow", policy.allow), ("deny", policy.deny)):
        for index, rule in enumerate(rules):
            _check(rule, ("policy", kind, index), catalog, known)
        named[kind] = tuple(rule.with_name(name_of(("policy", kind, index))) for index, rule in enumerate(rules))
    policy = policy.model_copy(update=named)
    entries = tuple(dict.fromkeys(entry.strip() for entry in allow if entry.strip()))
    if not entries:
        return policy
    short = Allow(tools=entries)
    _check(short, SHORT, catalog, known)
    return policy.model_copy(update={"allow": (*policy.allow, short.with_name(name_of(SHORT)))})


def _describe_error(error: ErrorDetails) -> str:
    """What pydantic found, as a sentence; of a key that does not exist, which one may have been meant."""
    if error["type"] != "extra_forbidden":
        within = ".".join(map(str, error["loc"][2:] if error["loc"][0] in ("allow", "deny") else ()))
        return f"{within}: {error['msg']}." if within else f"{error['msg']}."
    model, what = Policy, "[policy]"
    match error["loc"]:
        case ("allow", *_, _):
            model, what = Allow, "a rule"
        case ("deny", *_, _):
            model, what = Deny, "a deny rule"
        case ("per_minute", _):
            model, what = PerMinute, "per_minute"
        case _:
            pass
    key = str(error["loc"][-1])
    near = difflib.get_close_matches(key, model.model_fields, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}?" if near else f"Its keys are {', '.join(model.model_fields)}."
    return f"{key} is not a key of {what}. {hint}"


def _check(rule: Rule, path: tuple[str | int, ...], catalog: Catalog, instances: tuple[str, ...]) -> None:
    where = name_rule(path)
    for number, pattern in enumerate(rule.tools):
        if pattern == SECRET and isinstance(rule, Allow):
            if any(map(rule.list_patterns, NOUNS)):
                sentence = f"{where}: @secret goes with instances and callers, not with {', '.join(NOUNS.values())}."
                raise SettingsError(sentence, (*path, "tools"))
            continue
        every = isinstance(rule, Deny)
        if not every and pattern in catalog.tools and catalog.tools[pattern].entry.forwards:
            sentence = f"{where}: {pattern} has no permission of its own: allow the tools that it may run."
            raise SettingsError(sentence, (*path, "tools"))
        if not every and pattern in catalog.tools and catalog.tools[pattern].is_vehicle:
            effects = " and ".join(tool.name for tool in catalog.tools[pattern].effects)
            sentence = f"{where}: {pattern} has no permission of its own: allow what it does, {effects}."
            raise SettingsError(sentence, (*path, "tools", number))
        if pattern in _WORDS or any(matches_tool(pattern, tool, every=every) for tool in catalog.tools.values()):
            continue
        if ways := [
            tool for tool in catalog.tools.values() if tool.is_vehicle and matches_tool(pattern, tool, every=True)
        ]:
            effects = ", ".join(dict.fromkeys(one.name for tool in ways for one in tool.effects))
            sentence = f"{where}: {pattern!r} matches only tools without a permission of their own: allow {effects}."
            raise SettingsError(sentence, (*path, "tools", number))
        near = difflib.get_close_matches(pattern, [*catalog.tools, *_WORDS, SECRET], n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else "`airflow-mcp tools` lists every tool."
        raise SettingsError(f"{where}: {pattern!r} matches no tool. {hint}", (*path, "tools", number))
    for pattern in rule.instances:
        if not any(fnmatchcase(name, pattern) for name in instances):
            there = ", ".join(instances)
            sentence = f"{where}: {pattern!r} matches no instance; there are {there}."
            raise SettingsError(sentence, (*path, "instances"))


def matches_tool(pattern: str, tool: Tool, *, every: bool = False, kinds: frozenset[Kind] | None = None) -> bool:
    """Whether a rule's word names a tool: its name, a glob, its class, a kind or its toolset; or what it is part of.

    No glob, no toolset and of the kinds only @access reaches an admin tool, since whoever may create a user may create
    an administrator; in a deny rule (`every`) they do. What has no permission of its own, as a vehicle or what forwards
    calls, may be denied by name, glob or toolset.
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
    """What a rule that says nothing about it asks for."""
    return "plan" if access in ("destructive", "admin") else "never"
