"""Libraries of vendors, which only those install who use them."""

from __future__ import annotations

from importlib.util import find_spec

from airflow_mcp.errors import SettingsError


def require_library(extra: str, auth: str, *modules: str) -> None:
    """Require the modules of an extra.

    Raises SettingsError, with the command that installs the extra, when one of the modules is missing.
    """
    try:
        is_installed = all(find_spec(module) for module in modules)
    except ModuleNotFoundError:  # the parent package is missing
        is_installed = False
    if not is_installed:
        raise SettingsError(
            f'auth = "{auth}" needs the extra {extra}, which is not installed here. In a checkout of this server: '
            f"pip install '.[{extra}]'."
        )
