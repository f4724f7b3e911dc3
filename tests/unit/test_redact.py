"""Secrets are masked wherever they stand: by key name, in JSON within strings, in addresses, in running text."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_mcp.redact import SENSITIVE, mask_values, redact, redact_text
from airflow_mcp.server.telemetry.logs import SafeFormatter
from tests.unit.assistant import assistant, table, talking, text_of
from tests.unit.fake_airflow import FakeAirflow, Reply
from tests.unit.samples import dag_run, page

pytestmark = pytest.mark.anyio
SECRET = "zq9Xw7Kp3vLt8Rm2"
JWT = "eyJhbGciOiJIUzUxMiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJlLW9mLWFubg"
KEYS = ["password", "DB_PASSWORD", "aws_secret_access_key", "apiKey", "x-api-key", "accessToken", "Authorization"]

PLANTED = {
    "address": f"postgresql://ann:{SECRET}@db.example/prod",
    "address with an @ in the password": f"postgresql://ann:a@{SECRET}@db.example/prod",
    "address with a / in the password": f"postgresql://ann:a/b{SECRET}@db.example/prod",
    "token as the user": f"https://{SECRET}@git.example/repo",
    "bearer header": f"Authorization: Bearer {SECRET}",
    "bearer alone": f"sent Bearer {SECRET} to it",
    "basic header": f"authorization: basic {SECRET}==",
    "assignment": f"connecting with password={SECRET} now",
    "spaced assignment": f"api_key = {SECRET}",
    "assignment in capitals": f"DB_PASSWORD={SECRET}",
    "assignment with a long s": f"paſſword={SECRET}",
    "assignment with a Kelvin sign": f"api_\N{KELVIN SIGN}ey={SECRET}",
    "yaml": f"db_password: {SECRET}",
    "quoted": f"{{'password': '{SECRET}'}}",
    "double quoted": f'token="{SECRET}"',
    "query": f"https://x.example/?access_token={SECRET}&a=1",
    "environment": f"export AIRFLOW__DATABASE__PASSWORD={SECRET}",
    "three quotes": f'PASSWORD = """{SECRET}"""',
    "three quotes over lines": f"PASSWORD = '''\\\n{SECRET}\n'''",
    "option": f"Running command: load --db-password {SECRET} --dry-run",
    "odbc": f"Driver=x;Server=db;UID=ann;PWD={SECRET};",
    "azure storage": f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={SECRET}==;EndpointSuffix=x",
    "azure signature": f"https://a.blob.example/c?sv=2024&sig={SECRET}%3D&se=2026",
    "slack hook": f"https://hooks.slack.com/services/T0/B0/{SECRET}",
    "json": json.dumps({"password": SECRET}),
    "json in json": json.dumps({"extra": json.dumps({"private_key": SECRET})}),
    "json in a list": json.dumps([{"a": {"secret": SECRET}}]),
    "json cut short": json.dumps({"password": SECRET, "host": "x"})[:-3],
    "escaped json in text": f'said {{\\"password\\": \\"{SECRET}\\"}} and went',
    "json after words": f"body: {json.dumps({'client_secret': SECRET})}",
    "json with a space before": " " + json.dumps({"k": {"password": SECRET}}),
}


def leaks(value: Any) -> bool:
    return SECRET in json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize("form", PLANTED)
def test_a_secret_is_masked_in_every_form_it_comes_in(form: str) -> None:
    masked = redact_text(PLANTED[form])
    assert SECRET not in masked
    assert "***" in masked


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize(
    "password", [f"two words {SECRET}", f"a,{SECRET}", f"a;b&{SECRET}", f"({SECRET}", f"a(b){SECRET}"]
)
def test_a_quoted_secret_is_masked_up_to_its_closing_quote(quote: str, password: str) -> None:
    for text in (
        f"connect(user='ann', password={quote}{password}{quote}, port=5432)",
        f"{{'token': {quote}{password}{quote}}}",
    ):
        assert SECRET not in redact_text(text)
        assert redact_text(text).endswith(text[-1])


@pytest.mark.parametrize(
    "value", [{"password": {"a": [SECRET]}}, {"a": {"token": [1, SECRET]}}, [{"secret": f"two words {SECRET}"}]]
)
def test_json_in_a_string_is_masked_like_json(value: Any) -> None:
    masked = redact_text(json.dumps(value))
    assert SECRET not in masked
    assert json.loads(masked) == redact(value)


@pytest.mark.parametrize("change", [redact_text, mask_values])
def test_an_escape_in_json_brings_back_no_character_that_is_not_seen(change: Callable[[str], str]) -> None:
    """Airflow writes its event log like this."""
    written = json.dumps({"pass\u200bword": 1, "hidden": f"pass\u200bword={SECRET}", "of": {"note": "a\u202eb"}})
    assert "\\u200b" in written
    told = change(written)
    assert SECRET not in told
    assert "\u200b" not in told
    assert "\u202e" not in told
    assert set(json.loads(told)) == {"password", "hidden", "of"}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", [SECRET, {"inner": SECRET}, [SECRET], 123456])
def test_a_value_under_a_telling_key_is_masked_whole(key: str, value: Any) -> None:
    assert redact({"a": [{key: value}]}) == {"a": [{key: "***"}]}


@pytest.mark.parametrize("form", PLANTED)
def test_a_secret_in_a_key_is_masked_as_in_a_value(form: str) -> None:
    value = {"a": {PLANTED[form]: 1, "b": 2}}
    assert not leaks(redact(value))
    assert redact(value)["a"]["b"] == 2
    assert SECRET not in redact_text(json.dumps(value))


@pytest.mark.parametrize("name", ["name", "key"])
def test_a_value_is_masked_by_the_name_beside_it(name: str) -> None:
    env = [{name: "DB_PASSWORD", "value": SECRET}, {name: "REGION", "value": "eu"}]
    assert redact({"env": env}) == {"env": [{name: "DB_PASSWORD", "value": "***"}, env[1]]}


@pytest.mark.parametrize("value", [None, True, False, "", [], {}])
def test_a_telling_key_with_nothing_under_it_stays_as_it_is(value: Any) -> None:
    assert redact({"password": value}) == {"password": value}


@pytest.mark.parametrize(
    "text",
    [
        "ValueError: column total holds -40.00",
        "token = get_token()",
        "password is required",
        "https://airflow.example/dags/etl?limit=5",
        "write to ann@example.com",
        '{"rows": 12, "host": "db"}',
        "basic checks passed",
        "https://airflow.example:8080/users/ann@example.com",
        "load --dry-run --password",
        "design=1; signal=2&a=3",
        "s3://bucket/key@v2",
        "",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert redact_text(text) == text


AROUND = st.one_of(st.text(max_size=30), st.text("\"'=:;,&{}[]()\\ \n*", max_size=8))


@settings(max_examples=200)
@given(
    before=AROUND,
    after=AROUND,
    form=st.sampled_from(sorted(set(PLANTED) - {"json", "json in json", "json in a list", "json with a space before"})),
)
def test_a_secret_survives_in_no_surroundings(before: str, after: str, form: str) -> None:
    masked = redact_text(f"{before} {PLANTED[form]} {after}")
    assert SECRET not in masked


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=12), st.sampled_from([*PLANTED.values()])),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)


@given(value=VALUES)
@example(value="password: ***password: x")
@example(value={"a": '{"password": "x"} '})
def test_masking_twice_is_masking_once_and_no_planted_secret_is_left(value: Any) -> None:
    once = redact(value)
    assert redact(once) == once
    assert not leaks(once)


@given(word=st.sampled_from(SENSITIVE), before=st.sampled_from(["", "my_", "AWS"]), after=st.sampled_from(["", "_2"]))
def test_every_telling_word_counts_anywhere_in_a_key_and_in_any_case(word: str, before: str, after: str) -> None:
    for key in (f"{before}{word}{after}", f"{before}{word}{after}".upper()):
        assert redact({key: SECRET}) == {key: "***"}
        assert SECRET not in redact_text(f"{key}={SECRET}")


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "a.",
        "password",
        "token-",
        "eyJ",
        "://",
        "[",
        '{"a":',
        "bearer ",
        "a=",
        "\\",
        "://a:",
        "--token ",
        ";pwd=",
        'token="""',
    ],
)
def test_a_long_text_of_one_kind_is_read_in_a_time_that_ends(text: str) -> None:
    program = f"from airflow_mcp.redact import redact_text; redact_text({text!r} * (300_000 // len({text!r})))"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


@pytest.mark.parametrize("form", PLANTED)
async def test_no_answer_shows_a_secret(form: str) -> None:
    run = dag_run("r", note=PLANTED[form], conf={"a": PLANTED[form], "db": {"password": SECRET}})
    airflow = FakeAirflow().on("GET", "/dags/etl/dagRuns/r", run)
    airflow.on("GET", "/dags/etl/dagRuns", page("dag_runs", [run]))
    async with assistant(airflow) as someone:
        one = await someone.client.call_tool("get_dag_run", {"dag_id": "etl", "dag_run_id": "r", "fields": ["*"]})
        many = await someone.client.call_tool("list_dag_runs", {"dag_id": "etl", "fields": ["note", "conf"]})
    for result in (one, many):
        assert SECRET not in text_of(result)
        assert not leaks(result.structured_content)
        assert "***" in text_of(result)


@pytest.mark.parametrize("form", PLANTED)
async def test_no_error_shows_a_secret(form: str) -> None:
    airflow = FakeAirflow().otherwise(Reply(409, {"detail": PLANTED[form]}))
    async with assistant(airflow) as someone:
        assert SECRET not in await someone.refused("get_health")


@pytest.mark.parametrize("version", ["2.11.2", "3.3.2"])
@pytest.mark.parametrize("form", PLANTED)
async def test_no_task_log_shows_a_secret(form: str, version: str) -> None:
    said = PLANTED[form]
    if version.startswith("2"):
        moment = "[2026-11-21T00:00:00.000+0000]"
        log = f"{moment} {{a.py:1}} INFO - {said}\n{moment} {{a.py:2}} ERROR - {said}\n"
    else:
        detail = [{"exc_type": "ValueError", "exc_value": said, "frames": []}]
        log = f"{json.dumps({'event': said})}\n{json.dumps({'event': 'x', 'level': 'error', 'error_detail': detail})}\n"
    airflow = FakeAirflow(version).otherwise({"task_id": "t", "state": "failed", "try_number": 1})
    airflow.on("GET", "/dags/etl/dagRuns/r/taskInstances/t/logs/1", Reply(200, log))
    async with assistant(airflow) as someone:
        answer = await someone.ask("read_task_log", dag_id="etl", dag_run_id="r", task_id="t")
    assert not leaks(answer)
    assert "***" in answer["error"]


CUT = {"address": (PLANTED["address"], SECRET[:6]), "jwt": (JWT, JWT[:12]), "pair": (PLANTED["quoted"], SECRET[:6])}


@pytest.mark.parametrize("version", ["2.11.2", "3.3.2"])
@pytest.mark.parametrize("form", CUT)
def test_a_log_line_that_is_cut_shows_no_part_of_a_secret(version: str, form: str) -> None:
    planted, part = CUT[form]
    airflow = FakeAirflow(version).otherwise({"task_id": "t", "state": "failed", "try_number": 1})
    moment = "[2026-11-21T00:00:00.000+0000] {a.py:1} INFO - "
    with talking(airflow) as call:
        for before in range(150, 260, 2):
            text = f"{'x ' * (before // 2)}{planted} and so on"
            log = f"{moment}{text}\n" if version.startswith("2") else json.dumps({"event": text}) + "\n"
            airflow.on("GET", "/dags/etl/dagRuns/r/taskInstances/t/logs/1", Reply(200, log))
            result = call("read_task_log", dag_id="etl", dag_run_id="r", task_id="t")
            assert part not in text_of(result), f"{before} characters into the line"


@pytest.mark.parametrize("form", CUT)
def test_an_error_that_is_cut_shows_no_part_of_a_secret(form: str) -> None:
    planted, part = CUT[form]
    airflow = FakeAirflow()
    with talking(airflow) as call:
        for before in range(200, 610, 2):
            airflow.otherwise(Reply(409, {"detail": f"{'x ' * (before // 2)}{planted} and so on"}))
            assert part not in text_of(call("get_health")), f"{before} characters into Airflow's words"


@pytest.mark.parametrize("form", CUT)
def test_a_cell_that_is_cut_shows_no_part_of_a_secret(form: str) -> None:
    planted, part = CUT[form]
    airflow = FakeAirflow()
    with talking(airflow) as call:
        for before in range(200, 310, 2):
            text = f"{'x ' * (before // 2)}{planted} and so on"
            row = {"import_error_id": 1, "filename": "a.py", "stack_trace": text + " x" * 100}
            airflow.on("GET", "/importErrors", page("import_errors", [row]))
            airflow.on("GET", "/dags/etl/dagRuns", page("dag_runs", [dag_run(note=text)]))
            assert part not in text_of(call("list_import_errors")), f"{before} characters in"
            assert part not in text_of(call("list_dag_runs", dag_id="etl", fields=["note"])), f"{before} characters in"


async def test_a_value_is_masked_by_the_key_it_is_stored_under() -> None:
    entry = {"dag_id": "etl", "run_id": "r", "task_id": "t", "key": "db_password", "map_index": -1, "value": SECRET}
    airflow = FakeAirflow().otherwise(entry)
    async with assistant(airflow) as someone:
        answer = await someone.ask("get_xcom", dag_id="etl", dag_run_id="r", task_id="t", xcom_key="db_password")
    assert answer["value"] == "***"
    assert answer["key"] == "db_password"


async def test_names_of_things_are_no_secrets_even_under_a_telling_word() -> None:
    airflow = FakeAirflow().on("GET", "/pools", page("pools", [{"name": "token_pool", "slots": 1}]))
    async with assistant(airflow) as someone:
        assert table(await someone.ask("list_pools"))[0]["name"] == "token_pool"


@pytest.mark.parametrize("form", PLANTED)
def test_a_crash_that_is_logged_shows_no_secret(form: str) -> None:
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    handler.setFormatter(SafeFormatter("%(levelname)s %(message)s"))
    logger = logging.Logger("somebody's library")
    logger.addHandler(handler)
    try:
        raise ValueError(PLANTED[form])
    except ValueError:
        logger.exception("request failed: %s", PLANTED[form])
    assert "ERROR request failed" in said.getvalue()
    assert "ValueError" in said.getvalue()
    assert SECRET not in said.getvalue()


async def test_a_redirect_that_is_cut_shows_no_part_of_a_secret() -> None:
    place = f"https://ann:{SECRET}{'x' * 100}@login.example/"
    airflow = FakeAirflow().otherwise(Reply(302, None, {"location": place}))
    async with assistant(airflow) as someone:
        sentence = await someone.refused("get_dag", dag_id="etl")
    assert "redirect" in sentence
    assert SECRET not in sentence


async def test_nothing_logs_what_it_reads_or_sends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    airflow = FakeAirflow().otherwise(dag_run("r", note=PLANTED["assignment"], conf={"jwt": JWT}))
    async with assistant(airflow) as someone:
        answer = await someone.ask("get_dag_run", dag_id="etl", dag_run_id="r")
    assert JWT not in json.dumps(answer)
    ours = [record for record in caplog.records if record.name.startswith("airflow_mcp")]
    assert not [record for record in ours if SECRET in record.getMessage() or JWT in record.getMessage()]
    assert "a-token-of-the-operator" not in caplog.text


@pytest.mark.parametrize("text", [f"***={SECRET}", f"db_***: {SECRET}", f'db_***="{SECRET}"', f"***_2='{SECRET} x'"])
def test_a_secret_whose_telling_word_airflow_has_masked_is_masked_too(text: str) -> None:
    once = redact_text(text)
    assert SECRET not in once
    assert redact_text(once) == once
    assert SECRET not in json.dumps(redact({"db_***": SECRET}))
