"""Each shape of a secret that a person may meet is masked whole, or is one that docs/permissions.md says may pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_mcp.redact import is_sensitive, redact, redact_text
from airflow_mcp.value_excerpt import show_id
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


CODE = [
    "def get_token(self) -> str:",
    "self._token = token",
    "create(dsn=dsn, credentials=credentials)",
    "password = settings.DB, token=self.value",
    "keyfile = fields(extra, 'keyfile_dict'); access_key = get_field(extra, 'access_key')",
    "proxies = options.pop('proxies', options.pop('proxy', None))",
    "token = f'{conn.extra_dejson}'",
    "raise Error(f'no access token: {result.get('error')}')",
    "request.headers['Authorization'] = 'Bearer ' + token",
    "ARG_PASSWORD = Arg(('--password',), help='Password of the user', action='store_true')",
    "ACCESS_KEY_VARS = ('AZURE_STORAGE_ACCOUNT_KEY', 'AZURE_STORAGE_ACCESS_KEY')",
    "hash the password\n    :param password: the new one",
    "Secrets and tokens\n==================\n",
    "class Denied(Credentials):  # type: ignore",
    "(28000): Access denied for user 'etl'@'h' (using password: YES)",
    "ObjectStoragePath('s3://aws_default@bucket/')",
    "showing the basic BranchPythonOperator",
    '"password": "Password for the package index (will be masked)"',
    "AIRFLOW__SECRETS__BACKEND: airflow.secrets.local_filesystem.LocalFilesystemBackend",
    "fernet_key:\n  description: |\n    Key of the connections\n  type: string\n  default: ~\n",
]
NO_CODE = [
    "password=hunter2",
    "password = settings.DB.hunter2!",
    "self._token = 'token'",
    "token=tokenhunter2",
    "password = get('password', 'hunter2')",
    "ARG_PASSWORD = Arg('--password', default='hunter2')",
    "fernet_key:\n  description: Key\n  type: string\n  default: hunter2\n",
    "s3://key:hunter2@bucket/",
    "PWD={hunter2};",
    "password: YES-hunter2",
    "SECRETS = ('AZURE_STORAGE_ACCESS_KEY', 'hunter2')",
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


@pytest.mark.parametrize("hidden", ["\u200b", "\u2060", "\u00ad", "\ufe0f", "\x1b[31m", "\u202e", "\U000e0041"])
def test_unseen_characters_in_a_name_or_a_value_hide_no_secret(hidden: str) -> None:
    for text in (
        f"pass{hidden}word={SECRET}",
        f"password={SECRET[:6]}{hidden}{SECRET[6:]}",
        f"password{hidden}: {hidden}{SECRET}",
        f"postgresql://etl{hidden}:{SECRET}@db/x",
        json.dumps({f"pass{hidden}word": SECRET}),
    ):
        assert leaks(redact(text), SECRET) == []
        assert leaks(show_id(text), SECRET) == []
        assert leaks(redact({text: 1}), SECRET) == []
    assert leaks(redact({f"pass{hidden}word": SECRET}), SECRET) == []


def test_each_shape_says_whether_it_is_masked() -> None:
    assert {shape["expect"] for shape in SHAPES} == {"masked", "may pass"}
    assert len(MASKED) > 350


@pytest.mark.parametrize("text", COUNTS + CODE)
def test_a_count_a_folder_a_reference_code_and_another_key_are_no_secrets(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize("text", NO_CODE)
def test_a_secret_that_looks_like_code_is_masked(text: str) -> None:
    masked = redact_text(text)
    assert "***" in masked
    assert "hunter2" not in masked


def test_a_description_of_a_secret_stays_and_its_values_go() -> None:
    described = {"type": "string", "title": "Password", "default": SECRET}
    assert redact({"password": described}) == {"password": described | {"default": "***"}}
    assert redact({"token": {"label": "Token", "schema": described}}) == {
        "token": {"label": "Token", "schema": described | {"default": "***"}}
    }
    assert redact({"password": described | {"other": SECRET}}) == {"password": "***"}
    assert redact({"credentials": {"type": "basic", "label": SECRET}}) == {"credentials": "***"}


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
