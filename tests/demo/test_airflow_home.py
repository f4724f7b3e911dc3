"""What a home remembers and the environment its Airflow gets: private, on loopback, and nobody else's settings."""

import socket
from pathlib import Path

import pytest

from airflow_mcp.demo.airflow_home import (
    LOOPBACK,
    HomeMemory,
    build_environment,
    find_free_ports,
    list_processes,
    write_private,
)
from airflow_mcp.demo.install import RELEASES
from airflow_mcp.demo.processes import MARK
from airflow_mcp.demo.readiness import find_dag_files


def environment_of(version: str, home: Path, memory: HomeMemory) -> dict[str, str]:
    return build_environment(
        version, home, home / "dags", memory, home / "bin" / "python", {"admin": "admin", "eve": "viewer"}
    )


def test_a_home_remembers_its_mark_and_passwords_and_only_its_owner_may_read_them(tmp_path: Path):
    memory = HomeMemory.load(tmp_path)
    password = memory.password("admin")
    memory.save(tmp_path)
    again = HomeMemory.load(tmp_path)
    assert again == memory
    assert again.password("admin") == password
    assert (tmp_path / "memory.json").stat().st_mode & 0o777 == 0o600


def test_two_homes_share_nothing(tmp_path: Path):
    first, second = HomeMemory.load(tmp_path), HomeMemory.load(tmp_path)
    assert first.password("admin") != second.password("admin")
    assert first.mark != second.mark
    assert first.fernet_key != second.fernet_key


def test_a_private_file_is_private_even_over_one_that_was_not(tmp_path: Path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "file.partial").write_text("left by a killed writer")
    write_private(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_the_ports_of_last_time_are_taken_again_unless_someone_listens_on_them():
    first, second = find_free_ports(0, 0)
    assert first != second
    assert find_free_ports(first, second) == [first, second]
    with socket.create_server((LOOPBACK, first)):
        again = find_free_ports(first, second)
    assert again[0] != first
    assert again[1] == second


@pytest.mark.parametrize("version", RELEASES)
def test_everything_that_listens_is_told_to_listen_on_loopback(version: str, tmp_path: Path):
    env = environment_of(version, tmp_path, HomeMemory(port=4711))
    server = "API__" if version == "3.3.2" else "WEBSERVER__WEB_SERVER_"
    assert env[f"AIRFLOW__{server}HOST"] == LOOPBACK
    assert env[f"AIRFLOW__{server}PORT"] == "4711"
    parts = list_processes(version, HomeMemory())
    assert "--skip-serve-logs" in parts["scheduler"].words
    assert "--skip-serve-logs" in parts["triggerer"].words


@pytest.mark.parametrize("version", RELEASES)
def test_settings_of_another_airflow_do_not_reach_ours(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW__CORE__SQL_ALCHEMY_CONN", "postgresql://production")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgresql://production")
    monkeypatch.setenv("AIRFLOW_MCP_PASSWORD", "of production")
    env = environment_of(version, tmp_path, HomeMemory())
    assert not [value for value in env.values() if "production" in value]


@pytest.mark.parametrize("version", RELEASES)
def test_no_usage_data_leaves_and_every_process_carries_the_mark(version: str, tmp_path: Path):
    memory = HomeMemory()
    env = environment_of(version, tmp_path, memory)
    assert env["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] == "False"
    assert env["SCARF_NO_ANALYTICS"] == "true"
    assert env[MARK] == memory.mark


def test_a_dag_file_is_one_that_mentions_both_words(tmp_path: Path):
    (tmp_path / "orders.py").write_text("from airflow.sdk import DAG")
    (tmp_path / "helper.py").write_text("import airflow")
    (tmp_path / "notes.txt").write_text("airflow dag")
    assert find_dag_files(tmp_path) == {(tmp_path / "orders.py").resolve()}
