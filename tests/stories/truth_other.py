"""The stories told by a log, by the health of everything, and by one DAG's overview."""

from __future__ import annotations

from tests.stories import raw
from tests.stories.story import Fact, Story, like
from tests.stories.world import SCHEDULER


def _read(dag_id: str, run_id: str, task_id: str, **more: object) -> tuple[str, dict[str, object]]:
    return "read_task_log", {"dag_id": dag_id, "dag_run_id": run_id, "task_id": task_id, **more}


HUGE = ("export_everything", "export-1", "export")
SAYS_OVERFLOW: tuple[Fact, ...] = ("OverflowError", "amount of order 88121 does not fit in DECIMAL(8,2)")
HANDLED: tuple[Fact, ...] = ("connection reset by partner.example", like(r"error: \w*FileNotFoundError"))
NO_TRACEBACK = (
    "killed|signal|heartbeat|zombie|without (an? )?(traceback|exception|error)|no (traceback|exception|error)"
)

STORIES = (
    Story(
        "the decisive error of a huge log",
        "What does the log of export say?",
        *_read(*HUGE),
        says=(*SAYS_OVERFLOW, like("error: OverflowError")),
        never=HANDLED,
        raw=raw.log(*HUGE),
    ),
    Story(
        "a word searched in a huge log",
        "Did export have trouble with partner.example?",
        *_read(*HUGE, grep="partner\\.example"),
        says=("connection reset by partner.example",),
        raw=raw.log(*HUGE),
    ),
    Story(
        "the log of a task that never started",
        "What does the log of notify_finance say?",
        *_read("nightly_chain", "night-1", "notify_finance"),
        says=("upstream_failed", like("never (started|ran)|did not (start|run)|no log")),
        raw=raw.log("nightly_chain", "night-1", "notify_finance", 0),
    ),
    Story(
        "the log of a killed task",
        "What does the log of resize say?",
        *_read("crunch_images", "images-1", "resize"),
        says=("resizing 4,000 images in memory", like(r"SIGKILL|-9\b"), like("killed|terminated by signal")),
        raw=raw.log("crunch_images", "images-1", "resize"),
    ),
    Story(
        "a log that just stops",
        "What does the log of render_pages say?",
        *_read("long_report", "pages-1", "render_pages"),
        says=("rendered page 212 of 900", like(NO_TRACEBACK)),
        raw=raw.log("long_report", "pages-1", "render_pages"),
    ),
    Story(
        "the log of an earlier try",
        "How did the first try of fetch_prices fail?",
        *_read("flaky_api", "prices-1", "fetch_prices", try_number=1),
        says=("ConnectionResetError", "connection reset by prices.example:443"),
        never=("the API key is revoked",),
        raw=raw.log("flaky_api", "prices-1", "fetch_prices"),
    ),
    Story(
        "the log of a mapped instance",
        "What does the log of shard 421 say?",
        *_read("load_shards", "shards-1", "load", map_index=421),
        says=("KeyError", "customer_id"),
        never=("did not answer", "checksum"),
        raw=raw.log("load_shards", "shards-1", "load", 1, 421),
    ),
    Story(
        "the log of a shell command",
        "What does the log of dump say?",
        *_read("dump_database", "dump-1", "dump"),
        says=('pg_dump: error: database "sales_eu" does not exist', "dumping sales"),
        raw=raw.log("dump_database", "dump-1", "dump"),
    ),
    Story(
        "the morning report",
        "I take over the shift. What is broken?",
        "health_report",
        {},
        says=(
            "acme_warehouse",
            "acme_orders_schema",
            like(r"\b20\b"),
            "load_shards",
            "crm_export_eu",
            "crm_export_us",
            like(r"warehouse[^\n]*\n?.{0,200}(full|\b0\b|\b2\b)"),
        ),
        never=(
            like(r"scheduler\W{1,12}(is )?(unhealthy|dead|down)"),
            like(r"(checksum of shard|did not answer within|customer_id)[^\n]*\n?[^\n]*\b300\b"),
        ),
        once=("crm.example",),
        raw=raw.morning,
        budget=6_000,
        requests=25,
    ),
    Story(
        "the morning report without a scheduler",
        "I take over the shift. What is broken?",
        "health_report",
        {},
        says=(like(r"scheduler.{0,80}(unhealthy|dead|down|no (recent )?heartbeat)"),),
        raw=raw.morning,
        budget=6_000,
        requests=25,
        dead=SCHEDULER,
    ),
    Story(
        "a healthy DAG at a glance",
        "What is daily_stock?",
        "get_dag_overview",
        {"dag_id": "daily_stock"},
        says=(
            "stock-team",
            like(r"@daily|0 0 \* \* \*|\bdaily\b(?!_)"),
            "count",
            "report",
            "basel",
            "success",
            like("next"),
        ),
        raw=raw.overview("daily_stock"),
    ),
    Story(
        "what a DAG needs from others",
        "Which DAGs feed join_feeds?",
        "get_dag_overview",
        {"dag_id": "join_feeds"},
        says=("s3://lake/clicks", "s3://lake/impressions", "feed_clicks", "feed_impressions"),
        raw=raw.overview("join_feeds"),
    ),
)
