"""One server for one or several Airflows: the dispatcher of each call, and the tools with their arguments."""

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
_DETECTION_SECONDS = 1.0  # time that a list of tools waits for Airflow's version
_MOST_MISSED = 3  # better matches that a search reports although they may not be called


class Instances:
    """The dispatchers by the name of their Airflow. With several, tools take `instance` and every answer names it."""

    def __init__(self, dispatchers: dict[str, Dispatcher], parent: Instances | None = None) -> None:
        """Take the dispatchers; `parent` has those of the server, where these are some of them.

        The search index, which is large, is built once, in the parent.
        """
        self.dispatchers = dispatchers
        self._first = next(iter(dispatchers.values()))
        self._whole = parent or self
        self._listeners: list[Callable[[], None]] = []

    def select(self, names: frozenset[str] | None) -> Instances:
        """Return these Airflows alone, as if there were no others.

        Raises InvalidArgumentsError where none of them exists.
        """
        if names is None or names >= self.dispatchers.keys():
            return self
        instance_names = frozenset(names & self.dispatchers.keys())
        if not instance_names:
            raise InvalidArgumentsError(
                f"X-Airflow-MCP-Instance: none of {', '.join(sorted(names)) or 'nothing'} is here; there are "
                f"{', '.join(self.dispatchers)}."
            )
        return Instances(
            {name: dispatcher for name, dispatcher in self.dispatchers.items() if name in instance_names}, self._whole
        )

    @property
    def catalog(self) -> Catalog:
        """The catalog of all tools."""
        return self._first.catalog

    @property
    def policy(self) -> Policy:
        """The operator's rules for all Airflows, as they are now in force."""
        return self._first.policy

    async def wait_until_idle(self) -> None:
        """Wait until every call is over and has its audit line."""
        await self._first.safeguards.wait_until_idle()

    def enforce(self, policy: Policy) -> None:
        """Replace the rules of every Airflow for calls that begin from now on, and let refused logins be retried."""
        self._first.safeguards.enforce(policy)
        for dispatcher in self.dispatchers.values():
            dispatcher.client.retry_login()
        for listener in self._listeners:
            listener()

    @contextmanager
    def subscribe(self, listener: Callable[[], None]) -> Generator[None]:
        """Call `listener` within the block whenever the list of tools may change: another version, or other rules."""
        with ExitStack() as stack:
            for dispatcher in self.dispatchers.values():
                stack.enter_context(dispatcher.client.subscribe(listener))
            self._listeners.append(listener)
            stack.callback(self._listeners.remove, listener)
            yield

    async def call(self, name: str, arguments: Json, caller: Caller) -> Json:
        """Run one tool on the Airflow that the call names; a read may name none and runs on the first one.

        A tool with `every_instance` then runs on all of them: {"instances": {name: answer}}; one with `serverwide`
        answers about all of them. A tool that forwards is replaced by the one it runs before anything else looks at the
        call. Raises what Dispatcher.call raises, and InvalidArgumentsError for an instance that is unknown or missing.
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
        instance = _read_instance(name, arguments)
        names = ", ".join(self.dispatchers)
        if instance is not None and (not isinstance(instance, str) or instance not in self.dispatchers):
            raise self._build_misdirected_error(
                name, arguments, caller, f"instance must be one of {names}, not {str(instance)[:60]!r}."
            )
        if instance is None and tool is not None and tool.entry.access != "read":
            sentence = f"instance is required for what changes something; one of {names}."
            raise self._build_misdirected_error(name, arguments, caller, sentence)
        if instance is None and tool is not None and tool.entry.every_instance:
            return await self._call_each(tool, arguments, caller)
        if instance is None and tool is not None and tool.entry.serverwide:
            offering_dispatchers = (
                dispatcher
                for dispatcher in self.dispatchers.values()
                if offers(self.policy, tool, dispatcher.identify_principal(caller))
            )
            return await next(offering_dispatchers, self._first).call(name, arguments, self._bind_search(caller))
        dispatcher = self.dispatchers[instance] if instance else self._first
        tool_arguments = {key: value for key, value in arguments.items() if key != "instance"}
        bound_caller = replace(self._bind_search(caller, instance), names_instance=True)
        return {"instance": dispatcher.instance, **await dispatcher.call(name, tool_arguments, bound_caller)}

    async def _call_each(self, tool: Tool, arguments: Json, caller: Caller) -> Json:
        """Ask every Airflow at once, each for an answer within its share of the size, and return all answers.

        An Airflow that fails answers with its sentence as `error`; when all of them fail, raises the first one's error
        with the sentences of all.
        """
        budget = arguments.get("max_chars", tool.entry.budget or DEFAULT_BUDGET)
        share = max(budget // len(self.dispatchers), _SMALLEST_SHARE) if isinstance(budget, int) else budget
        call_arguments = arguments | {"max_chars": share}
        answers: dict[str, Json] = {}
        errors: dict[str, AirflowMcpError] = {}

        async def ask(name: str, dispatcher: Dispatcher) -> None:
            try:
                answers[name] = await dispatcher.call(tool.name, call_arguments, replace(caller, names_instance=True))
            except AirflowMcpError as error:
                errors[name] = error

        async with anyio.create_task_group() as group:
            for name, dispatcher in self.dispatchers.items():
                group.start_soon(ask, name, dispatcher)
        if not answers:
            sentences = {name: str(errors[name]) for name in self.dispatchers}
            lines = (
                words if words.startswith(f"{name}: ") else f"{name}: {words}" for name, words in sentences.items()
            )
            raise errors[next(iter(self.dispatchers))].with_sentence(" ".join(lines))
        failures = {name: build_error_answer(error) for name, error in errors.items()}
        return {"instances": {name: (answers | failures)[name] for name in self.dispatchers}}

    def _build_misdirected_error(
        self, name: str, arguments: Json, caller: Caller, sentence: str
    ) -> InvalidArgumentsError:
        """Return the error of a call that reaches no dispatcher, and write it to the audit trail."""
        tool = self.catalog.tools.get(name)
        record = AuditRecord.begin(caller, tool, "", name)
        record.arguments = mask_call_arguments(tool, arguments, self.catalog)
        record.error = sentence
        error = InvalidArgumentsError(f"{name}: {sentence}")
        self._first.safeguards.begin()
        self._first.safeguards.end(record, error)
        return error

    def offers(self, name: str, caller: Caller) -> bool:
        """Return whether some call of this tool may be allowed to the caller on some Airflow."""
        tool = self.catalog.tools[name]
        return any(
            offers(self.policy, tool, dispatcher.identify_principal(caller)) for dispatcher in self.dispatchers.values()
        )

    @cached_property
    def search_index(self) -> SearchIndex:
        """The full-text index of the tools."""
        tools = self.catalog.tools.values()
        searchable_tools = (tool for tool in tools if not (tool.entry.forwards or tool.entry.serverwide))
        return SearchIndex(searchable_tools, self.catalog.synonyms)

    def _bind_search(self, caller: Caller, instance: str | None = None) -> Caller:
        """Return the same caller, able to find tools of that Airflow, or of all."""
        return replace(caller, find=partial(self._find, caller, instance))

    async def _find(self, caller: Caller, instance: str | None, query: str) -> SearchResult:
        dispatchers = {name: dispatcher for name, dispatcher in self.dispatchers.items() if instance in (None, name)}
        versions = await self._read_versions(dispatchers)
        tools_by_name = self._select_tools(self.catalog.toolsets, caller, dispatchers, versions)
        tools = [self.catalog.tools[name] for name in self._whole.search_index.search(query)]
        first_listed = next((place for place, tool in enumerate(tools) if tool.name in tools_by_name), len(tools))
        return SearchResult(
            tuple((tool, self._build_schema(tool, versions, caller)) for tool in tools if tool.name in tools_by_name),
            tuple(
                (tool, self._explain_absence(tool, caller, dispatchers))
                for tool in tools[: min(first_listed, _MOST_MISSED)]
            ),
            tuple(sorted({tool.toolset for tool in tools_by_name.values()})),
        )

    def _explain_absence(self, tool: Tool, caller: Caller, dispatchers: dict[str, Dispatcher]) -> str:
        """Return why an existing tool is not listed."""
        if any(offers(self.policy, tool, dispatcher.identify_principal(caller)) for dispatcher in dispatchers.values()):
            return f"needs {tool.entry.since}"
        return f"{tool.entry.access}, and policy does not allow it"

    async def list_tools(self, toolsets: frozenset[str], caller: Caller) -> list[tuple[Tool, Json]]:
        """Return the tools for this caller with the arguments of each; waits up to a second for versions."""
        versions = await self._read_versions(self.dispatchers)
        tools_by_name = self._select_tools(toolsets, caller, self.dispatchers, versions)
        tools = sorted(tools_by_name.values(), key=lambda tool: tool.entry.access != "read")
        return [(tool, self._build_schema(tool, versions, caller)) for tool in tools]

    async def _read_versions(self, dispatchers: dict[str, Dispatcher]) -> dict[str, Version | None]:
        """Return the version of each Airflow, or None where it is not known within a second."""
        versions: dict[str, Version | None] = {
            name: dispatcher.client.known_version for name, dispatcher in dispatchers.items()
        }

        async def ask(name: str, dispatcher: Dispatcher) -> None:
            with suppress(AirflowMcpError):  # tools are listed while Airflow is down too; a call reports the cause
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
        is_single = len(self.dispatchers) == 1
        schema = simplify_schema(
            build_input_schema(tool, self.catalog, next(iter(versions.values())) if is_single else None)
        )
        if tool.entry.forwards:
            return schema  # instance and plan are arguments of the tool that it runs
        if any(self._confirms_by_plan(tool, dispatcher, caller) for dispatcher in self.dispatchers.values()):
            description = "The plan a preview gave, to do what it showed"
            schema["properties"]["plan"] = {"type": "string", "description": description}
        if not is_single:
            runs_everywhere = tool.entry.every_instance or tool.entry.serverwide
            description = "Which Airflow; default all of them" if runs_everywhere else "Which Airflow"
            instance_schema: Json = {"type": "string", "enum": list(self.dispatchers), "description": description}
            schema["properties"] = {"instance": instance_schema, **schema["properties"]}
            if tool.entry.access != "read":
                schema["required"] = ["instance", *schema.get("required", [])]
        return schema

    def _confirms_by_plan(self, tool: Tool, dispatcher: Dispatcher, caller: Caller) -> bool:
        return may_ask_for_plan(self.policy, tool, dispatcher.identify_principal(caller))

    async def aclose(self) -> None:
        """Close every connection and the shared safeguards."""
        for dispatcher in self.dispatchers.values():
            await dispatcher.client.aclose()
        await self._first.safeguards.aclose()


def _read_instance(name: str, arguments: Json) -> object:
    """Return the instance that a call names; for an explanation, the one that the explained call would name."""
    explained_arguments = arguments.get("arguments") if name == "explain_permission" else None
    explained_instance = explained_arguments.get("instance") if isinstance(explained_arguments, dict) else None
    return explained_instance if explained_instance is not None else arguments.get("instance")
