"""Operations of Airflow's API that no route of the catalog has: every one by name, with the reason, in one list.

The routes of the private /ui are in none of the documents: they are unversioned and meant for Airflow's own pages.
"""

from __future__ import annotations

from typing import NamedTuple

from airflow_mcp.catalog.versions import Generation


class LeftOut(NamedTuple):
    """Operations of one generation, and why no entry has them as its route."""

    generation: Generation
    operations: tuple[str, ...]  # a slot is written {}
    reason: str
    instead: tuple[str, ...] = ()  # tools that do the same; none where it must not be a tool


LEFT_OUT = (
    LeftOut(
        "v2", ("GET /api/v2/auth/logout", "GET /auth/logout"),
        "it revokes the very token it is called with, and this server would be locked out",
    ),
    LeftOut(
        "v2", ("GET /api/v2/auth/login", "GET /auth/token/login"),
        "it sends a browser to a page or sets its cookie",
    ),
    LeftOut(
        "v2", ("POST /auth/token", "POST /auth/token/cli", "GET /auth/token"),
        "the server logs in by itself; a tool would hand a credential to the model",
    ),
    LeftOut(
        "v2", ("GET /api/v2/dags/{}/dagRuns/{}/wait",),
        "it exists since 3.1 and streams; asking again and again works on every version",
        ("wait_for_dag_run",),
    ),
    LeftOut(
        "v1",
        (
            "GET /auth/fab/v1/users", "POST /auth/fab/v1/users",
            "GET /auth/fab/v1/users/{}", "PATCH /auth/fab/v1/users/{}", "DELETE /auth/fab/v1/users/{}",
            "GET /auth/fab/v1/roles", "POST /auth/fab/v1/roles",
            "GET /auth/fab/v1/roles/{}", "PATCH /auth/fab/v1/roles/{}", "DELETE /auth/fab/v1/roles/{}",
            "GET /auth/fab/v1/permissions",
        ),
        "since 2.8 the same is served here too; below /api/v1 all of 2.x has it",
        (
            "list_users", "create_user", "get_user", "update_user", "delete_user",
            "list_roles", "create_role", "get_role", "update_role", "delete_role", "list_permissions",
        ),
    ),
)  # fmt: skip
