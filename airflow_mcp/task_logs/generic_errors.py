"""Recognise texts that say only that something failed, not what: "Job failed with exit code 1.", "3 errors found:"."""

from __future__ import annotations

import re

_WORDS = frozenset(
    """
    a an the this that it its is was were has have had been be being are of in on at to for from by with and or
    as not did does do can could cannot while when during after before due because since so then there which one
    more some any see check view look refer please find us log logs output details detail information info above
    below following full previous stack trace traceback error errors err fatal severe critical warning failed
    fail failing fails failure failures unsuccessful unsuccessfully exception exceptions exited exit exits
    exiting ended ending terminated terminating aborted aborting abort stopped stopping cancelled canceled
    completed complete finished finish finishing done status state states code codes exitcode statuscode
    returned return returns returncode returning non zero nonzero job jobs task tasks step steps stage run runs
    running script commands command cmd process processes program application app pipeline workflow container
    containers pod pods build batch query statement operation operator execution executing execute executed
    driver worker cluster remote local subprocess child notebook flow workload node nodes unexpected
    unexpectedly unknown internal occurred happened encountered caught raised thrown got badly abnormally final
    terminal last id name airflow bash shell ssh docker spark dbt glue emr ecs databricks beam dataflow
    invocation kubernetes yarn java python something went wrong sorry oops bye goodbye true false none null
    result results message reason giving up gave retry retries retrying attempts attempt tries try again now
    partial successes warnings passed skipped total seconds second minutes ms line lines near page pages printed
    plan plans test tests suite suites compile compiling compilation compiler essential
    """.split()  # noqa: SIM905 - read as prose
)
_GENERIC = frozenset(
    (
        "AirflowException",
        "AirflowFailException",
        "Exception",
        "BaseException",
        "RuntimeError",
        "Error",
        "SystemExit",
    )
)  # types that name no fault
_QUOTED = r"(?:'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`)"
_DATA = re.compile(
    rf"(?i:\b(?:command|cmd|script)\W{{1,3}}){_QUOTED}|{_QUOTED}|\([^()]*\)|<[^<>]*>|\S*\d\S*|\S*[/\\=]\S*"
)
_COUNT = re.compile(
    r"\W*(?:found |completed with |there (?:was|were) |got )?\d+ (?:\w+ )?"
    r"(?:errors?|problems?|issues?|failures?|exceptions?|violations?)\b[^:]{0,60}:?\W*",
    re.IGNORECASE,
)
_ENDS_OPEN = re.compile(r".*:(?: \[)?", re.DOTALL)
# A line that continues in the next one, where there is one. The second pattern is dbt's.
_GOES_ON = re.compile(r".* (?:in|at|for|by|with|to|from|of|because)|.*\bError in \w+ \S+ \([^()]*\)", re.DOTALL)
_CODE = re.compile(r"\W*(?:[A-Za-z_]+_?)?[\d.]+\W*|\W*")
# Lines that accompany an error in a message and never say what it is.
_ABOUT = re.compile(
    r"\s*(?:"
    r"location|job ?id|run ?id|query ?id|request ?id|requestid|trace ?id|host ?id|url|link|date|region|ran|command|cmd"
    r"|stdout|http response headers|response headers|headers|job|sql|hint|learn more|more information|parameters"
    r")\s*:\s*(?:\S+|\S.*)?$"
    r"|\s*(?:\(background on this error|for further information|for more information|learn more|see also|see http"
    r"|read more|\[parameters: |\[sql: |job id: |please check )",
    re.IGNORECASE,
)


def is_generic(text: str) -> bool:
    """Tell whether a line says no more than that something failed, or leaves the rest to the next line."""
    text = text.strip()
    if not text or any(pattern.fullmatch(text) for pattern in (_ENDS_OPEN, _COUNT, _CODE)):
        return True
    words = re.findall(r"[A-Za-z]+", _DATA.sub(_read_quoted, text[:400]))
    return len(text) <= 400 and all(word.lower() in _WORDS for word in words)


def _read_quoted(data: re.Match[str]) -> str:
    """Return the words of a quoted sentence, which is no value, or a space for a value."""
    words = re.findall(r"[A-Za-z]{2,}", data[0])
    return f" {' '.join(words)} " if len(words) > 2 and data[0][0] in "'\"`" else " "


def goes_on(text: str) -> bool:
    """Tell whether a line leaves what it says to the next line, where there is one."""
    return is_generic(text) or _GOES_ON.fullmatch(text.strip()) is not None


def is_context(text: str) -> bool:
    """Tell whether a line accompanies an error and never says what it is: an id, a place, a link, the command."""
    return _ABOUT.match(text) is not None


def names_no_fault(kind: str) -> bool:
    """Tell whether an exception's type says nothing by itself, as `AirflowException` and unlike `KeyError`."""
    return kind in _GENERIC
