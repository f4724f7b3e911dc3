"""The rows of tools that read: what each must say about the DAGs and runs of this folder, on both generations."""

from __future__ import annotations

from .harness import ODD_RUNS, OK_RUNS, Json, Row, Site, calls_of, lacks, rows_of
from .passing import made

UNICODE = {"city": "Zürich", "rocket": "🚀", "amount": 12.5, "nested": {"ключ": [1, None, True]}}
PRODUCED: Json = {"dag_id": "ok", "dag_run_id": "ok-1", "task_id": "produce"}
BROKEN_CRATE: Json = {"dag_id": "mapped", "dag_run_id": "map-1", "task_id": "load", "map_index": 3}
ODD_TASK: Json = {"dag_id": "a.b-c", "dag_run_id": "x~y:z+1", "task_id": "t.1-x_y"}


def list_dags(site: Site) -> None:
    answer = site.admin.ask("list_dags")
    assert answer["total"] == site.held("/dags")["total_entries"] == len(answer["rows"])
    assert [row["dag_id"] for row in rows_of(answer)] == sorted(row["dag_id"] for row in rows_of(answer))
    (good,) = site.admin.rows("list_dags", tags=["good"])
    assert (good["dag_id"], good["is_paused"], sorted(good["tags"])) == ("ok", False, ["e2e", "good"])
    assert [row["dag_id"] for row in site.admin.rows("list_dags", dag_id_pattern="pro%t")] == ["prompt"]
    resting = {row["dag_id"] for row in site.admin.rows("list_dags", paused=True)}
    assert {"still", "params"} <= resting
    assert "ok" not in resting
    with_runs = {row["dag_id"]: row for row in site.admin.rows("list_dags", latest_run=True)}
    order = "-execution_date" if site.is_old else "-run_after"
    held = site.held(f"/dags/ok/dagRuns?limit=1&order_by={order}")["dag_runs"][0]
    assert with_runs["ok"]["latest_run_state"] == held["state"]
    assert with_runs["ok"]["latest_run_at"][:19] == held["start_date"][:19]
    assert (with_runs["ok"].get("latest_run_seconds") is None) == (held["end_date"] is None)
    assert with_runs["rows_quiet_a"].get("latest_run_state") is None


def get_dag(site: Site) -> None:
    dag = site.admin.ask("get_dag", dag_id="ok")
    assert dag["description"] == "Succeeds."
    assert (dag["is_paused"], dag["is_stale"]) == (False, False)
    assert (dag["owners"], sorted(dag["tags"])) == (["bakery"], ["e2e", "good"])
    assert site.admin.ask("get_dag", dag_id="a.b-c")["dag_id"] == "a.b-c"


def get_dag_details(site: Site) -> None:
    loaves = site.admin.ask("get_dag_details", dag_id="params")["params"]["loaves"]
    assert (loaves["value"], loaves["description"]) == (6, "How many to bake.")
    assert loaves["schema"] == {"type": "integer", "minimum": 1, "maximum": 12}
    assert site.admin.ask("get_dag_details", dag_id="ok")["doc_md"] == "Counts the loaves of the day."


def get_dag_source(site: Site) -> None:
    answer = site.admin.ask("get_dag_source", dag_id="ok")
    assert answer["content"] == (site.airflow.home / "dags" / "good.py").read_text()
    cut = site.admin.ask("get_dag_source", dag_id="ok", max_chars=600)
    assert len(cut["content"]) + cut["left_out"]["content"] == len(answer["content"])
    again = site.admin.ask("get_dag_source", dag_id="ok", **cut["more"])
    assert again["content"] == answer["content"]


def get_dag_overview(site: Site) -> None:
    site.ended("mapped", "map-1")
    mapped = site.admin.ask("get_dag_overview", dag_id="mapped")
    assert mapped["runs"]["rows"][0][:2] == ["map-1", "failed"]
    assert [row[::2] for row in mapped["tasks"]["rows"]] == [["load", ["sail"]], ["sail", []]]
    assert calls_of(mapped) == [("diagnose_dag_run", {"dag_id": "mapped", "dag_run_id": "map-1"})]
    params = site.admin.ask("get_dag_overview", dag_id="params")
    assert params["params"]["loaves"]["type"] == "integer"
    assert (params["params"]["loaves"]["default"], params["params"]["loaves"]["maximum"]) == (6, 12)
    ok = site.admin.ask("get_dag_overview", dag_id="ok")
    assert (ok["owners"], sorted(ok["tags"]), ok["is_paused"]) == (["bakery"], ["e2e", "good"], False)
    assert "not_seen" not in ok
    made(site)
    source = site.admin.ask("get_dag_overview", dag_id="rows_source")
    ways = {tuple(link.get(key) for key in ("from", "asset", "dag")): link for link in source["downstream"]}
    assert ways[None, "x-rows://loaf", None]["starts"] == ["rows_eater"]
    assert ways["rows_eater", "x-rows://crumbs", None]["starts"] == ["rows_bird"]
    assert ways[None, None, "grouped"]["by_task"] == "tell"


def resolve_url(site: Site) -> None:
    site.ended("mapped", "map-1")
    old, new = "/dags/mapped/grid?dag_run_id=map-1", "/dags/mapped/runs/map-1"
    for form in (old, new):
        run = site.admin.ask("resolve_url", url=form)
        assert run == {
            "dag_id": "mapped",
            "dag_run_id": "map-1",
            "state": "failed",
            "next": run["next"],
        }
        assert calls_of(run) == [("diagnose_dag_run", {"dag_id": "mapped", "dag_run_id": "map-1"})]
    for form in (f"{old}&task_id=load&map_index=3", f"{new}/tasks/load/mapped/3"):
        task = site.admin.ask("resolve_url", url=f"https://elsewhere.example{form}")
        assert calls_of(task) == [("read_task_log", BROKEN_CRATE)]
        assert "elsewhere.example" in task["hint"]
    if site.is_old:
        date = site.held("/dags/ok/dagRuns/ok-1")["logical_date"]
        assert (
            site.admin.ask("resolve_url", url=f"/log?dag_id=ok&task_id=t&execution_date={date}")["dag_run_id"] == "ok-1"
        )


def list_tasks(site: Site) -> None:
    load, sail = site.admin.rows("list_tasks", dag_id="mapped")
    assert (load["task_id"], load["downstream_task_ids"], load["is_mapped"]) == ("load", ["sail"], True)
    assert (sail["task_id"], sail["downstream_task_ids"], sail["is_mapped"]) == ("sail", [], False)


def list_dag_tags(site: Site) -> None:
    if lacks(site, "list_dag_tags", "3.0"):
        return
    assert [row["name"] for row in site.admin.rows("list_dag_tags")] == ["causes", "e2e", "good", "resting"]
    assert site.admin.rows("list_dag_tags", tag_name_pattern="rest") == [{"name": "resting"}]


def list_dag_warnings(site: Site) -> None:
    kind = "non-existent pool" if site.is_old else "runtime varying value"
    warnings = site.admin.rows("list_dag_warnings")
    assert {row["dag_id"] for row in warnings} == {"doubtful_a", "doubtful_b"}
    assert {row["warning_type"] for row in warnings} == {kind}
    assert all(("missing_pool" if site.is_old else "datetime.now") in row["message"] for row in warnings)
    (one,) = site.admin.rows("list_dag_warnings", dag_id="doubtful_a", warning_type=kind)
    assert one["message"]
    assert site.admin.rows("list_dag_warnings", dag_id="ok") == []


def list_dag_runs(site: Site) -> None:
    for run_id in OK_RUNS:
        site.ended("ok", run_id)
    runs = site.admin.rows("list_dag_runs", dag_id="ok")
    assert [row["dag_run_id"] for row in runs] == list(reversed(OK_RUNS))
    assert {row["state"] for row in runs} == {"success"}
    assert site.admin.rows("list_dag_runs", dag_id="ok", state=["failed"]) == []
    odd = site.admin.rows("list_dag_runs", dag_id="a.b-c")
    assert {row["dag_run_id"] for row in odd} == set(ODD_RUNS)


def get_dag_run(site: Site) -> None:
    site.ended("ok", "ok-1")
    run = site.admin.ask("get_dag_run", dag_id="ok", dag_run_id="ok-1")
    held = site.held("/dags/ok/dagRuns/ok-1")
    assert (run["state"], run["conf"], run["run_type"]) == ("success", {"batch": "ok-1"}, "manual")
    assert run["end_date"] == held["end_date"].replace("+00:00", "Z")
    for run_id in ODD_RUNS:
        assert site.admin.ask("get_dag_run", dag_id="a.b-c", dag_run_id=run_id)["dag_run_id"] == run_id


def wait_for_dag_run(site: Site) -> None:
    site.ended("mapped", "map-1")
    assert site.admin.ask("wait_for_dag_run", dag_id="mapped", dag_run_id="map-1") == {
        "dag_id": "mapped",
        "dag_run_id": "map-1",
        "state": "failed",
        "finished": True,
        "tasks": {"failed": 1, "success": 4, "upstream_failed": 1},
        "failed_tasks": ["load[3]"],
    }


def list_task_instances(site: Site) -> None:
    site.ended("mapped", "map-1")
    every = site.admin.rows("list_task_instances", dag_id="mapped", dag_run_id="map-1")
    states = {(row["task_id"], row["map_index"]): row["state"] for row in every}
    fine = {("load", index): "success" for index in (0, 1, 2, 4)}
    assert states == fine | {("load", 3): "failed", ("sail", None): "upstream_failed"}
    (failed,) = site.admin.rows("list_task_instances", dag_id="mapped", dag_run_id="map-1", state=["failed"])
    assert (failed["task_id"], failed["map_index"], failed["try_number"]) == ("load", 3, 1)


def get_task_instance(site: Site) -> None:
    site.ended("mapped", "map-1")
    task = site.admin.ask("get_task_instance", **BROKEN_CRATE)
    assert (task["state"], task["map_index"], task["try_number"], task["pool"]) == ("failed", 3, 1, "default_pool")
    site.ended("a.b-c", "x~y:z+1")
    assert site.admin.ask("get_task_instance", **ODD_TASK)["state"] == "success"


def list_task_instance_tries(site: Site) -> None:
    site.ended("mapped", "map-1")
    (only,) = site.admin.rows("list_task_instance_tries", **BROKEN_CRATE)
    assert (only["state"], only["try_number"]) == ("failed", 1)


def read_task_log(site: Site) -> None:
    site.ended("a.b-c", "x~y:z+1")
    log = site.admin.ask("read_task_log", **ODD_TASK)
    assert (log["state"], log["try_number"]) == ("success", 1)
    assert "this is x~y:z+1" in log["tail"]
    assert "error" not in log


def slashed(site: Site) -> str:
    """The key with a slash that a task has pushed; on Airflow 3.0 none can, and it has a dot."""
    return "loaves/rye" if site.is_old or site.since("3.1") else "loaves.rye"


def list_xcoms(site: Site) -> None:
    site.ended("ok", "ok-1")
    keys = {row["key"] for row in site.admin.rows("list_xcoms", **PRODUCED)}
    assert {"return_value", slashed(site)} <= keys
    assert len(keys) == len(site.held("/dags/ok/dagRuns/ok-1/taskInstances/produce/xcomEntries")["xcom_entries"])


def get_xcom(site: Site) -> None:
    site.ended("ok", "ok-1")

    def told(value: object) -> object:
        return value if site.since("2.10") else str(value)  # before, Airflow gives what Python's str() makes of it

    assert site.admin.ask("get_xcom", **PRODUCED, xcom_key="return_value")["value"] == told(UNICODE)
    if site.since("2.10"):
        assert site.admin.ask("get_xcom", **PRODUCED, xcom_key=slashed(site))["value"] == ["seven", "eight"]
    else:  # whose route takes no slash
        assert "(404)" in site.admin.refusal("get_xcom", **PRODUCED, xcom_key=slashed(site))
    site.ended("mapped", "map-1")
    mapped = {**BROKEN_CRATE, "map_index": 2}
    assert site.admin.ask("get_xcom", **mapped, xcom_key="return_value")["value"] == told(20)


def list_event_logs(site: Site) -> None:
    event = "api.post_dag_run" if site.is_old else "trigger_dag_run"
    logs = site.admin.rows("list_event_logs", dag_id="ok", event=event)
    assert len(logs) == len(OK_RUNS)
    assert {row["owner"] for row in logs} == {"admin"}
    fine = site.admin.rows("list_event_logs", included_events=[event, "no_such_event"], excluded_events=["running"])
    assert {row["event"] for row in fine} == {event}
    for pausing in (False, True):
        site.change("PATCH", "/dags/rows_quiet_a", {"is_paused": pausing})
    told = [row["change"] for row in site.admin.rows("list_event_logs", dag_id="rows_quiet_a", limit=2)]
    assert told == ["is_paused: false -> true", "is_paused: false"]
    site.change("POST", "/pools", {"name": "briefly", "slots": 1, "include_deferred": False})
    site.change("PATCH", "/pools/briefly?update_mask=slots", {"slots": 2, "name": "briefly", "include_deferred": False})
    site.change("DELETE", "/pools/briefly")
    event = "api.patch_pool" if site.is_old else "patch_pool"
    told = site.admin.rows("list_event_logs", event=event, limit=1)[0]["change"]
    assert told == "pool_name: briefly, slots: 2"


def list_import_errors(site: Site) -> None:
    errors = {row["filename"].rpartition("/")[2]: row["stack_trace"] for row in site.admin.rows("list_import_errors")}
    assert set(errors) == {"broken_one.py", "broken_two.py", "broken_canaries.py", "half_broken.py"}
    for name in ("one", "two"):
        assert f"ModuleNotFoundError: No module named 'module_that_is_missing_{name}" in errors[f"broken_{name}.py"]


def get_import_error(site: Site) -> None:
    (chosen,) = [row for row in site.admin.rows("list_import_errors") if row["filename"].endswith("broken_one.py")]
    error = site.admin.ask("get_import_error", import_error_id=chosen["import_error_id"])
    assert error["filename"] == chosen["filename"]
    assert error["stack_trace"].startswith("Traceback")


def list_pools(site: Site) -> None:
    (pool,) = site.admin.rows("list_pools")
    assert (pool["name"], pool["slots"], pool["include_deferred"]) == ("default_pool", 128, False)


def get_pool(site: Site) -> None:
    pool, held = site.admin.ask("get_pool", pool_name="default_pool"), site.held("/pools/default_pool")
    assert (pool["slots"], pool["description"]) == (held["slots"], held["description"])


def get_health(site: Site) -> None:
    health = site.admin.ask("get_health")
    assert {health[part]["status"] for part in ("metadatabase", "scheduler", "triggerer")} == {"healthy"}


def get_version(site: Site) -> None:
    assert site.admin.ask("get_version")["version"] == site.version


def list_providers(site: Site) -> None:
    answer = site.admin.ask("list_providers")
    assert answer["total"] == site.held("/providers")["total_entries"]
    assert "apache-airflow-providers-common-compat" in {row["package_name"] for row in rows_of(answer)}
    assert len(site.admin.rows("list_providers", limit=1, offset=1)) == 1


def diagnose_dag_run(site: Site) -> None:
    site.ended("mapped", "map-1")
    for asked in ({"dag_id": "mapped"}, {"url": f"{site.airflow.url}/dags/mapped/grid?dag_run_id=map-1"}):
        told = site.admin.ask("diagnose_dag_run", **asked)
        assert (told["dag_run_id"], told["state"]) == ("map-1", "failed")
        assert (told["failed"], told["upstream_failed"]) == ("1: load[3]", "1: sail")
        (error,) = told["errors"]
        assert error["error"] == "RuntimeError: cannot load crate 3 <- ValueError: crate 3 weighs -40 kg"
        assert error["tasks"] == "1: load[3] (4 of 5 succeeded)"
        assert "crate 3 weighs -40 kg" in error["log"]


def find_tools(site: Site) -> None:
    answer = site.admin.ask("find_tools", query="list pools")
    assert answer["tools"][0].startswith("list_pools (read): ")
    assert answer["schemas"]["list_pools"]["properties"].keys() == site.admin.schemas()["list_pools"]
    found = site.reader.ask("find_tools", query="delete a pool")
    assert found["not_here"]["delete_pool"] == "destructive, and policy does not allow it"
    assert "delete_pool" not in found["schemas"]


def call_tool(site: Site) -> None:
    direct = site.reader.ask("get_dag", dag_id="ok")
    through = site.reader.ask("call_tool", tool="get_dag", arguments={"dag_id": "ok"})
    moving = {"last_parsed_time"}  # the scheduler may parse the file between the two
    assert {**through, **dict.fromkeys(moving)} == {**direct, **dict.fromkeys(moving)}
    assert "call_changing_tool" in site.admin.refusal("call_tool", tool="pause_dag", arguments={"dag_id": "ok"})


def explain_permission(site: Site) -> None:
    before = site.requests()
    triggering: Json = {"tool": "trigger_dag_run", "arguments": {"dag_id": "ok"}}
    deleting: Json = {"tool": "delete_dag", "arguments": {"dag_id": "ok"}}
    for tool, access in (("trigger_dag_run", "write"), ("list_dags", "read")):
        told = site.admin.ask("explain_permission", tool=tool)
        assert (told["tool"], told["class"], told["verdict"]) == (tool, access, "allowed")
        assert told["rule"] == "AIRFLOW_MCP_ALLOW"
        assert "[[policy.deny]]" in told["change"]
    told = site.admin.ask("explain_permission", **deleting)
    assert (told["tool"], told["class"], told["verdict"]) == ("delete_dag", "destructive", "confirm")
    assert (told["rule"], told["confirm"]) == ("AIRFLOW_MCP_ALLOW", "plan")
    assert "a preview and a plan" in told["how"]
    told = site.reader.ask("explain_permission", tool="list_dags")
    assert (told["class"], told["verdict"], told["rule"]) == ("read", "allowed", "policy.default")
    for call, access in ((triggering, "write"), (deleting, "destructive")):
        told = site.reader.ask("explain_permission", **call)
        assert (told["tool"], told["class"], told["verdict"]) == (call["tool"], access, "denied")
        assert told["rule"] == "no rule"
        assert "confirm" not in told
        assert f"adding {call['tool']} to the setting AIRFLOW_MCP_ALLOW" in told["change"]
        assert "@" not in told["change"], "a class would allow more than was asked"
        assert told["change"] == site.reader.refusal(call["tool"], **call["arguments"])
    api = "/api/v1" if site.is_old else "/api/v2"
    assert not [line for line in site.requests()[len(before) :] if f" {api}/dags/ok" in line], "it calls nothing"
    assert site.held("/dags/ok")["dag_id"] == "ok"


def why_not_running(site: Site) -> None:
    told = site.admin.ask("why_not_running", dag_id="still")
    assert (told["verdict"], told["cause"].startswith("The DAG is paused")) == ("blocked", True)
    assert calls_of(told)[0] == ("unpause_dag", {"dag_id": "still"})
    site.ended("mapped", "map-1")
    told = site.admin.ask("why_not_running", dag_id="mapped", dag_run_id="map-1", task_id="sail")
    assert (told["verdict"], told["cause"]) == ("finished", "The task is over: upstream_failed.")
    told = site.admin.ask("why_not_running", dag_id="broken_one")
    assert told["cause"].startswith("There is no such DAG, but the file ")
    assert "ModuleNotFoundError" in told["evidence"]
    assert site.admin.refusal("why_not_running", dag_id="no_such_dag_at_all").startswith("There is no DAG")


def health_report(site: Site) -> None:
    site.ended("mapped", "map-1")
    told = site.admin.ask("health_report", max_chars=20_000)
    assert "scheduler healthy" in told["processes"]["state"]
    assert "dead" not in told["processes"]
    causes = {name: cause["what"] for cause in told["failures"]["causes"] for name in cause["where"]}
    assert "mapped.load" in {name.partition(" ")[0] for name in causes}
    broken = site.held("/importErrors")["total_entries"]
    assert told["import_errors"]["total"] == broken
    assert sum(cause["count"] for cause in told["import_errors"]["causes"]) == broken
    assert told.get("warnings", {"total": 0})["total"] == site.held("/dagWarnings")["total_entries"]
    assert "not_seen" not in told


READS: dict[str, Row] = {
    row.__name__: row
    for row in (
        list_dags,
        get_dag,
        get_dag_details,
        get_dag_source,
        get_dag_overview,
        resolve_url,
        list_tasks,
        list_dag_tags,
        list_dag_warnings,
        list_dag_runs,
        get_dag_run,
        wait_for_dag_run,
        list_task_instances,
        get_task_instance,
        list_task_instance_tries,
        read_task_log,
        list_xcoms,
        get_xcom,
        list_event_logs,
        list_import_errors,
        get_import_error,
        list_pools,
        get_pool,
        get_health,
        get_version,
        list_providers,
        explain_permission,
        find_tools,
        call_tool,
        diagnose_dag_run,
        why_not_running,
        health_report,
    )
}
