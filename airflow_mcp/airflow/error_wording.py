"""How errors call an Airflow and its settings: as the operator does who has to look at them."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from airflow_mcp.errors import AirflowError, AirflowMcpError, AirflowUnreachableError, LoginError

_VARIABLE = re.compile(r"AIRFLOW_MCP_[A-Z_]+")


@dataclass(frozen=True)
class ErrorWording:
    """The words for one Airflow."""

    instance: str = ""  # which one it is; empty where there is no other
    settings: Mapping[str, str] = field(default_factory=dict[str, str])  # variable -> what is set instead of it

    @contextmanager
    def apply(self) -> Generator[None]:
        """Errors of the block about this Airflow leave it in these words."""
        try:
            yield
        except (AirflowError, AirflowUnreachableError, LoginError) as error:
            raise self._reword(error) from None

    def _reword(self, error: AirflowMcpError) -> AirflowMcpError:
        """The error anew, since calls that wait for the same answer share one."""
        sentence = _VARIABLE.sub(lambda match: self.settings.get(match[0], match[0]), str(error))
        start = f"{self.instance}: " if self.instance else ""
        return error.with_sentence(sentence if sentence.startswith(start) else f"{start}{sentence}")
