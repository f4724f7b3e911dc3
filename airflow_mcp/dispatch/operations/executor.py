"""Execute one operation of the catalog: prepare, build, send, read, normalise. The caller has checked policy."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from airflow_mcp.airflow import wire
from airflow_mcp.airflow.caller_clients import Clients
from airflow_mcp.catalog import schema
from airflow_mcp.catalog.grammar import Json, Record
from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.catalog.versions import Version
from airflow_mcp.dispatch.answer.normalize import FULL_SIZE, collect_texts
from airflow_mcp.dispatch.call import Call
from airflow_mcp.dispatch.operations import bulk, settlement
from airflow_mcp.dispatch.operations.dag_files import map_files_to_dags
from airflow_mcp.dispatch.operations.dag_filters import find_listing, resolve_row_effects
from airflow_mcp.dispatch.operations.field_types import conform, find_missing_keys
from airflow_mcp.dispatch.operations.prepare import build_patch, require_new, require_written, resolve
from airflow_mcp.dispatch.operations.result import OperationResult, read_result
from airflow_mcp.dispatch.operations.route_costs import read_row_of_list
from airflow_mcp.errors import (
    AirflowMcpError,
    AirflowUnreachableError,
    InvalidArgumentsError,
    LoginError,
    NotFoundError,
    UnusableAnswerError,
    VersionChangedError,
)
from airflow_mcp.policy.decision import decide, decide_call, depends_on
from airflow_mcp.policy.effects import Effect, derive_effects, find_target_ids
from airflow_mcp.time_slice import iterate_in_slices

PAGE = 100  # rows requested by default: Airflow's maximum unless its operator raised it
_MOST_RUNS = 20  # runs whose task instances are read to find the map indexes of a dry run of Airflow 2


class OperationExecutor:
    """Execute the operations of one Airflow; the server keeps one executor for each instance."""

    def __init__(self, catalog: Catalog, client: Clients, clock: Callable[[], float] = time.monotonic) -> None:
        """Store the collaborators; `clock` returns seconds."""
        self.catalog = catalog
        self.client = client
        self.clock = clock

    async def find_version(self, call: Call) -> Version:
        """Return Airflow's version, read as the caller where Airflow requires a login and the server has none."""
        async with AsyncExitStack() as stack:
            client: Clients = self.client
            with suppress(LoginError):  # no credentials from the caller: Airflow may tell its version without a login
                client = await stack.enter_async_context(self.client.borrow(call.caller.name, call.caller.credentials))
            return await client.version()

    async def operate(self, call: Call, *, look_up: bool = True, size: int = FULL_SIZE) -> OperationResult:
        """Prepare, build, send, read, normalise.

        The call's `fields` are shown in addition to the record's own: other fields need not be made safe. `size` is the
        number of characters needed of a value. With `look_up`, an empty list is checked for a DAG or run that does not
        exist. A read that meets another version of Airflow is repeated once with that version's routes.
        """
        try:
            return await self._operate(call, look_up=look_up, size=size)
        except VersionChangedError:
            if call.changes:
                raise
            return await self._operate(call, look_up=look_up, size=size)

    async def _operate(self, call: Call, *, look_up: bool, size: int) -> OperationResult:
        tool, arguments, version = call.tool, call.arguments, await self.find_version(call)
        entry = tool.entry
        schema.check_version(tool, arguments, self.catalog, version)
        if entry.dry and entry.is_dry(arguments):
            query = {name: value for name, value in arguments.items() if name != "dry_run"}
            return await self.operate(call.step(self.catalog.operations[entry.dry], query, call.fields), size=size)
        if substitute := self._substitute(tool, arguments, version):
            return await self.operate(call.step(*substitute, call.fields), look_up=look_up, size=size)
        if entry.instead and self.catalog.operations[entry.instead.operation].entry.route(version.generation):
            arguments = {name: value for name, value in arguments.items() if name not in entry.instead.when}
        send = partial(self._send, call, version)
        arguments = self._add_page(tool, arguments, version)
        await require_new(tool, arguments, self.catalog, version, send)
        arguments = await resolve(tool, arguments, self.catalog, version, send)
        if entry.then:  # refuse ids that reading back could not send before anything is changed
            self._build_request(self.catalog.operations[entry.then], arguments, version)
        request_arguments, full_body, stored = arguments, None, None
        if entry.patch:
            request_arguments, full_body, stored = await build_patch(tool, arguments, self.catalog, version, send)
        elif entry.bulk:
            request_arguments, full_body = await bulk.build_body(tool, arguments, self.catalog, version, send)
        attempt = settlement.Attempt(call.with_arguments(arguments), version)
        status: int | None = None
        try:
            try:
                status, raw = await self._exchange(call.with_arguments(request_arguments), version, full_body)
            except NotFoundError as error:
                if version.generation not in entry.no_rows:
                    raise
                status = error.status
                raw = {entry.rows_key(version.generation): []}  # a missing parent is looked up below
            if entry.then:
                if not (isinstance(raw, dict) and raw.keys() & {"task_instances", "dag_id"}):
                    raise UnusableAnswerError(f"Airflow {version} answered {tool.name} without a record.", status)
                reply = await self._follow_up(call.step(self.catalog.operations[entry.then], arguments))
            elif entry.bulk:
                reply = bulk.read_outcome(tool, raw)
            else:
                reply = await read_result(
                    tool,
                    raw,
                    arguments,
                    self.catalog,
                    version,
                    fields=call.fields,
                    reveal=call.reveals_secrets,
                    size=size,
                )
            if entry.patch:
                require_written(tool, arguments, raw, self.catalog, version)
                reply = replace(
                    reply, previous=await self._read_previous(call.with_arguments(arguments), stored, version)
                )
        except (UnusableAnswerError, AirflowUnreachableError) as error:
            error.answered = status if error.answered is None else error.answered
            is_read = entry.access == "read" or entry.is_dry(arguments)
            if is_read or (isinstance(error, AirflowUnreachableError) and not error.sent):
                raise
            return await settlement.settle(self, attempt, error)
        except AirflowMcpError as error:
            error.answered = status if error.answered is None else error.answered
            raise
        reply = replace(reply, status=status)
        if look_up and reply.rows == [] and not arguments.get("offset"):
            try:
                await self._require_parent(call.with_arguments(arguments), version)
            except AirflowMcpError as error:
                error.answered = status
                raise
        if entry.is_dry(arguments) and reply.rows is not None:  # its rows are targets, to be compared and sent
            reply = replace(reply, rows=[conform(row) async for row in iterate_in_slices(reply.rows)])
        if entry.is_dry(arguments) and version.generation == "v1":
            query = entry.default.select_values(version) | arguments
            if any(find_missing_keys("task_instance", row) for row in reply.rows or []):
                raise UnusableAnswerError(f"Airflow {version} answered {tool.name} with a row that names no task.", 200)
            return replace(reply, rows=await self._add_map_indexes(reply.rows or [], call.with_arguments(query)))
        return reply

    async def resolve_effects(self, call: Call, *, need_ids: bool = False) -> tuple[Effect, ...]:
        """Return the effects of a call, with the target ids that only Airflow knows where policy depends on them.

        With `need_ids` these are read in any case: a confirmation states the DAGs concerned.
        """
        tool, arguments, principal = call.tool, call.arguments, call.principal
        effects = derive_effects(tool, arguments)
        depends = depends_on(call.policy, "dag", principal, tool, *(effect.tool for effect in effects))
        if depends and (listing := find_listing(tool, self.catalog)):
            return await resolve_row_effects(self, call, listing, effects)
        target_ids, look_up = effects[0].target_ids, tool.entry.look_up
        changes_file = tool.entry.scope.dag == "file" and tool.entry.access != "read"
        if (
            depends
            and changes_file
            and target_ids["dag"]
            and decide_call(call.policy, tool, effects, principal).allowed
        ):
            files = (await map_files_to_dags(self, call)).values()
            id_sets = [ids for ids in files if not target_ids["dag"].isdisjoint(ids)]
            return (replace(effects[0], target_ids={"dag": target_ids["dag"].union(*id_sets) if id_sets else None}),)
        if look_up is None or not (depends or need_ids):
            return effects
        source = self.catalog.operations[look_up.operation]
        names = {use.name for use in source.entry.params}
        reply = await self.operate(call.step(source, {key: arguments[key] for key in arguments if key in names}))
        return (replace(effects[0], target_ids={"dag": collect_texts(reply.single or {}, look_up.paths) or None}),)

    def _substitute(self, tool: Tool, arguments: Json, version: Version) -> tuple[Tool, Json] | None:
        """Return the operation to use instead of this one, with its arguments; None to use this one.

        Raises InvalidArgumentsError when arguments exclude each other.
        """
        instead = tool.entry.instead
        reasons = [name for name in instead.when if arguments.get(name)] if instead else []
        if instead is None or not reasons:
            return None
        substitute = self.catalog.operations[instead.operation]
        if substitute.entry.route(version.generation) is None:
            return None
        own_names = {*instead.lists, *(["dry_run"] if tool.entry.dry else [])}  # a dry run is substituted before
        substitute_arguments = {name: value for name, value in arguments.items() if name not in own_names}
        for name, list_name in instead.lists.items():
            if arguments.get(name, "~") != "~":
                if list_name in substitute_arguments:
                    raise InvalidArgumentsError(f"{tool.name}: {list_name} goes with {name} '~' only.")
                substitute_arguments[list_name] = [arguments[name]]
        if unknown := sorted(substitute_arguments.keys() - {use.name for use in substitute.entry.params}):
            raise InvalidArgumentsError(
                f"{tool.name}: {', '.join(unknown)} cannot go with {', '.join(reasons)}. Leave one or the other out."
            )
        return substitute, substitute_arguments

    async def _follow_up(self, call: Call) -> OperationResult:
        names = {use.name for use in call.tool.entry.params}
        follow_up = call.with_arguments({key: value for key, value in call.arguments.items() if key in names})
        if not decide(
            call.policy, Effect(follow_up.tool, find_target_ids(follow_up.tool, follow_up.arguments)), call.principal
        ).allowed:
            return OperationResult(None, 0, {"done": True}, Record(keep=("done",)))
        try:
            return await self.operate(follow_up)
        except AirflowMcpError as error:
            hint = f"It was done; only reading it back failed. {error}"
            return OperationResult(None, 0, {"done": True, "hint": hint}, Record(keep=("done", "hint")))

    async def _add_map_indexes(self, rows: list[Json], call: Call) -> list[Json]:
        """Add the map indexes that Airflow 2's dry run of a clear omits, as read from the list of task instances."""
        counts = Counter((row["dag_id"], row["dag_run_id"], row["task_id"]) for row in rows)
        runs = sorted({key[:2] for key in counts})
        if len(runs) > _MOST_RUNS:
            return rows
        states = {"only_failed": ["failed", "upstream_failed"], "only_running": ["running"]}
        state = next(({"state": states[name]} for name in states if call.arguments.get(name)), {})
        listing = self.catalog.operations["list_task_instances"]
        indexes: dict[tuple[str, str, str], list[Json]] = {}
        for dag_id, run_id in runs:
            ids, read_count, total = {"dag_id": dag_id, "dag_run_id": run_id, **state}, 0, 1
            while read_count < total:
                reply = await self.operate(call.step(listing, ids | {"offset": read_count}))
                for row in map(conform, reply.rows or []):
                    indexes.setdefault((dag_id, run_id, row.get("task_id") or ""), []).append(
                        {"map_index": row.get("map_index")}
                    )
                read_count, total = read_count + len(reply.rows or []), (reply.total or 0) if reply.rows else 0
        # Where the counts differ, it is unknown which indexes the dry run meant.
        unique = {key: iter(indexes[key]) for key, count in counts.items() if len(indexes.get(key, ())) == count}
        keys = ((row["dag_id"], row["dag_run_id"], row["task_id"]) for row in rows)
        return [row | (next(unique[key]) if key in unique else {}) for row, key in zip(rows, keys, strict=True)]

    async def _read_previous(self, call: Call, stored: Any, version: Version) -> Json:
        """Return the previous values of the fields that an update writes, masked, if the caller may read them."""
        patch, arguments = call.tool.entry.patch, call.arguments
        assert patch is not None
        source = self.catalog.operations[patch.read]
        decision = decide(call.policy, Effect(source, find_target_ids(source, arguments)), call.principal)
        if not decision.allowed or decision.by_row:
            return {}
        reveal = call.reveals_secrets
        record = (await read_result(source, stored, arguments, self.catalog, version, reveal=reveal)).single or {}
        slots = {use.name for use in source.entry.params}
        return {name: record[name] for name in patch.body if name in arguments and name in record and name not in slots}

    @asynccontextmanager
    async def open_stream(self, call: Call) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """Open the body of a read as pieces of bytes. Raises AirflowError when the status is not 2xx."""
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(self.client.borrow(call.caller.name, call.caller.credentials))

            async def begin() -> tuple[int, AsyncIterator[bytes]]:
                request = wire.build(call.tool, call.arguments, self.catalog, await self.find_version(call))
                return await stack.enter_async_context(client.stream(request))

            try:
                status, pieces = await begin()
            except VersionChangedError:
                status, pieces = await begin()
            if not 200 <= status < 300:
                raise wire.build_failure(call.tool, status, b"".join([piece async for piece in pieces]))
            yield pieces

    def _build_request(
        self, tool: Tool, arguments: Json, version: Version, full_body: Json | None = None
    ) -> wire.Request:
        names = {use.name for use in tool.entry.params} | tool.entry.resolve.keys()
        if tool.entry.patch:
            names.add(tool.entry.patch.mask_parameter(version.generation))
        known_arguments = {key: value for key, value in arguments.items() if key in names}
        return wire.build(tool, known_arguments, self.catalog, version, full_body)

    async def _send(self, call: Call, version: Version, tool: Tool, arguments: Json) -> Any:
        """Return the raw answer of an auxiliary request; its status is not recorded as that of the operation."""
        try:
            return (await self._exchange(call.step(tool, arguments), version))[1]
        except AirflowMcpError as error:
            error.answered = None
            raise

    async def _exchange(self, call: Call, version: Version, full_body: Json | None = None) -> tuple[int, Any]:
        """Return the status and the raw answer; errors carry the status in `answered`."""
        request = self._build_request(call.tool, call.arguments, version, full_body)
        ask = partial(self._ask_list, call, version)
        if (row := await read_row_of_list(call.tool.name, call.arguments, version, ask)) is not None:
            return row
        async with self.client.borrow(call.caller.name, call.caller.credentials) as client:
            response = await client.send(request)
        try:
            content = await wire.read(call.tool, response.status, response.content, location=response.location)
            return response.status, content
        except AirflowMcpError as error:
            error.answered = response.status
            raise

    async def _ask_list(self, call: Call, version: Version, name: str, arguments: Json) -> tuple[int, Any]:
        return await self._exchange(call.step(self.catalog.operations[name], arguments), version)

    def _add_page(self, tool: Tool, arguments: Json, version: Version) -> Json:
        """Add an explicit page size: the defaults of Airflow's generations differ."""
        if not any(use.name == "limit" and use.since.has(version) for use in tool.entry.params):
            return arguments
        return {"limit": PAGE, **arguments}

    async def _require_parent(self, call: Call, version: Version) -> None:
        """Raise NotFoundError when the DAG or run of an empty list does not exist: Airflow answers such lists too."""
        arguments = call.arguments
        for name in call.tool.entry.parent:
            parent = self.catalog.operations[name]
            route = parent.entry.route(version.generation)
            ids = {slot: arguments.get(slot) for slot in (route.required_slots if route else ())}
            ids |= {use.name: arguments[use.name] for use in parent.entry.params if use.name in arguments}
            if all(value not in (None, "~") for value in ids.values()):
                await self.operate(call.step(parent, ids))
                return
