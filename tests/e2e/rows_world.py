"""The rows of the tools for Airflow itself: its configuration, which it must expose, its plugins and its processes."""

from __future__ import annotations

from .harness import Row, Site, lacks, rows_of
from .stored import secrets_of

SECRET_OPTIONS = {("core", "fernet_key"), ("database", "sql_alchemy_conn")}


def get_config(site: Site) -> None:
    answer = site.admin.ask("get_config", section="core")
    core = {row["key"]: row["value"] for row in rows_of(answer)}
    assert core["test_connection"] == "Enabled"
    result = site.admin.result("get_config", {"max_chars": 100_000, "fields": ["*"]})
    assert result.structured_content is not None
    config = {(row["section"], row["key"]): row["value"] for row in rows_of(result.structured_content)}
    assert result.structured_content["total"] == len(config) > 300
    secret = SECRET_OPTIONS | {("webserver" if site.is_old else "api", "secret_key")}
    # Airflow 2 gives them in clear; 3 hides them itself.
    assert {config[option] for option in secret} == {"***"}
    held = str(site.held("/config"))
    assert {one in held for one in secrets_of(site)} == {site.is_old}
    assert {one in result.model_dump_json() for one in secrets_of(site)} == {False}
    assert str(site.airflow.home / "airflow.db") not in result.model_dump_json()
    assert site.admin.rows("get_config", section="no_such_section") == []


def get_config_value(site: Site) -> None:
    (told,) = site.admin.rows("get_config_value", section="core", option="test_connection")
    assert told == {"key": "test_connection", "value": "Enabled"}
    for section, option in SECRET_OPTIONS:
        (told,) = site.admin.rows("get_config_value", section=section, option=option)
        assert told["value"] == "***"
    assert "(404)" in site.admin.refusal("get_config_value", section="core", option="no_such_option")


def list_plugins(site: Site) -> None:
    answer = site.admin.ask("list_plugins", fields=["macros"])
    assert answer["total"] == site.held("/plugins")["total_entries"]
    (bakery,) = (row for row in rows_of(answer) if row["name"] == "bakery")
    assert "loaves" in str(bakery["macros"])
    assert "bakery.py" in bakery["source"]
    assert "burnt" not in {row["name"] for row in rows_of(answer)}


def list_plugin_import_errors(site: Site) -> None:
    if lacks(site, "list_plugin_import_errors", "3.1"):
        return
    (error,) = site.admin.rows("list_plugin_import_errors")
    assert error["source"].endswith("burnt.py")
    assert "module_that_is_missing_in_a_plugin" in error["error"]  # of a long one the end is shown


def list_jobs(site: Site) -> None:
    if lacks(site, "list_jobs", "3.0"):
        return
    answer = site.admin.ask("list_jobs", fields=["*"])
    assert answer["total"] == site.held("/jobs")["total_entries"]
    running = {row["job_type"] for row in rows_of(answer) if row["state"] == "running"}
    assert {"SchedulerJob", "TriggererJob", "DagProcessorJob"} <= running
    (scheduler,) = site.admin.rows("list_jobs", job_type="SchedulerJob", is_alive=True)
    assert scheduler["state"] == "running"
    beats = [row["latest_heartbeat"] for row in rows_of(answer)]
    assert beats == sorted(beats, reverse=True)
    assert site.admin.rows("list_jobs", hostname="no-such-host") == []
    assert site.admin.rows("list_jobs", start_date_gte="2099-01-01T00:00:00Z") == []


READS: dict[str, Row] = {
    row.__name__: row for row in (get_config, get_config_value, list_plugins, list_plugin_import_errors, list_jobs)
}
