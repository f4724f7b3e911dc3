"""The notations of a manifest: routes, parameters and gated values, strings because they are read far more than parsed.

- a route      "GET /dags/{dag_id}/dagRuns @2.10"     method, path, since when (`versions.Since`);
               "[/{map_index}]" in a path is there only when the argument is given and not -1;
               a path behind /api/vN, or a whole one under /auth/
- a parameter  "state?@3.1"    optional, since;   "logical_date.range?"   two bounds;   "page"   limit and offset;
               "run"   one run: dag_run_id, or the latest (tools/latest_run.py)
               "state:run_state"   the argument `state`, described in parameters.toml as [run_state]
- a default    "stringify@2.10" as the key of `const` or `default`: sent only where the version knows it
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from airflow_mcp.catalog.versions import EVERYWHERE, LOCAL, Since, Version

_ROUTE = re.compile(r"(GET|POST|PATCH|PUT|DELETE) (/\S*?)(?: @(\S+))?")
_USE = re.compile(r"([a-z_]+)(?::([a-z_]+))?(\.range)?(\?)?(?:@(\S+))?")
_SLOT = re.compile(r"\{(\w+)\}")


class Word(BaseModel):
    """Base of every model here: frozen, and closed to unknown words."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Route(Word):
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
    def of_auth_manager(self) -> bool:
        """Whether the auth manager serves it (FAB: users and roles), not Airflow itself."""
        return self.path.startswith("/auth/")


class Use(Word):
    """How an entry uses one parameter: the argument's name, and the [table] of parameters.toml that describes it."""

    name: str
    described: str
    required: bool
    since: Since

    @property
    def local(self) -> bool:
        """Whether it is never sent, but acted on here."""
        return self.since == LOCAL

    def in_schema(self, version: Version | None) -> bool:
        """Whether a caller of this version, or of any, may give it; a page is cut here where Airflow cuts none."""
        return version is None or self.local or self.since.has(version) or self.name in ("limit", "offset")


def parse_use(text: str) -> tuple[Use, ...]:
    """Read one string of `params`. Raises ValueError."""
    match = _USE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a parameter such as 'dag_id', 'state?@3.1' or 'start_date.range?'")
    name, described, ranged, optional, mark = match.groups()
    since = Since.parse(mark) if mark else EVERYWHERE
    if name == "page":
        return tuple(Use(name=part, described=part, required=False, since=since) for part in ("limit", "offset"))
    if name == "run":
        one = Use(name="dag_run_id", described="dag_run_id", required=False, since=since)
        return (one, Use(name="latest", described="latest", required=False, since=LOCAL))
    if ranged:
        names = (f"{name}_{bound}" for bound in ("gte", "lte"))
        return tuple(Use(name=bound, described=bound, required=False, since=since) for bound in names)
    return (Use(name=name, described=described or name, required=not optional, since=since),)


class Gated(Word):
    """A value that is sent only to versions which know its parameter."""

    value: Any
    since: Since


def _parse_values(table: dict[str, Any]) -> dict[str, Any]:
    """{"stringify@2.10": False} -> {"stringify": Gated}."""
    if any(isinstance(value, Gated) for value in table.values()):
        return table
    parsed = {}
    for key, value in table.items():
        name, _, mark = key.partition("@")
        parsed[name] = Gated(value=value, since=Since.parse(mark) if mark else EVERYWHERE)
    return parsed


Values = Annotated[dict[str, Gated], BeforeValidator(_parse_values)]


class PerGeneration(Word):
    """Values for both generations, and for each alone."""

    both: Values = {}
    v1: Values = {}
    v2: Values = {}

    def at(self, version: Version) -> dict[str, Any]:
        """The plain values that this version takes."""
        merged = self.both | (self.v1 if version.generation == "v1" else self.v2)
        return {name: gated.value for name, gated in merged.items() if gated.since.has(version)}
