"""Which errors are Airflow's own words, and which those of something between here and Airflow."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_mcp.airflow.wire import is_own_error, is_refusal

OWN: list[Any] = [
    {"detail": "The Pool with name: `x` was not found"},
    {"detail": [{"loc": ["body", "slots"], "msg": "Input should be valid", "type": "int_type"}]},
    {"detail": {"reason": "Unique constraint violation", "statement": "INSERT", "orig_error": "x"}},
    {"type": "about:blank", "title": "Not Found", "status": 404, "detail": None},
]
FOREIGN: list[bytes] = [
    b"",
    b"<html>404 Not Found</html>",
    b'{"detail": "cut',
    b'{"message": "no Route matched"}',
    b'{"error": "not_found"}',
    b'{"title": "a page"}',
    b'{"detail": null}',
    b"[]",
    b'"detail"',
    b"null",
    b"[" * 100_000,
]


@pytest.mark.parametrize("body", OWN)
def test_an_error_with_detail_or_with_title_and_type_is_airflows_own(body: Any) -> None:
    assert is_own_error(json.dumps(body).encode())


@pytest.mark.parametrize("content", FOREIGN, ids=range(len(FOREIGN)))
def test_an_error_in_another_form_is_not_airflows_own(content: bytes) -> None:
    assert not is_own_error(content)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 415, 422])
def test_these_statuses_refuse_in_airflows_own_words_alone(status: int) -> None:
    assert is_refusal(status, b'{"detail": "no"}')
    assert not is_refusal(status, b"<html>no</html>")


@pytest.mark.parametrize("status", [200, 302, 429, 500, 502, 503, 504])
def test_other_statuses_never_say_that_nothing_was_done(status: int) -> None:
    assert not is_refusal(status, b'{"detail": "no"}')
