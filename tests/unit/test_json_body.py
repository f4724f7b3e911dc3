"""A large body is parsed in pieces into exactly what `json.loads` makes of it, and what is no JSON is none."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mcp.airflow.json_body import parse_json

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(["}, {", '","', "],[", "\\", '"', "a,b", "\ud83d", "\x00"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(st.text(max_size=6), inner, max_size=6)),
    max_leaves=20,
)
LARGE = st.builds(
    lambda part, times, where: {"before": part, where: [part] * times, "behind": {"x": [part] * (times // 7)}},
    VALUES,
    st.integers(500, 6000),
    st.text(max_size=8),
)


def parsed(text: str) -> Any:
    async def parse() -> Any:
        return await parse_json(text.encode("utf-8", "surrogatepass"))

    return anyio.run(parse)


@given(value=LARGE, indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_large_body_is_parsed_like_json_loads(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert parsed(text) == json.loads(text)


@pytest.mark.parametrize(
    "value",
    [
        list(range(100_000)),
        ["x" * 300_000, 1.5, {"a": "y" * 200_000}],
        {str(number): number / 7 for number in range(30_000)},
        [[[["z"] * 30_000], {}], [], {"k": [{}] * 40_000}],
        "one text " * 20_000,
        10**4000,
    ],
    ids=["numbers", "texts", "object", "nested", "text", "number"],
)
def test_each_kind_of_large_value_is_parsed(value: Any) -> None:
    assert parsed(json.dumps(value)) == value
    assert parsed(f" \n{json.dumps(value, indent=2)}\t ") == value


@given(value=LARGE, place=st.floats(0, 1), sign=st.sampled_from(["", "]", "}", ",", ":", '"', "x", "1", "\x01"]))
def test_broken_body_is_refused_like_by_json_loads(value: Any, place: float, sign: str) -> None:
    text = json.dumps(value)
    cut = int(len(text) * place)
    broken = text[:cut] + sign + text[cut + 1 :]
    try:
        expected = json.loads(broken)
    except ValueError:
        with pytest.raises(ValueError, match=r"char|UTF|utf"):
            parsed(broken)
    else:
        assert parsed(broken) == expected


def test_last_of_equal_keys_wins() -> None:
    text = '{"a": 1, "b": [' + "0," * 50_000 + '0], "a": 2}'
    assert parsed(text)["a"] == 2


@pytest.mark.parametrize("times", [1, 60_000])
def test_numbers_that_json_does_not_have_become_texts(times: int) -> None:
    text = "[" + ",".join(["NaN", "Infinity", "-Infinity"] * times) + "]"
    assert parsed(text) == ["NaN", "Infinity", "-Infinity"] * times


@pytest.mark.parametrize("depth", [5_000, 200_000])
def test_what_is_nested_too_deeply_is_refused(depth: int) -> None:
    with pytest.raises(RecursionError):
        parsed("[" * depth + "]" * depth)
