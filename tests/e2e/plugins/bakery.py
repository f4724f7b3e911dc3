"""A plugin with one macro, and an operator whose link holds secrets: the words in pointed brackets are replaced."""

# pyright: basic, reportMissingImports=false

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

try:
    from airflow.sdk import BaseOperator, BaseOperatorLink
except ImportError:  # Airflow 2
    from airflow.models import BaseOperator, BaseOperatorLink

LINK = """
<<link>>
"""


def loaves(sacks: int) -> int:
    return sacks * 40


class Song(BaseOperatorLink):
    name = "Song"

    def get_link(self, operator, *, ti_key) -> str:
        return LINK


class Perch(BaseOperator):
    operator_extra_links = (Song(),)

    def execute(self, context) -> None:
        pass


class Bakery(AirflowPlugin):
    name = "bakery"
    macros = [loaves]  # noqa: RUF012 - as Airflow wants it
    operator_extra_links = [Song()]  # noqa: RUF012
