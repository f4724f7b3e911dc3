"""A stand-in for an Airflow that shows each of its users other rows, and gives each a session cookie."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable

from tests.unit.fake_airflow import FakeAirflow, Reply, Sent


class People:
    """Who its users are, by their tokens, and which cookies came with whose requests."""

    def __init__(self, user_of: Callable[[str], str], version: str = "3.3.2") -> None:
        """`user_of` says whose a token is; empty for nobody's. Airflow 2 answers nobody with 403, as since 2.8."""
        self._nobody = (
            Reply(401, {"detail": "Token Expired"}) if version[0] == "3" else Reply(403, {"title": "Forbidden"})
        )
        self.airflow = FakeAirflow(version).on("GET", "/dags", self._dags).on("GET", "/dags/payroll", self._payroll)
        self.cookies: dict[str, set[str]] = defaultdict(set)
        self.users: list[str] = []  # whose requests for DAGs came, in order; empty for nobody's
        self.expired: set[str] = set()
        self._user_of = user_of
        self._lock = threading.Lock()

    @property
    def bearers(self) -> set[str]:
        """Every token that ever came, with a request of any kind."""
        return {sent.headers.get("authorization", "").removeprefix("Bearer ") for sent in self.airflow.seen} - {""}

    def _who(self, sent: Sent) -> str:
        token = sent.headers.get("authorization", "").removeprefix("Bearer ")
        return "" if token in self.expired else self._user_of(token)

    def _dags(self, sent: Sent) -> Reply:
        who = self._who(sent)
        with self._lock:
            self.users.append(who)
            if not who:
                return self._nobody
            if cookie := sent.headers.get("cookie"):
                self.cookies[who].add(cookie)
        dags = [{"dag_id": f"{who}_{number}", "is_paused": False} for number in range(2)]
        answer = {"dags": [*dags, {"dag_id": "payroll", "is_paused": False}], "total_entries": 3}
        return Reply(200, answer, {"set-cookie": f"session=of-{who}; Path=/"})

    def _payroll(self, sent: Sent) -> Reply:
        return Reply(200, {"dag_id": "payroll"}) if self._who(sent) else self._nobody
