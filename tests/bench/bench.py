"""Measures what a user pays: start-up, what a call adds, and the characters a model reads. Prints; judges nothing.

Every comparison is a ratio or a difference within this one run, taken in turns, since absolute times say more about
the machine than about the code. Run it with `make bench`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio
import httpx2
from mcp import Client
from mcp.types import TextContent, Tool

from airflow_mcp.airflow.client import AirflowClient
from airflow_mcp.airflow.credentials import Credentials
from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.dispatch.dispatcher import Dispatcher
from airflow_mcp.dispatch.registry.instances import Instances
from airflow_mcp.policy.rules import Policy
from airflow_mcp.server.app import AirflowServer
from airflow_mcp.workflows import load_workflows
from tests.bench import startup
from tests.generated import snapshots
from tests.task_logs import score

ROUNDS = 200


@dataclass(frozen=True)
class Cost:
    """What one piece of work cost, in seconds."""

    cpu: float
    wall: float


@contextmanager
def stand_in() -> Generator[str]:
    """The address of a stand-in for Airflow, which lives as long as the block."""
    command = [sys.executable, "-m", "tests.bench.stand_in"]
    with subprocess.Popen(
        command, cwd=startup.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"


async def measure(work: Callable[[], Awaitable[object]]) -> Cost:
    """One run of the work, the CPU time of this whole process counted."""
    cpu, wall = time.process_time(), time.perf_counter()
    await work()
    return Cost(time.process_time() - cpu, time.perf_counter() - wall)


async def added(url: str) -> list[str]:
    """Two lines: what a call of list_dags costs beyond its bare request, and how long its answer is."""
    catalog = load_catalog()
    dispatcher = Dispatcher(
        catalog, Policy(), AirflowClient(url, Credentials(token="a-token")), load_workflows, ceiling=100_000
    )
    async with (
        httpx2.AsyncClient() as http,
        Client(AirflowServer(Instances({"default": dispatcher}), catalog.default)) as client,
    ):
        texts: list[str] = []

        async def bare() -> None:
            answer = await http.get(
                f"{url}/api/v2/dags?order_by=dag_id&limit=100", headers={"Authorization": "Bearer a-token"}
            )
            answer.raise_for_status()

        async def call() -> None:
            result = await client.call_tool("list_dags", {})
            assert not result.is_error, result.content
            texts[:] = [part.text for part in result.content if isinstance(part, TextContent)]

        for _ in range(20):  # connections, validators and caches are there from the second call on
            await bare()
            await call()
        pairs = [(await measure(bare), await measure(call)) for _ in range(ROUNDS)]
    cpu = statistics.median(ours.cpu - its.cpu for its, ours in pairs) * 1000
    wall = statistics.median(ours.wall - its.wall for its, ours in pairs) * 1000
    whole = statistics.median(ours.wall for _, ours in pairs) * 1000
    return [
        f"a call of list_dags (100 DAGs) adds to its request: {cpu:.1f} ms CPU, {wall:.1f} ms wall "
        f"(of {whole:.1f} ms in all; median of {ROUNDS}, client included)",
        f"answer for 100 DAGs: {len(''.join(texts)):,} characters",
    ]


def size(tools: list[Tool]) -> str:
    """How much of a model's context a list takes."""
    return f"{sum(map(snapshots.characters, tools)):,} characters for {len(tools)} tools"


async def default_list() -> list[Tool]:
    """What a client sees of a server that nobody configured."""
    return await snapshots.listed(snapshots.server(allow=(), toolsets=()))


def main() -> None:
    """Print one line a measurement."""
    with stand_in() as url:
        print(startup.compare(url), flush=True)
        print(startup.compare(url, everything=True), flush=True)
        print("\n".join(anyio.run(added, url)), flush=True)
    print(f"tools/list by default: {size(anyio.run(default_list))}")
    everything = anyio.run(snapshots.listed, snapshots.server())
    print(f"tools/list of everything: {size(everything)}")
    largest = sorted(everything, key=snapshots.characters, reverse=True)[:5]
    print("decisive errors of the corpus of task logs, by family:", *score.score(), sep="\n")
    print("the largest tools: " + ", ".join(f"{tool.name} {snapshots.characters(tool):,}" for tool in largest))


if __name__ == "__main__":
    main()
