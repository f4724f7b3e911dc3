"""Worker processes that serve one socket: each gets its settings from the parent, which passes SIGHUP on to all."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uvicorn.supervisors import Multiprocess

from airflow_mcp.server.http.reload import Reload, SettingsReader, watch_hangup

if TYPE_CHECKING:
    import socket

    import uvicorn

    from airflow_mcp.policy.rules import Policy
    from airflow_mcp.settings.settings import Settings

_MEMORY = "/dev/shm"  # noqa: S108 - a folder with a unique name is made in it; writable even where nothing else is


class Workers(Multiprocess):
    """uvicorn's processes; at SIGHUP uvicorn would replace them all, while these go on under the new rules.

    The parent reads the settings first, so that an error in them does not reach the workers. A worker that dies is
    replaced by one with the rules last found valid, whatever the file says by then.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        listening: socket.socket,
        application: Callable[[Settings], Any],
        settings: Settings,
        reader: SettingsReader,
        folder: str,
    ) -> None:
        """Prepare the workers; `application`, pickled with the settings, makes the ASGI application of each.

        `folder` holds the counts of all workers.
        """
        super().__init__(config, [listening])
        self._application = application
        self._folder = folder
        self._left = watch_hangup()
        self._reload = Reload(settings, reader, self._hand_down)
        self._replace_settings(settings)

    def handle_signals(self) -> None:
        """Handle pending signals; SIGHUP is blocked (reload.hold_back), so it is polled for here."""
        if signal.SIGHUP in signal.sigpending():
            signal.sigwait({signal.SIGHUP})
            if not self._left():
                self._reload()
        super().handle_signals()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that died, and forget the calls that they had in flight."""
        pids = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for pid in pids - {process.pid for process in self.processes}:
            for file in Path(self._folder).glob(f"gauge_live*_{pid}.db"):
                file.unlink()

    def _hand_down(self, settings: Settings, policy: Policy) -> None:
        del policy  # each worker builds its own
        self._replace_settings(settings)
        for process in self.processes:
            if process.pid is not None and process.process.is_alive():
                os.kill(process.pid, signal.SIGHUP)

    def _replace_settings(self, settings: Settings) -> None:
        """Set the settings of workers that start from now on."""
        self.config.app = partial(self._application, settings)


@contextmanager
def share_counters() -> Generator[str]:
    """Give a folder for the counts of prometheus_client in processes that are started in the block."""
    parent = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="airflow-mcp-", dir=parent, ignore_cleanup_errors=True) as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield folder
