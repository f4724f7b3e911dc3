"""Each shape of a secret that a person may meet is masked whole, or is one that docs/permissions.md says may pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_mcp.redact import is_sensitive, redact, redact_text
from tests.unit.redaction import MASKED, SECRET, SHAPES, parts_of

COUNTS = [
    "PASS=0",
    "Done. PASS=12 WARN=0 ERROR=1 SKIP=0 TOTAL=13",
    "PWD=/opt/airflow",
    "OLDPWD=/root",
    "tokens: 1234",
    "max_tokens=4096, total_tokens: 12,345",
    "password: None, token=null",
    "token = get_token()",
    "password = conn.password",
    "password: {{ conn.warehouse.password }}",
    "password=${DB_PASSWORD}",
    "primary_key: [id], partition_key=day, sort_key: ts, foreign_key=x, xcom_key=a, state_key=b, variable_key: c",
]


def leaks(value: Any, secret: str) -> list[str]:
    """Parts of the secret, of eight characters and more, that are readable in the value."""
    written = json.dumps(value, ensure_ascii=False)
    return [part for part in parts_of(secret) if part in written]


@pytest.mark.parametrize("shape", MASKED)
def test_a_shape_is_masked_whole(shape: str) -> None:
    value, secret = MASKED[shape]
    masked = redact(value)
    assert leaks(masked, secret) == []
    assert redact(masked) == masked


@pytest.mark.parametrize("shape", [name for name, (value, _) in MASKED.items() if isinstance(value, str)])
def test_a_shape_is_masked_whole_inside_json_and_behind_words(shape: str) -> None:
    value, secret = MASKED[shape]
    for around in ({"a": value}, json.dumps({"a": value}), f"said {json.dumps([value])} here", f"INFO - {value}"):
        assert leaks(redact(around), secret) == []


def test_each_shape_says_whether_it_is_masked() -> None:
    assert {shape["expect"] for shape in SHAPES} == {"masked", "may pass"}
    assert len(MASKED) > 350


@pytest.mark.parametrize("text", COUNTS)
def test_a_count_a_folder_a_reference_and_another_key_are_no_secrets(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize("key", ["partition", "xcom", "state", "variable", "primary", "foreign", "sort"])
def test_a_key_of_a_table_or_of_airflow_is_no_secret(key: str) -> None:
    assert redact({f"{key}_key": SECRET}) == {f"{key}_key": SECRET}


@pytest.mark.parametrize("written", ["{}_{}", "my.{}-{}", "{}{}", "x_{}_{}_2"])
def test_a_key_counts_as_a_whole_word_however_the_name_is_written(written: str) -> None:
    for word in ("access", "account", "encryption", "master", "sas", "secret", "shared", "signing", "ssh", "storage"):
        name = written.format(word, "Key" if written == "{}{}" else "key")
        assert is_sensitive(name), name
    assert not is_sensitive("compass")
    assert not is_sensitive("passenger_count")
    assert not is_sensitive("author")


def test_the_table_of_token_forms_names_a_source_for_each() -> None:
    import tomllib

    import airflow_mcp.redact

    table = tomllib.loads(Path(airflow_mcp.redact.__file__).with_name("token_forms.toml").read_text(encoding="utf-8"))
    assert [name for name, row in table.items() if not row.get("source") or not row["find"]] == []
