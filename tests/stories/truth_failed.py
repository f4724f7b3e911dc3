"""The stories of runs that failed, and what is true of each."""

from __future__ import annotations

from tests.stories.raw import killed, why_failed
from tests.stories.seed import ODD_RUN_ID
from tests.stories.story import NEW, OLD, Story, like


def _diagnose(dag_id: str, run_id: str = "") -> tuple[str, dict[str, str]]:
    return "diagnose_dag_run", {"dag_id": dag_id} | ({"dag_run_id": run_id} if run_id else {})


INDEX_3 = like(r"index\w*\W{1,4}3\b|load\[3\]")
FIVE = (INDEX_3, "ValueError", "partition 3 of orders has no rows")

STORIES = (
    Story(
        "one of five mapped instances",
        "load_partitions is red. What happened?",
        *_diagnose("load_partitions"),
        says=FIVE,
        raw=why_failed("load_partitions"),
        budget=2_500,
    ),
    Story(
        "by a link to the grid of Airflow 3",
        "Someone pasted this link. What happened there?",
        "diagnose_dag_run",
        {"url": "{url}/dags/load_partitions/runs/load-1"},
        says=FIVE,
        raw=why_failed("load_partitions", run_id="load-1"),
        budget=2_500,
        versions=(NEW,),
    ),
    Story(
        "by a link to the grid of Airflow 2",
        "Someone pasted this link. What happened there?",
        "diagnose_dag_run",
        {"url": "{url}/dags/load_partitions/grid?dag_run_id=load-1&tab=graph"},
        says=FIVE,
        raw=why_failed("load_partitions", run_id="load-1"),
        budget=2_500,
        versions=(OLD,),
    ),
    Story(
        "300 of 1,000 mapped instances, three errors",
        "Hundreds of shards failed last night. Is it one problem or many?",
        *_diagnose("load_shards", "shards-1"),
        says=(
            like(r"\b300\b"),
            "TimeoutError",
            "did not answer within",
            "KeyError",
            "customer_id",
            "ValueError",
            "checksum of shard",
        ),
        raw=why_failed("load_shards", run_id="shards-1", logs=8),
        requests=36,  # 24 of them logs: with fewer, an error that a third of them share is easily missed
    ),
    Story(
        "a long chain behind the failure",
        "notify_finance did not run in nightly_chain. Which task is to blame?",
        *_diagnose("nightly_chain"),
        says=(
            "extract_orders",
            "PermissionError",
            "token of service account etl-orders expired on 2024-05-31",
            "upstream_failed",
            like(r"\b12\b"),
        ),
        raw=why_failed("nightly_chain"),
    ),
    Story(
        "tries that failed differently",
        "flaky_api failed again. The same as always?",
        *_diagnose("flaky_api"),
        says=("fetch_prices", "PermissionError", "403: the API key is revoked", "ConnectionResetError"),
        raw=why_failed("flaky_api"),
    ),
    Story(
        "an exception behind the exception",
        "Why could report 41 not be published?",
        *_diagnose("publish_report", "report-41"),
        says=("RuntimeError", "report 41 could not be published", "KeyError", "region_code"),
        raw=why_failed("publish_report"),
    ),
    Story(
        "a sensor timed out",
        "The sales are not loaded. Why?",
        *_diagnose("wait_for_file"),
        says=("sales_csv_arrived", "AirflowSensorTimeout", "timed out"),
        raw=why_failed("wait_for_file"),
    ),
    Story(
        "an undefined variable in a template",
        "No invoices today?",
        *_diagnose("send_invoices"),
        says=("render_invoice", "UndefinedError", "'customer' is undefined"),
        raw=why_failed("send_invoices"),
    ),
    Story(
        "a missing connection",
        "The CRM is out of date. What broke?",
        *_diagnose("sync_crm"),
        says=("push_contacts", "crm_prod", like("isn't defined|not defined|does not exist|not found")),
        raw=why_failed("sync_crm"),
    ),
    Story(
        "a shell command whose reason is on stderr",
        "The dump failed with exit code 3. What does that mean?",
        *_diagnose("dump_database"),
        says=('pg_dump: error: database "sales_eu" does not exist', like(r"(exit|return) code 3")),
        raw=why_failed("dump_database"),
    ),
    Story(
        "a conf the code cannot read",
        "I started rebuild_day by hand and it failed. What did I do wrong?",
        *_diagnose("rebuild_day"),
        says=("Invalid isoformat string: 'yesterday'", like(r"day\W+yesterday")),
        raw=why_failed("rebuild_day"),
    ),
    Story(
        "another conf than the last success",
        "import_orders worked yesterday. What is different today?",
        *_diagnose("import_orders"),
        says=("read_file", "UnicodeDecodeError", "orders-2024-06-03.csv", "orders-2024-06-04.csv.gz"),
        raw=why_failed("import_orders", compare=True),
    ),
    Story(
        "another DAG version than the last success",
        "price_list worked yesterday. Did somebody deploy?",
        *_diagnose("price_list", "after"),
        says=("ZeroDivisionError", like(r"version\D{0,60}1\D{1,40}2\b|version\D{0,60}2\D{1,40}1\b")),
        raw=why_failed("price_list", compare=True),
        versions=(NEW,),
    ),
    Story(
        "a change of code that Airflow 2 does not tell",
        "price_list worked yesterday. What broke?",
        *_diagnose("price_list", "after"),
        says=("ZeroDivisionError",),
        raw=why_failed("price_list", compare=True),
        versions=(OLD,),
    ),
    Story(
        "a killed task",
        "crunch_images died without an error. Why?",
        *_diagnose("crunch_images"),
        says=("resize", like(r"SIGKILL|-9\b"), like("killed|terminated by signal")),
        raw=killed("crunch_images", "images-1"),
    ),
    Story(
        "a task that lost its worker",
        "The log of long_report just stops. What happened?",
        *_diagnose("long_report"),
        says=("render_pages", like("heartbeat|zombie")),
        raw=killed("long_report", "pages-1"),
    ),
    Story(
        "a run that took too long though no task failed",
        "too_slow failed, and I see no failed task?",
        *_diagnose("too_slow"),
        says=("vacuum_tables", "skipped", like(r"dagrun_timeout|timed out|timeout of"), like(r"\b15\b|0:15")),
        raw=why_failed("too_slow"),
    ),
    Story(
        "the cause in the middle of a huge log",
        "export_everything failed after 12,000 rows. Why?",
        *_diagnose("export_everything"),
        says=("OverflowError", "amount of order 88121 does not fit in DECIMAL(8,2)"),
        never=("connection reset by partner.example", "part-05000.lock"),
        raw=why_failed("export_everything"),
    ),
    Story(
        "ids with umlauts, spaces and a hash",
        "Was ist mit den Bestellungen für Zürich?",
        *_diagnose("bestellungen.zuerich-1", ODD_RUN_ID),
        says=("zaehle.groesse-1", "ValueError", "Straße fehlt in Zeile 7: «Größe 42» → 価格 unbekannt"),
        raw=why_failed("bestellungen.zuerich-1", run_id=ODD_RUN_ID),
    ),
    Story(
        "the latest failed run is not the latest run",
        "What was wrong with the ledger?",
        *_diagnose("ledger"),
        says=("may", "ArithmeticError", "ledger is out of balance by 17.20 EUR"),
        raw=why_failed("ledger"),
    ),
    Story(
        "a run that will try again",
        "Is supplier-1 lost?",
        *_diagnose("retry_later", "supplier-1"),
        says=("call_supplier", "up_for_retry", "503: maintenance until 18:00"),
        raw=why_failed("retry_later", run_id="supplier-1"),
    ),
    Story(
        "nothing failed",
        "Is daily_stock all right?",
        *_diagnose("daily_stock"),
        says=(like(r"no (run|dag run)?.{0,20}failed|nothing.{0,20}failed|no failed|has not failed"),),
        never=("Error:",),
        raw=why_failed("daily_stock"),
    ),
)
