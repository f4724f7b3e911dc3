"""The keys of a manifest, as frozen models that refuse any other key.

There are no expressions and no templates: an entry that needs more becomes a workflow (`python`). manifest_syntax.py
has the notations.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool, model_validator

from airflow_mcp.catalog.manifest_syntax import (
    Effects,
    Kind,
    Kinds,
    ManifestModel,
    ParameterUse,
    PerGeneration,
    Route,
    parse_use,
)
from airflow_mcp.catalog.read_back import ReadBack
from airflow_mcp.catalog.versions import EVERYWHERE, Generation, Since

Access = Literal["read", "write", "destructive", "admin"]
Noun = Literal["dag", "pool", "variable", "connection"]
Where = Literal["path", "body", "query", "row", "every_row", "file", "look_up"]
Json = dict[str, Any]
SMALLEST_ANSWER = 400  # characters; a smaller answer could not say what it left out


class Resolve(ManifestModel):
    """An argument of a request that callers may leave out: it is `field` of the answer of `operation`, read first.

    The read takes the call's own ids, or `asks` (its argument -> the call's); of a list, the one row is taken whose
    `match` equals the call's argument of that name.
    """

    operation: str
    field: str
    asks: dict[str, str] = {}
    match: str | None = None


class Patch(ManifestModel):
    """A PATCH that Airflow validates whole: read the object, send the changed and the required fields, compare."""

    read: str
    body: tuple[str, ...]  # fields of the record that may be changed, and those of `fill`
    fill: tuple[str, ...] = ()  # sent as Airflow holds them unless the caller names them; default: all of `body`
    rename_v2: dict[str, str] = {}  # field -> its name on the wire of 3.x
    grows: dict[Generation, tuple[str, ...]] = {}  # lists to which that generation adds, and removes nothing
    mask: dict[Generation, str] = {}  # the parameter that names the written fields; default update_mask, "" for none

    @property
    def required_fields(self) -> tuple[str, ...]:
        """The fields that every request holds."""
        return self.fill or self.body

    def wire_names(self, generation: Generation) -> dict[str, str]:
        """Map every field of the body to its name on the wire."""
        return {field: self.rename_v2.get(field, field) if generation == "v2" else field for field in self.body}

    def mask_parameter(self, generation: Generation) -> str:
        """Return the parameter that names the fields to write, or "" where this generation takes none."""
        return self.mask.get(generation, "update_mask")


class AlternativeOperation(ManifestModel):
    """The operation that answers where one of `when` is given: a list by POST has filters that its GET lacks.

    An id of the path becomes a list of one there (`lists`: the path's argument -> the list's name), "~" is left out.
    """

    operation: str
    when: tuple[str, ...]
    lists: dict[str, str] = {}


class LookUp(ManifestModel):
    """What a call touches, where its arguments do not say: read `operation`, take the DAG ids at the dotted paths."""

    operation: str
    paths: tuple[str, ...]


class Bulk(ManifestModel):
    """A bulk request: the arguments create, update and delete become Airflow's list of actions on entities."""

    read: str  # the operation that reads one entity before it is changed or deleted
    ids: dict[str, str]  # field of an entity -> the argument of `read`; the last one names the entity
    alias: dict[str, str] = {}  # field of an entity -> its name on the wire
    default: dict[str, Any] = {}  # sent where an entity leaves it out: else Airflow reaches further
    holds: dict[str, str] = {}  # field of the answer of `read` -> the entity's field, where its name differs
    fill: tuple[str, ...] = ()  # fields that Airflow requires in an update: its own values unless the caller names them
    along: str | None = None  # the list of objects that change or go with one entity, and are counted with it


class Scope(ManifestModel):
    """The nouns that a call touches, and where their ids are found; all None means that it touches none of them."""

    dag: Where | None = None
    pool: Where | None = None
    variable: Where | None = None
    connection: Where | None = None

    @property
    def nouns(self) -> frozenset[str]:
        """The nouns that a call touches."""
        return frozenset(self.model_dump(exclude_none=True))


def _parse_scope(value: Any) -> Any:
    return {} if value == "none" else value


def _parse_route(value: Any) -> Any:
    return Route.parse(value) if isinstance(value, str) else value


def _parse_since(value: Any) -> Any:
    return Since.parse(value) if isinstance(value, str) else value


def _parse_params(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    texts = [item for item in value if isinstance(item, str)]
    if len(texts) < len(value):
        raise ValueError("it must be a list of texts such as 'dag_id' or 'state?@3.1'")
    return tuple(use for text in texts for use in parse_use(text))


class Entry(ManifestModel):
    """One tool (or, with `part_of`, a request that only workflows make) as its manifest states it."""

    title: str = ""
    summary: str
    words: str = ""  # other words that people use for it, for find_tools
    access: Access
    effects: Effects = ()  # what it changes, as names of tools
    kinds: Kinds = ()  # of its own effect, for permission rules
    scope: Annotated[Scope, BeforeValidator(_parse_scope)]
    v1: Annotated[Route | None, BeforeValidator(_parse_route)] = None
    v2: Annotated[Route | None, BeforeValidator(_parse_route)] = None
    python: StrictBool = False  # the workflow airflow_mcp/workflows/<name> answers
    steps: tuple[str, ...] = ()  # with python: every operation it may call; it needs their permission
    forwards: Literal["reads", "changes"] | None = None  # it only forwards: runs any tool of that kind by name
    part_of: str | None = None  # only a step of workflows, never listed; denying the tool denies the step everywhere
    only: Annotated[Since | None, BeforeValidator(_parse_since)] = None  # with python: where not every Airflow has it
    params: Annotated[tuple[ParameterUse, ...], BeforeValidator(_parse_params)] = ()
    alias: dict[str, str] = {}  # argument -> its name on the wire, where this operation differs from others
    any_of: tuple[str, ...] = ()  # at least one of these optional arguments must be given
    default: PerGeneration = PerGeneration()  # sent unless the caller gives another value
    const: PerGeneration = PerGeneration()  # always sent, never an argument
    record: str | None = None
    rows: str | None = None  # the reply's key that holds a list; without that key the reply is one record
    rows_v1: str | None = None  # the same on 2.x where it differs
    no_rows: tuple[Generation, ...] = ()  # generations that answer an empty list with 404
    single: str | None = None  # the type of that one record, where it is not `record`
    newest: str | None = None  # field by which an unpaged list is sorted, latest first
    picks: tuple[str, ...] = ()  # arguments that filter rows here, by the field of the same name, as Airflow does not
    resolve: dict[str, Resolve] = {}
    parent: tuple[str, ...] = ()  # where an empty list may mean "no such DAG or run": call the first that fits
    patch: Patch | None = None
    bulk: Bulk | None = None
    instead: AlternativeOperation | None = None
    unless: dict[Generation, str] = {}  # a read that must find nothing first: that generation would overwrite
    look_up: LookUp | None = None  # with scope.dag = "look_up"
    read_back: ReadBack | str | None = None  # of a change; patch and bulk have their own; a text says why none can
    after: Literal["add_changes", "add_existing_runs", "add_latest_runs"] | None = (
        None  # the addition to its rows (operations/handlers.py)
    )
    then: str | None = None  # answer with this read instead of the reply
    preview: Literal["flag", "read", "bulk", "itself"] | None = None  # how the objects that a call touches are found
    dry: str | None = None  # with preview = "flag": the operation that answers a dry run
    counts: tuple[str, ...] = ()  # with preview = "flag": a dry run answers these numbers instead of rows
    shows: tuple[str, ...] = ()  # with preview = "read": the reads that show what a call touches
    lost: str = ""  # what cannot be undone, for the person who confirms
    accept: dict[Generation, str] = {}  # default: application/json
    budget: Annotated[int, Field(strict=True, ge=SMALLEST_ANSWER)] | None = (
        None  # characters of an answer when the caller names no max_chars
    )
    idempotent: StrictBool = False
    every_instance: StrictBool = False  # with several Airflows, a call that names none asks each; for python that reads
    serverwide: StrictBool = False  # with several Airflows, a call that names none is about all; for python that reads
    links: StrictBool = False  # takes the argument `links`, which adds the UI's page to each row or record

    @model_validator(mode="after")
    def _is_whole(self) -> Entry:
        if self.python and (self.v1 or self.v2):
            raise ValueError("python and a route exclude each other: data or Python, never half")
        if not self.python and not self.forwards and not (self.v1 or self.v2):
            raise ValueError("an entry needs v1, v2 or python")
        if self.forwards and (self.python or self.v1 or self.v2):
            raise ValueError("what forwards has neither routes nor python of its own")
        if self.forwards and (self.forwards == "reads") != (self.access == "read"):
            raise ValueError("what forwards reads is a read, and what forwards changes is not")
        if self.steps and not self.python:
            raise ValueError("steps are for python: an operation takes none")
        if self.every_instance and not (self.python and self.access == "read"):
            raise ValueError("every_instance is for python that reads")
        if self.serverwide and not (self.python and self.access == "read" and not self.every_instance):
            raise ValueError("serverwide is for python that reads, and answers once for every instance")
        if not self.part_of and not self.title:
            raise ValueError("title is required for a tool")
        if self.access in ("destructive", "admin") and self.preview is None and not self.forwards:
            raise ValueError("preview is required where access is destructive or admin")
        if self.links and (self.python or not self.record):
            raise ValueError("links are for records of Airflow")
        if (self.preview == "read") != bool(self.shows):
            raise ValueError("preview = 'read' and shows go together")
        if (self.preview == "bulk") != bool(self.bulk):
            raise ValueError("preview = 'bulk' and bulk go together")
        if (self.dry or self.counts) and self.preview != "flag":
            raise ValueError("dry and counts are for preview = 'flag'")
        if self.read_back and (self.access == "read" or self.bulk or self.python):
            raise ValueError("read_back is for a change by one request, and bulk reads its entities back by itself")
        if (self.scope.dag == "look_up") != bool(self.look_up):
            raise ValueError("scope.dag = 'look_up' and look_up go together")
        return self

    def list_kinds(self, arguments: Json) -> frozenset[Kind]:
        """List the kinds of the entry's own effect in a call with these arguments."""
        return frozenset(use.name for use in self.kinds if not use.when or use.when.holds(arguments))

    @property
    def possible_kinds(self) -> frozenset[Kind]:
        """The kinds that the entry's own effect may have."""
        return frozenset(use.name for use in self.kinds)

    def is_dry(self, arguments: Json) -> bool:
        """Return whether a call with these arguments only shows what it would touch."""
        default = self.default.both.get("dry_run")
        return self.preview == "flag" and bool(arguments.get("dry_run", default.value if default else True))

    @property
    def takes_latest(self) -> bool:
        """Whether a call may leave out its run, and then means the latest."""
        return any(use.name == "latest" for use in self.params)

    def rows_key(self, generation: Generation) -> str | None:
        """Return the key of the reply that holds the list."""
        return self.rows_v1 or self.rows if generation == "v1" else self.rows

    def route(self, generation: Generation) -> Route | None:
        """Return the route of that generation, or None where it has none."""
        return self.v1 if generation == "v1" else self.v2

    @property
    def since(self) -> Since:
        """The versions that have the tool. A workflow works in all unless it has `only`; its steps state their own."""
        if self.python or self.forwards:
            return self.only or EVERYWHERE
        if self.v2 is None:
            return Since(self.v1.since.v1 if self.v1 else None, None)
        return Since(self.v1.since.v1 if self.v1 else None, self.v2.since.v2, self.v2.since.last)


SinceMark = Annotated[Since, BeforeValidator(_parse_since)]


class Parameter(ManifestModel):
    """One argument, described once for every entry that uses it."""

    about: str = ""
    json_schema: Json = Field(alias="schema", default={"type": "string"})
    v1: str | None = None  # its name on the wire of 2.x
    v2: str | None = None
    place: Literal["query", "body", "header"] | None = Field(alias="in", default=None)  # else query for GET, DELETE
    comma: tuple[Generation, ...] = ()  # generations that take a list as one comma-joined value
    values_v1: dict[str, str] = {}  # values spelt differently on 2.x; a leading "-" (descending) is kept
    values_since: dict[str, SinceMark] = {}  # values that only newer versions know
    null: str | None = None  # the value that a JSON body of 3.x spells null
    each: str | None = None  # texts in this list go as objects that hold them under this key
    json_text: tuple[Generation, ...] = ()  # generations that take any value but a text as JSON in a text
    slash: tuple[Generation, ...] = ()  # generations whose route takes "/" in it (sent as %2F)
    uri: StrictBool = False  # a URI as an id: it holds "/" anywhere, and "//"
    id: StrictBool = False  # an id, several, or a part of one: read back from the form in which answers show ids
    secret: StrictBool = False  # masked wherever a call's arguments are shown

    def wire_name(self, name: str, generation: Generation) -> str:
        """Return Airflow's name of this argument."""
        return (self.v1 if generation == "v1" else self.v2) or name


class Record(ManifestModel):
    """One kind of result: the fields that a model sees by default, and how 2.x spells it."""

    keep: tuple[str, ...]  # fields of one record, in order
    row: tuple[str, ...] = ()  # fields in a list; default: keep
    rename: dict[str, str] = {}  # Airflow's name -> ours, where its own names differ between operations
    rename_v1: dict[str, str] = {}  # 2.x name -> ours
    scalar: str | None = None  # replies are plain values: the field that holds them
    blank: dict[str, Any] = {}  # field -> the value that only means "none"
    tail: tuple[str, ...] = ()  # fields of which a cut keeps the end
    pluck: dict[str, str] = {}  # our name -> dotted path into the reply; lists are walked item by item
    pluck_v1: dict[str, str] = {}
    elapsed: dict[str, tuple[str, str]] = {}  # seconds between two times, where Airflow does not say them itself
    invert_v1: dict[str, str] = {}  # our boolean -> the 2.x boolean that means the opposite
    plain: tuple[str, ...] = ()  # fields whose objects hold only a name, which is shown instead
    bare_v1: str | None = None  # 2.x answers the value of this field alone
    unnest: dict[str, str] = {}  # { options = "section" }: each item of a row's list is a row, with the row's name
    dags: tuple[str, ...] = ()  # with scope "every_row": dotted paths to all DAG ids that a row names
    ids: tuple[str, ...] = ()  # never altered: they round-trip as arguments
    text: tuple[str, ...] = ()  # written by others: data, never instructions
    named: dict[str, str] = {}  # field -> the field that holds its name, which may mark it as a secret
    secret: tuple[str, ...] = ()  # masked whatever their value
    secret_values: tuple[str, ...] = ()  # objects, or JSON in a text: every value in them is masked

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields of a record in a list."""
        return self.row or self.keep


class Toolsets(ManifestModel):
    """The toolsets, and the tools beside them, that are listed unless the operator configures others."""

    default: tuple[str, ...] = ()
