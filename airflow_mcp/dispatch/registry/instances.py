"""One server, one or several Airflows: which door a call goes through, and what a tool's arguments then are."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cached_property, partial

import anyio

from airflow_mcp.catalog.client_arguments import read_arguments
from airflow_mcp.catalog.client_schemas import simplify_schema
from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.loader import Catalog, Tool
from airflow_mcp.catalog.schema import build_input_schema
from airflow_mcp.catalog.versions import Version
from airflow_mcp.dispatch.caller import Caller
from airflow_mcp.dispatch.dispatcher import DEFAULT_BUDGET, Dispatcher, build_error_answer
from airflow_mcp.dispatch.registry.forwarding import unwrap
from airflow_mcp.dispatch.registry.listing import select_tools
from airflow_mcp.dispatch.registry.search import SearchIndex, SearchResult
from airflow_mcp.dispatch.safety.audit import AuditRecord
from airflow_mcp.dispatch.safety.masked_arguments import mask_call_arguments
from airflow_mcp.errors import AirflowMcpError, InvalidArgumentsError
from airflow_mcp.policy.decision import may_ask_for_plan, offers
from airflow_mcp.policy.rules import Policy

_SMALLEST_SHARE = 600  # characters of each Airflow's answer, however many there are
_DETECTION_SECONDS = 1.0  # what a list may wait for Airflow to say its version
_MOST_MISSED = 3  # tools told of that would answer better and may not be called


class Instances:
    """The doors by name. With several, tools take `instance` and every answer names it."""

    def __init__(self, dispatchers: dict[str, Dispatcher], parent: Instances | None = None) -> None:
        """`parent` is the server's, where these are some of its Airflows: what is large is made once, there."""
        self.dispatchers = dispatchers
        self._first = next(iter(dispatchers.values()))
        self._whole = parent or self
        self._listeners: list[Callable[[], None]] = []

    def select(self, names: frozenset[str] | None) -> Instances:
        """These Airflows alone, as if there were no others. Raises InvalidArgumentsError where none of them is here."""
        if names is None or names >= self.dispatchers.keys():
            return self
        kept = frozenset(names & self.dispatchers.keys())
        if not kept:
            raise InvalidArgumentsError(
                f"X-Airflow-MCP-Instance: none of {', '.join(sorted(names)) or 'nothing'} is here; there are "
                f"{', '.join(self.dispatchers)}."
            )
        return Instances(
            {name: dispatcher for name, dispatcher in self.dispatchers.items() if name in kept}, self._whole
        )

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
        await self._first.safeguards.wait_until_idle()

    def enforce(self, policy: Policy) -> None:
        """Replace the rules for all of them, for every call that begins from now on, and let them log in anew."""
        self._first.safeguards.enforce(policy)
        for dispatcher in self.dispatchers.values():
            dispatcher.client.retry_login()
        for listener in self._listeners:
            listener()

    @contextmanager
    def subscribe(self, listener: Callable[[], None]) -> Generator[None]:
        """Call `listener` in the block whenever other tools may be listed: another version, or other rules."""
        with ExitStack() as stack:
            for dispatcher in self.dispatchers.values():
                stack.enter_context(dispatcher.client.subscribe(listener))
            self._listeners.append(listener)
            stack.callback(self._listeners.remove, listener)
            yield

    async def call(self, name: str, arguments: Json, caller: Caller) -> Json:
        """Run one tool on the Airflow that the call names; a read may leave it out and gets the first one's.

        A tool of `every_instance` gets everyone's then: {"instances": {name: answer}}; one that is `serverwide` answers
        about all of them. A tool that forwards is replaced by the one it runs before anything else looks at the call.
        Raises what Dispatcher.call raises, and InvalidArgumentsError for an instance that is unknown or missing.
        """
        tool = self.catalog.tools.get(name)
        if tool is not None:
            arguments = read_arguments(tool, arguments, self.catalog)
        if tool is not None and tool.entry.forwards:
            caller = replace(caller, forwarder=tool)
            try:
                tool, arguments = unwrap(tool, arguments, self.catalog)
            except InvalidArgumentsError as error:
                raise self._build_misdirected_error(name, arguments, caller, str(error)).advise(
                    *error.next_calls
                ) from None
            name = tool.name
        if len(self.dispatchers) == 1:
            return await self._first.call(name, arguments, self._bind_search(caller))
        given = _read_instance(name, arguments)
        names = ", ".join(self.dispatchers)
        if given is not None and (not isinstance(given, str) or given not in self.dispatchers):
            raise self._build_misdirected_error(
                name, arguments, caller, f"instance must be one of {names}, not {str(given)[:60]!r}."
            )
        if given is None and tool is not None and tool.entry.access != "read":
            sentence = f"instance is required for what changes something; one of {names}."
            raise self._build_misdirected_error(name, arguments, caller, sentence)
        if given is None and tool is not None and tool.entry.every_instance:
            return await self._call_each(tool, arguments, caller)
        if given is None and tool is not None and tool.entry.serverwide:
            able = (
                dispatcher
                for dispatcher in self.dispatchers.values()
                if offers(self.policy, tool, dispatcher.identify_principal(caller))
            )
            return await next(able, self._first).call(name, arguments, self._bind_search(caller))
        dispatcher = self.dispatchers[given] if given else self._first
        rest = {key: value for key, value in arguments.items() if key != "instance"}
        named = replace(self._bind_search(caller, given), names_instance=True)
        return {"instance": dispatcher.instance, **await dispatcher.call(name, rest, named)}

    async def _call_each(self, tool: Tool, arguments: Json, caller: Caller) -> Json:
        """Every Airflow's answer, asked for at once, within a share of the one answer's size.

        One that fails answers with its sentence as `error`; when all of them fail, raises the first one's error, which
        then tells of each.
        """
        whole = arguments.get("max_chars", tool.entry.budget or DEFAULT_BUDGET)
        share = max(whole // len(self.dispatchers), _SMALLEST_SHARE) if isinstance(whole, int) else whole
        asked = arguments | {"max_chars": share}
        answers: dict[str, Json] = {}
        errors: dict[str, AirflowMcpError] = {}

        async def ask(name: str, dispatcher: Dispatcher) -> None:
            try:
                answers[name] = await dispatcher.call(tool.name, asked, replace(caller, names_instance=True))
            except AirflowMcpError as error:
                errors[name] = error

        async with anyio.create_task_group() as group:
            for name, dispatcher in self.dispatchers.items():
                group.start_soon(ask, name, dispatcher)
        if not answers:
            said = {name: str(errors[name]) for name in self.dispatchers}
            each = (words if words.startswith(f"{name}: ") else f"{name}: {words}" for name, words in said.items())
            raise errors[next(iter(self.dispatchers))].with_sentence(" ".join(each))
        failed = {name: build_error_answer(error) for name, error in errors.items()}
        return {"instances": {name: (answers | failed)[name] for name in self.dispatchers}}

    def _build_misdirected_error(
        self, name: str, arguments: Json, caller: Caller, sentence: str
    ) -> InvalidArgumentsError:
        """The error for a call that reaches no door; it is in the audit trail all the same."""
        tool = self.catalog.tools.get(name)
        entry = AuditRecord.begin(caller, tool, "", name)
        entry.arguments = mask_call_arguments(tool, arguments, self.catalog)
        entry.error = sentence
        error = InvalidArgumentsError(f"{name}: {sentence}")
        self._first.safeguards.begin()
        self._first.safeguards.end(entry, error)
        return error

    def offers(self, name: str, caller: Caller) -> bool:
        """Whether some call of this tool may be allowed to the caller on some Airflow."""
        tool = self.catalog.tools[name]
        return any(
            offers(self.policy, tool, dispatcher.identify_principal(caller)) for dispatcher in self.dispatchers.values()
        )

    @cached_property
    def search_index(self) -> SearchIndex:
        """What is found by plain words."""
        tools = self.catalog.tools.values()
        others = (tool for tool in tools if not (tool.entry.forwards or tool.entry.serverwide))
        return SearchIndex(others, self.catalog.synonyms)

    def _bind_search(self, caller: Caller, instance: str | None = None) -> Caller:
        """The same caller, who can find tools of that Airflow, or of all."""
        return replace(caller, find=partial(self._find, caller, instance))

    async def _find(self, caller: Caller, instance: str | None, query: str) -> SearchResult:
        dispatchers = {name: dispatcher for name, dispatcher in self.dispatchers.items() if instance in (None, name)}
        versions = await self._read_versions(dispatchers)
        shown = self._select_tools(self.catalog.toolsets, caller, dispatchers, versions)
        best = [self.catalog.tools[name] for name in self._whole.search_index.search(query)]
        first = next((place for place, tool in enumerate(best) if tool.name in shown), len(best))
        return SearchResult(
            tuple((tool, self._build_schema(tool, versions, caller)) for tool in best if tool.name in shown),
            tuple(
                (tool, self._explain_absence(tool, caller, dispatchers)) for tool in best[: min(first, _MOST_MISSED)]
            ),
            tuple(sorted({tool.toolset for tool in shown.values()})),
        )

    def _explain_absence(self, tool: Tool, caller: Caller, dispatchers: dict[str, Dispatcher]) -> str:
        """Why a tool that exists is not shown."""
        if any(offers(self.policy, tool, dispatcher.identify_principal(caller)) for dispatcher in dispatchers.values()):
            return f"needs {tool.entry.since}"
        return f"{tool.entry.access}, and policy does not allow it"

    async def list_tools(self, toolsets: frozenset[str], caller: Caller) -> list[tuple[Tool, Json]]:
        """What this caller is shown, with each tool's arguments; waits a moment for versions."""
        versions = await self._read_versions(self.dispatchers)
        shown = self._select_tools(toolsets, caller, self.dispatchers, versions)
        ordered = sorted(shown.values(), key=lambda tool: tool.entry.access != "read")
        return [(tool, self._build_schema(tool, versions, caller)) for tool in ordered]

    async def _read_versions(self, dispatchers: dict[str, Dispatcher]) -> dict[str, Version | None]:
        """The version of each Airflow, as far as it is known in a moment."""
        versions: dict[str, Version | None] = {
            name: dispatcher.client.known_version for name, dispatcher in dispatchers.items()
        }

        async def ask(name: str, dispatcher: Dispatcher) -> None:
            with suppress(AirflowMcpError):  # a list is due while Airflow is down; a call will say what is wrong
                versions[name] = await dispatcher.client.version()

        with anyio.move_on_after(_DETECTION_SECONDS):
            async with anyio.create_task_group() as group:
                for name, dispatcher in dispatchers.items():
                    group.start_soon(ask, name, dispatcher)
        return versions

    def _select_tools(
        self,
        toolsets: frozenset[str],
        caller: Caller,
        dispatchers: dict[str, Dispatcher],
        versions: dict[str, Version | None],
    ) -> dict[str, Tool]:
        return {
            tool.name: tool
            for name, dispatcher in dispatchers.items()
            for tool in select_tools(
                self.catalog, self.policy, toolsets, versions[name], dispatcher.identify_principal(caller)
            )
        }

    def _build_schema(self, tool: Tool, versions: dict[str, Version | None], caller: Caller) -> Json:
        single = len(self.dispatchers) == 1
        schema = simplify_schema(
            build_input_schema(tool, self.catalog, next(iter(versions.values())) if single else None)
        )
        if tool.entry.forwards:
            return schema  # which Airflow, and a plan, stand among the arguments of the tool it runs
        if any(self._confirms_by_plan(tool, dispatcher, caller) for dispatcher in self.dispatchers.values()):
            about = "The plan a preview gave, to do what it showed"
            schema["properties"]["plan"] = {"type": "string", "description": about}
        if not single:
            every = tool.entry.every_instance or tool.entry.serverwide
            about = "Which Airflow; default all of them" if every else "Which Airflow"
            enum: Json = {"type": "string", "enum": list(self.dispatchers), "description": about}
            schema["properties"] = {"instance": enum, **schema["properties"]}
            if tool.entry.access != "read":
                schema["required"] = ["instance", *schema.get("required", [])]
        return schema

    def _confirms_by_plan(self, tool: Tool, dispatcher: Dispatcher, caller: Caller) -> bool:
        return may_ask_for_plan(self.policy, tool, dispatcher.identify_principal(caller))

    async def aclose(self) -> None:
        """Close every connection and what the doors share."""
        for dispatcher in self.dispatchers.values():
            await dispatcher.client.aclose()
        await self._first.safeguards.aclose()


def _read_instance(name: str, arguments: Json) -> object:
    """What a call names as its Airflow; the explanation of a call is about the one that the call would name."""
    explained = arguments.get("arguments") if name == "explain_permission" else None
    inner = explained.get("instance") if isinstance(explained, dict) else None
    return inner if inner is not None else arguments.get("instance")
