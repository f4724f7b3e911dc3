"""Several processes that serve one socket: each takes the settings that its parent holds, and a SIGHUP reaches all."""

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

_MEMORY = "/dev/shm"  # noqa: S108 - a folder with a name of its own is made in it; there even if nothing else is writable


class Workers(Multiprocess):
    """uvicorn's processes; where uvicorn would replace them all at SIGHUP, ours go on under other rules.

    The parent reads the settings first: what is wrong does not reach the workers. One that dies is replaced by one with
    the rules that were last found good, whatever the file says by then.
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
        """`application` makes a worker's ASGI application, and is sent to it with the settings (pickled).

        `folder` holds the counts of all workers.
        """
        super().__init__(config, [listening])
        self._application = application
        self._folder = folder
        self._left = watch_hangup()
        self._reload = Reload(settings, reader, self._hand_down)
        self._replace_settings(settings)

    def handle_signals(self) -> None:
        """What came since the last look; SIGHUP is held back (reload.hold_back), and waits to be looked for."""
        if signal.SIGHUP in signal.sigpending():
            signal.sigwait({signal.SIGHUP})
            if not self._left():
                self._reload()
        super().handle_signals()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that died, and forget the calls that they had in flight."""
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {process.pid for process in self.processes}:
            for file in Path(self._folder).glob(f"gauge_live*_{pid}.db"):
                file.unlink()

    def _hand_down(self, settings: Settings, policy: Policy) -> None:
        del policy  # each worker reads its own
        self._replace_settings(settings)
        for process in self.processes:
            if process.pid is not None and process.process.is_alive():
                os.kill(process.pid, signal.SIGHUP)

    def _replace_settings(self, settings: Settings) -> None:
        """What workers that start from now on are given."""
        self.config.app = partial(self._application, settings)


@contextmanager
def share_counters() -> Generator[str]:
    """A folder where prometheus_client, imported in a process that is started in this block, keeps its counts."""
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="airflow-mcp-", dir=memory, ignore_cleanup_errors=True) as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield folder
