"""The words a manifest may use: frozen models that refuse anything else.

No expressions and no templates: an entry that needs more than these words becomes a composite (`python`).
Three notations are strings because they are read far more often than parsed:

- a route      "GET /dags/{dag_id}/dagRuns @2.10"     method, path, first version (`versions.Since`);
               "[/{map_index}]" in a path is there only when the argument is given and not -1
- a parameter  "state?@3.1"    optional, since;   "logical_date.range?"   two bounds;   "page"   limit and offset;
               "state:run_state"   the argument `state`, described in parameters.toml as [run_state]
- a default    "stringify@2.10" as the key of `const` or `default`: sent only where the version knows it
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from airflow_mcp.catalog.versions import EVERYWHERE, Generation, Since, Version

Access = Literal["read", "write", "destructive", "admin"]
Noun = Literal["dag", "pool", "variable", "connection"]
Where = Literal["path", "body", "query", "row", "file"]
Json = dict[str, Any]

_ROUTE = re.compile(r"(GET|POST|PATCH|PUT|DELETE) (/\S*?)(?: @(\S+))?")
_USE = re.compile(r"([a-z_]+)(?::([a-z_]+))?(\.range)?(\?)?(?:@(\S+))?")
_SLOT = re.compile(r"\{(\w+)\}")


class Word(BaseModel):
    """Base of every model here: frozen, and closed to unknown words."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Route(Word):
    """One request of one generation. `path` starts behind /api/vN."""

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


class Use(Word):
    """How an entry uses one parameter: the argument's name, and the [table] of parameters.toml that describes it."""

    name: str
    described: str
    required: bool
    since: Since


def parse_use(text: str) -> tuple[Use, ...]:
    """Read one string of `params`. Raises ValueError."""
    match = _USE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a parameter such as 'dag_id', 'state?@3.1' or 'start_date.range?'")
    name, described, ranged, optional, mark = match.groups()
    since = Since.parse(mark) if mark else EVERYWHERE
    if name == "page":
        return tuple(Use(name=part, described=part, required=False, since=since) for part in ("limit", "offset"))
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


class Resolve(Word):
    """A route argument that callers do not give: read `operation` with the same ids first and take `field`."""

    operation: str
    field: str


class Patch(Word):
    """A PATCH that Airflow 3 validates whole: read the object, merge, send all of `body`, compare the reply."""

    read: str
    body: tuple[str, ...]  # fields of the record
    rename_v2: dict[str, str] = {}  # field -> its name on the wire of 3.x

    def wire_names(self, generation: Generation) -> dict[str, str]:
        """Every field of the body with its name on the wire."""
        return {field: self.rename_v2.get(field, field) if generation == "v2" else field for field in self.body}


class Scope(Word):
    """What a call touches, by noun, and where that is found; all None means it touches none of them."""

    dag: Where | None = None
    pool: Where | None = None
    variable: Where | None = None
    connection: Where | None = None


def _parse_scope(value: Any) -> Any:
    return {} if value == "none" else value


def _parse_route(value: Any) -> Any:
    return Route.parse(value) if isinstance(value, str) else value


def _parse_params(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(use for item in value for use in parse_use(item))
    return value


class Entry(Word):
    """One tool (or, with `part_of`, a request that only composites make) as its manifest states it."""

    title: str = ""
    summary: str
    access: Access
    scope: Annotated[Scope, BeforeValidator(_parse_scope)]
    v1: Annotated[Route | None, BeforeValidator(_parse_route)] = None
    v2: Annotated[Route | None, BeforeValidator(_parse_route)] = None
    python: bool = False  # the composite airflow_mcp/tools/composite/<name>.py answers
    steps: tuple[str, ...] = ()  # with python: every operation it may take; its permission is theirs
    part_of: str | None = None  # only a step of composites, never listed; what denies this tool denies it everywhere
    params: Annotated[tuple[Use, ...], BeforeValidator(_parse_params)] = ()
    alias: dict[str, str] = {}  # argument -> its name on the wire, where this operation differs from others
    any_of: tuple[str, ...] = ()  # at least one of these optional arguments must be given
    default: PerGeneration = PerGeneration()  # sent unless the caller says otherwise
    const: PerGeneration = PerGeneration()  # always sent, never an argument
    record: str | None = None
    rows: str | None = None  # the reply's key that holds a list; without that key the reply is one record
    single: str | None = None  # what that one record is, where it is not `record`
    newest: str | None = None  # field by which an unpaged list is put latest first
    resolve: dict[str, Resolve] = {}
    parent: tuple[str, ...] = ()  # where an empty list may mean "no such DAG or run": look the first fitting one up
    patch: Patch | None = None
    then: str | None = None  # answer with this read instead of the reply
    preview: Literal["flag", "read"] | None = None  # what a dry run is for this operation
    shows: tuple[str, ...] = ()  # with preview = "read": what is read to show what a call touches
    lost: str = ""  # what cannot be undone, for whoever confirms
    accept: dict[Generation, str] = {}  # default: application/json
    budget: int | None = None  # characters of an answer when the caller names no max_chars
    idempotent: bool = False
    every_instance: bool = False  # of several Airflows, a call that names none asks each; for python that reads
    links: bool = False  # takes the argument `links`, which adds the UI's page to each row or record

    @model_validator(mode="after")
    def _is_whole(self) -> Entry:
        if self.python and (self.v1 or self.v2):
            raise ValueError("python and a route exclude each other: data or Python, never half")
        if not self.python and not (self.v1 or self.v2):
            raise ValueError("an entry needs v1, v2 or python")
        if self.steps and not self.python:
            raise ValueError("steps are for python: an operation takes none")
        if self.every_instance and not (self.python and self.access == "read"):
            raise ValueError("every_instance is for python that reads")
        if not self.part_of and not self.title:
            raise ValueError("title is required for a tool")
        if self.access in ("destructive", "admin") and self.preview is None:
            raise ValueError("preview is required where access is destructive or admin")
        if self.links and (self.python or not self.record):
            raise ValueError("links are for records of Airflow")
        if (self.preview == "read") != bool(self.shows):
            raise ValueError("preview = 'read' and shows go together")
        return self

    def route(self, generation: Generation) -> Route | None:
        """The request of that generation, or None where it has none."""
        return self.v1 if generation == "v1" else self.v2

    @property
    def since(self) -> Since:
        """Where the tool exists. A composite works everywhere; its steps say what they need."""
        if self.python:
            return EVERYWHERE
        return Since(self.v1.since.v1 if self.v1 else None, self.v2.since.v2 if self.v2 else None)


def _parse_since(value: Any) -> Any:
    return Since.parse(value) if isinstance(value, str) else value


SinceMark = Annotated[Since, BeforeValidator(_parse_since)]


class Parameter(Word):
    """One argument, described once for every entry that uses it."""

    about: str = ""
    json_schema: Json = Field(alias="schema", default={"type": "string"})
    v1: str | None = None  # its name on the wire of 2.x
    v2: str | None = None
    place: Literal["query", "body"] | None = Field(alias="in", default=None)  # else by method: GET and DELETE query
    comma: tuple[Generation, ...] = ()  # generations that take a list as one comma-joined value
    values_v1: dict[str, str] = {}  # values spelt differently on 2.x; a leading "-" (descending) is kept
    values_since: dict[str, SinceMark] = {}  # values that only newer versions know
    slash: tuple[Generation, ...] = ()  # generations whose route takes "/" in it (sent as %2F)

    def wire_name(self, name: str, generation: Generation) -> str:
        """What Airflow calls this argument."""
        return (self.v1 if generation == "v1" else self.v2) or name


class Record(Word):
    """One kind of result: what a model sees of it by default and how 2.x spells it."""

    keep: tuple[str, ...]  # fields of one record, in order
    row: tuple[str, ...] = ()  # fields in a list; default: keep
    rename: dict[str, str] = {}  # Airflow's name -> ours, where its own names differ between operations
    rename_v1: dict[str, str] = {}  # 2.x name -> ours
    scalar: str | None = None  # replies are plain values: the field that holds them
    blank: dict[str, Any] = {}  # field -> the value that only means "none"
    tail: tuple[str, ...] = ()  # of these the end is kept when they are cut
    pluck: dict[str, str] = {}  # our name -> dotted path into the reply; lists are walked item by item
    pluck_v1: dict[str, str] = {}
    invert_v1: dict[str, str] = {}  # our boolean -> the 2.x boolean that means the opposite
    ids: tuple[str, ...] = ()  # never altered: they round-trip as arguments
    text: tuple[str, ...] = ()  # written by others: data, never instructions
    named: dict[str, str] = {}  # field -> the field that holds its name, by which it may be secret
    secret: tuple[str, ...] = ()  # masked whatever their value

    @property
    def columns(self) -> tuple[str, ...]:
        """Fields shown in a list."""
        return self.row or self.keep
