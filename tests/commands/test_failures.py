"""A login that fails and an Airflow that is not there are told once, in the words of whoever configured them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.http.upstream import upstream
from tests.unit.fake_airflow import FakeAirflow, Reply

NOWHERE = "http://127.0.0.1:9"
COMMANDS = ("doctor", "call list_dags", "call health_report")


@pytest.fixture(scope="module")
def refusing() -> Generator[FakeAirflow]:
    """An Airflow that takes no login."""
    with upstream(FakeAirflow().otherwise(Reply(401, {"detail": "Invalid credentials"}))) as served:
        yield served


def run(folder: Path, words: str, config: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """A command, run to its end with that file and these variables."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_MCP_")}
    own |= {f"AIRFLOW_MCP_{name}": value for name, value in variables.items()} | {"COLUMNS": "400"}
    if config:
        file = folder / "airflow-mcp.toml"
        file.write_text(config)
        own["AIRFLOW_MCP_CONFIG"] = str(file)
    command = [sys.executable, "-m", "airflow_mcp", *words.split()]
    return subprocess.run(command, env=own, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize(
    ("config", "variables", "setting"),
    [
        ("", {"URL": NOWHERE}, "is AIRFLOW_MCP_URL right?"),
        (f'url = "{NOWHERE}"', {}, "is url in airflow-mcp.toml right?"),
        ('url = "http://127.0.0.1:10"', {"URL": NOWHERE}, "is AIRFLOW_MCP_URL right?"),
    ],
)
def test_an_airflow_that_is_not_there_is_told_once_with_the_setting_that_was_used(
    tmp_path: Path, words: str, config: str, variables: dict[str, str], setting: str
) -> None:
    done = run(tmp_path, words, config, **variables)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert said.count("cannot be reached") == 1
    assert said.count(setting) == 1
    assert said.count("AIRFLOW_MCP_") == setting.count("AIRFLOW_MCP_")
    assert str(tmp_path) not in said


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize(
    ("config", "settings"),
    [
        ("", ("AIRFLOW_MCP_USERNAME and AIRFLOW_MCP_PASSWORD",)),
        ('username = "ann"\npassword = "wr0ng"', ("username in airflow-mcp.toml and password in airflow-mcp.toml",)),
    ],
)
def test_a_login_that_fails_is_told_once(
    tmp_path: Path, refusing: FakeAirflow, words: str, config: str, settings: tuple[str, ...]
) -> None:
    variables = {} if config else {"USERNAME": "ann", "PASSWORD": "wr0ng"}
    done = run(tmp_path, words, config, URL=refusing.url, **variables)
    said = done.stdout + done.stderr
    assert done.returncode == (0 if words == "call health_report" else 1), (
        "which processes are alive is told to anybody"
    )
    assert said.count("does not accept user 'ann'") == 1
    for setting in settings:
        assert setting in said
    assert "wr0ng" not in said


@pytest.mark.parametrize("words", ["doctor", "call health_report"])
def test_each_of_several_airflows_is_told_by_its_name_and_with_its_own_setting(
    tmp_path: Path, refusing: FakeAirflow, words: str
) -> None:
    config = (
        f'[instances.prod]\nurl = "{NOWHERE}"\n'
        f'[instances.staging]\nurl = "{refusing.url}"\nusername = "ann"\npassword = "wr0ng"\n'
    )
    done = run(tmp_path, words, config)
    said = done.stdout + done.stderr
    assert done.returncode == (1 if words == "doctor" else 0)
    assert said.count(f"prod: Airflow at {NOWHERE} cannot be reached") == said.count("cannot be reached") == 1
    assert said.count("staging: Airflow does not accept user 'ann'") == said.count("does not accept") == 1
    assert "is instances.prod.url right?" in said
    assert "Check instances.staging.username and instances.staging.password" in said
    assert "AIRFLOW_MCP_" not in said


def test_a_call_of_one_of_several_airflows_names_it(tmp_path: Path) -> None:
    config = f'[instances.prod]\nurl = "{NOWHERE}"\n[instances.staging]\nurl = "{NOWHERE}"\n'
    done = run(tmp_path, "call list_dags instance=staging", config)
    assert done.stderr.startswith("airflow-mcp: staging: Airflow at")
    assert len(done.stderr.splitlines()) == 1
