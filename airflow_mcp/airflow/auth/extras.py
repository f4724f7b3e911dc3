"""Libraries of vendors, which only those install who use them."""

from __future__ import annotations

from importlib.util import find_spec

from airflow_mcp.errors import SettingsError


def require_library(extra: str, auth: str, *modules: str) -> None:
    """Raises SettingsError, with the command that installs it, where one of these is not there."""
    try:
        found = all(find_spec(module) for module in modules)
    except ModuleNotFoundError:  # of the package around it
        found = False
    if not found:
        raise SettingsError(
            f'auth = "{auth}" needs the extra {extra}, which is not installed here. In a checkout of this server: '
            f"pip install '.[{extra}]'."
        )
