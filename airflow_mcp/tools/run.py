"""The one door: name + arguments -> found -> validated -> allowed -> sent -> shaped.

Every call of every tool comes through here, a composite's inner steps too, so that nothing goes round policy,
redaction or the size of an answer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from airflow_mcp.airflow import wire
from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.catalog import schema
from airflow_mcp.catalog.grammar import Json, Record
from airflow_mcp.catalog.load import Catalog, Tool
from airflow_mcp.catalog.versions import Version
from airflow_mcp.errors import AirflowError, AirflowMcpError, NotFoundError, UnknownToolError
from airflow_mcp.policy.decide import Policy
from airflow_mcp.redact import redact_text
from airflow_mcp.text import clean, shorten
from airflow_mcp.tools import shape
from airflow_mcp.tools.caller import Caller
from airflow_mcp.tools.missing import explain_missing

DEFAULT_BUDGET = 8_000  # characters of an answer
_ERROR_SIZE = 600  # characters of an error
_PLAIN = Record(keep=())
_PAGE = 100  # rows asked for by default: the most that Airflow gives unless its operator raised it


@dataclass(frozen=True)
class Reply:
    """Airflow's answer in our vocabulary, whole: rows of a list (`total` counts all there are), or one record."""

    rows: list[Json] | None
    total: int
    one: Json | None
    record: Record


class Door:
    """What may be called, and how it is done, for one Airflow."""

    def __init__(self, catalog: Catalog, policy: Policy, client: AirflowClient, *, ceiling: int) -> None:
        """`ceiling` is the operator's limit on an answer, characters."""
        self.catalog = catalog
        self.policy = policy
        self.client = client
        self.ceiling = ceiling

    async def call(self, name: str, arguments: Json, caller: Caller) -> Json:
        """Run one tool and answer within its budget.

        Raises UnknownToolError for a name that does not exist and, as AirflowMcpError, every other reason why not.
        """
        tool = self.catalog.tools.get(name)
        if tool is None:
            near = self.catalog.near(name)
            raise UnknownToolError(
                f"Unknown tool: {name[:80]}." + (f" Did you mean {' or '.join(near)}?" if near else "")
            )
        self.policy.require(tool)
        schema.validate(tool, arguments, self.catalog)
        arguments = schema.whole_numbers(tool, arguments, self.catalog)
        budget = min(arguments.pop("max_chars", tool.entry.budget or DEFAULT_BUDGET), self.ceiling)
        fields = tuple(arguments.pop("fields", ()))
        version = await self.client.version()
        schema.check_version(tool, arguments, self.catalog, version)
        try:
            if tool.entry.python:
                return await self._composite(tool, arguments, caller, version, budget)
            reply = await self.operate(tool, arguments, caller, fields)
        except NotFoundError as error:
            raise await explain_missing(InnerDoor(self, tool, caller, version, budget), arguments, error) from None
        return self._answer(tool, arguments, reply, fields, budget)

    async def operate(self, tool: Tool, arguments: Json, caller: Caller, fields: tuple[str, ...] = ("*",)) -> Reply:
        """Do one manifest operation: resolve, build, send, read, normalise. The caller has asked policy.

        `fields` are what will be shown beside the record's own: the rest need not be made safe.
        """
        entry, version = tool.entry, await self.client.version()
        schema.check_version(tool, arguments, self.catalog, version)
        arguments = self._with_page(tool, arguments, version)
        for slot, source in entry.resolve.items():
            route = entry.route(version.generation)
            if route and slot in route.slots:
                source_tool = self.catalog.operations[source.operation]
                raw = await self._send(source_tool, arguments, version)
                asked = {use.name for use in source_tool.entry.params} - set(route.slots)
                arguments = {key: value for key, value in arguments.items() if key not in asked}
                arguments[slot] = raw[source.field]
        sent = await self._patched(tool, arguments, version) if entry.patch else arguments
        raw = await self._send(tool, sent, version)
        if entry.then:
            then = self.catalog.operations[entry.then]
            names = {use.name for use in then.entry.params}
            try:
                return await self.operate(then, {key: arguments[key] for key in arguments if key in names}, caller)
            except AirflowMcpError as error:
                hint = f"It was done; only reading it back failed. {error}"
                return Reply(None, 0, {"done": True, "hint": hint}, Record(keep=("done", "hint")))
        reply = self._reply(tool, raw, arguments, version, fields)
        if entry.patch:
            _require_written(tool, arguments, raw)
        if reply.rows == [] and not arguments.get("offset"):
            await self._require_parent(tool, arguments, caller)
        return reply

    @asynccontextmanager
    async def open_stream(self, tool: Tool, arguments: Json) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """The body of a read, piece by piece. Raises AirflowError for anything but 2xx."""
        request = wire.build(tool, arguments, self.catalog, await self.client.version())
        async with self.client.stream(request) as (status, pieces):
            if not 200 <= status < 300:
                raise wire.failure(tool, status, b"".join([piece async for piece in pieces]))
            yield pieces

    async def _send(self, tool: Tool, arguments: Json, version: Version) -> Any:
        names = {use.name for use in tool.entry.params} | tool.entry.resolve.keys()
        if tool.entry.patch:
            names |= {*tool.entry.patch.wire_names(version.generation).values(), "update_mask"}
        mine = {key: value for key, value in arguments.items() if key in names}
        response = await self.client.send(wire.build(tool, mine, self.catalog, version))
        return wire.read(tool, response.status, response.content, location=response.location)

    async def _patched(self, tool: Tool, arguments: Json, version: Version) -> Json:
        """Airflow 3 validates a PATCH whole: fill what the caller did not name with what Airflow holds."""
        patch = tool.entry.patch
        assert patch is not None
        current = await self._send(self.catalog.operations[patch.read], arguments, version)
        named = [field for field in patch.body if field in arguments]
        names = patch.wire_names(version.generation)
        merged = {names[field]: arguments.get(field, current.get(field)) for field in patch.body}
        ids = {key: value for key, value in arguments.items() if key not in patch.body}
        return {**ids, **merged, "update_mask": named}

    def _with_page(self, tool: Tool, arguments: Json, version: Version) -> Json:
        """Say the page's size ourselves: the generations' defaults differ."""
        if not any(use.name == "limit" and use.since.has(version) for use in tool.entry.params):
            return arguments
        return {"limit": _PAGE, **arguments}

    def _reply(self, tool: Tool, raw: Any, arguments: Json, version: Version, fields: tuple[str, ...]) -> Reply:
        entry, reveal = tool.entry, self.policy.reveals_secrets
        record = self.catalog.records[entry.record] if entry.record else _PLAIN
        if entry.record is None:
            return Reply(None, 0, None, record)
        if entry.rows is None or (entry.single and isinstance(raw, dict) and entry.rows not in raw):
            record = self.catalog.records[entry.single] if entry.single else record
            if not isinstance(raw, dict):
                raise AirflowError(f"Airflow {version} answered {tool.name} without a record.", 200)
            return Reply(None, 0, shape.normalise(raw, record, version.generation, reveal=reveal), record)
        if not isinstance(raw, dict) or not isinstance(raw.get(entry.rows), list):
            raise AirflowError(f"Airflow {version} answered {tool.name} without the list {entry.rows!r}.", 200)
        generation = version.generation
        only = None if "*" in fields else frozenset((*record.columns, *fields, entry.newest or ""))
        rows = [shape.normalise(item, record, generation, reveal=reveal, only=only) for item in raw[entry.rows]]
        if newest := entry.newest:
            rows.sort(key=lambda row: row.get(newest) or 0, reverse=True)
        total = raw.get("total_entries")
        if not _is_paged_by_airflow(tool, version):
            offset, total = arguments.get("offset", 0), len(rows)
            rows = rows[offset : offset + arguments.get("limit", total)]
        return Reply(rows, len(rows) if total is None else total, None, record)

    async def _require_parent(self, tool: Tool, arguments: Json, caller: Caller) -> None:
        """An empty list may stand for a DAG or run that does not exist: look it up, so that its 404 is the answer."""
        for name in tool.entry.parent:
            parent = self.catalog.operations[name]
            ids = {use.name: arguments.get(use.name) for use in parent.entry.params if use.required}
            ids |= {use.name: arguments[use.name] for use in parent.entry.params if use.name in arguments}
            if all(value not in (None, "~") for value in ids.values()):
                await self.operate(parent, ids, caller)
                return

    async def _composite(self, tool: Tool, arguments: Json, caller: Caller, version: Version, budget: int) -> Json:
        function = import_module(f"airflow_mcp.tools.composite.{tool.name}").run
        answer: Json = await function(InnerDoor(self, tool, caller, version, budget), arguments)
        record = self.catalog.records[tool.entry.record] if tool.entry.record else _PLAIN
        answer = shape.normalise(answer, record, "v2", reveal=self.policy.reveals_secrets)
        kept = {name: value for name, value in answer.items() if value is not None}
        return shape.fit(kept, budget=budget, ceiling=self.ceiling, tail=record.tail)

    def _answer(self, tool: Tool, arguments: Json, reply: Reply, fields: tuple[str, ...], budget: int) -> Json:
        extra: Json = {}
        if tool.entry.preview == "flag":
            dry_run = arguments.get("dry_run", True)
            hint = "Nothing was changed. The same call with dry_run=false does it."
            if reply.rows == []:
                hint = "Nothing matches, so there is nothing to do. only_failed=true leaves out all that did not fail."
            extra = {"dry_run": True, "hint": hint} if dry_run else {"done": True}
        if reply.rows is None:
            if reply.one is None:
                return {"done": True, **arguments}
            one = {**arguments, **{name: value for name, value in reply.one.items() if value is not None}}
            answer = shape.record_answer(
                one, reply.record, budget=budget, ceiling=self.ceiling, fields=fields, extra=extra
            )
            return answer if tool.entry.access == "read" else _without_next(answer)
        answer = shape.list_answer(
            reply.rows,
            reply.record,
            total=reply.total,
            offset=arguments.get("offset", 0),
            paged=any(use.name == "offset" for use in tool.entry.params),
            budget=budget,
            ceiling=self.ceiling,
            fields=fields,
            given=arguments,
            extra=extra,
        )
        return _without_next(answer) if extra.get("done") else answer


class InnerDoor:
    """The door as a composite sees it: the same policy for every step, and values whole instead of cut."""

    def __init__(self, door: Door, tool: Tool, caller: Caller, version: Version, budget: int) -> None:
        self.version = version
        self.budget = budget  # characters the composite's answer may have
        self.ceiling = door.ceiling  # and the most any answer may have
        self.progress = caller.progress
        self._door = door
        self._tool = tool
        self._caller = caller

    async def one(self, name: str, **arguments: Any) -> Json:
        """The full record of an operation; empty where Airflow answers nothing."""
        reply = await self._door.operate(self._step(name), arguments, self._caller)
        return reply.one or {}

    async def rows(self, name: str, **arguments: Any) -> tuple[list[Json], int]:
        """The full records of one page of a list, and how many there are in all."""
        reply = await self._door.operate(self._step(name), arguments, self._caller)
        return reply.rows or [], reply.total

    @asynccontextmanager
    async def stream(self, name: str, **arguments: Any) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """The body of an operation, piece by piece."""
        async with self._door.open_stream(self._step(name), arguments) as pieces:
            yield pieces

    def _step(self, name: str) -> Tool:
        """An operation this composite may take: its own step, or a tool that policy allows."""
        step = self._door.catalog.operations[name]
        if self._tool.name not in step.entry.within:
            self._door.policy.require(step)
        return step


def present(error: AirflowMcpError) -> str:
    """An error as it may leave: redacted, without unseen characters, at most 600 characters."""
    return shorten(redact_text(clean(str(error))), _ERROR_SIZE)


def _without_next(answer: Json) -> Json:
    """Of a change there is no more to ask for: the same call would make it again."""
    return {name: value for name, value in answer.items() if name != "next"}


def _require_written(tool: Tool, arguments: Json, raw: Any) -> None:
    """Airflow 3 answers 200 to a PATCH it ignored: compare what came back."""
    assert tool.entry.patch is not None
    reply: Json = raw if isinstance(raw, dict) else {}
    lost = [name for name in tool.entry.patch.body if name in arguments and reply.get(name) != arguments[name]]
    if lost:
        raise AirflowError(
            f"Airflow accepted {tool.name} but did not write {', '.join(lost)}. Look before you retry.", 200
        )


def _is_paged_by_airflow(tool: Tool, version: Version) -> bool:
    return any(use.name == "offset" and use.since.has(version) for use in tool.entry.params)
