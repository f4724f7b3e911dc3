"""The rows of the tools for variables and for many pools: what is not named stays, secrets as well."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from .harness import CANARY, Json, Row, Site, lacks, rows_of
from .stored import stored

KEYS = ("oven/temperature", *("/oven/lead", "oven//double", "oven/trail/"), "oven_password", "oven_parts", "oven_new")
PARTS: Json = {"doors": 2, "api_key": CANARY}
MASKED_PARTS = '{"doors": 2, "api_key": "***"}'


def kept(site: Site, key: str) -> tuple[Any, str | None]:
    """Value and description of a variable as Airflow's database holds them; a JSON value as what it says."""
    row = stored(site, "variable", key)
    value = row["val"]
    return json.loads(value) if value.startswith("{") else value, row["description"]


def keys(site: Site) -> set[str]:
    """The keys of all variables."""
    return {one["key"] for one in site.held("/variables")["variables"]}


@contextmanager
def variables(site: Site, **values: str) -> Generator[None]:
    """These are there, each with a description, and afterwards none of ours."""
    try:
        for key, value in values.items():
            one = {"key": key, "value": value, "description": f"of {key}"}
            site.change("POST", "/variables", one)
            if not site.since("2.8"):  # which drops the description
                site.change("PATCH", f"/variables/{key}", one)
        yield
    finally:
        for key in (*KEYS, *values):
            site.rest("DELETE", f"/variables/{quote(key, safe='')}")


def list_variables(site: Site) -> None:
    parts = '{"doors": 2, "api_key": "hunter2-canary"}'
    with variables(site, oven_password=CANARY, oven_parts=parts, oven_new="plain"):
        answer = site.admin.ask("list_variables", order_by="key")
        assert answer["total"] == site.held("/variables")["total_entries"] == 3
        values = {row["key"]: row["value"] for row in rows_of(answer)}
        assert values == {"oven_new": "plain", "oven_parts": MASKED_PARTS, "oven_password": "***"}
        assert CANARY not in str(site.admin.ask("list_variables", fields=["*"]))
        if site.is_old:
            words = site.admin.refusal("list_variables", variable_key_pattern="new")
            assert "variable_key_pattern needs Airflow 3.0" in words
        else:
            assert [row["key"] for row in site.admin.rows("list_variables", variable_key_pattern="new")] == ["oven_new"]


def get_variable(site: Site) -> None:
    with variables(site, oven_password=CANARY, oven_new="plain"):
        told = site.admin.ask("get_variable", variable_key="oven_new")
        assert (told["key"], told["value"], told["description"]) == ("oven_new", "plain", "of oven_new")
        assert site.admin.ask("get_variable", variable_key="oven_password")["value"] == "***"
        revealed = site.revealing.ask("get_variable", variable_key="oven_password")["value"]
        assert revealed == (CANARY if site.is_old else "***"), "what Airflow itself masks cannot be shown"
    assert "(404)" in site.admin.refusal("get_variable", variable_key="oven_new")
    for key in ("/oven/lead", "oven//double", "oven/trail/"):
        if site.is_old:
            assert "Airflow 2 reads" in site.admin.refusal("create_variable", variable_key=key, value="1")
            assert key not in keys(site)
            continue
        with variables(site):
            assert site.admin.ask("create_variable", variable_key=key, value="1")["key"] == key
            assert site.admin.ask("get_variable", variable_key=key)["value"] == "1"
            assert site.admin.ask("update_variable", variable_key=key, value="2")["value"] == "2"
            site.admin.ask("delete_variable", variable_key=key)
            assert key not in keys(site)


def create_variable(site: Site) -> None:
    with variables(site):
        about: Json = {"description": "für Zoë"} if site.since("2.8") else {}
        told = site.admin.ask("create_variable", variable_key="oven_password", value=CANARY, **about)
        assert (told["key"], told["value"], told.get("description")) == (
            "oven_password",
            "***",
            about.get("description"),
        )
        assert kept(site, "oven_password") == (CANARY, about.get("description"))
        words = site.admin.refusal("create_variable", variable_key="oven_password", value="other")
        assert "exists" in words
        assert kept(site, "oven_password") == (CANARY, about.get("description"))
        told = site.admin.ask("create_variable", variable_key="oven/temperature", value=PARTS)
        assert told["value"] == MASKED_PARTS
        assert kept(site, "oven/temperature")[0] == PARTS
        for value in ("***", {"api_key": "***"}):
            words = site.admin.refusal("create_variable", variable_key="oven_new", value=value)
            assert "value holds ***, which masks a secret" in words
        assert keys(site) == {"oven_password", "oven/temperature"}


def update_variable(site: Site) -> None:
    with variables(site, oven_password=CANARY, oven_parts='{"doors": 1}'):
        site.change("POST", "/variables", {"key": "oven/temperature", "value": "180", "description": "of it"})
        told = site.admin.ask("update_variable", variable_key="oven_password", description="für Zoë")
        assert (told["value"], told["description"]) == ("***", "für Zoë")
        assert kept(site, "oven_password") == (CANARY, "für Zoë")
        site.admin.ask("update_variable", variable_key="oven_password", value=f"{CANARY}-2")
        assert kept(site, "oven_password") == (f"{CANARY}-2", "für Zoë")
        site.admin.ask("update_variable", variable_key="oven_parts", value=PARTS)
        assert kept(site, "oven_parts") == (PARTS, "of oven_parts")
        site.admin.ask("update_variable", variable_key="oven_parts", description="neu")
        assert kept(site, "oven_parts") == (PARTS, "neu")
        site.admin.ask("update_variable", variable_key="oven/temperature", value="190", description="both")
        assert kept(site, "oven/temperature") == ("190", "both")
        for value in ("***", MASKED_PARTS):
            words = site.admin.refusal("update_variable", variable_key="oven_parts", value=value)
            assert "value holds ***, which masks a secret" in words
        assert kept(site, "oven_parts")[0] == PARTS
    assert "(404)" in site.admin.refusal("update_variable", variable_key="oven_new", value="1")
    assert "oven_new" not in keys(site)


def delete_variable(site: Site) -> None:
    with variables(site, oven_password=CANARY, oven_new="plain"):
        shown = site.admin.result("delete_variable", {"variable_key": "oven_password"})
        assert CANARY not in shown.model_dump_json()
        assert keys(site) == {"oven_password", "oven_new"}
        assert site.admin.ask("delete_variable", variable_key="oven_password")["done"] is True
        assert keys(site) == {"oven_new"}
        assert "(404)" in site.admin.refusal("delete_variable", variable_key="oven_password")


def bulk(site: Site, tool: str, **arguments: Any) -> Json:
    """What became of many changes at once, none of which may show the canary, its preview as little."""
    shown = site.admin.result(tool, arguments)
    assert shown.structured_content is not None, shown
    assert CANARY not in shown.model_dump_json()
    done = site.admin.result(tool, arguments | {"plan": shown.structured_content["plan"]})
    assert CANARY not in done.model_dump_json()
    assert not done.is_error, done
    assert done.structured_content is not None
    return done.structured_content


def bulk_fails(site: Site, tool: str, **arguments: Any) -> str:
    """Why none of many changes was made."""
    return site.admin.refusal(tool, **arguments, plan=site.admin.planned(tool, **arguments))


def bulk_variables(site: Site) -> None:
    if lacks(site, "bulk_variables", "3.0", delete=["oven_new"]):
        return
    first: Json = {"variable_key": "oven_password", "value": CANARY, "description": "one"}
    second: Json = {"variable_key": "oven_parts", "value": PARTS, "description": "two"}
    tool = "bulk_variables"
    with variables(site):
        assert bulk(site, tool, create=[first, second]) == {"created": ["oven_password", "oven_parts"]}
        assert kept(site, "oven_password") == (CANARY, "one")
        assert kept(site, "oven_parts") == (PARTS, "two")
        change: list[Json] = [
            {"variable_key": "oven_password", "description": "neu"},
            {"variable_key": "oven_parts", "value": {"doors": 3}},
        ]
        assert set(bulk(site, tool, update=change)["updated"]) == {"oven_password", "oven_parts"}
        assert kept(site, "oven_password") == (CANARY, "neu")
        assert kept(site, "oven_parts") == ({"doors": 3}, "two")
        assert "already exist. (409)" in bulk_fails(site, tool, create=[first | {"value": "x"}])
        assert kept(site, "oven_password") == (CANARY, "neu")
        words = bulk_fails(site, tool, create=[first], delete=["oven_new"])
        assert "already exist. (409)" in words
        assert "delete: The variables with these keys: {'oven_new'} were not found. (404)" in words
        done = bulk(site, tool, create=[first], delete=["oven_parts"])
        assert done["deleted"] == ["oven_parts"]
        assert "create: " in done["errors"][0]
        assert keys(site) == {"oven_password"}
        assert "(404)" in bulk_fails(site, tool, update=[{"variable_key": "oven_new", "description": "x"}])
        for action in (
            {"create": [{"variable_key": "oven_new", "value": "***"}]},
            {"update": [{"variable_key": "oven_password", "value": "***"}]},
        ):
            assert "holds ***, which masks a secret" in site.admin.refusal(tool, **action)
        assert kept(site, "oven_password") == (CANARY, "neu")
        assert bulk(site, tool, delete=["oven_password", "oven_new"], on_missing="skip") == {
            "deleted": ["oven_password"]
        }
        assert keys(site) == set()


def bulk_pools(site: Site) -> None:
    if lacks(site, "bulk_pools", "3.0", delete=["many 1"]):
        return
    tool, names = "bulk_pools", ("many 1", "many 2")

    def pool(name: str) -> tuple[int, str, bool]:
        held = site.held(f"/pools/{quote(name)}")
        return held["slots"], held["description"], held["include_deferred"]

    first: Json = {"pool_name": "many 1", "slots": 2, "description": "one", "include_deferred": True}
    second: Json = {"pool_name": "many 2", "slots": 3, "description": "two"}
    try:
        assert bulk(site, tool, create=[first, second]) == {"created": [*names]}
        assert (pool("many 1"), pool("many 2")) == ((2, "one", True), (3, "two", False))
        change: list[Json] = [
            {"pool_name": "many 1", "slots": 5},
            {"pool_name": "many 2", "description": "neu"},
        ]
        assert set(bulk(site, tool, update=change)["updated"]) == {*names}
        assert (pool("many 1"), pool("many 2")) == ((5, "one", True), (3, "neu", False))
        assert "already exist. (409)" in bulk_fails(site, tool, create=[first])
        assert "(404)" in bulk_fails(site, tool, update=[{"pool_name": "many 3", "slots": 1}])
        change = [{"pool_name": "many 3", "slots": 1}, {"pool_name": "many 2", "slots": 7}]
        assert bulk(site, tool, update=change, on_missing="skip") == {"updated": ["many 2"]}
        assert pool("many 2") == (7, "neu", False)
        preview = site.admin.result(tool, {"create": [first], "on_existing": "overwrite"}).structured_content
        assert preview is not None
        assert preview["preview"]["targets"] == ["overwrite many 1"]
        assert preview["preview"]["now"][0]["slots"] == 5
        assert bulk(site, tool, create=[first], on_existing="overwrite") == {"created": ["many 1"]}
        assert pool("many 1") == (2, "one", True)
        done = bulk(site, tool, delete=["many 1"], create=[second])
        assert (done["deleted"], "already exist. (409)" in done["errors"][0]) == (["many 1"], True)
        assert site.rest("GET", "/pools/many%201")[0] == 404
    finally:
        for name in names:
            site.rest("DELETE", f"/pools/{quote(name)}")


READS: dict[str, Row] = {row.__name__: row for row in (list_variables, get_variable)}
CHANGES: dict[str, Row] = {
    row.__name__: row for row in (create_variable, update_variable, delete_variable, bulk_variables, bulk_pools)
}
