"""The stories of runs that wait, and what each of them waits for."""

from __future__ import annotations

from tests.stories.raw import where_is, why_waiting
from tests.stories.story import Fact, Story, like
from tests.stories.world import SCHEDULER, TRIGGERER


def _why(dag_id: str, run_id: str = "", task_id: str = "") -> tuple[str, dict[str, str]]:
    given = {"dag_id": dag_id, "dag_run_id": run_id, "task_id": task_id}
    return "why_not_running", {name: value for name, value in given.items() if value}


SICK = "unhealthy|dead|down|no (recent )?heartbeat|not healthy|stopped"
NOT_PAUSED: tuple[Fact, ...] = (like(r"\bis paused\b(?!: (false|no))"), like("unpause_dag"))
WELL: tuple[Fact, ...] = (like(rf"scheduler\W{{1,12}}(is )?({SICK})"),)

STORIES = (
    Story(
        "a pool that does not exist",
        "train_model is scheduled for two hours and does not start. Why?",
        *_why("train_model"),
        says=("gpu", like("not exist|non-existent|unknown pool|no such pool|no pool|missing")),
        never=(*NOT_PAUSED, *WELL),
        raw=why_waiting("train_model"),
    ),
    Story(
        "a full pool",
        "copy-3 of warehouse_load does not start. Why?",
        *_why("warehouse_load", "copy-3"),
        says=(
            "copy_table",
            "warehouse",
            like(r"full|0 (open|free)|no (open|free)|open_slots: 0|occupied|taken|in use"),
        ),
        never=(*NOT_PAUSED, *WELL),
        raw=why_waiting("warehouse_load", "copy-3"),
    ),
    Story(
        "a paused DAG with a backlog",
        "paused_backlog has runs queued for days. Why?",
        *_why("paused_backlog"),
        says=(like(r"\bpaused"), "unpause_dag", like(r"\b3\b")),
        never=WELL,
        raw=why_waiting("paused_backlog"),
    ),
    Story(
        "a dead scheduler",
        "Nothing starts any more, hourly_rollup neither. Why?",
        *_why("hourly_rollup"),
        says=(like(rf"scheduler.{{0,80}}({SICK})|({SICK}).{{0,80}}scheduler"), like("heartbeat")),
        never=NOT_PAUSED,
        raw=why_waiting("hourly_rollup"),
        dead=SCHEDULER,
    ),
    Story(
        "queued, and nothing is wrong",
        "rollup-1 of hourly_rollup is queued for two hours. Why?",
        *_why("hourly_rollup", "rollup-1"),
        says=("rollup-1", "queued"),
        never=(*NOT_PAUSED, *WELL, "acme_", "gpu", like("max_active_runs.{0,30}reached"), like("0 open|no open")),
        raw=why_waiting("hourly_rollup"),
    ),
    Story(
        "a DAG whose file no longer imports",
        "orders_v2 does not run any more. Why?",
        *_why("orders_v2"),
        says=("ModuleNotFoundError", "acme_orders_schema"),
        never=("acme_warehouse", *NOT_PAUSED, *WELL),
        raw=why_waiting("orders_v2"),
    ),
    Story(
        "a DAG that is not there because its file never imported",
        "I deployed customer_sync.py. Where is my DAG?",
        *_why("customer_sync"),
        says=("customer_sync.py", "acme_warehouse"),
        never=("acme_orders_schema",),
        raw=where_is("customer_sync"),
    ),
    Story(
        "max_active_runs is reached",
        "index-2 is queued for four hours. Why?",
        *_why("one_at_a_time", "index-2"),
        says=("max_active_runs", "index-1", like(r"\b1\b")),
        never=(*NOT_PAUSED, *WELL),
        raw=why_waiting("one_at_a_time", "index-2"),
    ),
    Story(
        "max_active_tasks is reached",
        "Why do only two regions sync at a time?",
        *_why("narrow_lane", "lane-1"),
        says=("max_active_tasks", like(r"\b2\b"), like("sync_(south|west|centre)")),
        never=(*NOT_PAUSED, *WELL),
        raw=why_waiting("narrow_lane"),
    ),
    Story(
        "a deferred task waits for its trigger",
        "wait_for_partner does nothing. Is it stuck?",
        *_why("wait_for_partner", "partner-1"),
        says=("partner_delivers", "deferred", "DateTimeTrigger"),
        never=(*NOT_PAUSED, *WELL, like(rf"triggerer\W{{1,12}}(is )?({SICK})")),
        raw=why_waiting("wait_for_partner"),
    ),
    Story(
        "a deferred task without a triggerer",
        "wait_for_partner does nothing. Is it stuck?",
        *_why("wait_for_partner", "partner-1"),
        says=(
            "partner_delivers",
            "deferred",
            like(rf"triggerer.{{0,80}}({SICK})|({SICK}).{{0,80}}triggerer"),
        ),
        never=(*NOT_PAUSED, *WELL),
        raw=why_waiting("wait_for_partner"),
        dead=TRIGGERER,
    ),
    Story(
        "a retry that waits",
        "supplier-1 runs for ages. Why?",
        *_why("retry_later", "supplier-1", "call_supplier"),
        says=("call_supplier", "up_for_retry", like("retr(y|ies)")),
        never=(*NOT_PAUSED, *WELL),
        raw=why_waiting("retry_later", "supplier-1"),
    ),
    Story(
        "depends on a past run that failed",
        "The ledger of june does not start. Why?",
        *_why("ledger", "june"),
        says=("post_entries", "depends_on_past", "may"),
        never=(*NOT_PAUSED, *WELL),
        raw=why_waiting("ledger", "june"),
    ),
    Story(
        "one of two assets never came",
        "join_feeds has never run. What is it waiting for?",
        *_why("join_feeds"),
        says=(
            "s3://lake/impressions",
            "s3://lake/clicks",
            like(
                r"(wait|miss|never|not (yet )?(come|updated|received|arrived)|pending)[^\n]{0,80}impressions"
                r"|impressions[^\n]{0,80}\n?[^\n]{0,60}(wait|miss|never|not (yet )?|pending|false)"
            ),
        ),
        never=(*NOT_PAUSED, *WELL),
        raw=why_waiting("join_feeds"),
    ),
    Story(
        "queued where no worker listens",
        "build_cube is queued for three hours. Why?",
        *_why("stuck_in_queue", "cube-1", "build_cube"),
        says=("build_cube", "queued", "high_memory", like("worker|executor")),
        never=(*NOT_PAUSED, *WELL),
        raw=why_waiting("stuck_in_queue"),
    ),
    Story(
        "it is running",
        "Why is copy-1 not running?",
        *_why("warehouse_load", "copy-1"),
        says=("copy_table", like(r"\brunning\b")),
        never=(*NOT_PAUSED, *WELL),
        raw=why_waiting("warehouse_load", "copy-1"),
    ),
)
