"""What several processes must share is asked for at start, in one sentence, and is never shown."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_mcp.errors import SettingsError
from airflow_mcp.settings.settings import read_settings

KEY = "k" * 32
REDIS = "redis://:hunter2@127.0.0.1:6379/0"
SHARED = {"shared_key": KEY, "redis_url": REDIS}


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"shared_key": KEY}, "shared_key needs redis_url"),
        ({"http_workers": 2, "http_stateless": True}, "needs shared_key and redis_url"),
        ({"http_workers": 2, "http_stateless": True, "redis_url": REDIS}, "needs shared_key and redis_url"),
        ({"http_workers": 2, **SHARED}, "Serve with --stateless or with one worker"),
        ({**SHARED, "shared_key": "hunter2"}, "SHARED_KEY must be 32 characters or more"),
        ({**SHARED, "shared_key": f"{KEY},hunter2"}, "SHARED_KEY must be 32 characters or more"),
        ({**SHARED, "redis_url": "http://:hunter2@redis"}, "REDIS_URL must be an address"),
        ({**SHARED, "redis_url": "redis://:hunter2@redis:many"}, "REDIS_URL must be an address"),
        ({**SHARED, "redis_url": "unix://"}, "REDIS_URL must be an address"),
    ],
)
def test_what_replicas_lack_ends_the_start(said: dict[str, Any], sentence: str, monkeypatch: Any) -> None:
    for name, value in said.items():
        monkeypatch.setenv(f"AIRFLOW_MCP_{name.upper()}", str(value))
    with pytest.raises(SettingsError) as refused:
        read_settings()
    assert sentence in str(refused.value)
    assert str(refused.value).endswith(".")
    assert KEY not in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "said",
    [
        {"http_stateless": True},
        {"redis_url": REDIS},
        {**SHARED, "http_workers": 2, "http_stateless": True},
        {**SHARED, "redis_url": "unix:///run/redis.sock"},
        {**SHARED, "redis_url": "rediss://user:hunter2@redis.example.com"},
    ],
)
def test_what_is_enough_starts_and_hides_its_secrets(said: dict[str, Any]) -> None:
    settings = read_settings(**said)
    assert KEY not in repr(settings)
    assert "hunter2" not in repr(settings)


def test_the_first_key_of_a_list_seals() -> None:
    assert read_settings(redis_url=REDIS, shared_key=f"{KEY}, {'o' * 32}").shared_keys == (KEY, "o" * 32)
