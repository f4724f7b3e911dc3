"""The demo command: what it refuses, what it removes, and how its steps read."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from airflow_mcp.demo.command import Steps, demo
from airflow_mcp.demo.processes import hold_lock


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own."""
    monkeypatch.setenv("AIRFLOW_MCP_DEMO_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_version_that_is_not_offered_ends_with_1_and_a_sentence(cache: Path, capsys: pytest.CaptureFixture[str]):
    assert demo(airflow_version="1.10.15") == 1
    assert "does not offer Airflow 1.10.15; choose one of" in capsys.readouterr().out


def test_clean_removes_what_demos_made_and_nothing_else(cache: Path):
    for file in (
        "environments/airflow-3.3.2/bin/python",
        "databases/airflow-3.3.2.db",
        "homes/airflow-3.3.2/lock",
        "mine",
    ):
        (cache / file).parent.mkdir(parents=True, exist_ok=True)
        (cache / file).touch()
    assert demo(clean=True) == 0
    assert [file.name for file in cache.iterdir()] == ["mine"]


def test_clean_removes_the_folder_when_nothing_else_is_in_it(cache: Path):
    (cache / "environments").mkdir(parents=True)
    assert demo(clean=True) == 0
    assert not cache.exists()


def test_clean_with_nothing_to_remove_is_no_error(cache: Path):
    assert demo(clean=True) == 0


def test_clean_refuses_while_a_demo_runs(cache: Path, capsys: pytest.CaptureFixture[str]):
    home = cache / "homes" / "airflow-3.3.2"
    with hold_lock(home / "lock", lambda: None):
        assert demo(clean=True) == 1
    assert "A demo is using" in capsys.readouterr().out
    assert home.exists()


def test_a_folder_that_cannot_be_used_ends_with_1_and_a_sentence(cache: Path, capsys: pytest.CaptureFixture[str]):
    cache.write_text("a file where the folder should be")
    assert demo() == 1
    assert "Set AIRFLOW_MCP_DEMO_HOME to another one" in capsys.readouterr().out


def test_steps_off_a_terminal_are_plain_lines_with_their_duration():
    output = io.StringIO()
    with Steps(Console(file=output)) as step:
        step("installing [1 of 2]")
        step("starting")
    lines = output.getvalue().splitlines()
    assert lines == ["installing [1 of 2] ...", "✓ installing [1 of 2] (0 s)", "starting ...", "✓ starting (0 s)"]


def test_a_step_that_fails_is_not_shown_as_done():
    output = io.StringIO()
    step = Steps(Console(file=output))
    step("starting")
    with pytest.raises(KeyError), step:
        raise KeyError
    assert output.getvalue().splitlines()[-1] == "✗ starting (0 s)"
