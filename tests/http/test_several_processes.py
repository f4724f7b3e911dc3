"""Several processes that would keep apart what belongs together are refused at the start, each with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.http.serving import serving

KEY = "a-key-of-more-than-thirty-two-characters"
STORE = "redis://127.0.0.1:9/0"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"http_workers": "2"}, "a session lives in one process, so several need --stateless"),
        ({"http_workers": "2", "http_stateless": "true"}, "need AIRFLOW_MCP_SHARED_KEY and AIRFLOW_MCP_REDIS_URL"),
        ({"shared_key": KEY}, "shared_key and redis_url go together"),
        ({"redis_url": STORE}, "shared_key and redis_url go together"),
        ({"shared_key": "short", "redis_url": STORE}, "must have 32 characters or more"),
        ({"shared_key": f"{KEY},short", "redis_url": STORE}, "must have 32 characters or more"),
        ({"shared_key": KEY, "redis_url": "http://127.0.0.1"}, "must start with redis://, rediss://, unix://"),
        ({"shared_key": KEY, "redis_url": "redis://:hunter2/x@127.0.0.1:9"}, "is no address of a Redis"),
    ],
)
def test_the_start_is_refused(tmp_path: Path, settings: dict[str, str], words: str) -> None:
    with pytest.raises(AssertionError, match="did not start") as error, serving(None, tmp_path, **settings):
        pass
    assert words in str(error.value)
    assert "hunter2" not in str(error.value)
    assert KEY not in str(error.value)
