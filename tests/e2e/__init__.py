"""End to end: every tool over stdio, as a client sees it, against a real Airflow 3 and a real Airflow 2."""

import pytest

# Their assertions are to say what was compared, as those of test files do.
ROOMS = ("reads", "reads_runs", "changes", "changes_runs", "changes_tasks")
ROWS = ("rows_access", "rows_assets", "rows_connections", "rows_states", "rows_variables", "rows_world")
pytest.register_assert_rewrite(*(f"{__name__}.{one}" for one in ("harness", "passing", *ROOMS, *ROWS)))
