"""Reload at SIGHUP: rules and tokens are read again and apply from the next call on; an error is logged, no more.

Until the server listens for it the signal is blocked, so that an early one is neither lost nor ends the process.
Windows has no SIGHUP: there a restart reads the rules.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from airflow_mcp.catalog.loader import load_catalog
from airflow_mcp.dispatch.dispatcher import describe_error
from airflow_mcp.dispatch.registry.assembly import build_policy
from airflow_mcp.dispatch.registry.listing import parse_toolsets
from airflow_mcp.errors import AirflowMcpError
from airflow_mcp.server.telemetry.logs import log_notice

if TYPE_CHECKING:
    from airflow_mcp.policy.rules import Policy
    from airflow_mcp.settings.settings import Settings

_log = logging.getLogger(__name__)
_NOT_RELOADED = "SIGHUP: the rules and tokens of before stay in force."


class SettingsReader(Protocol):
    """Reads the settings as a start would, and passes warnings about them to `say`. Raises SettingsError."""

    def __call__(self, say: Callable[[str], object] = ..., /) -> Settings:
        """Read the settings once."""
        ...


@dataclass
class Reload:
    """Reads the settings again, checks them, and hands to `enforce` all that may change at run time, or nothing."""

    settings: Settings
    reader: SettingsReader
    enforce: Callable[[Settings, Policy], None]

    def __call__(self) -> None:
        """Reload once; log an error and change nothing where the settings are invalid."""
        try:
            read_settings = self.reader(_log.warning)
            merged_settings = self.settings.replace_rules(read_settings)
            parse_toolsets(read_settings.toolsets, load_catalog())
            policy = build_policy(merged_settings, load_catalog())
        except AirflowMcpError as error:
            _log.error("%s %s", _NOT_RELOADED, describe_error(error))
            return
        except Exception:  # noqa: BLE001 - no content of a file may end the server
            _log.exception("%s Reading the settings failed.", _NOT_RELOADED)
            return
        self.settings = merged_settings
        self.enforce(merged_settings, policy)
        if differences := merged_settings.list_differences(read_settings):
            log_notice(f"SIGHUP: a restart is needed for what else has changed: {', '.join(differences)}.")


def hold_back() -> None:
    """Block SIGHUP in this process and in those that it starts, until each of them listens."""
    if sys.platform == "win32":
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def listen(reload: Callable[[], None]) -> None:
    """Call `reload` in the running event loop at each SIGHUP, and at once if one is pending."""
    if sys.platform == "win32":
        return
    has_hung_up = watch_hangup()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: has_hung_up() or reload())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def watch_hangup() -> Callable[[], bool]:
    """Return a function that tells whether SIGHUP means that the server's terminal is gone, and then ends the process.

    A server that was started to outlive its terminal, as by nohup, is not ended.
    """
    may_hang_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _has_terminal()

    def has_hung_up() -> bool:
        is_gone = may_hang_up and not _has_terminal()
        if is_gone:
            os.kill(os.getpid(), signal.SIGTERM)
        return is_gone

    return has_hung_up


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
