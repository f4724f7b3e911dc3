"""A wrong setting ends the start with one sentence that names it; a right one comes from the environment or a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from airflow_mcp.cli.main import main
from airflow_mcp.errors import SettingsError
from airflow_mcp.settings.settings import Settings, read_settings

PASSWORD = "s3cret-pass-of-ann"


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **variables: str) -> tuple[int, str, str]:
    """`airflow-mcp tools` as an operator runs it: exit code, stdout, stderr."""
    for name, value in variables.items():
        monkeypatch.setenv(f"AIRFLOW_MCP_{name}", value)
    monkeypatch.setattr(sys, "argv", ["airflow-mcp", "tools"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


WRONG: list[tuple[dict[str, str], str]] = [
    ({"URL": "airflow.example.com"}, "AIRFLOW_MCP_URL must be an address such as"),
    ({"URL": "ftp://airflow.example.com"}, "AIRFLOW_MCP_URL must be an address such as"),
    ({"URL": "https://"}, "AIRFLOW_MCP_URL must be an address such as"),
    ({"URL": "https://airflow.example.com/?a=1"}, "AIRFLOW_MCP_URL must be an address such as"),
    ({"URL": "https://airflow.example.com:port"}, "AIRFLOW_MCP_URL"),
    ({"URL": "https://airflow.example.com:99999"}, "AIRFLOW_MCP_URL"),
    ({"URL": "https://airflow example.com"}, "AIRFLOW_MCP_URL"),
    ({"URL": "http://[::1"}, "AIRFLOW_MCP_URL"),
    ({"URL": f"https://ann:{PASSWORD}@airflow.example.com"}, "AIRFLOW_MCP_URL must not hold a user or password"),
    ({"URL": f"https://{PASSWORD}@airflow.example.com"}, "AIRFLOW_MCP_URL must not hold a user or password"),
    ({"TIMEOUT": "soon"}, "AIRFLOW_MCP_TIMEOUT"),
    ({"TIMEOUT": "0"}, "AIRFLOW_MCP_TIMEOUT"),
    ({"TIMEOUT": "3601"}, "AIRFLOW_MCP_TIMEOUT"),
    ({"TIMEOUT": "nan"}, "AIRFLOW_MCP_TIMEOUT"),
    ({"MAX_CHARS": "999"}, "AIRFLOW_MCP_MAX_CHARS"),
    ({"MAX_CHARS": "many"}, "AIRFLOW_MCP_MAX_CHARS"),
    ({"MAX_CHARS": "10000001"}, "AIRFLOW_MCP_MAX_CHARS"),
    ({"CA_FILE": "/nowhere/ca.pem"}, "AIRFLOW_MCP_CA_FILE names no file: /nowhere/ca.pem"),
    ({"USERNAME": "ann"}, "AIRFLOW_MCP_USERNAME and AIRFLOW_MCP_PASSWORD go together"),
    ({"PASSWORD": PASSWORD}, "AIRFLOW_MCP_USERNAME and AIRFLOW_MCP_PASSWORD go together"),
    (
        {"TOKEN": PASSWORD, "USERNAME": "ann", "PASSWORD": PASSWORD},
        "AIRFLOW_MCP_TOKEN and AIRFLOW_MCP_USERNAME are set: choose one",
    ),
    ({"TOKEN": PASSWORD, "TOKEN_COMMAND": "give"}, "AIRFLOW_MCP_TOKEN and AIRFLOW_MCP_TOKEN_COMMAND are set"),
    ({"TOKEN_COMMAND": "give 'token"}, "AIRFLOW_MCP_TOKEN_COMMAND is not a command line"),
    ({"TOKEN_COMMAND": "   "}, "AIRFLOW_MCP_TOKEN_COMMAND"),
    ({"TOKEN": f"{PASSWORD}\nX-Another: header"}, "AIRFLOW_MCP_TOKEN"),
    ({"TOKEN": f"{PASSWORD}ö"}, "AIRFLOW_MCP_TOKEN"),
    ({"ALLOW": "pause_dgs"}, "AIRFLOW_MCP_ALLOW: 'pause_dgs' matches no tool. Did you mean pause_dag"),
    ({"TOOLSETS": "dagz"}, "AIRFLOW_MCP_TOOLSETS: 'dagz' is no toolset. Did you mean dags?"),
    ({"CONFIG": "/nowhere/airflow-mcp.toml"}, "AIRFLOW_MCP_CONFIG names no file: /nowhere/airflow-mcp.toml"),
]


@pytest.mark.parametrize(
    ("variables", "words"), WRONG, ids=lambda case: "-".join(case) if isinstance(case, dict) else ""
)
def test_a_wrong_value_ends_the_start_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variables: dict[str, str], words: str
) -> None:
    code, out, error = run(monkeypatch, capsys, **variables)
    assert code == 1
    assert out == ""
    assert error.startswith("airflow-mcp: ")
    assert words in error
    assert error.count("\n") == 1, "one line, and no traceback"
    assert error.endswith((".\n", "?\n"))
    assert PASSWORD not in error


def test_a_file_that_holds_no_certificate_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate", encoding="utf-8")
    code, _, error = run(monkeypatch, capsys, CA_FILE=str(file))
    assert code == 1
    assert "AIRFLOW_MCP_CA_FILE" in error
    assert error.count("\n") == 1


def test_the_server_does_not_start_with_a_wrong_setting() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "airflow_mcp"],
        env={"AIRFLOW_MCP_URL": "nowhere", "AIRFLOW_MCP_TOKN": "x"},
        capture_output=True,
        text=True,
        input="",
        timeout=120,
    )
    assert ended.returncode == 1
    assert ended.stdout == "", "stdout belongs to the protocol"
    unknown, wrong = ended.stderr.splitlines()
    assert unknown == "airflow-mcp: AIRFLOW_MCP_TOKN is not a setting and is ignored. Did you mean AIRFLOW_MCP_TOKEN?"
    assert wrong.startswith("airflow-mcp: AIRFLOW_MCP_URL must be an address")


@pytest.mark.parametrize(
    ("name", "near"),
    [("ALOW", "AIRFLOW_MCP_ALLOW"), ("TOOLSET", "AIRFLOW_MCP_TOOLSETS"), ("max_chars", ""), ("QQQQ", "")],
)
def test_a_variable_that_means_nothing_is_warned_about(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, near: str
) -> None:
    code, out, error = run(monkeypatch, capsys, **{name: "1000"})
    assert code == 0
    assert "list_dags" in out
    assert f"AIRFLOW_MCP_{name} is not a setting and is ignored." in error
    assert error.count("\n") == 1
    assert (f"Did you mean {near}?" in error) is bool(near)


def test_known_variables_are_not_warned_about(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = run(monkeypatch, capsys, DEMO_HOME="x", ALLOW="pause_dag, @destructive", TOOLSETS="all", URL="")
    assert (code, error) == (0, "")


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://airflow.example.com", "https://airflow.example.com"),
        ("https://airflow.example.com/", "https://airflow.example.com"),
        ("http://127.0.0.1:8080/team/airflow/", "http://127.0.0.1:8080/team/airflow"),
        ("https://airflow.example.com/api/v1", "https://airflow.example.com"),
        ("https://airflow.example.com/team/api/v2/", "https://airflow.example.com/team"),
    ],
)
def test_an_address_is_taken_as_people_copy_it(monkeypatch: pytest.MonkeyPatch, given: str, used: str) -> None:
    monkeypatch.setenv("AIRFLOW_MCP_URL", given)
    assert read_settings().url == used


FILE = """
url = "https://file.example.com"
username = "ann"
password = "s3cret-pass-of-ann"
allow = ["pause_dag", "@write"]
toolsets = "dags, pools"
timeout = 7.5
max_chars = 20000
"""


def test_a_file_holds_the_same_settings_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "airflow-mcp.toml"
    file.write_text(FILE, encoding="utf-8")
    monkeypatch.setenv("AIRFLOW_MCP_CONFIG", str(file))
    monkeypatch.setenv("AIRFLOW_MCP_TIMEOUT", "9")
    monkeypatch.setenv("AIRFLOW_MCP_ALLOW", "unpause_dag,delete_dag")
    settings = read_settings()
    assert settings.url == "https://file.example.com"
    assert settings.password.get_secret_value() == PASSWORD
    assert settings.toolsets == ("dags", "pools")
    assert settings.max_chars == 20_000
    assert settings.timeout == 9
    assert settings.allow == ("unpause_dag", "delete_dag")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("alow = []", "alow is not a setting. Did you mean allow?"),
        ("qqqqqq = 1", "qqqqqq is not a setting."),
        ("[airflow]\nurl = 'x'", "airflow is not a setting."),
        ("url = 'nowhere'", "url must be an address such as"),
        ("timeout = 'soon'", "timeout"),
        ("url = ", "is not TOML"),
        ("url = 'a'\nurl = 'b'", "is not TOML"),
        ("\udcff", "TOML"),
    ],
)
def test_a_wrong_file_ends_the_start_with_its_name_and_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    file = tmp_path / "airflow-mcp.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    code, out, error = run(monkeypatch, capsys, CONFIG=str(file))
    assert (code, out) == (1, "")
    assert str(file) in error
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["PASSWORD", "TOKEN"])
def test_secrets_are_not_in_what_settings_say_of_themselves(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"AIRFLOW_MCP_{name}", PASSWORD)
    if name == "PASSWORD":
        monkeypatch.setenv("AIRFLOW_MCP_USERNAME", "ann")
    settings = read_settings()
    assert PASSWORD not in repr(settings)
    assert PASSWORD not in str(settings)
    assert PASSWORD not in settings.model_dump_json()


def test_settings_cannot_be_changed_once_they_are_read() -> None:
    settings = read_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.url = "https://elsewhere.example.com"


def test_what_lies_around_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("AIRFLOW_MCP_TIMEOUT=9\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert read_settings().timeout == Settings.model_fields["timeout"].default


def test_a_token_command_is_split_into_words_as_a_shell_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_MCP_TOKEN_COMMAND", "give --for 'the airflow' $HOME")
    assert read_settings().token_command_words == ("give", "--for", "the airflow", "$HOME")


def test_a_setting_that_is_empty_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(f"AIRFLOW_MCP_{name.upper()}", "")
    assert read_settings() == Settings()


def test_a_wrong_setting_is_one_exception_for_every_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_MCP_MAX_CHARS", "1")
    with pytest.raises(SettingsError, match="AIRFLOW_MCP_MAX_CHARS"):
        read_settings()
