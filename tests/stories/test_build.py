"""Stories are kept only when every run of theirs is as they tell it; asked of an Airflow played back."""

from __future__ import annotations

from typing import Any, cast

import pytest

from airflow_mcp.demo.processes import DemoError
from tests.e2e.harness import Json, Site
from tests.stories.build import missing
from tests.stories.states import RAN, RunId, State


class Played:
    """An Airflow 3 on which everything has come to its end, but for the runs in `otherwise`."""

    version, is_old = "3.3.2", False

    def __init__(self, otherwise: dict[RunId, State]) -> None:
        self._runs = RAN | {("daily_stock", "today"): ("success", {})} | otherwise

    def rest(self, method: str, path: str) -> tuple[int, Any]:
        """What Airflow answers."""
        assert method == "GET"
        return 200, self.held(path)

    def held(self, path: str) -> Json:
        """What Airflow holds."""
        match path.split("?")[0].strip("/").split("/"):
            case ["dags", "~", "dagRuns"]:
                runs = [{"dag_id": d, "dag_run_id": r, "state": state} for (d, r), (state, _) in self._runs.items()]
                return {"dag_runs": runs}
            case ["dags", dag_id, "dagRuns", run_id, "taskInstances"]:
                counts = self._runs[dag_id, run_id][1]
                named = [(*name.split(), count) for name, count in counts.items()]
                rows = [
                    {"task_id": t, "state": None if s == "None" else s} for t, s, count in named for _ in range(count)
                ]
                return {"task_instances": rows}
            case ["importErrors"]:
                return {"import_errors": [{}, {}]}
            case ["dags", "join_feeds", "assets", "queuedEvents"]:
                return {"queued_events": [{}]}
            case _:
                raise AssertionError(path)


def told(**otherwise: State) -> str:
    """What is missing when these DAGs' last runs are in other states than their stories tell."""
    last = {dag_id: ids for ids in RAN for dag_id in ids[:1]}
    played = Played({last[dag_id]: state for dag_id, state in otherwise.items()})
    return missing(cast(Site, played), [])


def test_nothing_is_missing_when_every_run_is_as_its_story_tells_it() -> None:
    assert told() == ""


def test_a_run_that_the_scheduler_has_not_taken_up_is_waited_for() -> None:
    assert told(ledger=("queued", {"post_entries None": 1})) == "ledger june to be running instead of queued"


def test_a_task_that_has_not_come_to_its_state_is_waited_for() -> None:
    said = told(retry_later=("running", {"call_supplier running": 1}))
    assert said == (
        "retry_later supplier-1 to have {'call_supplier up_for_retry': 1} instead of {'call_supplier running': 1}"
    )


def test_the_run_that_nobody_starts_is_waited_for_too() -> None:
    stock = ("daily_stock", "today")
    assert missing(cast(Site, Played({stock: ("running", {})})), []) == "the success of daily_stock, which is running"
    with pytest.raises(DemoError, match="daily_stock is failed"):
        missing(cast(Site, Played({stock: ("failed", {})})), [])


def test_a_run_that_ended_in_another_way_is_not_waited_for() -> None:
    with pytest.raises(DemoError, match="price_list after is success, and its story needs it failed"):
        told(price_list=("success", {"collect success": 1, "discount success": 1}))
