"""Confirmation on a real Airflow: by a plan, by a human in both eras, and a limit on what one call may touch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mcp.client import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult

from airflow_mcp.catalog.loader import load_catalog

from .changes import FRESH, held_state, held_tasks, new_run
from .harness import Json, Mode, Site, Talker, rows_of

LOST = {name: tool.entry.lost for name, tool in load_catalog().tools.items()}
HUMAN = '[[policy.allow]]\ntools = ["clear_task_instances", "delete_pool"]\nconfirm = "human"\n'


def put(site: Site, run: Json, state: str, *tasks: str) -> None:
    """Set the state of task instances ("first", "each/2") in Airflow itself."""
    for task in tasks:
        path = f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances/{task}"
        site.change("PATCH", path, {"new_state": state} | ({"dry_run": False} if site.is_old else {}))


def failed_run(site: Site, run_id: str, *tasks: str) -> Json:
    """A new run of a paused DAG with these task instances failed, as the arguments that clear it for real."""
    run = new_run(site, run_id)
    # In this order: Airflow clears what failed behind a task that is set to success.
    put(site, run, "success", *(task for task in ("first", "each/0", "each/1", "each/2") if task not in tasks))
    put(site, run, "failed", *tasks)
    site.change("PATCH", f"/dags/{run['dag_id']}/dagRuns/{run_id}", {"state": "failed"})
    return run


def previewed(talker: Talker, tool: str, /, **arguments: Any) -> tuple[Json, str]:
    """What a call shows that it would touch, and the plan to do it."""
    answer = talker.result(tool, arguments).structured_content
    assert answer is not None
    assert set(answer) == {"preview", "plan", "hint", "next"}
    return answer["preview"], answer["plan"]


def test_clearing_shows_first_and_then_queues_what_it_showed_exactly_once(site: Site) -> None:
    run = failed_run(site, "plan-once", "each/2")
    before = held_tasks(site, run)
    preview, plan = previewed(site.admin, "clear_task_instances", **run, dry_run=False)
    assert (preview["affected"], preview["lost"]) == (1, LOST["clear_task_instances"])
    assert [row["task_id"] for row in rows_of(preview)] == ["each"]
    assert (held_state(site, run), held_tasks(site, run)) == ("failed", before)
    done = site.admin.ask("clear_task_instances", **run, dry_run=False, plan=plan)
    assert (done["done"], done["total"]) == (True, 1)
    assert (held_state(site, run), held_tasks(site, run)) == ("queued", before | {"each[2]": None})
    put(site, run, "failed", "each/2")
    words = site.admin.refusal("clear_task_instances", **run, dry_run=False, plan=plan)
    assert "was used already; a plan is good once" in words
    assert held_tasks(site, run) == before


def test_a_preview_says_which_of_a_mapped_task_it_means(site: Site) -> None:
    run = failed_run(site, "plan-which", "each/2")
    preview, _ = previewed(site.admin, "clear_task_instances", **run, dry_run=False)
    assert [(row["task_id"], row.get("map_index")) for row in rows_of(preview)] == [("each", 2)]


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("fewer", {"each/2": "success"}, "nothing matches, so there is nothing to do"),
        ("more", {"each/0": "failed"}, "is for other targets: they changed since the preview"),
        ("moved", {"each/2": "success", "each/0": "failed"}, "is for other targets: they changed since the preview"),
    ],
)
def test_a_plan_whose_targets_changed_does_nothing(site: Site, name: str, changes: Json, words: str) -> None:
    run = failed_run(site, f"plan-{name}", "each/2")
    _, plan = previewed(site.admin, "clear_task_instances", **run, dry_run=False)
    for task, state in changes.items():
        put(site, run, state, task)
    before = held_state(site, run), held_tasks(site, run)
    assert words in site.admin.refusal("clear_task_instances", **run, dry_run=False, plan=plan)
    assert (held_state(site, run), held_tasks(site, run)) == before


def test_a_plan_is_good_for_its_own_call_on_its_own_server(site: Site) -> None:
    run, other = failed_run(site, "plan-mine", "each/2"), failed_run(site, "plan-theirs", "each/2")
    _, plan = previewed(site.admin, "clear_task_instances", **run, dry_run=False)
    before = held_tasks(site, run)
    words = site.admin.refusal("clear_task_instances", **other, dry_run=False, plan=plan)
    assert "is for clear_task_instances with other arguments" in words
    words = site.admin.refusal("clear_task_instances", **run, dry_run=False, only_failed=False, plan=plan)
    assert "with other arguments" in words
    words = site.old_admin.refusal("clear_task_instances", **run, dry_run=False, plan=plan)
    assert "is not one this server gave" in words
    assert held_tasks(site, run) == held_tasks(site, other) == before
    assert site.admin.ask("clear_task_instances", **run, dry_run=False, plan=plan)["done"] is True


def test_deleting_a_pool_shows_it_first(site: Site) -> None:
    pool: Json = {"name": "pinned", "slots": 3, "description": "für Zoë", "include_deferred": False}
    site.change("POST", "/pools", pool)
    preview, plan = previewed(site.admin, "delete_pool", pool_name="pinned")
    assert (preview["affected"], preview["lost"]) == (1, LOST["delete_pool"])
    assert {name: preview[name] for name in pool} == pool
    assert site.held("/pools/pinned")["slots"] == 3
    assert site.admin.ask("delete_pool", pool_name="pinned", plan=plan)["done"] is True
    assert site.rest("GET", "/pools/pinned")[0] == 404


def test_deleting_a_run_shows_it_and_counts_its_task_instances_first(site: Site) -> None:
    run = failed_run(site, "plan-gone", "first")
    preview, plan = previewed(site.admin, "delete_dag_run", **run)
    assert (preview["affected"], preview["task_instances"]) == (1 + len(FRESH), len(FRESH))
    assert (preview["dag_run_id"], preview["state"]) == ("plan-gone", "failed")
    assert preview["lost"] == LOST["delete_dag_run"]
    assert held_state(site, run) == "failed"
    assert site.admin.ask("delete_dag_run", **run, plan=plan)["done"] is True
    assert site.rest("GET", "/dags/still/dagRuns/plan-gone")[0] == 404


STATES = '[[policy.allow]]\ntools = ["set_*_state"]\nconfirm = "plan"\n'


def test_a_new_state_shows_the_very_task_instances_that_it_then_reaches(site: Site) -> None:
    run = new_run(site, "plan-state")
    talker = site.ruled("states", STATES)
    # Not "failed": Airflow clears what failed behind a task whose state is set.
    call = run | {"task_id": "first", "new_state": "success"} | ({} if site.is_old else {"include_downstream": True})
    preview, plan = previewed(talker, "set_task_instance_state", **call)
    assert set(held_tasks(site, run).values()) == {None}
    talker.ask("set_task_instance_state", **call, plan=plan)
    reached = {name for name, state in held_tasks(site, run).items() if state == "success"}
    if site.is_old:
        assert (preview["affected"], reached) == (1, {"first"})
    else:
        shown = rows_of(preview)
        indexes = [f"[{row['map_index']}]" if row.get("map_index") is not None else "" for row in shown]
        assert {row["task_id"] + index for row, index in zip(shown, indexes, strict=True)} == reached
        assert preview["affected"] == len(reached) > 1


def test_the_state_of_a_run_is_shown_with_the_task_instances_that_follow(site: Site) -> None:
    run = new_run(site, "plan-run-state")
    preview, plan = previewed(site.ruled("states", STATES), "set_dag_run_state", **run, state="failed")
    assert (preview["affected"], preview["task_instances"]) == (1 + len(FRESH), len(FRESH))
    assert "state=failed" in preview["targets"]
    site.ruled("states", STATES).ask("set_dag_run_state", **run, state="failed", plan=plan)
    assert held_state(site, run) == "failed"


def test_a_call_over_the_limit_is_refused_with_both_numbers_and_one_within_it_is_done(site: Site) -> None:
    rules = '[[policy.allow]]\ntools = ["clear_task_instances"]\nconfirm = "never"\nmax_affected = 1\n'
    talker = site.ruled("limited", rules)
    run = failed_run(site, "limited", "each/1", "each/2")
    before = held_tasks(site, run)
    words = talker.refusal("clear_task_instances", **run, dry_run=False)
    assert "would touch 2 objects; 1 are allowed in one call (max_affected)" in words
    assert (held_state(site, run), held_tasks(site, run)) == ("failed", before)
    put(site, run, "success", "each/1")
    assert talker.ask("clear_task_instances", **run, dry_run=False)["done"] is True
    assert held_tasks(site, run) == before | {"each[1]": "success", "each[2]": None}


class Human:
    """Answers every question in one way, and remembers them; `meanwhile` happens before the first answer."""

    def __init__(self, answer: ElicitResult, meanwhile: Callable[[], None] | None = None) -> None:
        self.asked: list[str] = []
        self._answer = answer
        self._meanwhile = meanwhile

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        if self._meanwhile and not self.asked:
            self._meanwhile()
        self.asked.append(params.message)
        return self._answer


MODES: list[Mode] = ["auto", "legacy"]
YES = ElicitResult(action="accept", content={"confirm": True})
NOES = {
    "decline": ElicitResult(action="decline"),
    "cancel": ElicitResult(action="cancel"),
    "no": ElicitResult(action="accept", content={"confirm": False}),
}


@pytest.mark.parametrize("mode", MODES)
def test_what_a_human_accepts_is_done(site: Site, mode: Mode) -> None:
    human = Human(YES)
    talker = site.ruled(f"yes-{mode}", HUMAN, mode=mode, human=human)
    run = failed_run(site, f"yes-{mode}", "each/2")
    before = held_tasks(site, run)
    assert talker.ask("clear_task_instances", **run, dry_run=False)["done"] is True
    assert held_tasks(site, run) == before | {"each[2]": None}
    (question,) = human.asked
    assert question.startswith("Clear task instances: 1 affected.\n")
    assert f"\n- still/yes-{mode}/each" in question
    assert f"\n{LOST['clear_task_instances']}" in question


def test_the_question_says_which_of_a_mapped_task_it_means(site: Site) -> None:
    human = Human(NOES["decline"])
    talker = site.ruled("which", HUMAN, human=human)
    talker.refusal("clear_task_instances", **failed_run(site, "which", "each/2"), dry_run=False)
    assert "\n- still/which/each[2]\n" in human.asked[0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("answer", NOES)
def test_what_a_human_does_not_accept_is_not_done(site: Site, mode: Mode, answer: str) -> None:
    human = Human(NOES[answer])
    talker = site.ruled(f"{answer}-{mode}", HUMAN, mode=mode, human=human)
    run = failed_run(site, f"{answer}-{mode}", "each/2")
    before = held_state(site, run), held_tasks(site, run)
    words = talker.refusal("clear_task_instances", **run, dry_run=False)
    assert words == f"Nothing was done: the user's answer was {answer!r}."
    assert len(human.asked) == 1
    assert (held_state(site, run), held_tasks(site, run)) == before


@pytest.mark.parametrize("mode", MODES)
def test_a_client_that_cannot_ask_is_refused(site: Site, mode: Mode) -> None:
    talker = site.ruled(f"dumb-{mode}", HUMAN, mode=mode)
    run = failed_run(site, f"dumb-{mode}", "each/2")
    before = held_state(site, run), held_tasks(site, run)
    words = talker.refusal("clear_task_instances", **run, dry_run=False)
    assert words.startswith("Nothing was done: the operator wants a human to confirm this")
    assert "elicitation" in words
    assert (held_state(site, run), held_tasks(site, run)) == before


@pytest.mark.parametrize("mode", MODES)
def test_what_changes_while_a_human_thinks_is_not_touched_without_being_shown(site: Site, mode: Mode) -> None:
    run = failed_run(site, f"slow-{mode}", "each/2")
    human = Human(YES, meanwhile=lambda: put(site, run, "failed", "each/0"))
    talker = site.ruled(f"slow-{mode}", HUMAN, mode=mode, human=human)
    talker.result("clear_task_instances", {**run, "dry_run": False})
    touched = [task for task, state in held_tasks(site, run).items() if state is None]
    assert not touched or f" {len(touched)} affected." in human.asked[-1]


@pytest.mark.parametrize("mode", MODES)
def test_a_pool_is_deleted_once_a_human_accepts_and_stays_when_one_declines(site: Site, mode: Mode) -> None:
    site.change("POST", "/pools", {"name": "asked about", "slots": 1, "include_deferred": False})
    no, yes = Human(NOES["decline"]), Human(YES)
    talker = site.ruled(f"pool-no-{mode}", HUMAN, mode=mode, human=no)
    assert "'decline'" in talker.refusal("delete_pool", pool_name="asked about")
    assert site.held("/pools/asked%20about")["slots"] == 1
    talker = site.ruled(f"pool-yes-{mode}", HUMAN, mode=mode, human=yes)
    assert talker.ask("delete_pool", pool_name="asked about")["done"] is True
    assert site.rest("GET", "/pools/asked%20about")[0] == 404
    assert no.asked == yes.asked
