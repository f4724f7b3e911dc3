"""A secret that a caller gives is in no answer, preview, question, audit trail or log; only Airflow holds it."""

from __future__ import annotations

from pathlib import Path

from mcp.client import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult

from .harness import CANARY, Json, Site
from .rows_access import BAKER
from .rows_assets import FLOUR
from .rows_connections import CELLAR, cellar, kept, without_id
from .rows_states import TASK

CALLS: list[tuple[str, Json]] = [
    ("create_connection", CELLAR),
    ("update_connection", CELLAR | {"host": "other.example.invalid"}),
    ("test_connection", CELLAR),
    ("enqueue_connection_test", CELLAR),
    ("bulk_connections", {"create": [CELLAR], "update": [CELLAR]}),
    ("create_variable", {"variable_key": "plain", "value": CANARY}),
    ("update_variable", {"variable_key": "plain", "value": {"deep": [CANARY]}}),
    (
        "bulk_variables",
        {
            "create": [{"variable_key": "plain", "value": CANARY}],
            "update": [{"variable_key": "plain", "value": CANARY}],
        },
    ),
    ("set_asset_state", {"uri": FLOUR, "state_key": "api_token", "value": CANARY}),
    ("set_task_state", TASK | {"state_key": "api_token", "value": {"deep": [CANARY]}}),
    ("create_asset_event", {"uri": FLOUR, "extra": {"api_key": CANARY}}),
    ("create_user", BAKER | {"password": CANARY, "roles": ["Viewer"]}),
    ("update_user", {"username": "baker", "password": CANARY}),
]
RULES = '[[policy.allow]]\ntools = ["*", "@admin"]\nconfirm = "human"\n'


def test_a_secret_among_the_arguments_is_shown_to_nobody(site: Site, tmp_path: Path) -> None:
    """Every call is asked about and declined, so that nothing of it happens; some Airflows lack the tool."""
    audit = tmp_path / "audit.jsonl"
    said: list[str] = []

    async def decline(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        said.append(params.model_dump_json())
        return ElicitResult(action="decline")

    talker = site.ruled("vault", RULES, mode="legacy", human=decline, audit=str(audit))
    with cellar(site):
        for tool, arguments in CALLS:
            result = talker.result(tool, arguments)
            assert result.is_error
            said.append(result.model_dump_json())
            for wrong in ({"no_such_argument": 1}, {"max_chars": 1}):
                said.append(talker.result(tool, arguments | wrong).model_dump_json())
        assert kept(site) == without_id(CELLAR)
    trail = audit.read_text()
    assert {tool for tool, _ in CALLS if f'"{tool}"' not in trail} == set()
    assert [line for line in (*said, *trail.splitlines(), *talker.stderr.splitlines()) if CANARY in line] == []
    assert len([one for one in said if "sommelier" in one]) >= 2, "what is no secret is shown to the human"
