"""Recognise errors that tools print on one line: shells, SQL clients, build tools, command lines of clouds.

One table of single lines, each with its tool; errors of several lines are read in tool_blocks.py. Texts are those of
the tools' current releases; they are shown as printed, without explanations.
"""

from __future__ import annotations

import re

from airflow_mcp.task_logs.generic_errors import is_generic

_ERRNO = (  # what strerror(3) says
    "No such file or directory|Permission denied|No space left on device|Disk quota exceeded|Read-only file system|File exists"
    "|Is a directory|Not a directory|Directory not empty|Device or resource busy|Text file busy|Too many open files"
    "|Cannot allocate memory|Argument list too long|Exec format error|Operation not permitted|Input/output error|Broken pipe"
    "|Connection refused|Connection reset by peer|Connection timed out|No route to host|Network is unreachable"
    "|Name or service not known|Temporary failure in name resolution|Host is down|Invalid argument|File too large"
    "|Stale file handle|Resource temporarily unavailable|Protocol error|Operation timed out|Unknown error \\d+"
)
# Each tool with the pattern of its error lines; the group `what`, where there is one, is the error's text.
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
    ("jvm", r"#\s+(?P<what>There is insufficient memory .+|(?:SIG[A-Z]+|EXCEPTION_\w+|Internal Error|Out of Memory Error) \(.+)"),
    ("flyway", r"Message {2,}: (?P<what>.+)"),
    ("odbc", r"SQLSTATE\[\w+\].*|\[\w{5}\] ?\[.+\].+"),
    ("ruby", r"(?P<what>.+ \((?:[A-Z]\w*::)+[A-Z]\w*\))$"),
    ("yarn", r"➤ YN(?!0000)\d{4}: [│┌└·] (?P<what>.*(?:[Ee]rror|[Ff]ail|[Ii]nvalid|not |n't |[Uu]nable).*)"),
    ("tsc", r"\S+\(\d+,\d+\): error \w+: .+|\S+:\d+:\d+ - error \w+: .+"),
    ("compiler", r"\S[^:]*:\d+(?::\d+)?: (?:fatal )?[Ee]rror:? .+|.*undefined reference to .+|ld: .+|\S+\.go:\d+:\d+: .+"),
    ("rustc", r"error(?:\[\w+\])?: (?!aborting due|could not compile).+"),
    ("maven", r"/\S+:\[\d+,\d+\] .+"),
    ("pytest", r"E {3,}(?P<what>\w[\w.]*(?:Error|Exception|Failed|Exit)\b.*)|FAILED \S+ - .+"),
    ("spark", r".*?(?P<what>(?:User class threw exception|Job aborted due to stage failure|Container killed (?:by YARN|on request)|ExecutorLostFailure).+)"),
    ("dataflow", r".*Workflow failed\. Causes: .+"),
    ("ansible", r"ERROR! .+|fatal: \[.*\]: (?:FAILED|UNREACHABLE)! => .+"),
    ("yarn", r"error (?!Command failed with exit code|An unexpected error occurred: \"?$)[A-Z\"].+"),
    ("pnpm", r"\s*ERR_PNPM_\w+\s+.+"),
    ("elixir", r"\*\* \(\w[\w.]*\) .+"),
    ("julia", r"ERROR: (?:LoadError: )?\w+(?:Error|Exception)?: .+"),
    ("shell", r"(?:\S*(?:sh|ksh|dash)|\S+\.\w+|\S*/\S+|main|environment): (?:-c: )?(?:line )?\d+: (?P<what>.+)"),
    ("shell", r".*: command not found(?:\.\.\.)?$|\S+: not found$|.*: unbound variable$|.*: parameter (?:null or )?not set$"),
    ("errno", rf".*(?:^|[:(] ?|\b)(?:{_ERRNO})(?:[.)!]| \(.*\)|, .*|: .*)?$"),
    ("program", r"[\w./+-]+: (?:\([^)]*\) )?(?:fatal |runtime |internal |syntax )?(?:error|fatal|cannot|can't|could not|couldn't|unable to|failed to|failed|invalid|illegal|unknown|unrecognized|unrecognised|missing|no such|bad|not a|option|unexpected|undefined|refusing|access denied|permission denied|authentication failed|connection)\b.+"
     r"|[A-Z][\w ]{0,40}: (?:Fatal )?[Ee]rror: .+"),
    ("exception", r"\[?(?:[\w$]+\.)*(?P<what>[A-Z][\w$]*(?:Error|Exception|Fault|Failure|Timeout|Interrupt|Rejection)(?: \[\w+\])?: .+?)(?:\] \{)?$"),
    ("generic", r"(?:\S+ |[A-Z][\w-]*(?: (?!no|after|last|on|with|without|from|of|previous|ignor)[\w-]+){1,2} )?(?:Error|ERROR|error|Fatal|FATAL|fatal|PANIC|FATAL ERROR|Fatal error|Critical|CRITICAL|ERREUR|FEHLER)(?: \w+)?(?: \[\w+\])?: .+"),
)  # fmt: skip
# Tools whose patterns match what other programs print too.
GENERIC = frozenset(("errno", "program", "exception", "generic", "terraform", "git"))
# Lines of tools' summaries, which count only where no program says more.
SUMMARIES = re.compile(
    r"npm (?:ERR!|error) (?!code|errno|syscall|path|command|cwd|cmd |lifecycle|workspace|location|dest|spawnargs|prefix|node |npm "
    r"|A complete log|Failed at the|This is probably|To see a list|Exit status|Lifecycle script|\S+@\S+ \w+: |\s|Tell the author"
    r"|There is likely|not with npm|If you |errno)(?P<npm>.+)"
    r"|(?!(?:INFO|DEBUG|NOTE|note|info|debug|warning|Warning|WARNING)\b)[\w./+-]+: (?:.*\b)?(?:no module named|not (?:found|in|a|such"
    r"|set|supported|allowed|permitted|recogni[sz]ed|valid|exist)|does not exist|missing|failed|denied|refused|invalid|cannot|unable"
    r"|unexpected|unknown|exceeded|expired|corrupt(?:ed)?|truncated|no such|timed out|aborted|too (?:large|many|long|old|small))\b.*",
    re.IGNORECASE,
)
# Lines that follow from an error printed before them.
FOLLOWS = re.compile(
    "|".join(
        (
            r"make(?:\[\d+\])?: \*\*\* (?:\[.*\] Error \d+|Waiting for unfinished)",
            r"npm (?:ERR!|error)(?: |$)",
            r"error Command failed with exit code|\s*ELIFECYCLE",
            r"exit status \d+|Execution halted|rsync error: |.*tar: (?:Exiting with failure|Error is not recoverable)|lost connection$",
            r"collect2: error:|error: (?:aborting due to|could not compile)|For more information about (?:this|an) error",
            r"➤ YN\d{4}: [│┌└·]  |\[Help \d+\]|To see the full stack trace|Re-run Maven|After correcting|BUILD FAIL|FAILURE: Build failed|\* (?:Try|Get more help)",
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
    r"|[A-Z]{2,3}\d?-\d|SQL|\d{6} \(|\*\* ?|Msg \d|:\[\d|:\d+:|ld:|psql|mysql|interrupt|Workflow|SIG[A-Z]|SQLSTATE|option|\(error\)|signal"
)


def read_line(line: str) -> tuple[str, str] | None:
    """Return the tool whose error a line is, and its text; None for no error, or one that says nothing."""
    if not _QUICK.search(line) or FOLLOWS.match(line):
        return None
    text = line.strip()
    for tool, pattern in _RULES:
        if (match := pattern.match(text)) is not None:
            what = (match.groupdict().get("what") or text).strip()
            return (tool, what) if tool == "signal" or not is_generic(what) else None
    return None
