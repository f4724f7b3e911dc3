"""Logs of failed tasks made from a cause and from data: families of commands, exceptions, groups and remote jobs."""

from __future__ import annotations

import json
from dataclasses import dataclass

from airflow_mcp.task_logs import DecisiveError, decisive_error
from airflow_mcp.task_logs.records import LogForm

# Causes that differ in words, not in data. {n}, {host}, {path}, {day}, {uid} and {name} are data.
CAUSES = (
    "no route to {host}",
    "partition {n} has no manifest",
    "permission denied for schema finance",
    "permission denied for schema sales",
    'column "amount_eur" does not exist',
    'column "net_price" does not exist',
    "file {path} is truncated",
    "lease {uid} has expired since {day}",
    "quota of project is used up after {n} requests",
    "certificate of {host} has expired",
    "order '{name}' was rejected by the ledger",
    "order '{name}' is unknown to the ledger",
    "row {n} of {path} is not valid UTF-8",
    "checksum of block {n} differs",
)


@dataclass(frozen=True)
class Data:
    """What differs from one failure to the next of the same cause."""

    n: int
    host: str
    path: str
    day: str
    uid: str
    name: str

    def fill(self, text: str) -> str:
        """Put the data into a text."""
        for word in ("n", "host", "path", "day", "uid", "name"):
            text = text.replace(f"{{{word}}}", str(getattr(self, word)))
        return text


COMMANDS = {
    "python": 'Traceback (most recent call last):\n  File "/opt/jobs/a.py", line 4, in <module>\n    go()\nValueError: {cause}',
    "python chain": (
        'Traceback (most recent call last):\n  File "/opt/jobs/a.py", line 4, in <module>\n    go()\nOSError: {cause}\n\n'
        "The above exception was the direct cause of the following exception:\n\n"
        'Traceback (most recent call last):\n  File "/opt/jobs/a.py", line 9, in <module>\n    run()\nRuntimeError: stopped'
    ),
    "python group": (
        "  + Exception Group Traceback (most recent call last):\n"
        '  |   File "/opt/jobs/a.py", line 4, in <module>\n  | ExceptionGroup: two failed (2 sub-exceptions)\n'
        "  +-+---------------- 1 ----------------\n    | ValueError: {cause}\n"
        "    +---------------- 2 ----------------\n    | TimeoutError: too late\n"
        "    +------------------------------------"
    ),
    "java": (
        'Exception in thread "main" java.lang.RuntimeException: load stopped\n\tat com.shop.Load.main(Load.java:9)\n'
        "Caused by: java.lang.IllegalStateException: {cause}\n\tat com.shop.Load.open(Load.java:3)\n\t... 1 more"
    ),
    "node": "/app/a.js:3\n    throw e;\n    ^\n\nError: {cause}\n    at main (/app/a.js:3:9)\n\nNode.js v20.1.0",
    "go": "panic: {cause}\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:8 +0x18\nexit status 2",
    "rust": "thread 'main' panicked at src/main.rs:3:5:\n{cause}\nnote: run with `RUST_BACKTRACE=1`",
    "c#": "Unhandled exception. System.InvalidOperationException: {cause}\n   at Shop.Main() in /src/A.cs:line 3",
    "ruby": "/app/a.rb:3:in `load': {cause} (RuntimeError)\n\tfrom /app/a.rb:9:in `<main>'",
    "psql": "psql:/opt/sql/a.sql:3: ERROR:  {cause}\nROLLBACK",
    "dbt": (
        "10:33:01  1 of 1 ERROR creating sql table model mart.a ..... [ERROR in 0.4s]\n10:33:01  \n"
        "10:33:01    Database Error in model a (models/a.sql)\n10:33:01    {cause}\n10:33:01  \n"
        "10:33:01  Done. PASS=0 WARN=0 ERROR=1 SKIP=0 TOTAL=1"
    ),
    "terraform": "╷\n│ Error: {cause}\n│ \n│   with a.b,\n│   on main.tf line 3, in resource:\n╵",
    "npm": "Error: {cause}\n    at main (/app/a.js:3:9)\nnpm ERR! code ELIFECYCLE\nnpm ERR! errno 1\nnpm ERR! Exit status 1",
    "gradle": "FAILURE: Build failed with an exception.\n\n* What went wrong:\nExecution failed for task ':a'.\n> {cause}\n\n* Try:",
    "usage": "usage: load [-h]\nload: error: {cause}",
    "shell": "load.sh: line 3: {cause}\nbye",
    "log4j": "26/11/02 10:00:58 INFO Main: start\n26/11/02 10:00:59 ERROR Main: {cause}\n26/11/02 10:01:00 INFO Main: bye",
    "fatal": "reading\nfatal: {cause}\nbye",
}
EXCEPTIONS = {
    "raised": [("ValueError", "{cause}")],
    "chain": [("RuntimeError", "nightly load stopped"), ("OSError", "{cause}")],
    "hollow": [("AirflowException", "Task failed"), ("OSError", "{cause}")],
    "colon": [("ProgrammingError", "SQL compilation error:\n{cause}")],
    "counted": [("ValidationError", "1 validation error for Order\n{cause}")],
    "empty first": [("OperationalError", "\n{cause}")],
    "body": [("AirflowException", '{"error": {"code": 500, "message": "{cause}"}}')],
    "terminal": [("AirflowException", "feed failed with terminal state: {'result_state': 'FAILED', 'state_message': \"{cause}\"}")],
    "traceback": [("AirflowException", 'Traceback (most recent call last):\n  File "/opt/a.py", line 3, in a\nOSError: {cause}\n')],
}  # fmt: skip
FAMILIES = (*COMMANDS, *EXCEPTIONS)


def log_of(family: str, cause: str, data: Data, form: LogForm) -> bytes:
    """The log of a task of that family which failed of that cause."""
    lines: list[str] = []
    said = data.fill(cause)

    def say(text: str, level: str = "info", source: str = "task", **fields: object) -> None:
        if form == "ndjson":
            row = {"timestamp": f"{data.day}T04:02:11.5Z", "level": level, "event": text, "logger": source, **fields}
            lines.append(json.dumps(row, separators=(",", ":")))
        else:
            lines.append(f"[{data.day}T04:02:11.500+0000] {{{source}:20}} {level.upper()} - {text}")

    chain = [
        (kind, text.replace("{cause}", said.replace('"', '\\"') if text.startswith("{") and "}}" in text else said))
        for kind, text in EXCEPTIONS.get(family, [])
    ]
    if family in COMMANDS:
        source = "airflow.task.hooks.airflow.providers.standard.hooks.subprocess.SubprocessHook"
        source = source if form == "ndjson" else "subprocess.py"
        say(f"Running command: ['bash', '-c', 'load {data.n}']", source=source)
        say("Output:", source=source)
        for text in COMMANDS[family].replace("{cause}", said).split("\n"):
            say(text, source=source)
        say("Command exited with return code 1", source=source)
        chain = [("AirflowException", "Bash command failed. The command returned a non-zero exit code 1.")]
    frame = {"filename": "/opt/airflow/dags/shop.py", "lineno": 20, "name": "load"}
    detail = [
        {"exc_type": kind, "exc_value": text, "is_cause": at > 0, "frames": [frame]}
        for at, (kind, text) in enumerate(chain)
    ]
    if form == "ndjson":
        say("Task failed with exception", "error", error_detail=detail)
    else:
        say("Task failed with exception", "error", "taskinstance.py")
        traces = [
            f'Traceback (most recent call last):\n  File "/opt/airflow/dags/shop.py", line 20, in load\n    go()\n{kind}: {text}'
            for kind, text in reversed(chain)
        ]
        lines.append("\n\nThe above exception was the direct cause of the following exception:\n\n".join(traces))
    return ("\n".join(lines) + "\n").encode()


def error_of(family: str, cause: str, data: Data, form: LogForm) -> DecisiveError:
    """The decisive error of such a log."""
    return decisive_error(log_of(family, cause, data, form), form)
