"""One server, one or several Airflows: which door a call goes through, and what a tool's arguments then are."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cached_property, partial

import anyio

from airflow_mcp.catalog.client_arguments import read_arguments
from airflow_mcp.catalog.client_schemas import for_clients
from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.load import Catalog, Tool
from airflow_mcp.catalog.schema import input_schema
from airflow_mcp.catalog.versions import Version
from airflow_mcp.dispatch.caller import Caller
from airflow_mcp.dispatch.dispatcher import DEFAULT_BUDGET, Door, error_answer
from airflow_mcp.dispatch.registry.forwarding import unwrap
from airflow_mcp.dispatch.registry.listing import listed
from airflow_mcp.dispatch.registry.search import Found, Index
from airflow_mcp.dispatch.safety.audit import Entry
from airflow_mcp.dispatch.safety.masked_arguments import shown
from airflow_mcp.errors import AirflowMcpError, InvalidArgumentsError
from airflow_mcp.policy.decide import may_ask_for_plan, offers
from airflow_mcp.policy.rules import Policy

_SMALLEST_SHARE = 600  # characters of each Airflow's answer, however many there are
_DETECTION_SECONDS = 1.0  # what a list may wait for Airflow to say its version
_MOST_MISSED = 3  # tools told of that would answer better and may not be called


class Instances:
    """The doors by name. With several, tools take `instance` and every answer names it."""

    def __init__(self, doors: dict[str, Door], whole: Instances | None = None) -> None:
        """`whole` is the server's, where these are some of its Airflows: what is large is made once, there."""
        self.doors = doors
        self._first = next(iter(doors.values()))
        self._whole = whole or self
        self._listeners: list[Callable[[], None]] = []

    def within(self, names: frozenset[str] | None) -> Instances:
        """These Airflows alone, as if there were no others. Raises InvalidArgumentsError where none of them is here."""
        if names is None or names >= self.doors.keys():
            return self
        kept = frozenset(names & self.doors.keys())
        if not kept:
            raise InvalidArgumentsError(
                f"X-Airflow-MCP-Instance: none of {', '.join(sorted(names)) or 'nothing'} is here; there are "
                f"{', '.join(self.doors)}."
            )
        return Instances({name: door for name, door in self.doors.items() if name in kept}, self._whole)

    @property
    def catalog(self) -> Catalog:
        """What exists."""
        return self._first.catalog

    @property
    def policy(self) -> Policy:
        """The operator's rules for all of them, as they are now in force."""
        return self._first.policy

    async def wait_until_idle(self) -> None:
        """Wait until every call is over and has its audit line."""
        await self._first.guard.wait_until_idle()

    def enforce(self, policy: Policy) -> None:
        """Replace the rules for all of them, for every call that begins from now on, and let them log in anew."""
        self._first.guard.enforce(policy)
        for door in self.doors.values():
            door.client.retry_login()
        for listener in self._listeners:
            listener()

    @contextmanager
    def watched(self, listener: Callable[[], None]) -> Generator[None]:
        """Call `listener` in the block whenever other tools may be listed: another version, or other rules."""
        with ExitStack() as stack:
            for door in self.doors.values():
                stack.enter_context(door.client.watched(listener))
            self._listeners.append(listener)
            stack.callback(self._listeners.remove, listener)
            yield

    async def call(self, name: str, arguments: Json, caller: Caller) -> Json:
        """Run one tool on the Airflow that the call names; a read may leave it out and gets the first one's.

        A tool of `every_instance` gets everyone's then: {"instances": {name: answer}}; one that is `serverwide` answers
        about all of them. A tool that forwards is replaced by the one it runs before anything else looks at the call.
        Raises what Door.call raises, and InvalidArgumentsError for an instance that is unknown or missing.
        """
        tool = self.catalog.tools.get(name)
        if tool is not None:
            arguments = read_arguments(tool, arguments, self.catalog)
        if tool is not None and tool.entry.forwards:
            caller = replace(caller, through=tool)
            try:
                tool, arguments = unwrap(tool, arguments, self.catalog)
            except InvalidArgumentsError as error:
                raise self._misdirected(name, arguments, caller, str(error)).advise(*error.next_calls) from None
            name = tool.name
        if len(self.doors) == 1:
            return await self._first.call(name, arguments, self._finding(caller))
        given = _instance_of(name, arguments)
        names = ", ".join(self.doors)
        if given is not None and (not isinstance(given, str) or given not in self.doors):
            raise self._misdirected(
                name, arguments, caller, f"instance must be one of {names}, not {str(given)[:60]!r}."
            )
        if given is None and tool is not None and tool.entry.access != "read":
            sentence = f"instance is required for what changes something; one of {names}."
            raise self._misdirected(name, arguments, caller, sentence)
        if given is None and tool is not None and tool.entry.every_instance:
            return await self._call_each(tool, arguments, caller)
        if given is None and tool is not None and tool.entry.serverwide:
            able = (door for door in self.doors.values() if offers(self.policy, tool, door.asker(caller)))
            return await next(able, self._first).call(name, arguments, self._finding(caller))
        door = self.doors[given] if given else self._first
        rest = {key: value for key, value in arguments.items() if key != "instance"}
        named = replace(self._finding(caller, given), names_instance=True)
        return {"instance": door.instance, **await door.call(name, rest, named)}

    async def _call_each(self, tool: Tool, arguments: Json, caller: Caller) -> Json:
        """Every Airflow's answer, asked for at once, within a share of the one answer's size.

        One that fails answers with its sentence as `error`; when all of them fail, raises the first one's error, which
        then tells of each.
        """
        whole = arguments.get("max_chars", tool.entry.budget or DEFAULT_BUDGET)
        share = max(whole // len(self.doors), _SMALLEST_SHARE) if isinstance(whole, int) else whole
        asked = arguments | {"max_chars": share}
        answers: dict[str, Json] = {}
        errors: dict[str, AirflowMcpError] = {}

        async def ask(name: str, door: Door) -> None:
            try:
                answers[name] = await door.call(tool.name, asked, replace(caller, names_instance=True))
            except AirflowMcpError as error:
                errors[name] = error

        async with anyio.create_task_group() as group:
            for name, door in self.doors.items():
                group.start_soon(ask, name, door)
        if not answers:
            said = {name: str(errors[name]) for name in self.doors}
            each = (words if words.startswith(f"{name}: ") else f"{name}: {words}" for name, words in said.items())
            raise errors[next(iter(self.doors))].with_sentence(" ".join(each))
        failed = {name: error_answer(error) for name, error in errors.items()}
        return {"instances": {name: (answers | failed)[name] for name in self.doors}}

    def _misdirected(self, name: str, arguments: Json, caller: Caller, sentence: str) -> InvalidArgumentsError:
        """The error for a call that reaches no door; it is in the audit trail all the same."""
        tool = self.catalog.tools.get(name)
        entry = Entry.of(caller, tool, "", name)
        entry.arguments = shown(tool, arguments, self.catalog)
        entry.error = sentence
        error = InvalidArgumentsError(f"{name}: {sentence}")
        self._first.guard.begin()
        self._first.guard.end(entry, error)
        return error

    def offers(self, name: str, caller: Caller) -> bool:
        """Whether some call of this tool may be allowed to the caller on some Airflow."""
        tool = self.catalog.tools[name]
        return any(offers(self.policy, tool, door.asker(caller)) for door in self.doors.values())

    @cached_property
    def index(self) -> Index:
        """What is found by plain words."""
        tools = self.catalog.tools.values()
        others = (tool for tool in tools if not (tool.entry.forwards or tool.entry.serverwide))
        return Index(others, self.catalog.synonyms)

    def _finding(self, caller: Caller, instance: str | None = None) -> Caller:
        """The same caller, who can find tools of that Airflow, or of all."""
        return replace(caller, find=partial(self._find, caller, instance))

    async def _find(self, caller: Caller, instance: str | None, query: str) -> Found:
        doors = {name: door for name, door in self.doors.items() if instance in (None, name)}
        versions = await self._versions(doors)
        shown = self._shown(self.catalog.toolsets, caller, doors, versions)
        best = [self.catalog.tools[name] for name in self._whole.index.search(query)]
        first = next((place for place, tool in enumerate(best) if tool.name in shown), len(best))
        return Found(
            tuple((tool, self._schema(tool, versions, caller)) for tool in best if tool.name in shown),
            tuple((tool, self._lack(tool, caller, doors)) for tool in best[: min(first, _MOST_MISSED)]),
            tuple(sorted({tool.toolset for tool in shown.values()})),
        )

    def _lack(self, tool: Tool, caller: Caller, doors: dict[str, Door]) -> str:
        """Why a tool that exists is not shown."""
        if any(offers(self.policy, tool, door.asker(caller)) for door in doors.values()):
            return f"needs {tool.entry.since}"
        return f"{tool.entry.access}, and policy does not allow it"

    async def tools(self, toolsets: frozenset[str], caller: Caller) -> list[tuple[Tool, Json]]:
        """What this caller is shown, with each tool's arguments; waits a moment for versions."""
        versions = await self._versions(self.doors)
        shown = self._shown(toolsets, caller, self.doors, versions)
        ordered = sorted(shown.values(), key=lambda tool: tool.entry.access != "read")
        return [(tool, self._schema(tool, versions, caller)) for tool in ordered]

    async def _versions(self, doors: dict[str, Door]) -> dict[str, Version | None]:
        """The version of each Airflow, as far as it is known in a moment."""
        versions: dict[str, Version | None] = {name: door.client.known_version for name, door in doors.items()}

        async def ask(name: str, door: Door) -> None:
            with suppress(AirflowMcpError):  # a list is due while Airflow is down; a call will say what is wrong
                versions[name] = await door.client.version()

        with anyio.move_on_after(_DETECTION_SECONDS):
            async with anyio.create_task_group() as group:
                for name, door in doors.items():
                    group.start_soon(ask, name, door)
        return versions

    def _shown(
        self, toolsets: frozenset[str], caller: Caller, doors: dict[str, Door], versions: dict[str, Version | None]
    ) -> dict[str, Tool]:
        return {
            tool.name: tool
            for name, door in doors.items()
            for tool in listed(self.catalog, self.policy, toolsets, versions[name], door.asker(caller))
        }

    def _schema(self, tool: Tool, versions: dict[str, Version | None], caller: Caller) -> Json:
        single = len(self.doors) == 1
        schema = for_clients(input_schema(tool, self.catalog, next(iter(versions.values())) if single else None))
        if tool.entry.forwards:
            return schema  # which Airflow, and a plan, stand among the arguments of the tool it runs
        if any(self._confirms_by_plan(tool, door, caller) for door in self.doors.values()):
            about = "The plan a preview gave, to do what it showed"
            schema["properties"]["plan"] = {"type": "string", "description": about}
        if not single:
            every = tool.entry.every_instance or tool.entry.serverwide
            about = "Which Airflow; default all of them" if every else "Which Airflow"
            enum: Json = {"type": "string", "enum": list(self.doors), "description": about}
            schema["properties"] = {"instance": enum, **schema["properties"]}
            if tool.entry.access != "read":
                schema["required"] = ["instance", *schema.get("required", [])]
        return schema

    def _confirms_by_plan(self, tool: Tool, door: Door, caller: Caller) -> bool:
        return may_ask_for_plan(self.policy, tool, door.asker(caller))

    async def aclose(self) -> None:
        """Close every connection and what the doors share."""
        for door in self.doors.values():
            await door.client.aclose()
        await self._first.guard.aclose()


def _instance_of(name: str, arguments: Json) -> object:
    """What a call names as its Airflow; the explanation of a call is about the one that the call would name."""
    explained = arguments.get("arguments") if name == "explain_permission" else None
    inner = explained.get("instance") if isinstance(explained, dict) else None
    return inner if inner is not None else arguments.get("instance")
