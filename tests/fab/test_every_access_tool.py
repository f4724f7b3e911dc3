"""Every tool of users, roles and permissions against an Airflow 3 that has them, and who may use them."""

from __future__ import annotations

import pytest

from airflow_mcp.catalog.loader import load_catalog
from tests.e2e.harness import Site
from tests.fab.access import CHANGES, READS, given, keeper

TABLE = READS | CHANGES
TOOLS = load_catalog().tools
ROUTES = {name: tool.entry.v2.path for name, tool in TOOLS.items() if tool.entry.v2}


def test_the_table_has_a_row_for_every_tool_that_only_fab_serves() -> None:
    assert sorted(TABLE) == sorted(name for name, path in ROUTES.items() if path.startswith("/auth/fab/"))


def test_whatever_changes_users_or_roles_is_for_administrators() -> None:
    assert {TOOLS[name].entry.access for name in READS} == {"read"}
    assert {TOOLS[name].entry.access for name in CHANGES} == {"admin"}


@pytest.mark.parametrize("tool", TABLE)
def test_a_tool_answers_rightly_and_airflow_holds_what_it_says(fab_site: Site, tool: str) -> None:
    TABLE[tool](fab_site)


def test_who_may_use_everything_but_admin_is_offered_reads_of_users_and_roles_only(fab_site: Site) -> None:
    assert set(fab_site.admin.tools()) & set(TABLE) == set(READS)
    assert set(keeper(fab_site).tools()) >= set(TABLE)


def test_a_user_who_exists_is_not_created_again(fab_site: Site) -> None:
    user = given(fab_site, "twice")
    words = keeper(fab_site).refusal("create_user", **user, plan=keeper(fab_site).planned("create_user", **user))
    assert "already exists" in words
    assert user["password"] not in words


def test_a_role_that_airflow_does_not_know_is_named_and_nothing_is_changed(fab_site: Site) -> None:
    given(fab_site, "steady")
    call = {"username": "steady", "roles": ["Baker"]}
    words = keeper(fab_site).refusal("update_user", **call, plan=keeper(fab_site).planned("update_user", **call))
    assert "'Baker'" in words
    assert fab_site.held("/auth/fab/v1/users/steady")["roles"] == [{"name": "Viewer"}]


def test_who_is_no_administrator_in_airflow_may_not_read_its_users(fab_site: Site) -> None:
    operator = fab_site.talker("op", user="op", allow="*")
    assert operator.refusal("list_users") == (
        "Airflow refuses list_users to the user this server acts as (403). Airflow says: Forbidden. Ask "
        "Airflow's administrator for that permission, or use another login."
    )
