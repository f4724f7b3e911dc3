"""Output at a terminal: the table of tools, the answer of a call, policy, new tokens, and the doctor's findings."""

from __future__ import annotations

import difflib
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from rich.console import Console
from rich.markup import escape
from rich.prompt import Confirm
from rich.table import Table

from airflow_mcp.airflow.caller_clients import CallerClients
from airflow_mcp.catalog.loader import build_unknown_tool_error
from airflow_mcp.dispatch.answer.render import dumps
from airflow_mcp.dispatch.caller import ApprovalAnswer, ApprovalQuestion, Caller, refuse_to_ask
from airflow_mcp.dispatch.dispatcher import Dispatcher, describe_error
from airflow_mcp.dispatch.registry.assembly import open_instances
from airflow_mcp.dispatch.registry.instances import Instances
from airflow_mcp.dispatch.registry.listing import parse_toolsets, select_tools
from airflow_mcp.dispatch.safety import safeguards
from airflow_mcp.errors import AirflowMcpError, ForbiddenError, InvalidArgumentsError, NotAllowedError
from airflow_mcp.http_tokens import LOCAL, NAME, hash_token, make_token
from airflow_mcp.policy.decision import NO_NAMES, Principal, offers, reveals_secrets
from airflow_mcp.policy.explanation import explain_decision
from airflow_mcp.policy.rule_warnings import CallerNames, find_warnings
from airflow_mcp.workflows import load_workflows

if TYPE_CHECKING:
    from airflow_mcp.settings.settings import Settings

_WIDE = 200  # characters of a table: in the width of a narrow terminal its words would break
# One cheap read for each kind of permission in which Airflow's roles differ.
_READS = {"DAGs": "list_dags", "runs": "list_dag_runs", "pools": "list_pools", "event logs": "list_event_logs"}


def print_tools(settings: Settings) -> None:
    """Print every tool and its standing under these settings, for each Airflow, without a request to any."""
    instances = open_instances(settings, load_workflows)
    catalog, policy = instances.catalog, instances.policy
    toolsets = parse_toolsets(settings.toolsets, catalog)
    for dispatcher in instances.dispatchers.values():
        principal = dispatcher.identify_principal(Caller())
        listed = {tool.name for tool in select_tools(catalog, policy, toolsets, None, principal)}
        table = Table("tool", "class", "standing", "toolset", "Airflow", box=None, pad_edge=False)
        for tool in catalog.tools.values():
            allowed = offers(policy, tool, principal)
            standing = "listed" if tool.name in listed else ("allowed, not listed" if allowed else "refused")
            since = str(tool.entry.since).removeprefix("Airflow ")
            table.add_row(tool.name, tool.entry.access, standing, tool.toolset, since)
        place = "" if len(instances.dispatchers) == 1 else f" on {dispatcher.instance}"
        Console(width=_WIDE).print(table)
        _make_console().print(
            f"{len(listed)} of {len(catalog.tools)} listed{place}. Allow more with AIRFLOW_MCP_ALLOW."
        )


def call_tool(settings: Settings, name: str, arguments: dict[str, Any], *, yes: bool = False) -> None:
    """Print the answer of one call as JSON on stdout, its progress on stderr. Raises AirflowMcpError.

    A plan is carried out with `yes`, or when the person at the terminal agrees to its preview. Without a terminal the
    plan is the answer, and no longer valid once this process has ended.
    """
    instances = open_instances(settings, load_workflows)
    stderr_console = Console(stderr=True)

    async def show(done: float, total: float | None, message: str) -> None:
        stderr_console.print(f"{done:g}{f'/{total:g}' if total else ''} {message}", markup=False, highlight=False)

    async def ask_person(question: str) -> bool:
        stderr_console.print(question, markup=False, highlight=False)
        return await anyio.to_thread.run_sync(lambda: Confirm.ask("Do it?", console=stderr_console, default=False))

    async def ask(question: ApprovalQuestion) -> ApprovalAnswer:
        if not sys.stdin.isatty():
            return await refuse_to_ask(question)
        agrees = await ask_person(question.text)
        return ApprovalAnswer(agrees, "accept" if agrees else "decline")

    async def run_call() -> Any:
        caller = Caller(progress=show, ask=ask)
        answer = await instances.call(name, arguments, caller)
        # An answer without a preview is final, as that of a dry run; so is a plan where nobody can be asked.
        if "preview" not in answer or not (yes or sys.stdin.isatty()):
            return answer
        if not (yes or await ask_person(dumps(answer["preview"]))):
            return None
        return await instances.call(name, _add_plan(name, arguments, answer["plan"], instances), caller)

    answer = _run(instances, run_call)
    if answer is None:
        stderr_console.print("Nothing was done.")
        return
    sys.stdout.write(f"{dumps(answer)}\n")  # not through rich, which replaces words between colons by emoji


def _add_plan(name: str, arguments: dict[str, Any], plan: str, instances: Instances) -> dict[str, Any]:
    """Return the arguments with the plan, which a forwarding tool takes among the arguments of its target."""
    if instances.catalog.tools[name].entry.forwards:
        return {**arguments, "arguments": {**arguments.get("arguments", {}), "plan": plan}}
    return {**arguments, "plan": plan}


def explain_policy(settings: Settings, name: str, about: dict[str, Any], caller: str, instance: str) -> bool:
    """Print the policy's decision on a call, without a request to Airflow; return False where it is denied.

    Raises UnknownToolError for the tool, and InvalidArgumentsError for an unknown instance or caller.
    """
    instances = open_instances(settings, load_workflows)
    tool = instances.catalog.tools.get(name)
    if tool is None:
        raise build_unknown_tool_error(name, instances.catalog)
    if instance and instance not in instances.dispatchers:
        raise InvalidArgumentsError(f"{instance!r} is no instance; there are {', '.join(instances.dispatchers)}.")
    instance_name = instance or next(iter(instances.dispatchers))
    principal = Principal(caller, _find_roles(caller, settings), instance_name)
    if "dag_id" in about and {"dag_ids"} == {use.name for use in tool.entry.params} & {"dag_id", "dag_ids"}:
        about = {"dag_ids": [about["dag_id"]]} | {name: value for name, value in about.items() if name != "dag_id"}
    explanation = explain_decision(instances.policy, instances.catalog, tool, about, principal)
    for key, value in explanation.items():
        text = ", ".join(value) if isinstance(value, list) else value
        _make_console().print(f"{key:<12} {text}", markup=False, highlight=False, soft_wrap=True)
    return explanation["verdict"] != "denied"


def _find_roles(caller: str, settings: Settings) -> tuple[str, ...]:
    """Return the roles that rules may name this caller by. Raises InvalidArgumentsError for an unknown caller."""
    if caller in settings.tokens:
        return tuple(f"role:{role}" for role in settings.tokens[caller].roles)
    if not settings.tokens or settings.oauth or caller == LOCAL or caller.startswith(NO_NAMES):
        return (caller,)
    close_names = difflib.get_close_matches(caller, settings.tokens, n=1)
    hint = f"did you mean {close_names[0]}?" if close_names else f"there are {', '.join(settings.tokens)}."
    raise InvalidArgumentsError(f"No token is named {caller!r}; {hint}")


def check_policy(settings: Settings) -> None:
    """Print the tools that each rule of the settings reaches, and warnings about rules without effect.

    Raises SettingsError, with file and line, for an invalid rule.
    """
    instances = open_instances(settings, load_workflows)
    policy = instances.policy
    _make_console().print(
        f"default      {'reads need no rule' if policy.default == 'read' else 'nothing without a rule'}"
    )
    for kind, rules in (("allow", policy.allow), ("deny", policy.deny)):
        for rule in rules:
            tools = [
                tool.name
                for tool in instances.catalog.tools.values()
                if rule.reaches(tool, every=kind == "deny") and rule.fits(tool)
            ]
            _make_console().print(f"{rule.name}  {rule.describe()}", markup=False, highlight=False, soft_wrap=True)
            _make_console().print(f"         {len(tools)} tools: {', '.join(tools)}", highlight=False, soft_wrap=True)
    roles = frozenset(f"role:{role}" for token in settings.tokens.values() for role in token.roles)
    callers = CallerNames(frozenset({LOCAL, *settings.tokens}), roles, has_issuer=settings.oauth is not None)
    for sentence in find_warnings(policy, instances.catalog, callers, instances.dispatchers):
        _make_console().print(f"warning      {sentence}", markup=False, highlight=False, soft_wrap=True)


def print_new_token(name: str, roles: list[str]) -> None:
    """Print a token on stdout, its configuration on stderr. Raises InvalidArgumentsError for an invalid name."""
    for word in (name, *roles):
        if not NAME.fullmatch(word):
            raise InvalidArgumentsError(f"{word!r}: a name has letters, digits and . _ @ - and at most 64 of them.")
    if name == LOCAL:
        raise InvalidArgumentsError("'local' is the name of who calls without any token. Choose another one.")
    token = make_token()
    lines = [f"[tokens.{dumps(name)}]", f"sha256 = {dumps(hash_token(token))}"]
    lines += [f"roles = {dumps(roles)}"] if roles else []
    stderr_console = Console(stderr=True, soft_wrap=True)
    stderr_console.print(
        "Give this token to its bearer; it is not shown again. The server accepts it once these lines are in the"
    )
    stderr_console.print("file that AIRFLOW_MCP_CONFIG names:", end="\n\n")
    stderr_console.print("\n".join(lines), end="\n\n", markup=False, highlight=False)
    sys.stdout.write(f"{token}\n")


def run_doctor(settings: Settings) -> bool:
    """Print one line per finding, each with what to do about it; return True when every Airflow is usable."""
    instances = open_instances(settings, load_workflows)

    async def examine_all() -> bool:
        all_well = True
        for dispatcher in instances.dispatchers.values():
            if len(instances.dispatchers) > 1:
                _make_console().print(f"[bold]{escape(dispatcher.instance)}[/]")
            all_well = await _examine(dispatcher) and all_well
        return all_well

    return _run(instances, examine_all)


async def _examine(dispatcher: Dispatcher) -> bool:
    console = _make_console()

    def say(well: bool, what: str, words: str) -> None:
        mark = "[green]ok[/]  " if well else "[red]bad[/] "
        console.print(f"{mark} {what:<9} {escape(words)}", highlight=False, soft_wrap=True)

    try:
        version = await dispatcher.client.version()
    except AirflowMcpError as error:
        say(False, "address", describe_error(error))
        return False
    say(True, "address", f"{dispatcher.client.url} answers")
    say(True, "version", f"Airflow {version}, REST API /api/{version.generation}")
    if isinstance(dispatcher.client, CallerClients):
        say(True, "login", "each caller logs in as itself, which is not tried here")
        _say_policy(dispatcher, say)
        return True
    rights: list[str] = []
    unreadable: list[str] = []
    for what, tool in _READS.items():
        arguments = {"limit": 1} | ({"dag_id": "~"} if tool == "list_dag_runs" else {})
        try:
            await dispatcher.call(tool, arguments, Caller())
            rights.append(what)
        except NotAllowedError:
            unreadable.append(f"{what} (by policy)")
        except ForbiddenError:
            unreadable.append(what)
        except AirflowMcpError as error:
            say(False, "login", describe_error(error))
            return False
    say(True, "login", f"Airflow accepts {dispatcher.client.describe()}")
    note = f"; not {', '.join(unreadable)}: ask Airflow's administrator for a role that may" if unreadable else ""
    say(
        bool(rights),
        "rights",
        f"may read {', '.join(rights) or 'nothing'}{note}. What it may change cannot be tried without a change",
    )
    _say_policy(dispatcher, say)
    return bool(rights)


def _say_policy(dispatcher: Dispatcher, say: Callable[[bool, str, str], None]) -> None:
    principal = dispatcher.identify_principal(Caller())
    changing_tools = [
        tool.name
        for tool in dispatcher.catalog.tools.values()
        if tool.entry.access != "read" and not tool.entry.forwards and offers(dispatcher.policy, tool, principal)
    ]
    sentence = (
        f"allows {', '.join(changing_tools)}" if changing_tools else "allows reads only; AIRFLOW_MCP_ALLOW allows more"
    )
    if any(rule.callers for rule in (*dispatcher.policy.allow, *dispatcher.policy.deny)):
        sentence += " to who calls as 'local'; of others `airflow-mcp policy explain TOOL --caller NAME` tells"
    say(
        True,
        "policy",
        sentence + ("; secrets are shown (@secret)" if reveals_secrets(dispatcher.policy, principal) else ""),
    )


def _run(instances: Instances, job: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    logging.getLogger(safeguards.__name__).addHandler(logging.NullHandler())  # the command prints why a call failed

    async def run_and_close() -> Any:
        try:
            return await job()
        finally:
            await instances.aclose()

    return anyio.run(run_and_close)


def _make_console() -> Console:
    return Console()
