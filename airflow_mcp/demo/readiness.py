"""Requests to a starting Airflow: whether its scheduler is healthy, and which DAG files it has parsed."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any


def find_dag_files(folder: Path) -> set[Path]:
    """Return the files that Airflow takes for DAG files: *.py that mention both "dag" and "airflow"."""
    texts = ((file, file.read_bytes().lower()) for file in folder.rglob("*.py"))
    return {file.resolve() for file, text in texts if b"dag" in text and b"airflow" in text}


class ReadinessApi:
    """The requests of readiness. While Airflow starts they raise OSError, ValueError or HTTPException."""

    def __init__(self, version: str, url: str, username: str, password: str) -> None:
        self._old = version.startswith("2.")
        self._url, self._username, self._password = url, username, password
        self._authorization = ""
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def scheduler_is_healthy_since(self, start: datetime) -> bool:
        """Tell whether a scheduler is healthy since `start`; a kept home still has the heartbeat of an earlier run."""
        scheduler = self._ask("health" if self._old else "monitor/health")["scheduler"]
        beat = scheduler["latest_scheduler_heartbeat"]
        return scheduler["status"] == "healthy" and beat is not None and datetime.fromisoformat(beat) >= start

    def list_files(self, dags_folder: Path) -> set[Path]:
        """Return the DAG files that are listed or have an import error."""
        listed = {Path(dag["fileloc"]).resolve() for dag in self._read_pages("dags", "dags")}
        # Airflow 3 has paths relative to the folder, Airflow 2 absolute ones; joining suits both.
        failed = {
            (dags_folder / error["filename"]).resolve() for error in self._read_pages("importErrors", "import_errors")
        }
        return listed | failed

    def _read_pages(self, path: str, key: str) -> Iterator[dict[str, Any]]:
        offset, total = 0, 1
        while offset < total:
            page = self._ask(f"{path}?limit=100&offset={offset}", self._login())
            yield from page[key]
            offset, total = offset + 100, page["total_entries"]

    def _login(self) -> str:
        if self._old:
            return "Basic " + base64.b64encode(f"{self._username}:{self._password}".encode()).decode()
        if not self._authorization:
            body = json.dumps({"username": self._username, "password": self._password}).encode()
            answer = self._open("/auth/token", {"Content-Type": "application/json"}, body)
            self._authorization = f"Bearer {answer['access_token']}"
        return self._authorization

    def _ask(self, path: str, authorization: str = "") -> dict[str, Any]:
        headers = {"Authorization": authorization} if authorization else {}
        return self._open(f"/api/{'v1' if self._old else 'v2'}/{path}", headers)

    def _open(self, path: str, headers: dict[str, str], body: bytes | None = None) -> dict[str, Any]:
        request = urllib.request.Request(self._url + path, body, headers)  # noqa: S310 - our own loopback address
        with self._opener.open(request, timeout=30) as answer:
            return json.load(answer)
