"""Concurrent reads that do not depend on each other."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio

from airflow_mcp.errors import AirflowMcpError

Value = TypeVar("Value")


@dataclass(frozen=True)
class ReadResults:
    """The values of several reads, and one sentence for each read that failed.

    An answer lists these sentences, so that it says what is missing.
    """

    values: dict[str, Any]
    errors: dict[str, str]

    def get(self, name: str, otherwise: Any = None) -> Any:
        """Return a value, or `otherwise` where it could not be read."""
        return self.values.get(name, otherwise)


def list_errors(errors: Mapping[str, str]) -> list[str]:
    """Return one line for each reason, with the reads that failed for it: a failed login is listed once."""
    names: dict[str, list[str]] = {}
    for name, reason in errors.items():
        names.setdefault(reason, []).append(name.replace("_", " "))
    return [f"{', '.join(reads)}: {reason}" for reason, reads in names.items()]


async def gather(**reads: Awaitable[Any]) -> ReadResults:
    """Run the reads at once and return their values by name.

    A read that Airflow or policy refuses is listed in `errors`, and the others go on.
    """
    results = ReadResults({}, {})

    async def read(name: str, what: Awaitable[Any]) -> None:
        try:
            results.values[name] = await what
        except AirflowMcpError as error:
            results.errors[name] = str(error)

    async with anyio.create_task_group() as group:
        for name, what in reads.items():
            group.start_soon(read, name, what)
    return results


async def run_concurrently(reads: Iterable[Awaitable[Value]]) -> list[Value]:
    """Run the reads at once and return every value, in order.

    Raises the AirflowMcpError of the first read in that order that failed.
    """
    values: dict[int, Value] = {}
    errors: dict[int, AirflowMcpError] = {}  # apart from the values, which may be errors too

    async def read(number: int, what: Awaitable[Value]) -> None:
        try:
            values[number] = await what
        except AirflowMcpError as error:
            errors[number] = error

    async with anyio.create_task_group() as group:
        for number, what in enumerate(reads):
            group.start_soon(read, number, what)
    if errors:
        raise errors[min(errors)]
    return [values[number] for number in sorted(values)]
