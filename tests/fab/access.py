"""One row for each tool of users, roles and permissions: calls it, and checks what Airflow then holds."""

from __future__ import annotations

from tests.e2e.harness import Json, Row, Site, Talker

FAB = "/auth/fab/v1"
READ_DAGS: Json = {"action": "can_read", "resource": "DAGs"}
READ_POOLS: Json = {"action": "can_read", "resource": "Pools"}


def keeper(site: Site) -> Talker:
    """The administrator, to whom our policy allows users and roles too."""
    return site.talker("keeper", allow="*,@admin")


def spelt(*actions: Json) -> list[Json]:
    """Actions as FAB writes them."""
    return [{key: {"name": name} for key, name in action.items()} for action in actions]


def given(site: Site, username: str, **more: str) -> Json:
    """A user who exists already, made without the product: what was sent."""
    names = {"first_name": "Rye", "last_name": "Baker", "password": f"{username}-first-password"}
    user: Json = {"username": username, "email": f"{username}@example.invalid", **names, **more}
    site.change("POST", f"{FAB}/users", {**user, "roles": [{"name": "Viewer"}]})
    return user


def given_role(site: Site, name: str, *actions: Json) -> None:
    """A role that exists already, made without the product."""
    site.change("POST", f"{FAB}/roles", {"name": name, "actions": spelt(*actions)})


def status(site: Site, path: str) -> int:
    """What Airflow answers about something that may be gone."""
    return site.rest("GET", FAB + path)[0]


def logs_in(site: Site, username: str, password: str) -> bool:
    """Whether a server with this user and password is answered by Airflow."""
    talker = site.talker(f"{username}-{password}", user=username, password=password)
    return not talker.result("list_dags", {}).is_error


def list_users(site: Site) -> None:
    held = {user["username"]: user for user in site.held(f"{FAB}/users")["users"]}
    rows = {row["username"]: row for row in keeper(site).rows("list_users")}
    assert rows.keys() == held.keys()
    assert rows["viewer"]["roles"] == ["Viewer"]
    assert rows["viewer"]["email"] == held["viewer"]["email"]


def get_user(site: Site) -> None:
    user = keeper(site).ask("get_user", username="viewer")
    held = site.held(f"{FAB}/users/viewer")
    assert user["roles"] == ["Viewer"]
    assert {key: user[key] for key in ("username", "email", "first_name", "last_name", "active")} == {
        key: held[key] for key in ("username", "email", "first_name", "last_name", "active")
    }
    assert "nobody" in keeper(site).refusal("get_user", username="nobody")


def create_user(site: Site) -> None:
    names = {"first_name": "Ada", "last_name": "Oven", "email": "ada@example.invalid"}
    wanted: Json = {"username": "ada", "password": "ada-first-password", "roles": ["Viewer"], **names}
    assert "ada-first-password" not in str(keeper(site).result("create_user", wanted))
    assert status(site, "/users/ada") == 404, "a preview must create nobody"
    assert keeper(site).ask("create_user", **wanted)["username"] == "ada"
    held = site.held(f"{FAB}/users/ada")
    assert {key: held[key] for key in names} == names
    assert held["roles"] == [{"name": "Viewer"}]
    assert logs_in(site, "ada", "ada-first-password")


def update_user(site: Site) -> None:
    user = given(site, "rye")
    keeper(site).ask("update_user", username="rye", email="rye.new@example.invalid", roles=["Op", "User"])
    held = site.held(f"{FAB}/users/rye")
    assert held["email"] == "rye.new@example.invalid"
    assert sorted(role["name"] for role in held["roles"]) == ["Op", "User"]
    assert [held["first_name"], held["last_name"]] == ["Rye", "Baker"]
    assert logs_in(site, "rye", user["password"]), "a password that was not named must stay"
    keeper(site).ask("update_user", username="rye", password="rye-second-password")
    assert logs_in(site, "rye", "rye-second-password")
    assert site.held(f"{FAB}/users/rye")["email"] == "rye.new@example.invalid"


def delete_user(site: Site) -> None:
    given(site, "gone")
    keeper(site).ask("delete_user", username="gone")
    assert status(site, "/users/gone") == 404
    assert "gone" in keeper(site).refusal("delete_user", username="gone")


def list_roles(site: Site) -> None:
    names = {role["name"] for role in site.held(f"{FAB}/roles")["roles"]}
    assert {row["name"] for row in keeper(site).rows("list_roles")} == names
    assert {"Admin", "Op", "Viewer"} <= names


def get_role(site: Site) -> None:
    actions = keeper(site).ask("get_role", role_name="Viewer", max_chars=20000)["actions"]
    assert spelt(*actions) == site.held(f"{FAB}/roles/Viewer")["actions"]
    assert READ_DAGS in actions


def create_role(site: Site) -> None:
    keeper(site).ask("create_role", role_name="watch", actions=[READ_DAGS, READ_POOLS])
    assert _actions(site, "watch") == sorted(map(str, spelt(READ_DAGS, READ_POOLS)))


def update_role(site: Site) -> None:
    given_role(site, "night", READ_DAGS)
    keeper(site).ask("update_role", role_name="night", actions=[READ_POOLS])
    assert _actions(site, "night") == [str(one) for one in spelt(READ_POOLS)]
    keeper(site).ask("update_role", role_name="night", name="day")
    assert status(site, "/roles/night") == 404
    assert _actions(site, "day") == [str(one) for one in spelt(READ_POOLS)], "a new name must not take rights away"


def delete_role(site: Site) -> None:
    given_role(site, "past", READ_DAGS)
    keeper(site).ask("delete_role", role_name="past")
    assert status(site, "/roles/past") == 404


def list_permissions(site: Site) -> None:
    held = site.held(f"{FAB}/permissions?limit=100")
    rows = keeper(site).rows("list_permissions", limit=100)
    assert spelt(*rows) == held["actions"]
    assert keeper(site).ask("list_permissions", limit=1)["total"] == held["total_entries"]


def _actions(site: Site, role: str) -> list[str]:
    return sorted(map(str, site.held(f"{FAB}/roles/{role}")["actions"]))


READS: dict[str, Row] = {row.__name__: row for row in (list_users, get_user, list_roles, get_role, list_permissions)}
CHANGES: dict[str, Row] = {
    row.__name__: row for row in (create_user, update_user, delete_user, create_role, update_role, delete_role)
}
