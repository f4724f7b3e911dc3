"""The console script; an error that the operator can mend becomes one sentence on stderr and exit code 1."""

from __future__ import annotations

import json
import sys

from airflow_mcp.errors import AirflowMcpError


def main() -> None:
    """Run the console script `airflow-mcp`."""
    try:
        if sys.argv[1:] in ([], ["serve"]):  # how clients start it: importing typer would cost 0.06 s
            from airflow_mcp.server.transports import serve
            from airflow_mcp.settings.settings import read_settings

            serve(read_settings(), "stdio", read_settings)
        else:
            from airflow_mcp.cli.commands import app

            app()
    except AirflowMcpError as error:
        from airflow_mcp.dispatch.dispatcher import describe_error

        sys.stderr.write(f"airflow-mcp: {describe_error(error)}\n")
        for call in error.next_calls:
            sys.stderr.write(f"  {call['tool']} {json.dumps(call['arguments'])} {call['why']}\n")
        sys.exit(1)
