"""MCP's own conformance suite against the product's HTTP application, by both frozen sets of requirements."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.node import HERE, MODULES, installed, node
from tests.http.serving import serving
from tests.unit.fake_airflow import FakeAirflow

SUITE = "@modelcontextprotocol/conformance"
SERVER = "-m tests.conformance.server"
KNOWN = HERE / "expected_failures_stateless.yml"
# Checks that pass and fail, of the scenarios that are required and those that wait to be; extensions are none of ours.
CHECKS = {
    ("sessions", "2025-11-25"): (81, 0),
    ("sessions", "2026-07-28"): (152, 0),
    ("stateless", "2025-11-25"): (63, 4),
    ("stateless", "2026-07-28"): (152, 0),
}
SCENARIOS = {"2025-11-25": 30, "2026-07-28": 37}  # required of a server


@pytest.mark.parametrize(("mode", "revision"), CHECKS)
def test_every_scenario_that_a_revision_requires_of_a_server_passes(
    airflow: FakeAirflow, tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str, revision: str
) -> None:
    known = mode == "stateless" and revision == "2025-11-25"
    options = ("--expected-failures", str(KNOWN)) if known else ()
    out = tmp_path / "results"
    with serving(airflow, tmp_path, program=SERVER, http_stateless=str(mode == "stateless")) as served:
        asked = ("--url", f"{served.url}/mcp", "--requirements", revision, "--output-dir", str(out), *options)
        done = node(installed(SUITE, "conformance"), "server", *asked)
        assert done.returncode == 0, f"{done.stdout[-4000:]}{done.stderr[-2000:]}{served.stderr[-2000:]}"
    results = results_of(out)
    required, pending = scenarios_of(revision)
    assert len(required) == SCENARIOS[revision]
    assert required | pending <= results.keys()
    passed = {name for name in required if results[name]["SUCCESS"] and not results[name]["FAILURE"]}
    assert required - passed == (set(yaml.safe_load(KNOWN.read_text(encoding="utf-8"))["server"]) if known else set())
    counts = sum((results[name] for name in required | pending), Counter[str]())
    with capsys.disabled():
        print(
            f"\nconformance {revision}, {mode}: {len(passed)} of {len(required)} required scenarios; "
            f"{counts['SUCCESS']} checks passed, {counts['FAILURE']} failed, {counts['WARNING']} warnings"
        )
    assert (counts["SUCCESS"], counts["FAILURE"]) == CHECKS[mode, revision]


def results_of(folder: Path) -> dict[str, Counter[str]]:
    """Scenario -> how many of its checks ended as SUCCESS, FAILURE, WARNING, from the files that the suite wrote."""
    found: dict[str, Counter[str]] = {}
    for file in folder.glob("server-*/checks.json"):
        name = file.parent.name.removeprefix("server-").rsplit("-", 6)[0]  # behind it stands a time, 2026-11-25T08-...
        found[name] = Counter(check["status"] for check in json.loads(file.read_text(encoding="utf-8")))
    return found


def scenarios_of(revision: str) -> tuple[set[str], set[str]]:
    """What the frozen set requires of a server, and what it runs without counting it, but for extensions."""
    file = MODULES / SUITE / "requirements" / f"{revision}.yaml"
    frozen: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    others = [one for one in frozen["not_scored"] if one["leg"] == "server" and one["reason"] != "extension"]
    return set(frozen["server"]), {one["scenario"] for one in others}
