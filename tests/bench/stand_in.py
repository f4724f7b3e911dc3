"""A stand-in for Airflow 3 in its own process: version, login and 100 DAGs, canned.

python -m tests.bench.stand_in    prints the port it listens on and serves until its stdin closes
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_VERBS = ("load", "export", "aggregate", "check", "archive", "publish", "reconcile", "refresh", "train", "notify")
_NOUNS = ("orders", "invoices", "customers", "web_sessions", "stock_levels", "payments", "returns", "regions",
          "campaign_costs", "supplier_prices")  # fmt: skip
_TIMETABLES = ("0 3 * * *", "@daily", "*/15 * * * *", None, "Asset")
_TAGS = ("finance", "warehouse", "nightly", "team-data", "critical")


def dag(number: int) -> dict[str, Any]:
    """One DAG with every field that Airflow 3.3 gives, about as long as a real one."""
    name = f"{_VERBS[number % 10]}_{_NOUNS[number // 10]}"
    timetable = _TIMETABLES[number % 5]
    scheduled = timetable not in (None, "Asset")
    following = f"2026-11-{22 + number % 7}T03:00:00Z" if scheduled else None
    return {
        "dag_id": name, "dag_display_name": name, "is_paused": number % 3 == 0, "is_stale": False,
        "last_parsed_time": "2026-11-21T22:45:46.526902Z", "last_parse_duration": 0.4326750039999752,
        "last_expired": None, "bundle_name": "dags-folder", "bundle_version": None,
        "relative_fileloc": f"sales/{name}.py", "fileloc": f"/opt/airflow/dags/sales/{name}.py",
        "description": f"Nightly: {name.replace('_', ' ')} for every region.", "timetable_summary": timetable,
        "timetable_description": "At 03:00 AM" if scheduled else "Never, external triggers only",
        "timetable_partitioned": False, "timetable_periodic": scheduled,
        "tags": [{"name": tag, "dag_id": name, "dag_display_name": name} for tag in _TAGS[: number % 4]],
        "max_active_tasks": 16, "max_active_runs": 16, "max_consecutive_failed_dag_runs": 0,
        "has_task_concurrency_limits": False, "has_import_errors": False, "next_dagrun_logical_date": following,
        "next_dagrun_data_interval_start": following, "next_dagrun_data_interval_end": following,
        "next_dagrun_run_after": following, "allowed_run_types": None, "owners": ["data-platform"],
        "is_backfillable": scheduled, "file_token": f"{number:03d}" * 60,
    }  # fmt: skip


ANSWERS: dict[str, bytes] = {
    "/api/v2/version": json.dumps({"version": "3.3.2", "git_version": None}).encode(),
    "/api/v2/dags": json.dumps({"dags": [dag(number) for number in range(100)], "total_entries": 100}).encode(),
    "/auth/token": json.dumps({"access_token": "a-token"}).encode(),
}


class Handler(BaseHTTPRequestHandler):
    """Answers from ANSWERS on kept connections, headers and body in one write."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1024 * 1024

    def do_GET(self) -> None:
        """The canned answer of the path, whatever the query."""
        body = ANSWERS.get(urlsplit(self.path).path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until stdin closes, so that no stand-in outlives the one who started it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
