"""Notification of events to whatever counts them: tool calls, and requests to Airflow."""

from __future__ import annotations


class Observer:
    """Receives events and ignores them. Subclasses that count override the methods, which must not raise or wait."""

    def call_began(self) -> None:
        """Note that a tool call has begun."""

    def call_ended(self, tool: str, access: str, instance: str, seconds: float, error: BaseException | None) -> None:
        """Note that the same call has ended; `error` is the reason if it gave no answer.

        A misdirected call may name a tool or an instance that does not exist, and then has no `access`.
        """

    def request_ended(self, instance: str, status: int | None, seconds: float) -> None:
        """Note that one request to an Airflow has ended; without a `status`, no answer came."""

    def login_renewed(self, instance: str) -> None:
        """Note that an Airflow refused a login that it accepted before, and that another is requested."""


NULL_OBSERVER = Observer()
