"""One of several server processes: it reads the settings anew, so the first hands down what its command line said."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airflow_mcp.settings.connection import PREFIX
from airflow_mcp.settings.read import Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def create_app() -> Callable[..., Awaitable[None]]:
    """The ASGI application of this process, for uvicorn's `factory`. Raises SettingsError."""
    from airflow_mcp.server.http import prepare

    return prepare(read_settings())


def hand_down(settings: Settings) -> None:
    """Put the settings of HTTP that differ from the environment into it, where worker processes read them."""
    for name in type(settings).model_fields:
        if name.startswith("http_") and name in settings.model_fields_set:
            value = getattr(settings, name)
            os.environ[f"{PREFIX}{name.upper()}"] = ",".join(value) if isinstance(value, tuple) else str(value)
