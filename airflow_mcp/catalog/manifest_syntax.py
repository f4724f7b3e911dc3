"""Parse the notations of a manifest, which are strings because they are read far more often than parsed.

- a route      "GET /dags/{dag_id}/dagRuns @2.10"     method, path, since when (`versions.Since`);
               "[/{map_index}]" in a path is there only when the argument is given and not -1;
               a path behind /api/vN, or a whole one under /auth/
- a parameter  "state?@3.1"    optional, since;   "logical_date.range?"   two bounds;   "page"   limit and offset;
               "run"   one run: dag_run_id, or the latest (dispatch/latest_run.py)
               "state:run_state"   the argument `state`, described in parameters.toml as [run_state]
- a default    "stringify@2.10" as the key of `const` or `default`: sent only where the version knows it
- an effect    "delete_pool for delete"   the tool that does only that, once for each item of an argument;
               "set_dag_run_state for update.state"   for each item that has the field;
               "pause_dag for list_dags"   for each row of a list that is read with the call's own filters;
               "update_pool for create if on_existing=overwrite"   only where the call has that value
- a kind       "starts_runs if state=queued"   the kind of an effect, always or where the call has that value
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
    """Base of every model of a manifest: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Route(ManifestModel):
    """One request of one generation. `path` follows /api/vN, unless it is one of the auth manager's."""

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
        """The names of the path's arguments, in order."""
        return tuple(_SLOT.findall(self.path))

    @property
    def required_slots(self) -> tuple[str, ...]:
        """The arguments that the path needs: all but those in brackets."""
        return tuple(_SLOT.findall(_OPTIONAL.sub("", self.path)))

    @property
    def is_auth_manager_route(self) -> bool:
        """Whether the auth manager serves it (FAB: users and roles), not Airflow itself."""
        return self.path.startswith("/auth/")


class ParameterUse(ManifestModel):
    """The use of a parameter in an entry: the argument's name, and the [table] of parameters.toml that describes it."""

    name: str
    table: str
    required: bool
    since: Since

    @property
    def local(self) -> bool:
        """Whether it is never sent to Airflow, but applied by this server."""
        return self.since == LOCAL

    def in_schema(self, version: Version | None) -> bool:
        """Return whether a caller may give it with this version, or with any version if that is None.

        Limit and offset are always allowed, since this server pages a list that Airflow does not.
        """
        return version is None or self.local or self.since.has(version) or self.name in ("limit", "offset")


def parse_use(text: str) -> tuple[ParameterUse, ...]:
    """Read one string of `params`. Raises ValueError."""
    match = _USE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a parameter such as 'dag_id', 'state?@3.1' or 'start_date.range?'")
    name, table, range_suffix, optional, mark = match.groups()
    since = Since.parse(mark) if mark else EVERYWHERE
    if name == "page":
        return tuple(ParameterUse(name=part, table=part, required=False, since=since) for part in ("limit", "offset"))
    if name == "run":
        run_use = ParameterUse(name="dag_run_id", table="dag_run_id", required=False, since=since)
        return (run_use, ParameterUse(name="latest", table="latest", required=False, since=LOCAL))
    if range_suffix:
        names = (f"{name}_{bound}" for bound in ("gte", "lte"))
        return tuple(ParameterUse(name=bound, table=bound, required=False, since=since) for bound in names)
    return (ParameterUse(name=name, table=table or name, required=not optional, since=since),)


class VersionedValue(ManifestModel):
    """A value that is sent only to versions that know its parameter."""

    value: Any
    since: Since


def _parse_values(table: dict[str, Any]) -> dict[str, Any]:
    """Parse {"stringify@2.10": False} as {"stringify": VersionedValue}."""
    if any(isinstance(value, VersionedValue) for value in table.values()):
        return table
    values = {}
    for key, value in table.items():
        name, _, mark = key.partition("@")
        values[name] = VersionedValue(value=value, since=Since.parse(mark) if mark else EVERYWHERE)
    return values


VersionedValues = Annotated[dict[str, VersionedValue], BeforeValidator(_parse_values)]


class PerGeneration(ManifestModel):
    """Values for both generations, and for each alone."""

    both: VersionedValues = {}
    v1: VersionedValues = {}
    v2: VersionedValues = {}

    def select_values(self, version: Version) -> dict[str, Any]:
        """Return the plain values that this version takes."""
        values = self.both | (self.v1 if version.generation == "v1" else self.v2)
        return {name: item.value for name, item in values.items() if item.since.has(version)}


class Condition(ManifestModel):
    """A condition on a call: an argument's value, as JSON spells it but without quotes."""

    argument: str
    value: str

    def holds(self, arguments: dict[str, Any]) -> bool:
        """Return whether the arguments meet the condition."""
        value = arguments.get(self.argument)
        return (value if isinstance(value, str) else json.dumps(value, default=str)) == self.value


class EffectUse(ManifestModel):
    """One effect of an entry: the tool that does only that, its targets, and its condition."""

    name: str
    each: str = ""  # an argument or a list: the effect is done to each of its items or rows
    field: str = ""  # only items with this field are targets
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
    """One kind of an entry's effect, and the condition for that kind."""

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
    return [word.parse(item) if isinstance(item, str) else item for item in value] if isinstance(value, list) else value


Effects = Annotated[tuple[EffectUse, ...], BeforeValidator(partial(_parse_each, EffectUse))]
Kinds = Annotated[tuple[KindUse, ...], BeforeValidator(partial(_parse_each, KindUse))]
