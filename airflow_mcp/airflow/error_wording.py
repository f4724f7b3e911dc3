"""How errors name an Airflow and its settings: as the operator who has to check them does."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from airflow_mcp.errors import AirflowError, AirflowMcpError, AirflowUnreachableError, LoginError

_VARIABLE = re.compile(r"AIRFLOW_MCP_[A-Z_]+")


@dataclass(frozen=True)
class ErrorWording:
    """The words of errors about one Airflow."""

    instance: str = ""  # its name; empty where there is only one Airflow
    settings: Mapping[str, str] = field(default_factory=dict[str, str])  # variable -> the setting in use instead of it

    @contextmanager
    def apply(self) -> Generator[None]:
        """Reword the errors about this Airflow that leave the block."""
        try:
            yield
        except (AirflowError, AirflowUnreachableError, LoginError) as error:
            raise self._reword(error) from None

    def _reword(self, error: AirflowMcpError) -> AirflowMcpError:
        """Return a reworded copy of the error, since calls that wait for the same answer share one."""
        sentence = _VARIABLE.sub(lambda match: self.settings.get(match[0], match[0]), str(error))
        start = f"{self.instance}: " if self.instance else ""
        return error.with_sentence(sentence if sentence.startswith(start) else f"{start}{sentence}")
