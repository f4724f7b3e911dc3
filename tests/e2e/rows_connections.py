"""The rows of the tools for connections: their secrets stay in Airflow, and stay as they are."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from .harness import CANARY, Json, Row, Site, lacks, rows_of
from .rows_variables import bulk, bulk_fails
from .stored import stored

EXTRA: Json = {"timeout": 5, "api_key": f"{CANARY}-2", "nested": {"note": f"{CANARY}-3"}}
MASKED_EXTRA = {"timeout": "***", "api_key": "***", "nested": {"note": "***"}}
PLAIN: Json = {
    "conn_type": "http",
    "host": "wine.example.invalid",
    "login": "sommelier",
    "schema": "https",
    "port": 8080,
}
CELLAR: Json = PLAIN | {"connection_id": "cellar", "description": "für Zoë", "password": CANARY, "extra": EXTRA}
HERE: Json = {"connection_id": "here", "conn_type": "fs", "extra": {"path": "/"}}
"""The one kind of connection that a bare Airflow can try."""
NO_KIND: Json = {"connection_id": "nowhere", "conn_type": "no_such_kind", "password": CANARY}


def kept(site: Site, connection_id: str = "cellar") -> Json:
    """A connection as Airflow's database holds it, secrets in clear."""
    row = stored(site, "connection", connection_id)
    named = ("conn_type", "description", "host", "login", "schema", "port", "password")
    return {name: row[name] for name in named} | {"extra": json.loads(row["extra"] or "null")}


def without_id(connection: Json) -> Json:
    """What `kept` says of it."""
    return {name: value for name, value in connection.items() if name != "connection_id"}


def ids(site: Site) -> set[str]:
    """The ids of all connections."""
    return {one["connection_id"] for one in site.held("/connections?limit=100")["connections"]}


@contextmanager
def cellar(site: Site, *, there: bool = True) -> Generator[None]:
    """The connection is there, and afterwards none of ours is."""
    try:
        if there:
            site.change("POST", "/connections", CELLAR | {"extra": json.dumps(EXTRA)})
        yield
    finally:
        for one in ("cellar", "vault"):
            site.rest("DELETE", f"/connections/{one}")


def safely(site: Site, tool: str, **arguments: Any) -> Json:
    """The answer of a call that may hold no secret."""
    result = site.admin.result(tool, arguments)
    assert not result.is_error, result
    assert CANARY not in result.model_dump_json()
    assert result.structured_content is not None
    return result.structured_content


def list_connections(site: Site) -> None:
    with cellar(site):
        answer = safely(site, "list_connections")
        assert answer["total"] == site.held("/connections")["total_entries"]
        (row,) = (one for one in rows_of(answer) if one["connection_id"] == "cellar")
        assert {name: row[name] for name in PLAIN} == PLAIN
        rows = rows_of(safely(site, "list_connections", fields=["*"]))
        (row,) = (one for one in rows if one["connection_id"] == "cellar")
        if site.is_old:
            words = site.admin.refusal("list_connections", connection_id_pattern="cell")
            assert "connection_id_pattern needs Airflow 3.0" in words
        else:
            assert (row["password"], json.loads(row["extra"])) == ("***", MASKED_EXTRA)
            (row,) = site.admin.rows("list_connections", connection_id_pattern="cell")
            assert row["connection_id"] == "cellar"


def get_connection(site: Site) -> None:
    with cellar(site):
        told = safely(site, "get_connection", connection_id="cellar", fields=["*"])
        assert {name: told[name] for name in PLAIN} == PLAIN
        assert told["description"] == "für Zoë"
        assert json.loads(told["extra"]) == MASKED_EXTRA
        assert told.get("password") == (None if site.is_old else "***")
    assert "(404)" in site.admin.refusal("get_connection", connection_id="cellar")


def create_connection(site: Site) -> None:
    with cellar(site, there=False):
        told = safely(site, "create_connection", **CELLAR)
        assert {name: told[name] for name in PLAIN} == PLAIN
        assert json.loads(told["extra"]) == MASKED_EXTRA
        assert kept(site) == without_id(CELLAR)
        assert "(409)" in site.admin.refusal("create_connection", **CELLAR | {"password": "other"})
        assert kept(site) == without_id(CELLAR)
        for secret in ({"password": "***"}, {"extra": {"api_key": "***"}}, {"extra": json.dumps(MASKED_EXTRA)}):
            words = site.admin.refusal("create_connection", connection_id="vault", conn_type="http", **secret)
            assert "holds ***, which masks a secret" in words
        assert "vault" not in ids(site)
        safely(site, "create_connection", connection_id="vault", conn_type="http")
        assert kept(site, "vault") == dict.fromkeys(without_id(CELLAR)) | {"conn_type": "http"}


def update_connection(site: Site) -> None:
    with cellar(site):
        now = without_id(CELLAR)
        changes: list[Json] = [
            {"host": "new.example.invalid"},
            {"description": "neu"},
            {"login": "cellarer", "port": 9090},
            {"schema": "http"},
            {"conn_type": "https"},
            {"password": f"{CANARY}-4"},
            {"extra": {"api_key": f"{CANARY}-5"}},
        ]
        for change in changes:
            now |= change
            told = safely(site, "update_connection", connection_id="cellar", **change)
            assert told["host"] == "new.example.invalid"
            assert kept(site) == now, change
        for secret in ({"password": "***"}, {"extra": {"api_key": "***"}}, {"extra": '{"api_key": "***"}'}):
            words = site.admin.refusal("update_connection", connection_id="cellar", host="h", **secret)
            assert "holds ***, which masks a secret" in words
        assert kept(site) == now
        assert "give at least one of" in site.admin.refusal("update_connection", connection_id="cellar")
    assert "(404)" in site.admin.refusal("update_connection", connection_id="cellar", host="h")


def delete_connection(site: Site) -> None:
    with cellar(site):
        preview = safely(site, "delete_connection", connection_id="cellar")
        assert preview["preview"]["host"] == "wine.example.invalid"
        assert kept(site) == without_id(CELLAR)
        assert safely(site, "delete_connection", connection_id="cellar", plan=preview["plan"])["done"] is True
        assert "cellar" not in ids(site)
        assert "(404)" in site.admin.refusal("delete_connection", connection_id="cellar")


def bulk_connections(site: Site) -> None:
    tool = "bulk_connections"
    if lacks(site, tool, "3.0", delete=["cellar"]):
        return
    with cellar(site, there=False):
        created = bulk(site, tool, create=[CELLAR, {"connection_id": "vault", "conn_type": "http", "password": CANARY}])
        assert created == {"created": ["cellar", "vault"]}
        assert kept(site) == without_id(CELLAR)
        change: list[Json] = [
            {"connection_id": "cellar", "host": "new.example.invalid"},
            {"connection_id": "vault", "description": "neu", "extra": {"api_key": CANARY}},
        ]
        assert set(bulk(site, tool, update=change)["updated"]) == {"cellar", "vault"}
        assert kept(site) == without_id(CELLAR) | {"host": "new.example.invalid"}
        vault = kept(site, "vault")
        assert (vault["password"], vault["description"], vault["extra"]) == (CANARY, "neu", {"api_key": CANARY})
        words = bulk_fails(site, tool, create=[CELLAR], delete=["nowhere"])
        assert "already exist. (409)" in words
        assert "delete: The connections with these connection_ids: {'nowhere'} were not found. (404)" in words
        for secret in ({"password": "***"}, {"extra": {"api_key": "***"}}, {"extra": '{"api_key": "***"}'}):
            words = site.admin.refusal(tool, update=[{"connection_id": "cellar"} | secret])
            assert "holds ***, which masks a secret" in words
        assert kept(site) == without_id(CELLAR) | {"host": "new.example.invalid"}
        assert set(bulk(site, tool, delete=["cellar", "vault"])["deleted"]) == {"cellar", "vault"}
        assert not {"cellar", "vault"} & ids(site)


def test_connection(site: Site) -> None:
    told = safely(site, "test_connection", **HERE)
    assert told["status"] is True
    told = safely(site, "test_connection", **NO_KIND)
    assert (told["status"], "no_such_kind" in told["message"]) == (False, True)
    assert "holds ***, which masks a secret" in site.admin.refusal("test_connection", **HERE, password="***")
    assert not {"here", "nowhere"} & ids(site)


def enqueue_connection_test(site: Site) -> None:
    if lacks(site, "enqueue_connection_test", "3.3", **HERE):
        return
    told = safely(site, "enqueue_connection_test", **NO_KIND)
    assert (told["connection_id"], told["state"]) == ("nowhere", "pending")
    assert told["token"]
    assert "nowhere" not in ids(site)


def get_connection_test(site: Site) -> None:
    if lacks(site, "get_connection_test", "3.3", token="none"):
        return
    for connection, ends in ((HERE, "success"), (NO_KIND, "failed")):
        token = safely(site, "enqueue_connection_test", **connection)["token"]
        told: Json = {"state": "pending"}
        while told["state"] in ("pending", "queued", "running"):  # a worker ends it, at the latest by its own timeout
            told = safely(site, "get_connection_test", token=token)
        assert (told["connection_id"], told["state"]) == (connection["connection_id"], ends), told
    assert "(404)" in site.admin.refusal("get_connection_test", token="none")


def create_default_connections(site: Site) -> None:
    if lacks(site, "create_default_connections", "3.0"):
        return
    before = ids(site)
    try:
        for _ in range(2):
            assert site.admin.ask("create_default_connections")["done"] is True
        assert {"postgres_default", "aws_default"} <= ids(site) - before
    finally:
        gone: Json = {"action": "delete", "entities": sorted(ids(site) - before)}
        site.change("PATCH", "/connections", {"actions": [gone]})


READS: dict[str, Row] = {row.__name__: row for row in (list_connections, get_connection, get_connection_test)}
CHANGES: dict[str, Row] = {
    row.__name__: row
    for row in (
        create_connection,
        update_connection,
        delete_connection,
        bulk_connections,
        test_connection,
        enqueue_connection_test,
        create_default_connections,
    )
}
