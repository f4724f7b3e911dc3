"""Who a caller is to FAB decides: logins, and what a role may read."""

from __future__ import annotations

import re

import pytest

from tests.e2e.harness import Site


def test_the_administrator_logs_in_and_lists_dags(fab_site: Site) -> None:
    listed = {row["dag_id"] for row in fab_site.admin.rows("list_dags")}
    assert listed == {dag["dag_id"] for dag in fab_site.held("/dags")["dags"]}
    assert "ok" in listed


def test_a_second_user_logs_in_with_a_password_of_their_own(fab_site: Site) -> None:
    assert "ok" in {row["dag_id"] for row in fab_site.viewer.rows("list_dags")}


def test_a_wrong_password_is_one_sentence_that_says_what_to_check(fab_site: Site) -> None:
    stranger = fab_site.talker("stranger", user="viewer", password="wrong")
    said, _, seconds = stranger.refusal("list_dags").partition(" It is not tried again for ")
    assert said == (
        "Airflow does not accept user 'viewer' with the configured password. Check AIRFLOW_MCP_USERNAME and "
        "AIRFLOW_MCP_PASSWORD; on Airflow 2.x also that [api] auth_backends has basic_auth, and that this user may "
        "read DAGs."
    )
    assert re.fullmatch(r"\d+ s, or until a reload \(SIGHUP\)\.", seconds)


@pytest.mark.parametrize("tool", ["list_connections", "list_variables", "get_config", "list_event_logs"])
def test_what_a_viewer_may_not_read_is_refused_in_airflows_name(fab_site: Site, tool: str) -> None:
    assert fab_site.viewer.refusal(tool) == (
        f"Airflow refuses {tool} to the user this server acts as (403). Airflow says: Forbidden. Ask "
        "Airflow's administrator for that permission, or use another login."
    )
