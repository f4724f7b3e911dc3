"""What happens, told to whoever counts it: calls of tools, and requests to Airflow."""

from __future__ import annotations


class Observer:
    """Is told what happens, and takes no notice. Whoever counts overrides this; nothing here may raise or wait."""

    def call_began(self) -> None:
        """A call of a tool is in flight."""

    def call_ended(self, tool: str, access: str, instance: str, seconds: float, error: BaseException | None) -> None:
        """The same call is over; `error` is why it gave no answer. A misdirected one may name neither tool nor instance
        that exists, and then has no `access`.
        """

    def request_ended(self, instance: str, status: int | None, seconds: float) -> None:
        """One request to an Airflow is over; without a status, no answer came."""

    def login_renewed(self, instance: str) -> None:
        """An Airflow refused a login that was good before, and another is asked for."""


NULL_OBSERVER = Observer()
