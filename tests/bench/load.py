"""Measures the server over HTTP under load, beside a bare MCP server that makes the same request. Judges nothing.

Both stand before the same stand-in for Airflow, each in a process of its own, and are asked in turns within one run.
Everything stays on loopback and ends with the run. `make bench`, or with other sizes:

python -m tests.bench.load [--calls CALLS_A_ROUND] [--rounds ROUNDS] [--memory CALLS]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.bench.startup import ROOT, environment
from tests.load.crowd import connection, prepared

CROWDS = (1, 16, 128)
REQUEST = prepared("get_dag", {"dag_id": "load_orders"})
_EARLY = 1_000  # calls after which memory is first looked at
_MANY = str(10**9)  # no limit that the measurement would meet


@dataclass(frozen=True)
class Server:
    """A server process and where it listens."""

    url: str
    pid: int

    def cpu(self) -> float:
        """Seconds of CPU it has used, user and system (Linux; elsewhere 0)."""
        file = Path(f"/proc/{self.pid}/stat")
        fields = file.read_text().rsplit(")", 1)[1].split() if file.exists() else ["0"] * 13
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """MiB that are resident."""
        said = subprocess.run(["ps", "-o", "rss=", "-p", str(self.pid)], capture_output=True, text=True, check=True)
        return int(said.stdout) / 1024


@dataclass(frozen=True)
class Round:
    """What one crowd saw of one server: seconds of each call, of the whole, and CPU seconds of server and crowd."""

    latencies: list[float]
    seconds: float
    server_cpu: float
    crowd_cpu: float

    @property
    def a_second(self) -> float:
        """Calls answered a second."""
        return len(self.latencies) / self.seconds


@contextmanager
def process(*module: str, url: str = "") -> Generator[tuple[subprocess.Popen[str], IO[str]]]:
    """A Python process for the block, and the stream on which it says its port."""
    env = environment(url) | {"AIRFLOW_MCP_TOKEN": "a-token", "AIRFLOW_MCP_HTTP_PER_MINUTE": _MANY}
    env |= {"AIRFLOW_MCP_PER_MINUTE_READS": _MANY}
    speaks = {"stderr": subprocess.PIPE} if "airflow_mcp" in module else {"stdout": subprocess.PIPE}
    command = [sys.executable, "-m", *module]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, text=True, **speaks) as started:  # pyright: ignore[reportArgumentType, reportCallIssue]
        stream = started.stderr or started.stdout
        assert stream is not None
        try:
            yield started, stream
        finally:
            started.terminate()


async def ask(server: Server, callers: int, calls: int) -> Round:
    """That many callers make that many calls together, each caller one after the other."""
    left, latencies = calls, list[float]()

    async def caller() -> None:
        nonlocal left
        async with connection(server.url) as one:
            while left > 0:
                left -= 1
                began = time.perf_counter()
                answer = await one.ask(REQUEST)
                latencies.append(time.perf_counter() - began)
                if answer.status != 200 or '"isError":true' in answer.text:
                    raise RuntimeError(f"{server.url} answered {answer.status}: {answer.text[:300]}")

    before, cpu, began = server.cpu(), time.process_time(), time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    seconds = time.perf_counter() - began
    return Round(latencies, seconds, server.cpu() - before, time.process_time() - cpu)


def told(name: str, rounds: list[Round]) -> str:
    """Throughput and latencies of these rounds in a few words."""
    every = statistics.quantiles([one for each in rounds for one in each.latencies], n=100)
    a_second = statistics.median(each.a_second for each in rounds)
    return f"{name} {a_second:.0f}/s, p50 {every[49] * 1000:.1f} ms, p99 {every[98] * 1000:.1f} ms"


async def throughput(bare: Server, ours: Server, callers: int, calls: int, rounds: int) -> str:
    """One line: ours against the bare server, in turns."""
    pairs: list[tuple[Round, Round]] = []
    for number in range(rounds):
        first, second = (bare, ours) if number % 2 else (ours, bare)
        seen = {first.url: await ask(first, callers, calls), second.url: await ask(second, callers, calls)}
        pairs.append((seen[bare.url], seen[ours.url]))
    ratio = statistics.median(mine.a_second / its.a_second for its, mine in pairs)
    its, mine = [one for one, _ in pairs], [one for _, one in pairs]
    cost = [sum(one.server_cpu for one in each) / (calls * rounds) * 1000 for each in (mine, its)]
    busy = sum(one.crowd_cpu for one in (*its, *mine)) / sum(one.seconds for one in (*its, *mine))
    return (
        f"{callers} callers: {ratio:.2f} x a bare server's throughput ({told('ours', mine)}; {told('bare', its)}; "
        f"CPU a call {cost[0]:.2f} and {cost[1]:.2f} ms; the crowd itself used {busy:.0%} of a core)"
    )


async def memory(ours: Server, calls: int) -> str:
    """One line: how much memory is resident after a thousand calls of a fresh server, and after many."""
    await ask(ours, 16, _EARLY)
    early, began = ours.memory(), time.perf_counter()
    await ask(ours, 16, calls - _EARLY)
    late = ours.memory()
    return (
        f"memory after {calls:,} calls: {late / early:.3f} x that after {_EARLY:,} ({late:.1f} and {early:.1f} MiB "
        f"resident; {time.perf_counter() - began:.0f} s)"
    )


@contextmanager
def ours_before(airflow: str) -> Generator[Server]:
    """Our server before that Airflow."""
    with process("airflow_mcp", "serve", "--transport", "http", "--port", "0", url=airflow) as (started, stream):
        line = next(line for line in stream if "serving http" in line)
        yield Server(line.split("serving ")[1].split("/mcp")[0], started.pid)


def main() -> None:
    """Print one line a measurement."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load")
    parser.add_argument("--calls", type=int, default=600, help="calls of one round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each server for each crowd")
    parser.add_argument("--memory", type=int, default=20_000, help="calls after which memory is compared; 0 for none")
    options = parser.parse_args()
    with ExitStack() as stack:
        _, stream = stack.enter_context(process("tests.bench.fast_stand_in"))
        airflow = f"http://127.0.0.1:{int(stream.readline())}"
        ours = stack.enter_context(ours_before(airflow))
        bare, stream = stack.enter_context(process("tests.bench.bare_http", airflow))
        bare = Server(f"http://127.0.0.1:{int(stream.readline())}", bare.pid)
        if options.memory:
            print(asyncio.run(memory(ours, options.memory)), flush=True)
        for server in (ours, bare):
            asyncio.run(ask(server, 16, 100))
        for callers in CROWDS:
            print(asyncio.run(throughput(bare, ours, callers, options.calls, options.rounds)), flush=True)


if __name__ == "__main__":
    main()
