"""The commands `doctor`, `call` and `tools` as a person runs them, against both Airflows and against none."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

from .harness import PATIENCE, Site

OWN = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_MCP_")}
WRONG = "hunter2-wrong-password"


def run(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """A command of airflow-mcp, run to its end."""
    return subprocess.run(
        [sys.executable, "-m", "airflow_mcp", *words],
        env=OWN | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[str, str]]:
    """Each line of the doctor: what it is about -> ok or bad, and its words."""
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    return {about: (mark, words) for mark, about, words in lines}


def test_the_doctor_finds_a_healthy_setting_well(site: Site) -> None:
    done = run(site.environment(allow="@write"), "doctor")
    assert (done.returncode, done.stderr) == (0, "")
    found = findings(done)
    assert {mark for mark, _ in found.values()} == {"ok"}
    assert list(found) == ["address", "version", "login", "rights", "policy"]
    assert site.airflow.url in found["address"][1]
    assert ("Airflow 2.11, REST API /api/v1" if site.is_old else "Airflow 3.3, REST API /api/v2") in found["version"][1]
    assert "'admin'" in found["login"][1]
    assert "DAGs, runs, pools, event logs" in found["rights"][1]
    assert "trigger_dag_run" in found["policy"][1]
    assert "delete_dag" not in found["policy"][1]


def test_the_doctor_says_what_a_viewer_may_not_read(site: Site) -> None:
    done = run(site.environment("viewer"), "doctor")
    assert done.returncode == 0
    rights = findings(done)["rights"][1]
    assert ("not event logs" in rights) is site.is_old  # the Viewer of 3.x's simple auth manager may
    assert "reads only" in findings(done)["policy"][1]


def test_the_doctor_ends_with_1_at_a_wrong_password_and_does_not_say_it(site: Site) -> None:
    done = run(site.environment(password=WRONG), "doctor")
    assert done.returncode == 1
    found = findings(done)
    assert {about: mark for about, (mark, _) in found.items()} == {"address": "ok", "version": "ok", "login": "bad"}
    assert "AIRFLOW_MCP_PASSWORD" in found["login"][1]
    assert WRONG not in done.stdout + done.stderr


def test_the_doctor_ends_with_1_and_one_line_when_airflow_is_down() -> None:
    with socket.socket() as taken:  # bound and not listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = run({"AIRFLOW_MCP_URL": url}, "doctor")
    assert (done.returncode, done.stderr) == (1, "")
    words = f"Airflow at {url} cannot be reached. Is it running, and is AIRFLOW_MCP_URL right?"
    assert findings(done) == {"address": ("bad", words)}


def test_call_prints_an_answer_as_one_line_of_json(site: Site) -> None:
    site.ended("ok", "ok-1")
    done = run(site.environment(), "call", "get_dag_run", "dag_id=ok", "dag_run_id=ok-1")
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert json.loads(line) == site.reader.ask("get_dag_run", dag_id="ok", dag_run_id="ok-1")


def test_call_reads_json_in_its_arguments_and_shows_progress_on_stderr(site: Site) -> None:
    site.ended("mapped", "map-1")
    done = run(site.environment(), "call", "list_dags", 'tags=["good"]', "limit=1")
    assert json.loads(done.stdout)["total"] == 1
    done = run(site.environment(), "call", "wait_for_dag_run", "dag_id=mapped", "dag_run_id=map-1")
    assert json.loads(done.stdout)["state"] == "failed"
    assert done.stderr == "6/6 failed: 1 failed, 4 success, 1 upstream_failed\n"


def test_call_is_under_the_same_policy_as_any_client(site: Site) -> None:
    words = ("call", "trigger_dag_run", "dag_id=still", "dag_run_id=by-call")
    done = run(site.environment(), *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert "AIRFLOW_MCP_ALLOW" in done.stderr
    assert site.rest("GET", "/dags/still/dagRuns/by-call")[0] == 404
    done = run(site.environment(allow="trigger_dag_run"), *words)
    assert done.returncode == 0
    assert site.held("/dags/still/dagRuns/by-call")["state"] == "queued"


def test_call_ends_with_1_and_a_sentence_when_there_is_no_such_dag(site: Site) -> None:
    done = run(site.environment(), "call", "get_dag", "dag_id=okk")
    assert (done.returncode, done.stdout) == (1, "")
    sentence, call = done.stderr.splitlines()
    assert sentence == "airflow-mcp: There is no DAG 'okk'. Did you mean ok?"
    assert call.startswith("  list_dags {"), "the call that shows what there is"


def test_tools_prints_every_tool_and_asks_no_airflow(site: Site) -> None:
    before = site.requests()
    done = run(site.environment(allow="pause_dag"), "tools")
    assert done.returncode == 0
    standing = {words[0]: " ".join(words[1:]) for line in done.stdout.splitlines() if (words := line.split())}
    assert standing["pause_dag"].startswith("write listed")
    assert standing["delete_dag"].startswith("destructive refused")
    assert standing["list_dags"].startswith("read listed")
    assert not [line for line in site.requests()[len(before) :] if "/version" in line]
