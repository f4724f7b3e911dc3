"""A small folder of tool manifests, whole and right, that a test spoils or adds to."""

from __future__ import annotations

from pathlib import Path

PARAMETERS = """
[thing_id]
schema = { type = "string" }
[limit]
schema = { type = "integer", minimum = 1 }
[offset]
schema = { type = "integer", minimum = 0 }
[dry_run]
schema = { type = "boolean" }
["start_date.range"]
schema = { type = "string", format = "date-time" }
"""
RECORDS = """
[thing]
keep = ["thing_id", "color"]
ids = ["thing_id"]
text = ["note"]
"""
TOOLSETS = 'default = ["things"]\n'
THINGS = """
[list_things]
title = "List things"
summary = "Things."
access = "read"
scope = "none"
v1 = "GET /things"
v2 = "GET /things"
params = ["start_date.range?", "page"]
rows = "things"
record = "thing"

[get_thing]
title = "Get a thing"
summary = "One thing."
access = "read"
scope = "none"
v1 = "GET /things/{thing_id}"
v2 = "GET /things/{thing_id}"
params = ["thing_id"]
record = "thing"

[paint_thing]
title = "Paint a thing"
summary = "Paint it."
access = "write"
effects = ["paint_thing"]
scope = "none"
v2 = "PATCH /things/{thing_id}"
params = ["thing_id"]

[delete_thing]
title = "Delete a thing"
summary = "It is gone."
access = "destructive"
effects = ["delete_thing"]
kinds = ["delete"]
preview = "read"
shows = ["get_thing"]
scope = "none"
v1 = "DELETE /things/{thing_id}"
v2 = "DELETE /things/{thing_id}"
params = ["thing_id"]
"""
PEOPLE = """
[create_person]
title = "Create a person"
summary = "Somebody new."
access = "admin"
effects = ["create_person"]
kinds = ["access"]
preview = "read"
shows = ["list_people"]
scope = "none"
v1 = "POST /people"
v2 = "POST /people"
params = ["thing_id"]

[list_people]
title = "List people"
summary = "Who there is."
access = "read"
scope = "none"
v1 = "GET /people"
v2 = "GET /people"
rows = "people"
"""


def write_manifests(
    folder: Path,
    *,
    parameters: str = PARAMETERS,
    records: str = RECORDS,
    toolsets: str = TOOLSETS,
    **files: str,
) -> Path:
    """That folder with the shared files and, unless others are given, `things` and `people`."""
    folder.mkdir(exist_ok=True)
    tables = {"parameters": parameters, "records": records, "toolsets": toolsets}
    for name, text in {"things": THINGS, "people": PEOPLE, **tables, **files}.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder
