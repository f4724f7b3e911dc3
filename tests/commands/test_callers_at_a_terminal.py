"""What an operator asks at a terminal about the callers of the file, and what the file must not say of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_mcp.http_tokens import hash_token

FILE = f"""
[tokens.alice]
sha256 = "{hash_token("token-of-alice")}"
roles = ["oncall"]
[tokens.bob]
sha256 = "{hash_token("token-of-bob")}"
[[policy.allow]]
tools = ["pause_dag"]
callers = ["role:oncall"]
"""


def said(folder: Path, *words: str, file: str = FILE) -> str:
    """Both streams of `airflow-mcp` with these words and that file."""
    config = folder / "airflow-mcp.toml"
    config.write_text(file)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_MCP_")}
    kept |= {"AIRFLOW_MCP_CONFIG": str(config), "COLUMNS": "400"}
    command = [sys.executable, "-m", "airflow_mcp", *words]
    done = subprocess.run(command, env=kept, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_a_caller_with_a_token_has_its_roles_in_an_explanation(tmp_path: Path) -> None:
    asked = ("policy", "explain", "pause_dag", "--dag", "etl", "--caller")
    assert "allowed" in said(tmp_path, *asked, "alice")
    assert "denied" in said(tmp_path, *asked, "bob")
    assert "No token is named 'allice'; did you mean alice?" in said(tmp_path, *asked, "allice")


def test_a_refusal_does_not_advise_to_allow_everybody_what_a_rule_allows_some(tmp_path: Path) -> None:
    words = said(tmp_path, "policy", "explain", "pause_dag", "--dag", "etl", "--caller", "bob")
    assert "rules allow it to other callers than 'bob'" in words
    assert "AIRFLOW_MCP_ALLOW" not in words


def test_nobody_gets_the_name_of_who_calls_without_a_token(tmp_path: Path) -> None:
    assert "Choose another one" in said(tmp_path, "token", "new", "local")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ('[tokens.local]\nsha256 = "' + "0" * 64 + '"\n', "'local', which names nobody"),
        ('[tokens."role:x"]\nsha256 = "' + "0" * 64 + '"\n', "'role:x', which names nobody"),
        ("".join(f'[tokens.{name}]\nsha256 = "{"1" * 64}"\n' for name in "ab"), "one sha256 under two names"),
        ('[tokens.alice]\nsha256 = "amcp_the-token-itself"\n', "must be the 64 hexadecimal digits"),
        (
            '[tokens.alice]\nsha265 = "' + "0" * 64 + '"\n',
            "line 2: tokens.alice.sha265 is not a setting. Did you",
        ),
        ('[token.alice]\nsha256 = "' + "0" * 64 + '"\n', "must be a text, not a table. Did you mean [tokens]?"),
        ('[[policy.allow]]\ntool = ["pause_dag"]\n', "line 2: allow rule 1: tool is not a key"),
    ],
)
def test_what_is_wrong_about_callers_is_a_sentence_with_its_line(tmp_path: Path, wrong: str, words: str) -> None:
    assert words in said(tmp_path, "policy", "check", str(tmp_path / "airflow-mcp.toml"), file=wrong)
