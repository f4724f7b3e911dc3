"""The rows of the tools for users and roles, which FAB keeps: on Airflow 2; here Airflow 3 has another manager."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from .harness import CANARY, Json, Row, Site, rows_of

BAKER: Json = {"username": "baker", "email": "b@example.invalid", "first_name": "Zoë", "last_name": "B."}
SHIFT = "Night shift"
READ: Json = {"action": "can_read", "resource": "Pools"}
EDIT: Json = {"action": "can_edit", "resource": "Pools"}


def without_fab(site: Site, tool: str, **arguments: Any) -> bool:
    """Whether this Airflow keeps no users and roles; the refusal then says what would."""
    if site.is_old:
        return False
    assert "needs the auth manager FAB, which alone keeps users" in site.chief.refusal(tool, **arguments)
    return True


def wire_action(action: Json) -> Json:
    """An action as Airflow writes it."""
    return {name: {"name": value} for name, value in action.items()}


def held_actions(site: Site, role: str) -> list[Json]:
    """The actions of a role, as Airflow says."""
    actions = site.held(f"/roles/{quote(role)}")["actions"]
    return [{name: one[name]["name"] for name in ("action", "resource")} for one in actions]


@contextmanager
def user(site: Site) -> Generator[None]:
    """A user who is there, and afterwards not."""
    site.change("POST", "/users", BAKER | {"password": CANARY, "roles": [{"name": "Viewer"}]})
    try:
        yield
    finally:
        site.rest("DELETE", "/users/baker")


@contextmanager
def role(site: Site) -> Generator[None]:
    """A role that is there, and afterwards not, whatever its name is then."""
    site.change("POST", "/roles", {"name": SHIFT, "actions": [wire_action(READ)]})
    try:
        yield
    finally:
        for name in (SHIFT, "Day shift"):
            site.rest("DELETE", f"/roles/{quote(name)}")


def list_users(site: Site) -> None:
    if without_fab(site, "list_users"):
        return
    with user(site):
        answer = site.admin.ask("list_users", order_by="email")
        assert answer["total"] == site.held("/users")["total_entries"]
        assert [row["username"] for row in rows_of(answer)] == ["admin", "baker", "viewer"]
        assert rows_of(answer)[1]["roles"] == ["Viewer"]
        assert len(site.admin.rows("list_users", limit=1, offset=1)) == 1


def get_user(site: Site) -> None:
    if without_fab(site, "get_user", username="baker"):
        return
    with user(site):
        told = site.admin.ask("get_user", username="baker", fields=["*"])
        assert {name: told[name] for name in BAKER} == BAKER
        assert (told["roles"], told["active"]) == (["Viewer"], True)
        assert CANARY not in str(told)
    assert "baker" in site.admin.refusal("get_user", username="baker")


def create_user(site: Site) -> None:
    wanted: Json = BAKER | {"password": CANARY, "roles": ["Viewer", "Op"]}
    assert "admin operation that no rule allows" in site.admin.refusal("create_user", **wanted)
    if without_fab(site, "create_user", **wanted, plan=None if site.is_old else plan_of(site, "create_user", wanted)):
        return
    try:
        shown = site.chief.result("create_user", wanted)
        assert shown.structured_content is not None
        assert CANARY not in shown.model_dump_json()
        assert site.rest("GET", "/users/baker")[0] == 404
        done = site.chief.result("create_user", wanted | {"plan": shown.structured_content["plan"]})
        assert not done.is_error
        assert CANARY not in done.model_dump_json()
        held = site.held("/users/baker")
        assert {name: held[name] for name in BAKER} == BAKER
        assert sorted(one["name"] for one in held["roles"]) == ["Op", "Viewer"]
        again = plan_of(site, "create_user", wanted)
        assert "(409)" in site.chief.refusal("create_user", **wanted, plan=again)
    finally:
        site.rest("DELETE", "/users/baker")


def plan_of(site: Site, tool: str, arguments: Json) -> str:
    """The plan of a change of users or roles."""
    return site.chief.planned(tool, **arguments)


def update_user(site: Site) -> None:
    if without_fab(site, "update_user", username="baker", first_name="Eva"):
        return
    with user(site):
        held = BAKER | {"roles": [{"name": "Viewer"}]}
        changes: list[tuple[Json, Json]] = [
            ({"first_name": "Eva"}, {"first_name": "Eva"}),
            ({"email": "e@example.invalid"}, {"email": "e@example.invalid"}),
            ({"roles": ["Op"]}, {"roles": [{"name": "Op"}]}),
            ({"last_name": "C.", "roles": ["User"]}, {"last_name": "C.", "roles": [{"name": "User"}]}),
            ({"password": f"{CANARY}-2"}, {}),
        ]
        for change, becomes in changes:
            held |= becomes
            plan = plan_of(site, "update_user", {"username": "baker"} | change)
            done = site.chief.result("update_user", {"username": "baker", "plan": plan} | change)
            assert not done.is_error, done
            assert CANARY not in done.model_dump_json()
            now = site.held("/users/baker")
            assert {name: now[name] for name in held} == held
            assert works(site, f"{CANARY}-2" if "password" in change else CANARY), "the password is what it should be"
        masked = site.chief.refusal("update_user", username="baker", password="***")
        assert "password holds ***, which masks a secret" in masked
        assert works(site, f"{CANARY}-2")


def works(site: Site, password: str) -> bool:
    """Whether the user can log in with this password."""
    return site.rest_as("baker", password, "GET", "/dags?limit=1")[0] == 200


def delete_user(site: Site) -> None:
    if without_fab(site, "delete_user", username="baker"):
        return
    with user(site):
        plan = plan_of(site, "delete_user", {"username": "baker"})
        assert site.held("/users/baker")["username"] == "baker"
        assert site.chief.ask("delete_user", username="baker", plan=plan) == {"done": True, "username": "baker"}
        assert site.rest("GET", "/users/baker")[0] == 404
        assert "baker" in site.chief.refusal("delete_user", username="baker")


def list_roles(site: Site) -> None:
    if without_fab(site, "list_roles"):
        return
    with role(site):
        answer = site.admin.ask("list_roles", order_by="name")
        assert answer["total"] == site.held("/roles")["total_entries"]
        assert [row["name"] for row in rows_of(answer)] == ["Admin", SHIFT, "Op", "Public", "User", "Viewer"]


def get_role(site: Site) -> None:
    if without_fab(site, "get_role", role_name="Op"):
        return
    with role(site):
        assert site.admin.ask("get_role", role_name=SHIFT) == {"name": SHIFT, "actions": [READ]}
    assert SHIFT in site.admin.refusal("get_role", role_name=SHIFT)


def create_role(site: Site) -> None:
    wanted: Json = {"role_name": SHIFT, "actions": [READ, EDIT]}
    assert "admin operation that no rule allows" in site.admin.refusal("create_role", **wanted)
    plan = plan_of(site, "create_role", wanted)
    if without_fab(site, "create_role", **wanted, plan=plan):
        return
    try:
        assert site.rest("GET", f"/roles/{quote(SHIFT)}")[0] == 404
        made = site.chief.ask("create_role", **wanted, plan=plan)
        assert made["name"] == SHIFT
        assert ("so it was read back" in made.get("hint", "")) is site.is_old  # Airflow 2 answers {}
        assert held_actions(site, SHIFT) == [READ, EDIT]
        again = plan_of(site, "create_role", wanted)
        assert "(409)" in site.chief.refusal("create_role", **wanted, plan=again)
    finally:
        site.rest("DELETE", f"/roles/{quote(SHIFT)}")


def update_role(site: Site) -> None:
    if without_fab(site, "update_role", role_name=SHIFT, actions=[EDIT]):
        return
    with role(site):
        fewer: Json = {"role_name": SHIFT, "actions": [EDIT]}
        words = site.chief.refusal("update_role", **fewer, plan=plan_of(site, "update_role", fewer))
        assert "adds to actions and takes none away" in words
        assert held_actions(site, SHIFT) == [READ]
        more: Json = {"role_name": SHIFT, "actions": [READ, EDIT]}
        plan = plan_of(site, "update_role", more)
        assert held_actions(site, SHIFT) == [READ]
        assert site.chief.ask("update_role", **more, plan=plan)["actions"] == [READ, EDIT]
        assert held_actions(site, SHIFT) == [READ, EDIT]
        assert site.chief.ask("update_role", role_name=SHIFT, name="Day shift")["name"] == "Day shift"
        assert held_actions(site, "Day shift") == [READ, EDIT]
        assert site.rest("GET", f"/roles/{quote(SHIFT)}")[0] == 404


def delete_role(site: Site) -> None:
    if without_fab(site, "delete_role", role_name=SHIFT):
        return
    with role(site):
        plan = plan_of(site, "delete_role", {"role_name": SHIFT})
        assert held_actions(site, SHIFT) == [READ]
        assert site.chief.ask("delete_role", role_name=SHIFT, plan=plan) == {"done": True, "role_name": SHIFT}
        assert site.rest("GET", f"/roles/{quote(SHIFT)}")[0] == 404


def list_permissions(site: Site) -> None:
    if without_fab(site, "list_permissions"):
        return
    answer = site.admin.ask("list_permissions")
    assert answer["total"] == site.held("/permissions")["total_entries"]
    assert {"can_read", "can_edit", "can_create", "can_delete"} <= {row["action"] for row in rows_of(answer)}
    assert len(site.admin.rows("list_permissions", limit=2)) == 2


READS: dict[str, Row] = {row.__name__: row for row in (list_users, get_user, list_roles, get_role, list_permissions)}
CHANGES: dict[str, Row] = {
    row.__name__: row for row in (create_user, update_user, delete_user, create_role, update_role, delete_role)
}
