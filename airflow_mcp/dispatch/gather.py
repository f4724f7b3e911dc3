"""Reads that do not depend on each other, asked for at once."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio

from airflow_mcp.errors import AirflowMcpError

Value = TypeVar("Value")


@dataclass(frozen=True)
class ReadResults:
    """What could be read, and one sentence for each read that failed: an answer says what it did not see."""

    values: dict[str, Any]
    errors: dict[str, str]

    def get(self, name: str, otherwise: Any = None) -> Any:
        """A value, or `otherwise` where it could not be read."""
        return self.values.get(name, otherwise)


def list_errors(errors: Mapping[str, str]) -> list[str]:
    """One line for each reason, with all that it kept from being read: one login that fails is told once."""
    names: dict[str, list[str]] = {}
    for name, reason in errors.items():
        names.setdefault(reason, []).append(name.replace("_", " "))
    return [f"{', '.join(kept)}: {reason}" for reason, kept in names.items()]


async def gather(**reads: Awaitable[Any]) -> ReadResults:
    """Each read's value by its name; one that Airflow or policy refuses is `unseen`, and the others go on."""
    seen = ReadResults({}, {})

    async def read(name: str, what: Awaitable[Any]) -> None:
        try:
            seen.values[name] = await what
        except AirflowMcpError as error:
            seen.errors[name] = str(error)

    async with anyio.create_task_group() as group:
        for name, what in reads.items():
            group.start_soon(read, name, what)
    return seen


async def run_concurrently(reads: Iterable[Awaitable[Value]]) -> list[Value]:
    """Every value, in order. Raises the AirflowMcpError of the first read that failed, in that order."""
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
