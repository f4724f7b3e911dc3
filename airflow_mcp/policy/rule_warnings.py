"""Warnings about an operator's rules that have no effect or leave gaps, as sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.catalog.manifest_syntax import Kind
from airflow_mcp.policy.decision import NO_NAMES
from airflow_mcp.policy.rules import NOUNS, SECRET, Allow, Policy, Rule, matches_tool
from airflow_mcp.text import join_names

_WILD = frozenset("*?[")


@dataclass(frozen=True)
class CallerNames:
    """The possible callers: names, and roles as "role:NAME". An issuer may give any of both, and scopes."""

    names: frozenset[str]
    roles: frozenset[str]
    has_issuer: bool


def find_warnings(policy: Policy, catalog: Catalog, callers: CallerNames, instances: Iterable[str]) -> list[str]:
    """Return one sentence for each rule, or part of one, that can match nothing or leaves similar effects allowed.

    The sentences are in the order of the rules.
    """
    instance_names = tuple(instances)
    return [
        f"{rule.name}: {sentence}"
        for rule in (*policy.allow, *policy.deny)
        for sentence in (
            *_warn_unknown_callers(rule, callers),
            *_warn_unfit_words(rule, catalog),
            *_warn_denied(rule, policy, catalog, instance_names),
            *_warn_remaining(rule, policy, catalog, instance_names),
        )
    ]


def _warn_unknown_callers(rule: Rule, callers: CallerNames) -> list[str]:
    if callers.has_issuer:
        return []
    sentences: list[str] = []
    for pattern in rule.callers:
        if any(
            fnmatchcase(name, pattern) for name in (callers.roles if pattern.startswith(NO_NAMES) else callers.names)
        ):
            continue
        kind, _, word = pattern.partition(":")
        if kind == "role":
            sentences.append(f"no token gives the role {word}, and no issuer is configured ([oauth]) that could.")
        elif kind == "scope":
            sentences.append(f"only an issuer gives scopes such as {word}, and none is configured ([oauth]).")
        else:
            sentences.append(
                f"no token is named {pattern}, and no issuer is configured ([oauth]) that could name one so."
            )
    return sentences


def _warn_unfit_words(rule: Rule, catalog: Catalog) -> list[str]:
    """Warn of words of the rule that name only tools without the nouns of its patterns."""
    every = not isinstance(rule, Allow)
    tools = [tool for tool in catalog.tools.values() if rule.reaches(tool, every=every)]
    nouns = ", ".join(word for noun, word in NOUNS.items() if rule.list_patterns(noun))
    if tools and not any(map(rule.fits, tools)):
        return [f"it can match nothing: none of its tools touches what it names ({nouns})."]
    sentences: list[str] = []
    for word in rule.tools:
        named_tools = [tool for tool in tools if matches_tool(word, tool, every=every)]
        if named_tools and not any(map(rule.fits, named_tools)):
            sentences.append(f"{word} matches nothing in it: such a tool touches nothing of what it names ({nouns}).")
    return sentences


def _warn_denied(rule: Rule, policy: Policy, catalog: Catalog, instances: tuple[str, ...]) -> list[str]:
    """Warn of a permission of which denials leave nothing."""
    if not isinstance(rule, Allow) or SECRET in rule.tools:
        return []
    tools = [tool for tool in catalog.tools.values() if rule.reaches(tool, every=False) and rule.fits(tool)]
    denials = [next((deny for deny in policy.deny if _covers(deny, rule, tool, instances)), None) for tool in tools]
    if not tools or None in denials:
        return []
    denial_names = " and ".join(dict.fromkeys(deny.name for deny in denials if deny))
    return [f"it can match nothing: all that it allows is denied by {denial_names}."]


def _warn_remaining(rule: Rule, policy: Policy, catalog: Catalog, instances: tuple[str, ...]) -> list[str]:
    """Warn of effects that a denied glob leaves allowed, of the same kinds as those that it denies."""
    if isinstance(rule, Allow):
        return []
    effects = [tool for tool in catalog.tools.values() if tool.entry.effects and not tool.is_vehicle]
    sentences: list[str] = []
    for glob in (word for word in rule.tools if not _WILD.isdisjoint(word)):
        kinds = [use.name for tool in effects if matches_tool(glob, tool, every=True) for use in tool.entry.kinds]
        for kind in dict.fromkeys(kinds):
            names = [
                tool.name
                for tool in effects
                if kind in tool.entry.possible_kinds
                and rule.fits(tool)
                and _may_be(tool, kind, rule, policy, instances)
            ]
            if names:
                sentences.append(
                    f"{glob} leaves others of its kind allowed ({join_names(names, 3)}); @{kind} denies them all."
                )
    return sentences


def _may_be(tool: Tool, kind: Kind, rule: Rule, policy: Policy, instances: tuple[str, ...]) -> bool:
    """Return whether an effect of a kind is allowed to somebody where no denial covers what a rule is about."""
    if any(_covers(deny, rule, tool, instances, kind) for deny in policy.deny):
        return False
    return any(permission.reaches(tool, every=False) and permission.fits(tool) for permission in policy.allow)


def _covers(deny: Rule, rule: Rule, tool: Tool, instances: tuple[str, ...], kind: Kind | None = None) -> bool:
    """Return whether a denial is about every call of a tool, or every one of a kind, that another rule is about."""
    kinds = tool.entry.list_kinds({}) | frozenset[Kind]([kind] if kind else [])
    if not (deny.reaches(tool, every=True, kinds=kinds) and deny.fits(tool)):
        return False
    rule_instances, deny_instances = (
        {instance for instance in instances if _is_here(instance, candidate)} for candidate in (rule, deny)
    )
    patterns = [(rule.callers, deny.callers), *((rule.list_patterns(noun), deny.list_patterns(noun)) for noun in NOUNS)]
    return rule_instances <= deny_instances and all(_is_covered(inner, outer) for inner, outer in patterns)


def _is_here(instance: str, rule: Rule) -> bool:
    return not rule.instances or any(fnmatchcase(instance, pattern) for pattern in rule.instances)


def _is_covered(inner: tuple[str, ...], outer: tuple[str, ...]) -> bool:
    """Return whether everything that patterns match is matched by others; no pattern at all matches everything."""
    return not outer or (bool(inner) and all(any(_is_narrower(pattern, wider) for wider in outer) for pattern in inner))


def _is_narrower(inner: str, outer: str) -> bool:
    """Return whether a pattern matches only what another one does; in doubt it does not.

    A pattern that, read as a text, matches a pattern whose only sign is `*` is narrower than that.
    """
    if inner == outer:
        return True
    if inner.startswith(NO_NAMES) != outer.startswith(NO_NAMES):  # no name is a role
        return False
    is_plain = _WILD.isdisjoint(inner)
    return fnmatchcase(inner, outer) and (is_plain or _WILD.isdisjoint(outer.replace("*", "")))
