"""Errors as the tools print them that tasks run: shells, SQL clients, build tools, command lines of clouds.

One table of single lines, each with its tool, and readers for what takes several lines. Text is that of the tools'
current releases; only what is shown is kept, no line is explained.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from airflow_mcp.task_logs.exception_chain import LoggedException
from airflow_mcp.task_logs.hollow import is_hollow
from airflow_mcp.task_logs.runtimes import Crash

_ERRNO = (  # what strerror(3) says
    "No such file or directory|Permission denied|No space left on device|Disk quota exceeded|Read-only file system|File exists"
    "|Is a directory|Not a directory|Directory not empty|Device or resource busy|Text file busy|Too many open files"
    "|Cannot allocate memory|Argument list too long|Exec format error|Operation not permitted|Input/output error|Broken pipe"
    "|Connection refused|Connection reset by peer|Connection timed out|No route to host|Network is unreachable"
    "|Name or service not known|Temporary failure in name resolution|Host is down|Invalid argument|File too large"
    "|Stale file handle|Resource temporarily unavailable|Protocol error|Operation timed out|Unknown error \\d+"
)
# tool -> a line of it that names an error; the group `what`, where there is one, is what it says.
LINE_ERRORS: tuple[tuple[str, str], ...] = (
    ("signal", r"(?:.*\s)?(?:Killed|Segmentation fault|Bus error|Illegal instruction|Aborted|Floating point exception)(?: +\(core dumped\))?(?:\s{2,}.+)?$"),
    ("kernel", r".*(?:Out of memory: Killed process|oom-kill:|Memory cgroup out of memory).*"),
    ("node", r"FATAL ERROR: (?:.*heap.*|.*memory.*)"),
    ("make", r"make(?:\[\d+\])?: \*\*\* (?!\[.*\] Error \d+)(?!Waiting for unfinished).+"),
    ("psql", r"psql: (?:error: )?.+"),
    ("mysql", r"(?:mysql(?:dump|import)?: (?:\[ERROR\] |Got error: )?|ERROR )\d+ ?(?:\(\w+\))?(?: at line \d+)?.*?: .+"),
    ("sqlite", r"(?:Parse|Runtime) error (?:in \S+ )?near line \d+: .+|(?:Parse|Runtime) error: .+|Error: (?:near line \d+|in prepare|stepping)[:,] .+"),
    ("oracle", r".*?(?P<what>(?!ORA-06512|ORA-04088|ORA-00604)(?:ORA|PLS|TNS|SP2|RMAN|UDE|IMP|EXP|KUP|DPI|SQL\*Loader)-\d{3,5}: .+)"),
    ("db2", r"SQL\d{4,5}N\s+.+"),
    ("teradata", r" ?\*\*\* (?:Failure|Error) \d+.*"),
    ("snowflake", r"(?:.*?: )?\d{6} \(\w{5}\): .+"),
    ("clickhouse", r".*Code: \d+\. DB::\w*Exception: .+"),
    ("trino", r"Query \w+ failed: .+"),
    ("hive", r"FAILED: \w.+|Error: Error while (?:compiling|processing) statement: .+"),
    ("duckdb", r"(?:Catalog|Binder|Parser|IO|Conversion|Constraint|Invalid Input|Out of Memory|Permission|HTTP|Transaction|Dependency) Error: .+"),
    ("cqlsh", r"<stdin>:\d+:\w+: .+"),
    ("redis-cli", r"\(error\) .+"),
    ("aws", r".*An error occurred \([\w.]+\) when calling the \w+ operation.*|Unable to locate credentials.*|Could not connect to the endpoint URL: .+|(?:upload|download|copy|delete|move) failed: .+"),
    ("gcloud", r"ERROR: \(gcloud[\w.-]*\) .+"),
    ("gsutil", r"\w+Exception: \d{3} .+"),
    ("bq", r"BigQuery error in .+|Error in query string: .+"),
    ("kubectl", r"Error from server(?: \(\w+\))?: .+|The connection to the server .+ was refused.*|Unable to connect to the server: .+"),
    ("helm", r"Error: (?:INSTALLATION|UPGRADE) FAILED: .+"),
    ("docker", r"(?:docker: )?Error response from daemon: .+|(?:docker: )?Cannot connect to the Docker daemon.*|ERROR: failed to \w+: .+"),
    ("curl", r"curl: \(\d+\) .+"),
    ("wget", r"wget: .+|(?:.* )?ERROR \d{3}: .+"),
    ("git", r"(?:remote: )?(?:fatal|error): .+|remote: [A-Z].*(?:not found|denied|disabled|protected).*"),
    ("ssh", r"ssh: .+|Host key verification failed\.|.*Permission denied \((?:publickey|password|gssapi|keyboard).*\)\.?|kex_exchange_identification: .+"),
    ("rsync", r"rsync: .+"),
    ("terraform", r"Error: .+"),
    ("tsc", r"\S+\(\d+,\d+\): error \w+: .+|\S+:\d+:\d+ - error \w+: .+"),
    ("compiler", r"\S[^:]*:\d+(?::\d+)?: (?:fatal )?[Ee]rror:? .+|.*undefined reference to .+|ld: .+|\S+\.go:\d+:\d+: .+"),
    ("rustc", r"error(?:\[\w+\])?: (?!aborting due|could not compile).+"),
    ("maven", r"/\S+:\[\d+,\d+\] .+"),
    ("pytest", r"E {3,}(?P<what>\w[\w.]*(?:Error|Exception|Failed|Exit)\b.*)|FAILED \S+ - .+"),
    ("spark", r".*?(?P<what>(?:User class threw exception|Job aborted due to stage failure|Container killed (?:by YARN|on request)|ExecutorLostFailure).+)"),
    ("dataflow", r".*Workflow failed\. Causes: .+"),
    ("ansible", r"fatal: \[.*\]: (?:FAILED|UNREACHABLE)! => .+"),
    ("yarn", r"error (?!Command failed with exit code|An unexpected error occurred: \"?$)[A-Z\"].+"),
    ("pnpm", r"\s*ERR_PNPM_\w+\s+.+"),
    ("elixir", r"\*\* \(\w[\w.]*\) .+"),
    ("julia", r"ERROR: (?:LoadError: )?\w+(?:Error|Exception)?: .+"),
    ("shell", r"(?:\S*(?:sh|ksh|dash)|\S+\.\w+|\S*/\S+|main|environment): (?:-c: )?(?:line )?\d+: (?P<what>.+)"),
    ("shell", r".*: command not found(?:\.\.\.)?$|\S+: not found$|.*: unbound variable$|.*: parameter (?:null or )?not set$"),
    ("errno", rf".*(?:^|[:(] ?|\b)(?:{_ERRNO})(?:[.)!]| \(.*\)|, .*|: .*)?$"),
    ("program", r"[\w./+-]+: (?:\([^)]*\) )?(?:fatal |runtime |internal |syntax )?(?:error|fatal|cannot|can't|could not|couldn't|unable to|failed to|failed|invalid|illegal|unknown|unrecognized|unrecognised|missing|no such|bad|not a|option|unexpected|undefined|refusing|access denied|permission denied|authentication failed|connection)\b.+"),
    ("exception", r"\[?(?:[\w$]+\.)*(?P<what>[A-Z][\w$]*(?:Error|Exception|Fault|Failure|Timeout|Interrupt|Rejection)(?: \[\w+\])?: .+?)(?:\] \{)?$"),
    ("generic", r"(?:\S+ )?(?:Error|ERROR|error|Fatal|FATAL|fatal|PANIC|FATAL ERROR|Fatal error|Critical|CRITICAL|ERREUR|FEHLER)(?: \w+)?(?: \[\w+\])?: .+"),
)  # fmt: skip
GENERIC = frozenset(("errno", "program", "exception", "generic", "terraform", "git"))  # that also others print
# What tools say in summaries, which count only where no program says more.
SUMMARIES = re.compile(
    r"npm (?:ERR!|error) (?!code|errno|syscall|path|command|cwd|cmd |lifecycle|workspace|location|dest|spawnargs|prefix|node |npm "
    r"|A complete log|Failed at the|This is probably|To see a list|Exit status|Lifecycle script|\S+@\S+ \w+: |\s|Tell the author"
    r"|There is likely|not with npm|If you |errno)(?P<npm>.+)"
    r"|(?!(?:INFO|DEBUG|NOTE|note|info|debug|warning|Warning|WARNING)\b)[\w./+-]+: (?:.*\b)?(?:no module named|not (?:found|in|a|such"
    r"|set|supported|allowed|permitted|recogni[sz]ed|valid|exist)|does not exist|missing|failed|denied|refused|invalid|cannot|unable"
    r"|unexpected|unknown|exceeded|expired|corrupt(?:ed)?|truncated|no such|timed out|aborted|too (?:large|many|long|old|small))\b.*",
    re.IGNORECASE,
)
# Lines that follow from an error named before them.
FOLLOWS = re.compile(
    "|".join(
        (
            r"make(?:\[\d+\])?: \*\*\* (?:\[.*\] Error \d+|Waiting for unfinished)",
            r"npm (?:ERR!|error)(?: |$)",
            r"error Command failed with exit code|\s*ELIFECYCLE",
            r"exit status \d+|Execution halted|rsync error: |.*tar: (?:Exiting with failure|Error is not recoverable)|lost connection$",
            r"collect2: error:|error: (?:aborting due to|could not compile)|For more information about (?:this|an) error",
            r"\[Help \d+\]|To see the full stack trace|Re-run Maven|After correcting|BUILD FAIL|FAILURE: Build failed|\* (?:Try|Get more help)",
            r"BEGIN failed--compilation aborted|Execution of \S+ aborted due to|Node\.js v\d|Child returned status"
            r"|tar: Child returned status",
            r"(?:psql:\S*: )?ERROR:\s+current transaction is aborted",
            r"Done\. PASS=|Completed with \d+ error|Error: Process completed with exit code|\S*: error: externally-managed",
            r"Connection to \S+ closed|Exception ignored in|Error in (?:atexit|sys\.excepthook)",
            r".*(?:ShutdownHookManager|Error occurred (?:during|in) shutdown|Failed to delete: /)",
        )
    )
)
_RULES = [(tool, re.compile(pattern)) for tool, pattern in LINE_ERRORS]
_QUICK = re.compile(
    r"rror|ERR|(?i:fatal|panic|killed|fault|denied|refused|cannot|can't|could|unable|failed|failure|invalid|illegal|unknown"
    r"|unrecogni|missing|not (?:found|a |set|permitted|known|empty)|no (?:such|route|space|rule)|bad |unexpected|undefined"
    r"|exception|aborted|timed? ?out|unavailable|exceeded|oom|memory|credentials|verification|unbound|refusing|core dumped"
    r"|FEHLER|ssh|wget|rsync|kex_|connection|stale|broken|busy|exists|directory|too |unreachable|allocate|system|E   )"
    r"|[A-Z]{2,3}\d?-\d|SQL|\d{6} \(|\*\* ?|Msg \d|:\[\d|:\d+:|ld:|psql|mysql|interrupt|Workflow|option|\(error\)|signal"
)


def read_line(line: str) -> tuple[str, str] | None:
    """Return the tool whose error a line is, and what it says; None for no error, or one that says nothing."""
    if not _QUICK.search(line) or FOLLOWS.match(line):
        return None
    text = line.strip()
    for tool, pattern in _RULES:
        if (match := pattern.match(text)) is not None:
            what = (match.groupdict().get("what") or text).strip()
            return (tool, what) if tool == "signal" or not is_hollow(what) else None
    return None


_DBT = re.compile(
    r"\s*(?P<what>(?:Database|Compilation|Runtime|Parsing|Dependency|Validation|Internal|Not Implemented|Semantic) Error)"
    r"(?P<where>(?: in)? \w+ \S+(?: \(.*\))?)?$|\s*Failure in (?P<test>\w+ \S+(?: \(.*\))?)$"
)
_DBT_END = re.compile(r"\s*(?:compiled code at|compiled SQL at|See test failures|Done\. PASS|>? ?in macro|$)")
_BOX = re.compile(r"\s*[│|] ?")
_TERRAFORM = re.compile(r"\s*[│|] (Error: .+)|(Error: .+)")
_TERRAFORM_PLACE = re.compile(r"with .*,$|on .+ line \d+.*|\d+: .*|in .*:$|This (?:is|may)")
_POSTGRES = re.compile(r"(?:psql:\S*:\d+: )?(?P<level>ERROR|FATAL|PANIC):  (?P<what>.+)")
_POSTGRES_MORE = re.compile(r"(?:DETAIL|HINT):\s+(.+)")
_USAGE = re.compile(r"\s*[Uu]sage: ")
_RICH_ERROR = re.compile(r"\s*╭─+ Error ─+╮")
_GRADLE = re.compile(r"\* What went wrong:")
_SQL_SERVER = re.compile(r"Msg \d+, Level \d+, State \d+")
_CPP = re.compile(r"terminate called after throwing an instance of '(.+)'")


def _read_dbt(lines: Sequence[str], start: int) -> Crash | None:
    head = _DBT.match(lines[start])
    if head is None:
        return None
    said: list[str] = []
    number = start + 1
    while number < len(lines) and len(said) < 12:
        if _DBT_END.match(lines[number]) and (said or lines[number].strip()):
            break
        if lines[number].strip():
            said.append(lines[number].strip())
        number += 1
    if not said:
        return None
    name = f"{head['what']}{head['where'] or ''}" if head["what"] else f"Failure in {head['test']}"
    return [LoggedException(f"{name}: {' '.join(said)}")], number


def _read_terraform(lines: Sequence[str], start: int) -> Crash | None:
    head = _TERRAFORM.match(lines[start])
    if head is None:
        return None
    boxed = head[1] is not None
    summary, said, number, placed = (head[1] or head[2]).strip(), list[str](), start + 1, False
    while number < min(len(lines), start + 40):
        text = lines[number]
        if boxed and (not _BOX.match(text) or _TERRAFORM.match(text)):
            break
        text = _BOX.sub("", text, count=1).strip() if boxed else text.strip()
        placed = placed or re.match(r"on \S+ line \d+|with \S+,$", text) is not None
        if not boxed and not placed and text and (number == start + 1 or len(said) > 4):
            break
        if text and not _TERRAFORM_PLACE.match(text):
            said.append(text)
        elif said and not text:
            break
        number += 1
    if not boxed and not placed and not (start + 1 < len(lines) and not lines[start + 1].strip() and said):
        return None
    return [LoggedException(f"{summary}: {' '.join(said)}" if said else summary)], number


def _read_postgres(lines: Sequence[str], start: int) -> Crash | None:
    head = _POSTGRES.match(lines[start])
    if head is None or FOLLOWS.match(lines[start]):
        return None
    said, number = [f"{head['level']}: {head['what']}"], start + 1
    while number < min(len(lines), start + 8):
        text = lines[number]
        if more := _POSTGRES_MORE.match(text):
            said.append(more[1])
        elif not (re.match(r"LINE \d+:|CONTEXT:|STATEMENT:|LOCATION:", text) or not text.strip(" ^")):
            break
        number += 1
    return [LoggedException("\n".join(said))], number


def _read_usage(lines: Sequence[str], start: int) -> Crash | None:
    """Read argparse's and click's usage, whose error stands behind it; in a box where rich prints it."""
    if _RICH_ERROR.match(lines[start]):
        said, number = list[str](), start + 1
        while number < len(lines) and not lines[number].strip().startswith("╰"):
            said.append(lines[number].strip().strip("│").strip())
            number += 1
        return ([LoggedException(f"Error: {' '.join(filter(None, said))}")], number + 1) if said else None
    if not _USAGE.match(lines[start]):
        return None
    for number in range(start + 1, min(len(lines), start + 60)):
        text = lines[number]
        if _RICH_ERROR.match(text):
            return None  # the box says it
        if match := re.match(
            r"\S+: error: .+|Error: .+|error: .+|flag provided but not defined: .+|unknown (?:flag|command).+", text
        ):
            return [LoggedException(match[0])], number + 1
    return None


def _read_gradle(lines: Sequence[str], start: int) -> Crash | None:
    if not _GRADLE.match(lines[start].strip()):
        return None
    said, number = list[str](), start + 1
    while number < len(lines) and lines[number].strip() and not lines[number].startswith("* "):
        said.append(lines[number].strip().lstrip("> "))
        number += 1
    return ([LoggedException(text) for text in said if text][:6] or [LoggedException("?")], number) if said else None


def _read_sql_server(lines: Sequence[str], start: int) -> Crash | None:
    if not _SQL_SERVER.match(lines[start]) or start + 1 >= len(lines):
        return None
    return [LoggedException(f"{lines[start].split(',')[0]}: {lines[start + 1].strip()}")], start + 2


def _read_cpp(lines: Sequence[str], start: int) -> Crash | None:
    head = _CPP.match(lines[start])
    if head is None:
        return None
    what = next(
        (line.partition("what():")[2].strip() for line in lines[start + 1 : start + 3] if "what():" in line), ""
    )
    return [LoggedException(f"{head[1]}: {what}" if what else head[1])], start + (2 if what else 1)


BLOCKS: tuple[tuple[str, Callable[[Sequence[str], int], Crash | None]], ...] = (
    ("dbt", _read_dbt), ("usage", _read_usage), ("terraform", _read_terraform), ("psql", _read_postgres),
    ("gradle", _read_gradle), ("sqlcmd", _read_sql_server), ("c++", _read_cpp),
)  # fmt: skip
