"""The shapes of secrets that the tests of masking share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FILE = json.loads(Path(__file__).with_name("redaction_shapes.json").read_text(encoding="utf-8"))
SECRET: str = _FILE["secret"]
SHAPES: list[dict[str, Any]] = _FILE["shapes"]


def _filled(value: Any) -> Any:
    return json.loads(json.dumps(value).replace("{secret}", SECRET))


MASKED: dict[str, tuple[Any, str]] = {
    shape["name"]: (_filled(shape["value"]), _filled(shape.get("secret", SECRET)))
    for shape in SHAPES
    if shape["expect"] == "masked"
}
"""Value and secret by the name of the shape."""


def parts_of(secret: str, size: int = 8) -> list[str]:
    """Every run of `size` characters in a secret: a mask with a part of it behind is no mask."""
    return [secret[start : start + size] for start in range(max(1, len(secret) - size + 1))]
