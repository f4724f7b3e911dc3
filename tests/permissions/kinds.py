"""Tools of kinds that the catalog does not have: of two nouns at once, of administrators and a DAG."""

from __future__ import annotations

from pathlib import Path

from airflow_mcp.catalog.loader import Catalog, load_catalog
from tests.unit.manifests import write_manifests

MORE = """
[create_user]
title = "Create a user"
summary = "Somebody new."
access = "admin"
effects = ["create_user"]
kinds = ["access"]
preview = "read"
shows = ["get_thing"]
scope = "none"
v2 = "POST /users"
params = ["thing_id", "password?"]

[delete_variable]
title = "Delete a variable"
summary = "It is gone."
access = "destructive"
effects = ["delete_variable"]
kinds = ["delete", "config"]
preview = "read"
shows = ["get_thing"]
scope = { variable = "path" }
v2 = "DELETE /variables/{variable_key}"
params = ["variable_key"]

[get_variable]
title = "Get a variable"
summary = "One."
access = "read"
scope = { variable = "path" }
v2 = "GET /variables/{variable_key}"
params = ["variable_key"]

[list_connections]
title = "List connections"
summary = "All."
access = "read"
scope = { connection = "row" }
v2 = "GET /connections"
params = ["connection_id?"]

[list_slots]
title = "List slots"
summary = "Who holds which slots of which pool."
access = "read"
scope = { dag = "row", pool = "row" }
v2 = "GET /slots"
params = ["dag_id?", "pool_name?"]
rows = "slots"
record = "slot"

[clear_many]
title = "Clear many"
summary = "Of several DAGs, in one pool."
access = "write"
effects = ["clear_many"]
kinds = ["state"]
scope = { dag = "body", pool = "body" }
v2 = "POST /clear"
params = ["dag_ids?", "dag_id?", "pool_name?"]

[edit_admins]
title = "Edit a DAG's administrators"
summary = "Who may do everything."
access = "admin"
effects = ["edit_admins"]
kinds = ["delete"]
preview = "read"
shows = ["get_thing"]
scope = { dag = "path" }
v2 = "PATCH /admins/{dag_id}"
params = ["dag_id"]

[get_thing]
title = "Get a thing"
summary = "One thing."
access = "read"
scope = "none"
v2 = "GET /things/{thing_id}"
params = ["thing_id"]
"""
MORE_PARAMETERS = (
    "\n".join(
        f'[{name}]\nschema = {{ type = "string" }}'
        for name in ("thing_id", "password", "variable_key", "connection_id", "dag_id", "pool_name")
    )
    + '\n[dag_ids]\nschema = { type = "array", items = { type = "string" } }\n'
)


MORE_RECORDS = """
[slot]
keep = ["dag_id", "name"]
ids = ["dag_id", "name"]
"""


def more_tools(folder: Path) -> Catalog:
    """A catalog of these alone."""
    return load_catalog(
        write_manifests(
            folder, parameters=MORE_PARAMETERS, records=MORE_RECORDS, things=MORE, people="", toolsets="default = []\n"
        )
    )
