"""The command line in full: serve, health, demo, tools, call, doctor, policy, token."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from airflow_mcp.errors import InvalidArgumentsError, SettingsError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    rich_markup_mode=None,
    help="An MCP server that lets an AI assistant operate Apache Airflow. Without a command it serves over stdio.",
    pretty_exceptions_enable=False,
)


class TransportName(StrEnum):
    """The transports by which MCP clients connect."""

    stdio = "stdio"
    http = "http"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"airflow-mcp {version('airflow-mcp')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _default(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version, and end.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    del version
    if context.invoked_subcommand is None:
        serve()


@app.command()
def serve(
    transport: Annotated[TransportName, typer.Option(help="How clients connect.")] = TransportName.stdio,
    host: Annotated[str | None, typer.Option(help="http: address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="http: port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(help="http: processes that serve.")] = None,
    stateless: Annotated[bool, typer.Option("--stateless", help="http: keep no sessions, for replicas.")] = False,
    allowed_host: Annotated[list[str] | None, typer.Option(help="http: a Host header to accept; repeatable.")] = None,
    allowed_origin: Annotated[
        list[str] | None, typer.Option(help="http: an Origin header to accept; repeatable.")
    ] = None,
) -> None:
    """Serve MCP clients, over stdio or Streamable HTTP. Each option is a setting too: docs/settings.md."""
    from airflow_mcp.server.transports import serve as run
    from airflow_mcp.settings.settings import read_settings

    read = partial(
        read_settings,
        http_host=host,
        http_port=port,
        http_workers=workers,
        http_stateless=stateless or None,
        http_allowed_hosts=allowed_host,
        http_allowed_origins=allowed_origin,
    )
    run(read(), transport.value, read)


@app.command()
def health(
    host: Annotated[str | None, typer.Option(help="The address that the server listens on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port that it listens on.")] = None,
) -> None:
    """Ask the HTTP server of this machine whether it is alive (/healthz); exit code 1 when it is not."""
    from airflow_mcp.cli.probe import require_alive
    from airflow_mcp.settings.settings import read_settings

    settings = read_settings(http_host=host, http_port=port)
    require_alive(settings.http_host, settings.http_port, tls=bool(settings.http_tls_cert))


@app.command()
def tools() -> None:
    """Print every tool with its class, and whether it is listed, allowed or refused."""
    from airflow_mcp.cli.console import print_tools
    from airflow_mcp.settings.settings import read_settings

    print_tools(read_settings())


@app.command()
def call(
    tool: Annotated[str, typer.Argument(help="Tool name, as `airflow-mcp tools` prints it.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="key=value, such as dag_id=etl state=failed limit=5.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Carry out the plan of a change without asking.")] = False,
) -> None:
    """Run one tool, under the same policy as any client, and print its answer."""
    from airflow_mcp.cli.console import call_tool
    from airflow_mcp.settings.settings import read_settings

    call_tool(read_settings(), tool, parse_arguments(arguments or [], read_argument_kinds(tool)), yes=yes)


@app.command()
def doctor() -> None:
    """Say what works and what to do about the rest: address, version, login, rights, policy."""
    from airflow_mcp.cli.console import run_doctor
    from airflow_mcp.settings.settings import read_settings

    raise typer.Exit(0 if run_doctor(read_settings()) else 1)


@app.command()
def demo(
    airflow_version: Annotated[str, typer.Option(help="Which Airflow to install and start.")] = "3.3.2",
    once: Annotated[bool, typer.Option("--once", help="End after the story.")] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Remove what the demo installed, and end.")] = False,
) -> None:
    """Install and start a real Airflow on this machine and play an on-call story on it."""
    from airflow_mcp.demo.command import demo as run

    raise typer.Exit(run(airflow_version=airflow_version, once=once, clean=clean))


policy = typer.Typer(add_completion=False, help="What the permission rules say.", no_args_is_help=True)
app.add_typer(policy, name="policy")


@policy.command()
def explain(
    tool: Annotated[str, typer.Argument(help="Tool name.")],
    dag: Annotated[str, typer.Option(help="The DAG the call is about.")] = "",
    pool: Annotated[str, typer.Option(help="The pool the call is about.")] = "",
    variable: Annotated[str, typer.Option(help="The variable the call is about.")] = "",
    connection: Annotated[str, typer.Option(help="The connection the call is about.")] = "",
    caller: Annotated[str, typer.Option(help="Who calls; role:NAME for a role.")] = "local",
    instance: Annotated[str, typer.Option(help="Which Airflow; default the first.")] = "",
) -> None:
    """Say whether a call would be allowed, confirmed or denied, by which rule, and what would change that.

    The exit code is 1 where it is denied.
    """
    from airflow_mcp.cli.console import explain_policy
    from airflow_mcp.settings.settings import read_settings

    ids = {"dag_id": dag, "pool_name": pool, "variable_key": variable, "connection_id": connection}
    about = {name: value for name, value in ids.items() if value}
    raise typer.Exit(0 if explain_policy(read_settings(), tool, about, caller, instance) else 1)


@policy.command()
def check(file: Annotated[str, typer.Argument(help="The TOML file to check.")]) -> None:
    """Read a configuration file as a start would, and say what its rules allow."""
    from airflow_mcp.cli.console import check_policy
    from airflow_mcp.settings.connection import PREFIX
    from airflow_mcp.settings.settings import read_settings

    if not Path(file).is_file():
        raise SettingsError(f"There is no file {file}.")
    os.environ[f"{PREFIX}CONFIG"] = file
    check_policy(read_settings())


token = typer.Typer(add_completion=False, help="Who may call over HTTP.", no_args_is_help=True)
app.add_typer(token, name="token")


@token.command()
def new(
    name: Annotated[str, typer.Argument(help="Who will bear it; the name that rules and the audit trail use.")],
    role: Annotated[list[str] | None, typer.Option(help="A role, callers = [role:ROLE] in rules; repeatable.")] = None,
) -> None:
    """Print a new token, once, and the lines for the configuration that accept it; the token itself is kept nowhere."""
    from airflow_mcp.cli.console import print_new_token

    print_new_token(name, role or [])


def read_argument_kinds(tool: str) -> dict[str, str]:
    """Return the JSON type of each argument of a tool; empty for an unknown tool."""
    from airflow_mcp.catalog.loader import load_catalog

    catalog = load_catalog()
    uses = catalog.tools[tool].entry.params if tool in catalog.tools else ()
    return {use.name: catalog.parameters[use.table].json_schema.get("type", "") for use in uses}


def parse_arguments(pairs: list[str], kinds: dict[str, str]) -> dict[str, Any]:
    """Parse ["limit=5", "dag_id=1234", "state=failed"] into {"limit": 5, "dag_id": "1234", "state": ["failed"]}.

    A value stays a string where `kinds` has string, and becomes a list of one where it has array. Raises
    InvalidArgumentsError for a pair that is not key=value.
    """
    arguments: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InvalidArgumentsError(f"{pair!r} is not key=value.")
        try:
            arguments[name] = json.loads(text)
        except ValueError:
            arguments[name] = text
        if kinds.get(name) == "string" and not isinstance(arguments[name], str):
            arguments[name] = text
        elif kinds.get(name) == "array" and not isinstance(arguments[name], list):
            arguments[name] = [arguments[name]]
    return arguments
