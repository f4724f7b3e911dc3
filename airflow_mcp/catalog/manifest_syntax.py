"""The notations of a manifest: routes, parameters and gated values, strings because they are read far more than parsed.

- a route      "GET /dags/{dag_id}/dagRuns @2.10"     method, path, since when (`versions.Since`);
               "[/{map_index}]" in a path is there only when the argument is given and not -1;
               a path behind /api/vN, or a whole one under /auth/
- a parameter  "state?@3.1"    optional, since;   "logical_date.range?"   two bounds;   "page"   limit and offset;
               "run"   one run: dag_run_id, or the latest (dispatch/latest_run.py)
               "state:run_state"   the argument `state`, described in parameters.toml as [run_state]
- a default    "stringify@2.10" as the key of `const` or `default`: sent only where the version knows it
- an effect    "delete_pool for delete"   the tool that does only that, once for each item of an argument;
               "set_dag_run_state for update.state"   for each item that has the field;
               "pause_dag for list_dags"   for each row of a list that is asked with the call's own filters;
               "update_pool for create if on_existing=overwrite"   only where the call says so
- a kind       "starts_runs if state=queued"   of what an effect is, always or where the call says so
"""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from airflow_mcp.catalog.versions import EVERYWHERE, LOCAL, Since, Version

_ROUTE = re.compile(r"(GET|POST|PATCH|PUT|DELETE) (/\S*?)(?: @(\S+))?")
_USE = re.compile(r"([a-z_]+)(?::([a-z_]+))?(\.range)?(\?)?(?:@(\S+))?")
_OPTIONAL = re.compile(r"\[[^\]]*\]")
_SLOT = re.compile(r"\{(\w+)\}")
_WHEN = r"(?: if (?P<argument>[a-z_]+)=(?P<value>\S+))?"
_EFFECT = re.compile(rf"(?P<name>[a-z_]+)(?: for (?P<each>[a-z_]+)(?:\.(?P<field>[a-z_]+))?)?{_WHEN}")
_KIND = re.compile(rf"(?P<name>[a-z_]+){_WHEN}")
Kind = Literal["delete", "starts_runs", "state", "config", "access"]


class ManifestModel(BaseModel):
    """Base of every model here: frozen, and closed to unknown words."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Route(ManifestModel):
    """One request of one generation. `path` starts behind /api/vN, unless it is one of the auth manager's."""

    method: str
    path: str
    since: Since

    @classmethod
    def parse(cls, text: str) -> Route:
        """Read "GET /dags/{dag_id} @2.10". Raises ValueError."""
        match = _ROUTE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a route such as 'GET /dags/{{dag_id}} @2.10'")
        return cls(method=match[1], path=match[2], since=Since.parse(match[3]) if match[3] else EVERYWHERE)

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the path's arguments, in order."""
        return tuple(_SLOT.findall(self.path))

    @property
    def required_slots(self) -> tuple[str, ...]:
        """Those without which there is no path: all but the ones in brackets."""
        return tuple(_SLOT.findall(_OPTIONAL.sub("", self.path)))

    @property
    def is_auth_manager_route(self) -> bool:
        """Whether the auth manager serves it (FAB: users and roles), not Airflow itself."""
        return self.path.startswith("/auth/")


class ParameterUse(ManifestModel):
    """How an entry uses one parameter: the argument's name, and the [table] of parameters.toml that describes it."""

    name: str
    table: str
    required: bool
    since: Since

    @property
    def local(self) -> bool:
        """Whether it is never sent, but acted on here."""
        return self.since == LOCAL

    def in_schema(self, version: Version | None) -> bool:
        """Whether a caller of this version, or of any, may give it; a page is cut here where Airflow cuts none."""
        return version is None or self.local or self.since.has(version) or self.name in ("limit", "offset")


def parse_use(text: str) -> tuple[ParameterUse, ...]:
    """Read one string of `params`. Raises ValueError."""
    match = _USE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a parameter such as 'dag_id', 'state?@3.1' or 'start_date.range?'")
    name, described, ranged, optional, mark = match.groups()
    since = Since.parse(mark) if mark else EVERYWHERE
    if name == "page":
        return tuple(ParameterUse(name=part, table=part, required=False, since=since) for part in ("limit", "offset"))
    if name == "run":
        one = ParameterUse(name="dag_run_id", table="dag_run_id", required=False, since=since)
        return (one, ParameterUse(name="latest", table="latest", required=False, since=LOCAL))
    if ranged:
        names = (f"{name}_{bound}" for bound in ("gte", "lte"))
        return tuple(ParameterUse(name=bound, table=bound, required=False, since=since) for bound in names)
    return (ParameterUse(name=name, table=described or name, required=not optional, since=since),)


class VersionedValue(ManifestModel):
    """A value that is sent only to versions which know its parameter."""

    value: Any
    since: Since


def _parse_values(table: dict[str, Any]) -> dict[str, Any]:
    """{"stringify@2.10": False} -> {"stringify": Gated}."""
    if any(isinstance(value, VersionedValue) for value in table.values()):
        return table
    parsed = {}
    for key, value in table.items():
        name, _, mark = key.partition("@")
        parsed[name] = VersionedValue(value=value, since=Since.parse(mark) if mark else EVERYWHERE)
    return parsed


VersionedValues = Annotated[dict[str, VersionedValue], BeforeValidator(_parse_values)]


class PerGeneration(ManifestModel):
    """Values for both generations, and for each alone."""

    both: VersionedValues = {}
    v1: VersionedValues = {}
    v2: VersionedValues = {}

    def select_values(self, version: Version) -> dict[str, Any]:
        """The plain values that this version takes."""
        merged = self.both | (self.v1 if version.generation == "v1" else self.v2)
        return {name: gated.value for name, gated in merged.items() if gated.since.has(version)}


class Condition(ManifestModel):
    """What a call must say: an argument's value, as JSON spells it but without quotes."""

    argument: str
    value: str

    def holds(self, arguments: dict[str, Any]) -> bool:
        """Whether the arguments say so."""
        given = arguments.get(self.argument)
        return (given if isinstance(given, str) else json.dumps(given, default=str)) == self.value


class EffectUse(ManifestModel):
    """One effect of an entry: the tool that does only that, what it is done to, and when."""

    name: str
    each: str = ""  # an argument, to each item of which it is done, or a list, to each row of which it is
    field: str = ""  # only to items that have this field
    when: Condition | None = None

    @classmethod
    def parse(cls, text: str) -> EffectUse:
        """Read one string of `effects`. Raises ValueError."""
        match = _EFFECT.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text!r} is not an effect, written TOOL, 'TOOL for ARGUMENT' or 'TOOL if ARGUMENT=VALUE'"
            )
        return cls(
            name=match["name"], each=match["each"] or "", field=match["field"] or "", when=_read_condition(match)
        )


class KindUse(ManifestModel):
    """One kind of an entry's effect, and when it is of that kind."""

    name: Kind
    when: Condition | None = None

    @classmethod
    def parse(cls, text: str) -> KindUse:
        """Read one string of `kinds`. Raises ValueError."""
        match = _KIND.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a kind such as 'delete' or 'starts_runs if state=queued'")
        return cls.model_validate({"name": match["name"], "when": _read_condition(match)})


def _read_condition(match: re.Match[str]) -> Condition | None:
    return Condition(argument=match["argument"], value=match["value"]) if match["argument"] else None


def _parse_each(word: type[EffectUse] | type[KindUse], value: Any) -> Any:
    return [word.parse(one) if isinstance(one, str) else one for one in value] if isinstance(value, list) else value


Effects = Annotated[tuple[EffectUse, ...], BeforeValidator(partial(_parse_each, EffectUse))]
Kinds = Annotated[tuple[KindUse, ...], BeforeValidator(partial(_parse_each, KindUse))]
