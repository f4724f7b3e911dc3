"""The home folder of a local Airflow: its memory between starts, its ports, and the environment of its processes."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from airflow_mcp.demo.processes import MARK

LOOPBACK = "127.0.0.1"


def _make_secret() -> str:
    return secrets.token_urlsafe(24)


@dataclass
class HomeMemory:
    """The memory of a home between starts, in the file `memory.json`, which only its owner can read."""

    mark: str = field(default_factory=_make_secret)
    port: int = 0
    task_port: int = 0
    fernet_key: str = field(default_factory=lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
    secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(64))
    passwords: dict[str, str] = field(default_factory=dict[str, str])
    created: list[str] = field(default_factory=list[str])
    """Users that FAB has in its database, as "name:role"."""

    @classmethod
    def load(cls, home: Path) -> HomeMemory:
        """Load the memory of `home`; create a new one where it has none."""
        file = home / "memory.json"
        return cls(**json.loads(file.read_text())) if file.exists() else cls()

    def password(self, user: str) -> str:
        """Return the user's password, generated at random the first time."""
        return self.passwords.setdefault(user, _make_secret())

    def save(self, home: Path) -> None:
        """Write the memory to `home`, atomically."""
        write_private(home / "memory.json", json.dumps(asdict(self), indent=1))


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, atomically."""
    partial_file = file.with_name(f"{file.name}.partial")
    partial_file.unlink(missing_ok=True)
    with os.fdopen(os.open(partial_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    partial_file.replace(file)


def find_free_ports(*preferred: int) -> list[int]:
    """Find a free loopback port for each preferred one, which is itself taken if free, so that clients reconnect.

    Raises:
        OSError: no port is free.
    """
    with ExitStack() as probes:
        return [_bind_port(probes, port) for port in preferred]


def _bind_port(probes: ExitStack, preferred: int) -> int:
    probe = probes.enter_context(socket.socket())
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((LOOPBACK, preferred))
    except OSError:
        probe.bind((LOOPBACK, 0))
    return int(probe.getsockname()[1])


@dataclass(frozen=True)
class AirflowProcess:
    """One process of an Airflow: its arguments to `airflow`, and the seconds that it waits for the database's lock."""

    words: list[str]
    lock_wait: int = 60


def list_processes(version: str, memory: HomeMemory) -> dict[str, AirflowProcess]:
    """Return the processes of an Airflow of this version, by name.

    They are started one by one: `airflow standalone` cannot keep the log servers of scheduler and triggerer off 0.0.0.0
    and generates Airflow 2's password. The logs lie on this disk, so the log servers are not needed.
    """
    scheduler = AirflowProcess(["scheduler", "--skip-serve-logs"])
    triggerer = AirflowProcess(["triggerer", "--skip-serve-logs"])
    if version.startswith("2."):
        return {"webserver": AirflowProcess(["webserver"]), "scheduler": scheduler, "triggerer": triggerer}
    # Airflow 3's API server writes its audit log on the event loop. A wait there for SQLite's lock blocks the loop that
    # the request holding the lock needs to finish. So tasks report to an API server of their own, and the other one
    # waits briefly.
    return {
        "api-server": AirflowProcess(["api-server", "--apps", "core"], lock_wait=10),
        "task-api-server": AirflowProcess(["api-server", "--apps", "execution", "--port", str(memory.task_port)]),
        "scheduler": scheduler,
        "dag-processor": AirflowProcess(["dag-processor"]),
        "triggerer": triggerer,
    }


def build_database_url(file: Path, lock_wait: int) -> dict[str, str]:
    """Return the variable with the URL of the SQLite `file`; connections wait `lock_wait` seconds for its lock."""
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{file}?timeout={lock_wait}"}


def build_environment(
    version: str, home: Path, dags_folder: Path, memory: HomeMemory, python: Path, users: dict[str, str]
) -> dict[str, str]:
    """Return the variables of every process, without the database's; `users` maps names to roles, like admin."""
    url = f"http://{LOOPBACK}:{memory.port}"
    inherited_prefixes = ("AIRFLOW", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "GUNICORN")
    env = {name: value for name, value in os.environ.items() if not name.startswith(inherited_prefixes)}
    env |= {
        "PATH": f"{python.parent}{os.pathsep}{env.get('PATH', os.defpath)}",
        MARK: memory.mark,
        "SPT_NOENV": "1",  # else setproctitle overwrites the environment that others read, and the mark in it
        # The demo's Airflow calls only itself: no proxy, and no look-up of one, which crashes forks on macOS.
        "NO_PROXY": "*",
        "no_proxy": "*",
        "SCARF_NO_ANALYTICS": "true",
        "DO_NOT_TRACK": "1",
        "AIRFLOW_HOME": str(home),
    }
    options = {
        "core.dags_folder": dags_folder,
        "core.load_examples": False,
        "core.fernet_key": memory.fernet_key,
        "core.hostname_callable": "socket.gethostname",  # the default queries the DNS
        "core.executor": "LocalExecutor",
        # SQLite has one writer at a time, so few tasks compete for it.
        "core.parallelism": 4,
        "core.max_active_tasks_per_dag": 4,
        "usage_data_collection.enabled": False,
        "logging.base_log_folder": home / "logs",
        "logging.worker_log_server_port": 1,  # a port without a listener; the default 8793 may be another Airflow's
        "logging.trigger_log_server_port": 1,
    }
    options |= (
        _list_airflow2_options(memory) if version.startswith("2.") else _list_airflow3_options(memory, url, users)
    )
    for name, value in options.items():
        section, option = name.split(".")
        env[f"AIRFLOW__{section.upper()}__{option.upper()}"] = str(value)
    if version.startswith("2."):
        # With write-ahead logging and a parallelism of 4 the local executor works on SQLite; the sequential one stops
        # the scheduler's heartbeat for as long as a task runs.
        env["_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK"] = "1"
    return env


def _list_airflow2_options(memory: HomeMemory) -> dict[str, object]:
    backends = "airflow.providers.fab.auth_manager.api.auth.backend"
    return {
        "core.auth_manager": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "api.auth_backends": f"{backends}.basic_auth,{backends}.session",
        "webserver.web_server_host": LOOPBACK,
        "webserver.web_server_port": memory.port,
        "webserver.base_url": f"http://{LOOPBACK}:{memory.port}",
        "webserver.secret_key": memory.secret_key,
        "webserver.workers": 2,
        "scheduler.parsing_processes": 1,
        "scheduler.dag_dir_list_interval": 5,
        "scheduler.min_file_process_interval": 10,
    }


def _list_airflow3_options(memory: HomeMemory, url: str, users: dict[str, str]) -> dict[str, object]:
    return {
        "core.simple_auth_manager_users": ",".join(f"{name}:{role}" for name, role in users.items()),
        # Seconds; a task without an answer by then fails before it starts. The default, 5, is short on a busy machine.
        "workers.execution_api_timeout": 60,
        "core.execution_api_server_url": f"http://{LOOPBACK}:{memory.task_port}/execution/",
        "api.host": LOOPBACK,
        "api.port": memory.port,
        "api.base_url": url,
        "api.workers": 1,
        "api.secret_key": memory.secret_key,
        "api_auth.jwt_secret": memory.secret_key,
        "dag_processor.parsing_processes": 1,
        "dag_processor.refresh_interval": 5,
        "dag_processor.bundle_refresh_check_interval": 2,
        "dag_processor.min_file_process_interval": 10,
    }
