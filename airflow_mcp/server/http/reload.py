"""SIGHUP: rules and tokens are read again and hold from the next call on; what is wrong changes nothing, and is said.

Until the server listens for it the signal is held back, so that one that comes early is not lost and ends nothing.
Windows has no such signal: there a restart reads the rules.
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
    """Reads the settings as a start would now, and tells `say` what is odd about them. Raises SettingsError."""

    def __call__(self, say: Callable[[str], object] = ..., /) -> Settings:
        """Once."""
        ...


@dataclass
class Reload:
    """Reads the settings again and hands what may change at run time, checked, to `enforce`: all of it or nothing."""

    settings: Settings
    reader: SettingsReader
    enforce: Callable[[Settings, Policy], None]

    def __call__(self) -> None:
        """Once."""
        try:
            now = self.reader(_log.warning)
            new = self.settings.replace_rules(now)
            parse_toolsets(now.toolsets, load_catalog())
            policy = build_policy(new, load_catalog())
        except AirflowMcpError as error:
            _log.error("%s %s", _NOT_RELOADED, describe_error(error))
            return
        except Exception:  # noqa: BLE001 - whatever a file makes of us, it must not end who serves
            _log.exception("%s Reading the settings failed.", _NOT_RELOADED)
            return
        self.settings = new
        self.enforce(new, policy)
        if others := new.list_differences(now):
            log_notice(f"SIGHUP: a restart is needed for what else has changed: {', '.join(others)}.")


def hold_back() -> None:
    """Keep SIGHUP waiting, for this process and for those that it starts, until each of them listens."""
    if sys.platform == "win32":
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def listen(reload: Callable[[], None]) -> None:
    """From now on the running event loop calls `reload` at SIGHUP, and now if one came before."""
    if sys.platform == "win32":
        return
    left = watch_hangup()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: left() or reload())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def watch_hangup() -> Callable[[], bool]:
    """Whether SIGHUP says that the terminal is gone which a person started the server at: that ends it, as ever.

    Not if it was started to outlive its terminal, as by nohup.
    """
    may_leave = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _has_terminal()

    def has_hung_up() -> bool:
        is_gone = may_leave and not _has_terminal()
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
