"""Every exception airflow-mcp raises.

AirflowMcpError                 a sentence to act on; `server` turns it into an `isError` result
├── SettingsError               the operator's configuration is wrong: ends the start
├── ManifestError               a tool manifest breaks the grammar: ends the start, names file and key
├── UnknownToolError            no tool has this name (JSON-RPC -32602, MCP 2026-07-28 tools/call)
├── InvalidArgumentsError       an argument is missing, misspelt, mistyped or cannot become a request
├── NotAllowedError             policy refuses: nothing was sent
├── NotSupportedError           the connected Airflow lacks the operation or the argument
├── AirflowUnreachableError     no HTTP answer: refused, unresolved, timed out, TLS
├── VersionChangedError         Airflow became another version while a call was under way
├── AnswerLimitError            a read was left out: the time or the requests of its answer are used up
├── LoginError                  Airflow does not accept the configured identity
│   ├── LoginRefusedError       credentials were presented and refused
│   └── LoginOnHoldError        credentials were refused, and are not presented again for a while
├── FetchError                  a document that the server itself needs cannot be fetched
├── UnhealthyError              the HTTP server of this machine does not report that it is alive
└── AirflowError                Airflow answered with an error status
    ├── NotFoundError           404: Airflow has no such object
    ├── ForbiddenError          403: the identity is known, but lacks the permission
    └── UnusableAnswerError     an answer that does not show what became of a request
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class AirflowMcpError(Exception):
    """Base of all exceptions here; `str()` is the sentence to show, `next_calls` the calls that help.

    `answered` is the HTTP status of Airflow's answer to the operation itself, if there was one; `outcome` is what is
    known of a change whose answer could not be used (dispatch/operations/settlement.py).
    """

    next_calls: Sequence[dict[str, Any]] = ()
    answered: int | None = None
    outcome: str = ""

    def advise(self, *calls: dict[str, Any]) -> Self:
        """Add the calls to make next (dispatch/next_calls.py), which the sentence does not name."""
        self.next_calls = (*self.next_calls, *calls)
        return self

    def with_sentence(self, sentence: str) -> Self:
        """Return a copy of the error with another sentence."""
        error = type(self).__new__(type(self))
        error.__dict__.update(self.__dict__)
        error.args = (sentence,)
        return error


class SettingsError(AirflowMcpError):
    """The operator's configuration is wrong; `path` is the place in the TOML file, as keys and indexes."""

    def __init__(self, message: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.path = path


class ManifestError(AirflowMcpError):
    """A tool manifest breaks the grammar."""


class UnknownToolError(AirflowMcpError):
    """No tool has this name."""


class InvalidArgumentsError(AirflowMcpError):
    """The call's arguments cannot become a request."""


class NotAllowedError(AirflowMcpError):
    """Policy refuses the call; nothing was sent."""


class NotSupportedError(AirflowMcpError):
    """The connected Airflow version lacks the operation or the argument."""


class AirflowUnreachableError(AirflowMcpError):
    """Airflow gave no HTTP answer; `sent` says whether a change may have reached it all the same."""

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.sent = sent


class LoginError(AirflowMcpError):
    """Airflow does not accept the configured identity."""


class LoginRefusedError(LoginError):
    """Credentials were presented and refused; presenting them again and again may lock an account."""


class LoginOnHoldError(LoginError):
    """Credentials were refused a moment ago, and are not presented again yet."""


class VersionChangedError(AirflowMcpError):
    """Airflow changed its version after a request was built for the previous one."""


class AnswerLimitError(AirflowMcpError):
    """A read was left out, because the time or the requests of its answer are used up."""


class FetchError(AirflowMcpError):
    """A document that the server itself needs, such as the keys of an OAuth issuer, cannot be fetched."""


class AirflowError(AirflowMcpError):
    """Airflow answered with an error; `status` is the HTTP status code."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class UnhealthyError(AirflowMcpError):
    """The HTTP server of this machine does not report that it is alive."""


class NotFoundError(AirflowError):
    """Airflow has no such object (HTTP 404). `is_own` is whether the answer had a body with Airflow's own words."""

    is_own: bool = True


class ForbiddenError(AirflowError):
    """Airflow knows the identity but refuses it this operation (HTTP 403)."""


class UnusableAnswerError(AirflowError):
    """The answer does not show what became of the request: a proxy's page, cut JSON, a redirect, 429, 5xx."""


def choose_error(errors: Sequence[ErrorDetails]) -> ErrorDetails:
    """Choose the error to report first: an unknown key, since it may be a misspelling of a missing one."""
    return next((error for error in errors if error["type"] == "extra_forbidden"), errors[0])
