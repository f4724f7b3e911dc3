"""Users, roles and what a role may do, over stdio, against a real Airflow 3 with the FAB auth manager."""

import pytest

# Their assertions are to say what was compared, as those of test files do.
pytest.register_assert_rewrite("tests.e2e.harness", f"{__name__}.access")
