"""End to end: every tool over stdio, as a client sees it, against a real Airflow 3 and a real Airflow 2."""

import pytest

# Their assertions are to say what was compared, as those of test files do.
pytest.register_assert_rewrite(f"{__name__}.harness", f"{__name__}.reads", f"{__name__}.changes")
