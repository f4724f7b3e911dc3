"""Do one manifest operation: resolve, build, send, read, normalise. Whoever calls has asked policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from airflow_mcp.airflow import wire
from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.catalog import schema
from airflow_mcp.catalog.grammar import Json, Record
from airflow_mcp.catalog.load import Catalog, Tool
from airflow_mcp.catalog.versions import Version
from airflow_mcp.errors import AirflowError, AirflowMcpError
from airflow_mcp.policy.decide import Asker, reveals_secrets
from airflow_mcp.policy.rules import Policy
from airflow_mcp.tools import audit, shape
from airflow_mcp.tools.caller import Caller
from airflow_mcp.tools.reply import Reply

PLAIN = Record(keep=())
PAGE = 100  # rows asked for by default: the most that Airflow gives unless its operator raised it
_MOST_RUNS = 20  # whose task instances are read to tell which mapped ones a dry run of Airflow 2 means


class Operations:
    """The operations of one Airflow."""

    def __init__(self, catalog: Catalog, policy: Policy, client: AirflowClient, instance: str) -> None:
        self.catalog = catalog
        self.policy = policy
        self.client = client
        self.instance = instance

    def asker(self, caller: Caller) -> Asker:
        """Who policy decides about."""
        return Asker(caller.name, caller.roles, self.instance)

    async def operate(
        self,
        tool: Tool,
        arguments: Json,
        caller: Caller,
        fields: tuple[str, ...] = ("*",),
        *,
        look_up: bool = True,
    ) -> Reply:
        """Resolve, build, send, read, normalise.

        `fields` are what will be shown beside the record's own: the rest need not be made safe. `look_up` is whether an
        empty list may mean that its DAG or run does not exist.
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
        reply = self._reply(tool, raw, arguments, caller, version, fields)
        if entry.patch:
            _require_written(tool, arguments, raw)
        if look_up and reply.rows == [] and not arguments.get("offset"):
            await self._require_parent(tool, arguments, caller)
        if entry.preview == "flag" and version.generation == "v1" and arguments.get("dry_run", True):
            asked = entry.default.at(version) | arguments
            return replace(reply, rows=await self._with_indexes(reply.rows or [], asked, caller))
        return reply

    async def _with_indexes(self, rows: list[Json], arguments: Json, caller: Caller) -> list[Json]:
        """Airflow 2's dry run of a clear names mapped task instances without their index: read which they are."""
        counts = Counter((row["dag_id"], row["dag_run_id"], row["task_id"]) for row in rows)
        runs = sorted({key[:2] for key in counts})
        if len(runs) > _MOST_RUNS:
            return rows
        states = {"only_failed": ["failed", "upstream_failed"], "only_running": ["running"]}
        state = next(({"state": states[name]} for name in states if arguments.get(name)), {})
        listing = self.catalog.operations["list_task_instances"]
        found: dict[tuple[str, str, str], list[Json]] = {}
        for dag_id, run_id in runs:
            ids, seen, total = {"dag_id": dag_id, "dag_run_id": run_id, **state}, 0, 1
            while seen < total:
                reply = await self.operate(listing, ids | {"offset": seen}, caller)
                for row in reply.rows or []:
                    found.setdefault((dag_id, run_id, row["task_id"]), []).append({"map_index": row.get("map_index")})
                seen, total = seen + len(reply.rows or []), (reply.total or 0) if reply.rows else 0
        # Where their number is not Airflow's, which ones it meant is not known.
        sure = {key: iter(found[key]) for key, count in counts.items() if len(found.get(key, ())) == count}
        keys = ((row["dag_id"], row["dag_run_id"], row["task_id"]) for row in rows)
        return [row | (next(sure[key]) if key in sure else {}) for row, key in zip(rows, keys, strict=True)]

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
        if entry := audit.current.get():
            entry.status = response.status
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
        return {"limit": PAGE, **arguments}

    def _reply(
        self, tool: Tool, raw: Any, arguments: Json, caller: Caller, version: Version, fields: tuple[str, ...]
    ) -> Reply:
        entry, reveal = tool.entry, reveals_secrets(self.policy, self.asker(caller))
        record = self.catalog.records[entry.record] if entry.record else PLAIN
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
