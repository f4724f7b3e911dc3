"""Creates the migrated database and the users of a local Airflow."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from airflow_mcp.demo.airflow_home import HomeMemory, build_database_url, write_private
from airflow_mcp.demo.processes import Report, run_to_end

# Run by Airflow's own Python where FAB keeps the users: one process for all, and no password in a command line.
CREATE_USERS = """
import json, sys
try:
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
except ImportError:  # before Airflow 2.9, where FAB is part of it
    from airflow.utils.cli_app_builder import get_application_builder
with get_application_builder() as builder:
    for name, role, password in json.load(sys.stdin):
        if not builder.sm.find_user(name):
            found = builder.sm.find_role(role.title())
            if not found or not builder.sm.add_user(name, name, role, name + "@example.invalid", found, password):
                raise SystemExit(f"user {name} with role {role} cannot be created")
"""


def prepare_home(
    name: str,
    home: Path,
    cache: Path,
    memory: HomeMemory,
    python: Path,
    users: dict[str, str],
    env: dict[str, str],
    report: Report,
) -> None:
    """Give `home` a migrated database and the users, and remove stale files.

    Migrating takes seconds, so it is done once per release (`name`); later homes get a copy from `cache`.

    Raises:
        DemoError: a step failed; the sentence quotes the end of its output.
    """
    for stale in home.glob("*.pid"):  # a killed gunicorn leaves its file, with which the next refuses to start
        stale.unlink()
    (home / "airflow.cfg").touch()  # else every component writes a default file at the same time
    template = cache / "databases" / f"airflow-{name}.db"
    if not (home / "airflow.db").exists():
        if not template.exists():
            report("creating Airflow's database, once")
            _make_database(template, python, env)
        shutil.copyfile(template, home / "airflow.db.partial")
        (home / "airflow.db.partial").replace(home / "airflow.db")
    if not _has_fab_users(env):
        passwords = json.dumps({user: memory.passwords[user] for user in users})
        write_private(home / "simple_auth_manager_passwords.json.generated", passwords)
    elif missing_users := [user for user, role in users.items() if f"{user}:{role}" not in memory.created]:
        report("creating the users")
        users_json = json.dumps([(user, users[user], memory.passwords[user]) for user in missing_users])
        command = [python, "-c", CREATE_USERS]
        run_to_end(
            command,
            doing="Creating Airflow's users",
            cwd=home,
            env=build_database_url(home / "airflow.db", lock_wait=60) | env,
            stdin=users_json,
        )
        memory.created += [f"{user}:{users[user]}" for user in missing_users]
        memory.save(home)


def _make_database(template: Path, python: Path, env: dict[str, str]) -> None:
    """Migrate an empty database into `template`, with write-ahead logging so that readers never block a writer."""
    template.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=template.parent) as folder:
        database = Path(folder) / "airflow.db"
        (database.parent / "airflow.cfg").touch()
        env = env | {
            "AIRFLOW_HOME": folder,
            **build_database_url(database, lock_wait=60),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{folder}/logs",
        }
        steps = [["db", "migrate"], *([["sync-perm"]] if _has_fab_users(env) else [])]
        for step in steps:
            doing = f"Creating Airflow's database (airflow {' '.join(step)})"
            run_to_end([python, "-m", "airflow", *step], doing=doing, cwd=Path(folder), env=env)
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.replace(template)


def _has_fab_users(env: dict[str, str]) -> bool:
    return env.get("AIRFLOW__CORE__AUTH_MANAGER", "").endswith(".FabAuthManager")
