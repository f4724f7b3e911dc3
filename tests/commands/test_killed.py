"""A real server over stdio whose process ends at each step of a change: what stands in the audit trail afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from airflow_mcp.dispatch.safety.audit_file import AuditFile, describe_process

Json = dict[str, Any]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these signals are POSIX's")
PAUSE = {"name": "pause_dag", "arguments": {"dag_id": "etl"}}


class Airflow(BaseHTTPRequestHandler):
    """Answers the version, and a change once it is let go."""

    arrived: ClassVar[threading.Event]
    released: ClassVar[threading.Event]
    held: ClassVar[str]

    def do_GET(self) -> None:
        self._hold()
        self._answer({"version": "3.3.2"} if self.path.endswith("/version") else {"dag_id": "etl"})

    def do_PATCH(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._hold()
        self._answer({"dag_id": "etl", "is_paused": True})

    def _hold(self) -> None:
        if self.held == self.command:
            self.arrived.set()
            self.released.wait(30)

    def _answer(self, body: Json) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def airflow(held: str) -> Generator[type[Airflow]]:
    class Held(Airflow):
        arrived, released = threading.Event(), threading.Event()

    Held.held = held
    with ThreadingHTTPServer(("127.0.0.1", 0), Held) as listening:
        listening.daemon_threads = True
        Held.address = f"http://127.0.0.1:{listening.server_address[1]}"  # type: ignore[attr-defined]
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        try:
            yield Held
        finally:
            Held.released.set()
            listening.shutdown()


@contextmanager
def server(place: Any, trail: Path) -> Generator[subprocess.Popen[bytes]]:
    """A server over stdio that has shaken hands."""
    settings = {"URL": place.address, "TOKEN": "sample", "ALLOW": "pause_dag", "AUDIT": str(trail)}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_MCP_")},
        **{f"AIRFLOW_MCP_{name}": value for name, value in settings.items()},
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow_mcp"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    try:
        hello: Json = {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "a test", "version": "1"},
        }
        say(process, id=1, method="initialize", params=hello)
        assert process.stdout
        process.stdout.readline()
        say(process, method="notifications/initialized")
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                pipe.close() if pipe else None


def say(process: subprocess.Popen[bytes], **message: Any) -> None:
    assert process.stdin
    process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    process.stdin.flush()


def lines_of(trail: Path) -> list[Json]:
    return [json.loads(line) for line in trail.read_text().splitlines()] if trail.exists() else []


def end(process: subprocess.Popen[bytes], how: str) -> None:
    """By a signal, or by closing stdin."""
    if how == "stdin":
        assert process.stdin
        process.stdin.close()
    else:
        process.send_signal(getattr(signal, how))


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "stdin"])
def test_a_change_in_flight_has_both_its_lines(tmp_path: Path, how: str) -> None:
    trail = tmp_path / "audit.jsonl"
    with airflow("PATCH") as place, server(place, trail) as process:
        say(process, id=2, method="tools/call", params=PAUSE)
        assert place.arrived.wait(60)
        end(process, how)
        place.released.set()
        process.wait(60)
    begins, ends = lines_of(trail)
    assert (begins["phase"], ends["phase"]) == ("begins", "ends")
    assert begins["id"] == ends["id"]
    assert ends.get("status") == 200 or ends["outcome"] == "unknown"


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "SIGKILL", "stdin"])
def test_a_process_that_ends_before_the_change_is_announced_leaves_nothing_open(tmp_path: Path, how: str) -> None:
    trail = tmp_path / "audit.jsonl"
    with airflow("GET") as place, server(place, trail) as process:
        say(process, id=2, method="tools/call", params=PAUSE)
        assert place.arrived.wait(60)
        end(process, how)
        place.released.set()
        process.wait(60)
    assert [line["phase"] for line in lines_of(trail)] in ([], ["ends"], ["begins", "ends"])  # it may get that far yet
    assert AuditFile(str(trail)).end_open_changes() == 0


def test_after_a_kill_the_next_start_ends_what_was_open_once(tmp_path: Path) -> None:
    trail = tmp_path / "audit.jsonl"
    with airflow("PATCH") as place, server(place, trail) as process:
        say(process, id=2, method="tools/call", params=PAUSE)
        assert place.arrived.wait(60)
        (begins,) = lines_of(trail)
        assert begins["process"]["pid"] == process.pid
        process.kill()
        process.wait()
    with airflow("") as place, server(place, trail):
        pass
    with airflow("") as place, server(place, trail):
        begins, ends = lines_of(trail)
    assert (ends["phase"], ends["id"], ends["outcome"]) == ("ends", begins["id"], "unknown")
    assert ends["error"].startswith("outcome unknown")
    assert (ends["tool"], ends["arguments"]) == ("pause_dag", {"dag_id": "etl"})


def test_a_kill_after_the_answer_leaves_nothing_to_end(tmp_path: Path) -> None:
    trail = tmp_path / "audit.jsonl"
    with airflow("") as place, server(place, trail) as process:
        say(process, id=2, method="tools/call", params=PAUSE)
        assert process.stdout
        assert json.loads(process.stdout.readline())["id"] == 2
        process.kill()
        process.wait()
    assert [line["phase"] for line in lines_of(trail)] == ["begins", "ends"]
    assert AuditFile(str(trail)).end_open_changes() == 0


def test_a_change_of_a_process_that_lives_or_of_another_host_is_left_alone(tmp_path: Path) -> None:
    trail = tmp_path / "audit.jsonl"
    file = AuditFile(str(trail))
    mine = describe_process()
    for number, process in enumerate([mine, {**mine, "host": "another.example"}, {**mine, "started": "long ago"}]):
        file.append({"phase": "begins", "id": f"id{number}", "process": process})
    assert file.end_open_changes() == 1
    assert [line["id"] for line in lines_of(trail) if line["phase"] == "ends"] == ["id2"]
    assert file.end_open_changes() == 0


SHORT = """
import resource, signal, sys
from airflow_mcp.dispatch.safety.audit_file import AuditFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = AuditFile(sys.argv[1])
file.append({"n": 1})
size = len(open(sys.argv[1], "rb").read())
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5, resource.RLIM_INFINITY))
try:
    file.append({"n": 2, "text": "x" * 100})
except OSError:
    print("refused")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
file.append({"n": 3})
"""


def test_a_line_that_a_full_disk_cut_swallows_no_other(tmp_path: Path) -> None:
    trail = tmp_path / "audit.jsonl"
    made = subprocess.run([sys.executable, "-c", SHORT, str(trail)], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "refused"
    assert [line["n"] for line in lines_of(trail)] == [1, 3]


def test_what_another_process_left_cut_does_not_take_the_next_line(tmp_path: Path) -> None:
    trail = tmp_path / "audit.jsonl"
    trail.write_bytes(b'{"phase":"ends","tool":"get_d')
    AuditFile(str(trail)).append({"n": 1})
    assert trail.read_bytes().endswith(b'get_d\n{"n":1}\n')


MANY = """
import sys
from airflow_mcp.dispatch.safety.audit_file import AuditFile
file = AuditFile(sys.argv[1])
for number in range(200):
    file.append({"who": sys.argv[2], "n": number, "text": "x" * 5000})
"""


def test_lines_of_several_processes_stay_whole(tmp_path: Path) -> None:
    trail = tmp_path / "audit.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", MANY, str(trail), str(who)]) for who in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    lines = lines_of(trail)
    assert len(lines) == 600
    assert all([line["n"] for line in lines if line["who"] == str(who)] == [*range(200)] for who in range(3))
