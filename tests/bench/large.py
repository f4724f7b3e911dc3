"""Measures the answers that read most on a real, large Airflow 3, and what they cost everybody else. Judges nothing.

The Airflow is built in a temporary folder (minutes, 1.1 GB) and served by its API server alone; our server is a process
of its own, asked over HTTP. `make bench-large`, or smaller, or in a folder that keeps it for the runs of the same day:

python -m tests.bench.large [--scale SHARE] [--home FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio.from_thread import start_blocking_portal
from prometheus_client.parser import text_string_to_metric_families

from airflow_mcp.demo.install import DEFAULT_VERSION
from tests.bench.startup import ROOT, environment
from tests.e2e.guard import guarded
from tests.e2e.harness import Json, Site
from tests.large.database import Size, build
from tests.large.played_back import DAGS, HUGE, HUGE_RUN
from tests.load.crowd import Answer, one_call, prepared
from tests.stories.world import World

LOGGED = re.compile(r"duration_us=(\d+) .*method=(\S+) path=/api/v2(\S+) query='?([^\s']*)'? status_code=\d+")
ROUNDS = 3  # of a report beside plain requests
PROBES = 8  # plain requests before and after it
BETWEEN = 0.2  # seconds from an answer to the next plain request
AFTERWARDS = 1.0  # seconds in which Airflow writes its log of requests


@dataclass(frozen=True)
class Measured:
    """What one call of a tool took: seconds, requests, and of those that Airflow logged the seconds of each."""

    seconds: float
    requests: int
    logged: list[tuple[float, str]]
    answer: Answer


class Bench:
    """The large Airflow, and our server before it at `url`."""

    def __init__(self, site: Site, url: str) -> None:
        self._site = site
        self._url = url
        self.call("list_dags", limit=1)  # logs in, and learns the version

    def call(self, tool: str, **arguments: object) -> Measured:
        """Call a tool; the server's own metrics count its requests, and Airflow's log has the seconds of most."""
        counted, logged = self._requests(), len(self._logged())
        request = prepared(tool, arguments)
        begun = time.perf_counter()
        answer = asyncio.run(one_call(self._url, request))
        seconds = time.perf_counter() - begun
        time.sleep(AFTERWARDS)
        return Measured(seconds, self._requests() - counted, self._logged()[logged:], answer)

    def plain(self) -> float:
        """Return the seconds of a plain request."""
        begun = time.perf_counter()
        self._site.held("/dags")
        return time.perf_counter() - begun

    @contextmanager
    def plain_beside(self) -> Generator[list[float]]:
        """For the block, one plain request after the other; the list grows by the seconds of each."""
        seconds, ended = list[float](), threading.Event()

        def ask() -> None:
            while not ended.is_set():
                seconds.append(self.plain())
                ended.wait(BETWEEN)

        with ExitStack() as undo:
            thread = threading.Thread(target=ask)
            thread.start()
            undo.callback(thread.join)
            undo.callback(ended.set)
            yield seconds

    def first(self, path: str) -> Json:
        """Return the first row of a list of Airflow's own API."""
        answer = self._site.held(path)
        return next(rows for rows in answer.values() if isinstance(rows, list))[0]

    def _requests(self) -> int:
        """Return how many requests to Airflow our server has sent."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self._url}/metrics", timeout=30) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        samples = [sample for family in families for sample in family.samples]
        return round(sum(one.value for one in samples if one.name == "airflow_mcp_airflow_request_seconds_count"))

    def _logged(self) -> list[tuple[float, str]]:
        """Return what Airflow has logged: all but its health, and the plain requests of others."""
        text = self._site.airflow.find_log_file("api-server").read_text(errors="replace")
        found = [(int(micro) / 1e6, f"{method} {path}?{query}") for micro, method, path, query in LOGGED.findall(text)]
        return [one for one in found if one[1] != "GET /dags?"]


def describe(name: str, measured: Measured, aim: str, longest: int = 1) -> str:
    """One call in a line: its seconds and requests, and those of its requests that took longest."""
    slowest = "; ".join(
        f"{seconds:.1f} s {line[:150]}" for seconds, line in sorted(measured.logged)[: -longest - 1 : -1]
    )
    error = "" if measured.answer.succeeded else f"; an error: {measured.answer.words[:200]}"
    return f"{name}: {measured.seconds:.1f} s, {measured.requests} requests (aim: {aim}); longest {slowest}{error}"


@contextmanager
def server(site: Site) -> Generator[str]:
    """Our server over HTTP before that Airflow, for the block; its address."""
    env = environment(site.airflow.url) | site.environment()
    command = [sys.executable, "-m", "airflow_mcp", "serve", "--transport", "http", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True) as started:
        assert started.stderr is not None
        try:
            line = next(line for line in started.stderr if "serving http" in line)
            yield line.split("serving ")[1].split("/mcp")[0]
        finally:
            started.terminate()


def compare(bench: Bench) -> str:
    """One line: plain requests beside a report against those just before and after it."""
    alone = [bench.plain() for _ in range(PROBES)]
    with bench.plain_beside() as beside:
        report = bench.call("health_report")
    alone += [bench.plain() for _ in range(PROBES)]
    loaded, idle = statistics.median(beside), statistics.median(alone)
    return (
        f"GET /dags beside a report of {report.seconds:.1f} s: {loaded / idle:.2f} x its time alone (aim: 3; median of "
        f"{len(beside)} {loaded:.2f} s, longest {max(beside):.2f} s; alone {idle:.2f} s, longest {max(alone):.2f} s)"
    )


def measure(bench: Bench) -> Generator[str]:
    """One line a measurement."""
    yield describe("health_report, the first", bench.call("health_report"), "20 s, 25 requests", longest=3)
    yield from (compare(bench) for _ in range(ROUNDS))
    failed = bench.first("/dags/~/dagRuns?state=failed&order_by=-run_after&limit=1")
    small: Json = {"dag_id": failed["dag_id"], "dag_run_id": failed["dag_run_id"]}
    huge: Json = {"dag_id": HUGE, "dag_run_id": HUGE_RUN}
    paused: Json = {"dag_id": bench.first("/dags?paused=true&limit=1")["dag_id"]}
    yield describe("diagnose_dag_run of a small run", bench.call("diagnose_dag_run", **small), "12 requests")
    yield describe(
        "diagnose_dag_run of 50,000 mapped tasks",
        bench.call("diagnose_dag_run", **huge),
        "12 requests, and one a cause",
    )
    yield describe("why_not_running of 50,000 mapped tasks", bench.call("why_not_running", **huge), "8 requests")
    yield describe(
        "why_not_running of a task of them", bench.call("why_not_running", **huge, task_id="fan"), "8 requests"
    )
    yield describe("why_not_running of a paused DAG", bench.call("why_not_running", **paused), "8 requests")
    yield describe("list_dags by part of a name", bench.call("list_dags", dag_id_pattern="_00007"), "1 request")
    yield describe(
        "get_dag of a misspelt DAG", bench.call("get_dag", dag_id=f"{DAGS[7]}x"), "1 request, and 3 for near names"
    )


def main() -> None:
    """Build the Airflow, unless it is there, and print one line a measurement."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.large")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the whole size: 0.02 is quick to build")
    parser.add_argument("--home", type=Path, help="new folder to build it in and keep it, or one that has it")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = options.home or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "airflow"
        home = folder.absolute()
        if not home.exists():
            begun = time.perf_counter()
            rows = build(home, Size(options.scale), report)
            words = ", ".join(f"{many:,} {table}" for table, many in rows.items())
            size = (home / "airflow.db").stat().st_size / 1e6
            report(f"built in {time.perf_counter() - begun:.0f} s: {words}; {size:,.0f} MB")
        stack.enter_context(guarded([home]))
        airflow = stack.enter_context(World.serve_home(DEFAULT_VERSION, home, report))
        site = Site(airflow, stack.enter_context(start_blocking_portal()), home)
        stack.callback(site.close)
        for line in measure(Bench(site, stack.enter_context(server(site)))):
            report(line)


def report(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
