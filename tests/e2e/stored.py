"""What an Airflow's database holds, secrets in clear: its API masks them, so here alone is seen that none is lost."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Literal

from cryptography.fernet import Fernet

from .harness import Json, Site

NAMED_BY = {"connection": "conn_id", "variable": "key"}
ENCRYPTED = {
    "connection": {"password": "is_encrypted", "extra": "is_extra_encrypted"},
    "variable": {"val": "is_encrypted"},
}


def stored(site: Site, table: Literal["connection", "variable"], name: str) -> Json:
    """One row of a table, decrypted."""
    vault = Fernet(json.loads((site.airflow.home / "memory.json").read_text())["fernet_key"])
    with closing(sqlite3.connect(f"file:{site.airflow.home / 'airflow.db'}?mode=ro", uri=True, timeout=60)) as database:
        database.row_factory = sqlite3.Row
        found = database.execute(f"SELECT * FROM {table} WHERE {NAMED_BY[table]} = ?", (name,)).fetchone()
    row: Json = dict(found)
    for column, flag in ENCRYPTED[table].items():
        if row[flag] and row[column]:
            row[column] = vault.decrypt(row[column].encode()).decode()
    return row


def secrets_of(site: Site) -> set[str]:
    """Every secret of this Airflow's configuration."""
    memory = json.loads((site.airflow.home / "memory.json").read_text())
    return {memory["fernet_key"], memory["secret_key"]}
