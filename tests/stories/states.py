"""The state that every run of the stories is in: as Airflow leaves it when they are built, and as they are told."""

from __future__ import annotations

from tests.stories.seed import RENAMED

RunId = tuple[str, str]
State = tuple[str, dict[str, int]]
"""The run's state, and how many instances of which task are in which state."""

CHAIN = (
    "clean_orders",
    "dedupe_orders",
    "join_customers",
    "join_products",
    "convert_currency",
    "sum_by_day",
    "sum_by_region",
    "score_churn",
    "build_mart",
    "test_mart",
    "publish_mart",
    "notify_finance",
)
"""Tasks of `nightly_chain` that never start, since one before them failed."""

RAN: dict[RunId, State] = {
    ("load_partitions", "load-1"): ("failed", {"load success": 4, "load failed": 1, "publish upstream_failed": 1}),
    ("nightly_chain", "night-1"): (
        "failed",
        {"extract_orders failed": 1, "extract_rates success": 1, **{f"{step} upstream_failed": 1 for step in CHAIN}},
    ),
    ("flaky_api", "prices-1"): ("failed", {"fetch_prices failed": 1}),
    ("publish_report", "report-41"): ("failed", {"publish failed": 1}),
    ("wait_for_file", "sales-1"): ("failed", {"sales_csv_arrived failed": 1, "load_sales upstream_failed": 1}),
    ("send_invoices", "invoices-1"): ("failed", {"render_invoice failed": 1}),
    ("sync_crm", "contacts-1"): ("failed", {"push_contacts failed": 1}),
    ("dump_database", "dump-1"): ("failed", {"dump failed": 1}),
    ("rebuild_day", "rebuild-1"): ("failed", {"rebuild failed": 1}),
    ("import_orders", "monday"): ("success", {"read_file success": 1}),
    ("import_orders", "tuesday"): ("failed", {"read_file failed": 1}),
    ("price_list", "before"): ("success", {"collect success": 1}),
    ("price_list", "after"): ("failed", {"collect failed": 1, "discount failed": 1}),
    ("crm_export_eu", "export-1"): ("failed", {"send_batch failed": 1}),
    ("crm_export_us", "export-1"): ("failed", {"send_batch failed": 1}),
    ("crunch_images", "images-1"): ("failed", {"resize failed": 1}),
    ("too_slow", "vacuum-1"): ("failed", {"vacuum_tables skipped": 1}),
    ("export_everything", "export-1"): ("failed", {"export failed": 1}),
    ("bestellungen.zuerich-1", "zurich-7"): ("failed", {"zaehle.groesse-1 failed": 1}),
    ("ledger", "may"): ("failed", {"post_entries failed": 1}),
    ("ledger", "june"): ("running", {"post_entries None": 1}),
    ("wait_for_partner", "partner-1"): ("running", {"partner_delivers deferred": 1}),
    ("retry_later", "supplier-1"): ("running", {"call_supplier up_for_retry": 1}),
    ("feed_clicks", "clicks-1"): ("success", {"deliver success": 1}),
}
"""The runs that really happen, as Airflow leaves them: they are waited for, and kept only if they are so."""

WRITTEN: dict[RunId, State] = {
    ("load_shards", "shards-1"): ("failed", {"load success": 700, "load failed": 300, "publish upstream_failed": 1}),
    ("long_report", "pages-1"): ("failed", {"render_pages failed": 1}),
    ("train_model", "train-1"): ("running", {"train scheduled": 1}),
    ("warehouse_load", "copy-1"): ("running", {"copy_table running": 1}),
    ("warehouse_load", "copy-2"): ("running", {"copy_table running": 1}),
    ("warehouse_load", "copy-3"): ("running", {"copy_table scheduled": 1}),
    ("paused_backlog", "backlog-1"): ("queued", {"archive None": 1}),
    ("paused_backlog", "backlog-2"): ("queued", {"archive None": 1}),
    ("paused_backlog", "backlog-3"): ("queued", {"archive None": 1}),
    ("hourly_rollup", "rollup-1"): ("queued", {"roll_up None": 1}),
    ("orders_v2", "orders-1"): ("queued", {"collect None": 1}),
    ("one_at_a_time", "index-1"): ("running", {"reindex running": 1}),
    ("one_at_a_time", "index-2"): ("queued", {"reindex None": 1}),
    ("one_at_a_time", "index-3"): ("queued", {"reindex None": 1}),
    ("narrow_lane", "lane-1"): (
        "running",
        {
            "sync_centre scheduled": 1,
            "sync_east running": 1,
            "sync_north running": 1,
            "sync_south scheduled": 1,
            "sync_west scheduled": 1,
        },
    ),
    ("stuck_in_queue", "cube-1"): ("running", {"build_cube queued": 1}),
}
"""The runs of paused DAGs: Airflow makes their rows, the seed writes their states."""

TOLD = {(dag_id, RENAMED.get((dag_id, run_id), run_id)): state for (dag_id, run_id), state in (RAN | WRITTEN).items()}
"""Every run as the stories tell it."""
