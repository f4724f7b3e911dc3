"""Find the decisive error of an Airflow task's log: why a try failed, in one line, with a key to compare failures.

    from airflow_mcp.task_logs import decisive_error

    error = decisive_error(log_bytes, "ndjson")  # Airflow 3; "text" for Airflow 2
    error.what     # "KeyError: 'customer_segment' [led to RuntimeError: transform stopped] [AirflowException: Bash ..."
    error.key      # the same for failures of one cause, whatever their ids, times, hosts and paths
    error.excerpt  # exceptions with frames, what a command printed, the lines before

The log is read once, in pieces of any size, in time linear in its length and in bounded memory:

1. `lines` makes lines of bytes, `records` records of lines (Airflow 2's text, Airflow 3's NDJSON).
2. `error_scanner` keeps the decisive error while records stream by: Airflow's own report, its words on a process that
   ended (`process_end`), an exception that was logged. `output_lines` keeps the last lines of the printed output.
3. `cause` decides what the cause is. An exception that stands for a command or a remote job (`wrappers`, a table) may
   say only that something failed (`generic_errors`); then `output_errors` finds the error in the output by what
   runtimes (`runtimes`, `python_traceback`) and tools (`tool_errors`, a table) print. `message` finds the words that
   say why.
4. `signature` removes numbers, ids, times, hosts, paths and quoted values from the cause, which gives the key.
   `failure_text` describes the failure in one line and in an excerpt.

`executor_events` explains the scheduler's event log where the task's log is silent. `log_scan` feeds a log to the
modules above, or reads a window of it (`log_window`, `log_tail`, `repeated_lines`).

The package imports no Airflow client, no tool and no catalog.
"""

from airflow_mcp.task_logs.cause import read_cause
from airflow_mcp.task_logs.decisive_error import DecisiveError, build_error, decisive_error
from airflow_mcp.task_logs.executor_events import EVENTS, explain_event
from airflow_mcp.task_logs.signature import describe_differences

__all__ = [
    "EVENTS",
    "DecisiveError",
    "build_error",
    "decisive_error",
    "describe_differences",
    "explain_event",
    "read_cause",
]
