"""File of the audit trail: complete lines from several processes, and an end line for every change.

A line is written in one call under a lock of the file (flock). A part that a full disk cut off is removed, or else the
next line begins on a line of its own. A change whose process was killed is ended by the next start on the same file.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from airflow_mcp.catalog.grammar import Json

if sys.platform != "win32":
    import fcntl

_log = logging.getLogger(__name__)
_MOST_READ = 64 * 1024 * 1024  # bytes at the end of the file in which a start looks for changes without an end
_FIELDS = ("request_id", "http_request_id", "trace_id", "caller", "instance", "tool", "through", "class", "decision",
         "rule", "targets", "affected", "plan", "arguments")  # fmt: skip


class AuditFile:
    """One open audit file. Raises OSError where it cannot be opened."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._is_regular = not Path(path).exists() or stat.S_ISREG(Path(path).stat().st_mode)
        access = os.O_RDWR if self._is_regular else os.O_WRONLY
        self._descriptor = os.open(path, access | os.O_APPEND | os.O_CREAT, 0o600)

    def append(self, line: Json) -> None:
        """Write one complete line. Raises OSError, and removes a partial line where that is possible."""
        with self._lock():
            self._append(line)

    def close(self) -> None:
        """Close the file. Raises OSError for what could not be written."""
        os.close(self._descriptor)

    def end_open_changes(self) -> int:
        """Write the end line of each change whose process is gone, and return their number. Raises OSError."""
        if not self._is_regular:
            return 0
        with self._lock():
            open_lines = [line for line in self._find_open_lines() if _is_gone(line)]
            for line in open_lines:
                self._append(_build_end_line(line))
        return len(open_lines)

    def _append(self, line: Json) -> None:
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"
        data = text.encode("utf-8", "backslashreplace")
        size = os.fstat(self._descriptor).st_size if self._is_regular else 0
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":  # the last line is incomplete
            data = b"\n" + data
        if os.write(self._descriptor, data) != len(data):
            with suppress(OSError):
                os.ftruncate(self._descriptor, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @contextmanager
    def _lock(self) -> Generator[None]:
        if not self._is_regular or sys.platform == "win32":
            yield
            return
        with suppress(OSError):  # a file system without locks: a single write is complete all the same
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _find_open_lines(self) -> list[Json]:
        """Return the lines of changes that began and have no end."""
        open_lines: dict[str, Json] = {}
        for line in self._read_lines():
            if line.get("phase") == "begins":
                open_lines[str(line["id"])] = line
            else:
                open_lines.pop(str(line["id"]), None)
        return [*open_lines.values()]

    def _read_lines(self) -> Iterator[Json]:
        with Path(self._path).open("rb") as file:
            file.seek(max(0, os.fstat(self._descriptor).st_size - _MOST_READ))
            for raw in file:
                if b'"id":' not in raw:  # a read, or a change that was refused
                    continue
                try:
                    line = json.loads(raw)
                except (ValueError, RecursionError):
                    continue
                if isinstance(line, dict) and "id" in line:
                    yield line


def describe_process() -> Json:
    """Return this process as a line names it: host, pid, and start time, since the pid may be reused later."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": read_start_time(os.getpid())}


def read_start_time(pid: int) -> str:
    """Return when a process started, in the format of this system; empty where no such process exists."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
    else:
        return "" if fields[0] in "ZX" else f"{boot} {fields[19]}"  # proc(5): starttime, the 22nd field of all
    command = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=5).stdout.strip()  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _is_gone(line: Json) -> bool:
    """Return whether a line's process ran on this host and has ended; False for other hosts, where it is unknown."""
    process = line.get("process")
    if not isinstance(process, dict) or process.get("host") != socket.gethostname():
        return False
    pid = process.get("pid")
    return isinstance(pid, int) and read_start_time(pid) != process.get("started")


def _build_end_line(line: Json) -> Json:
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "phase": "ends",
        "id": line["id"],
        "process": line["process"],
        **{key: line[key] for key in _FIELDS if key in line},
        "outcome": "unknown",
        "error": "outcome unknown: the process ended before it could write what came of this",
    }
