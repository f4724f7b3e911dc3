"""Settle a change whose answer is unusable by reading back what Airflow holds now.

The report states no more than that: a value as requested does not prove that this call wrote it, and a missing value
does not prove that the call failed, since Airflow may still carry out a request whose answer was lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_mcp.catalog.grammar import Json
from airflow_mcp.catalog.loader import Tool
from airflow_mcp.catalog.read_back import ReadBack
from airflow_mcp.catalog.versions import Version
from airflow_mcp.dispatch.gather import run_concurrently
from airflow_mcp.dispatch.operations import bulk
from airflow_mcp.dispatch.operations.result import PLAIN, OperationResult, name_target
from airflow_mcp.errors import (
    AirflowMcpError,
    AirflowUnreachableError,
    NotFoundError,
    NotSupportedError,
    UnusableAnswerError,
)
from airflow_mcp.policy.decision import decide
from airflow_mcp.policy.effects import Effect, find_target_ids
from airflow_mcp.redact import MASK
from airflow_mcp.text import clean, join_names, map_strings

if TYPE_CHECKING:
    from airflow_mcp.dispatch.call import Call
    from airflow_mcp.dispatch.operations.executor import OperationExecutor

Failure = UnusableAnswerError | AirflowUnreachableError
READ_BACK, NOT_SO_FAR, UNKNOWN = "read back: as asked", "read back: not so far", "unknown"
_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})  # states of a task instance
_CLOCKS = timedelta(seconds=30)  # how far Airflow's clock may be behind ours
_MOST_NAMES = 5


@dataclass(frozen=True)
class ReadBackResult:
    """The finding of a read-back: whether all is as requested (None: unknown), in words, and the record found."""

    as_asked: bool | None
    words: str
    reply: OperationResult | None = None


@dataclass(frozen=True)
class Attempt:
    """One change as it was sent, with the arguments that were looked up in Airflow, such as the id of an asset."""

    call: Call
    version: Version
    began: datetime = field(default_factory=lambda: datetime.now(UTC))


async def settle(executor: OperationExecutor, attempt: Attempt, failure: Failure) -> OperationResult:
    """Return the reply of a change that Airflow holds as requested, with a hint about the unusable answer.

    Raises the failure with the finding added when Airflow does not hold the change so far, or when that is unknown.
    """
    reason, name = str(failure), attempt.call.tool.entry.part_of or attempt.call.tool.name
    try:
        finding = await _find(executor, attempt)
    except NotSupportedError:
        raise  # an Airflow without the route cannot have made the change
    except AirflowMcpError as error:
        finding = ReadBackResult(None, f"Reading it back failed too: {error}")
    if finding.as_asked:
        hint = (
            f"The answer could not be used, so it was read back: {finding.words} That does not tell whether this call "
            f"did it or it was so before. What came instead: {reason}"
        )
        reply = finding.reply or OperationResult(None, 0, None, PLAIN)
        return replace(reply, status=failure.answered, hint=hint)
    if finding.as_asked is None:
        words = f"The change may or may not have happened: look before you try again. {finding.words}"
        outcome = UNKNOWN
    else:
        words = (
            f"{name} has not happened so far: {finding.words} A request without an answer may still be carried out, so "
            "look again before you repeat it."
        )
        outcome = NOT_SO_FAR
    raise _reword(failure, f"{reason} {words}", outcome)


def _reword(failure: Failure, sentence: str, outcome: str) -> Failure:
    error: Failure
    if isinstance(failure, UnusableAnswerError):
        error = UnusableAnswerError(sentence, failure.status)
    else:
        error = AirflowUnreachableError(sentence, sent=True)
    error.answered, error.outcome = failure.answered, outcome
    return error


async def _find(executor: OperationExecutor, attempt: Attempt) -> ReadBackResult:
    call, version, entry = attempt.call, attempt.version, attempt.call.tool.entry
    if entry.bulk:
        return await _find_entities(executor, call)
    read_back = entry.read_back or (ReadBack(operation=entry.patch.read) if entry.patch else None)
    if isinstance(read_back, str):
        return ReadBackResult(None, read_back)
    if read_back is None:
        return ReadBackResult(None, "")
    step, step_arguments = _plan_read_back(executor, read_back, attempt)
    label = _write_label(step, step_arguments)
    wanted = {**entry.default.select_values(version), **call.arguments, **entry.const.select_values(version)}
    excluded = step_arguments.keys() | {*read_back.asks.values()} - {*read_back.holds.values()}
    wanted = {name: value for name, value in wanted.items() if name not in excluded}
    if not step.entry.since.has(version):
        return ReadBackResult(None, f"Airflow {version} does not show it.")
    try:
        reply = await executor.operate(call.step(step, step_arguments), look_up=False)
    except NotFoundError as error:
        if not error.is_own:
            return ReadBackResult(None, f"What answers {step.name} with {label} does not tell either.")
        return ReadBackResult(
            read_back.gone, f"Airflow has no {_write_name(step, step_arguments)} now ({step.name} with {label})."
        )
    except AirflowMcpError as error:
        return ReadBackResult(None, f"Reading it back failed too ({error}); {step.name} with {label} shows it.")
    rows = reply.rows if reply.rows is not None else [reply.single or {}]
    if read_back.made:
        rows = [row for row in rows if not _find_differences(read_back, wanted, row)]
        visible_reply = _select_visible(call, step, step_arguments, reply)
        return _find_created(read_back.made, rows, attempt.began, f"{step.name} with {label}", visible_reply)
    if read_back.gone:
        finding = "there is none left" if not rows else "it is still there"
        return ReadBackResult(not rows, f"{step.name} with {label}: {finding}.")
    if read_back.unfinished:
        return await _find_unfinished(executor, call, label, reply)
    if read_back.apart:
        separate_fields = {name: call.arguments[name] for name in read_back.apart if call.arguments.get(name)}
        suffix = "".join(
            f", but its {name} is {str(stored)[:60]!r}"
            for name, stored in _find_differences(read_back, separate_fields, rows[0]).items()
        )
        words = f"Airflow has {_write_name(step, step_arguments)} ({step.name} with {label}){suffix}."
        return ReadBackResult(True, words, _select_visible(call, step, step_arguments, reply))
    differences = {name: stored for row in rows for name, stored in _find_differences(read_back, wanted, row).items()}
    if differences:
        listed = ", ".join(f"{name} is {str(value)[:60]!r}" for name, value in [*differences.items()][:_MOST_NAMES])
        return ReadBackResult(False, f"{step.name} with {label} shows that {listed}.")
    if not any(True for row in rows for _ in _compare_fields(read_back, wanted, row)) and rows:
        return ReadBackResult(None, f"{step.name} with {label} shows that it is there, but not what was asked for.")
    words = f"{step.name} with {label} shows what was asked for, as far as Airflow shows it."
    return ReadBackResult(True, words, _select_visible(call, step, step_arguments, reply))


def _find_created(
    time_field: str, rows: list[Json], began: datetime, where: str, reply: OperationResult | None
) -> ReadBackResult:
    """Find among matching rows, newest first, one created since the call began, within 30 s of clock difference."""
    for row in rows:
        moment = _parse_moment(str(row.get(time_field)))
        if moment and moment >= began - _CLOCKS:
            return ReadBackResult(
                True,
                f"{where} shows id {row.get('id')}, {time_field} {row.get(time_field)}.",
                _build_single(reply, row),
            )
    if not rows:
        return ReadBackResult(False, f"{where} shows none that fits.")
    return ReadBackResult(
        None,
        f"{where} shows it: the newest that fits is id {rows[0].get('id')}, {time_field} {rows[0].get(time_field)}.",
    )


def _build_single(reply: OperationResult | None, row: Json) -> OperationResult | None:
    return replace(reply, rows=None, total=None, single=row) if reply else None


def _plan_read_back(executor: OperationExecutor, read_back: ReadBack, attempt: Attempt) -> tuple[Tool, Json]:
    """Return the operation to read and its arguments: those of the call with the same names, or renamed by `asks`."""
    call, version = attempt.call, attempt.version
    step = executor.catalog.operations[read_back.operation]
    call_arguments = {**call.tool.entry.default.select_values(version), **call.arguments}
    step_arguments: Json = {}
    for use in step.entry.params:
        source_name = read_back.asks.get(use.name, use.name)
        name = source_name if source_name in call_arguments else use.name
        if name in call_arguments and use.since.has(version):
            step_arguments[use.name] = call_arguments[name]
    return step, step_arguments | read_back.where


def _write_label(step: Tool, query: Json) -> str:
    """Return the ids of a query as text, such as "pool_name 'small'"."""
    ids = {name: value for name, value in query.items() if isinstance(value, str | int) and value is not False}
    return ", ".join(f"{name} {str(value)[:80]!r}" for name, value in [*ids.items()][:_MOST_NAMES]) or step.name


def _write_name(step: Tool, query: Json) -> str:
    """Return the noun and id of the object of a query, such as "pool 'small'"."""
    noun = (step.entry.record or "object").replace("dag_run", "run").replace("_", " ")
    ids = [value for name, value in query.items() if name != "map_index"]
    return f"{noun} {str(ids[-1])[:80]!r}" if ids else noun


def _select_visible(attempt: Call, step: Tool, query: Json, reply: OperationResult) -> OperationResult | None:
    """Return the reply if it has the tool's kind of record and the caller may read it, else None."""
    decision = decide(attempt.policy, Effect(step, find_target_ids(step, query)), attempt.principal)
    if step.entry.record != attempt.tool.entry.record or not decision.allowed or decision.by_row:
        return None
    return reply


def _compare_fields(read_back: ReadBack, wanted: Json, row: Json) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, requested value and stored value of each field of a change, except masked values."""
    values = {name: value for name, value in wanted.items() if value is not None}
    values |= {ours: wanted[name] for ours, name in read_back.holds.items() if wanted.get(name) is not None}
    for name, value in (values | read_back.values).items():
        if name in row and MASK not in str(row[name]):
            yield name, value, row[name]


def _find_differences(read_back: ReadBack, wanted: Json, row: Json) -> Json:
    """Return the stored values that differ from those requested, by field."""
    return {
        name: held
        for name, value, held in _compare_fields(read_back, wanted, row)
        if (
            held is None if value == "*" else not (are_equal(value, held) or are_equal(map_strings(value, clean), held))
        )
    }


def are_equal(wanted: Any, stored: Any) -> bool:
    """Compare as values: JSON may be stored as text, a time in another zone, a list of names in another order."""
    if wanted == stored:
        return True
    if isinstance(wanted, list) and isinstance(stored, list):
        return sorted(map(repr, wanted)) == sorted(map(repr, stored))
    if isinstance(wanted, dict) and isinstance(stored, dict):
        return wanted.keys() <= stored.keys() and all(are_equal(value, stored[key]) for key, value in wanted.items())
    if not isinstance(stored, str):
        return stored is None and wanted in ("", {}, [])
    if isinstance(wanted, str) and (moment := _parse_moment(wanted)) and moment == _parse_moment(stored):
        return True
    try:
        parsed = json.loads(stored)
    except (ValueError, RecursionError):
        return False
    if isinstance(wanted, str):
        try:
            wanted = json.loads(wanted)
        except (ValueError, RecursionError):
            return wanted == parsed
    return wanted == parsed


def _parse_moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


async def _find_unfinished(
    executor: OperationExecutor, attempt: Call, label: str, reply: OperationResult
) -> ReadBackResult:
    """Check task instances that should run again: as requested if none that still matches has ended."""
    rows = reply.rows or []
    if any("state" not in row for row in rows):  # Airflow 2's dry run has no states
        listing = executor.catalog.operations["list_task_instances"]
        states: dict[str, Any] = {}
        for dag_id, run_id in {(row.get("dag_id"), row.get("dag_run_id")) for row in rows}:
            step = attempt.step(listing, {"dag_id": dag_id, "dag_run_id": run_id})
            listed = await executor.operate(step, look_up=False)
            states |= {name_target(row): row.get("state") for row in listed.rows or ()}
        rows = [{**row, "state": states.get(name_target(row), "unknown")} for row in rows]
    ended_rows = [row for row in rows if row.get("state") in _ENDED]
    if any(row.get("state") == "unknown" for row in rows):
        return ReadBackResult(None, f"the states of task instances with {label} show it.")
    if not ended_rows:
        return ReadBackResult(True, f"of the task instances that match {label}, none has ended.", reply)
    names = ", ".join(f"{row.get('task_id')} is {row.get('state')}" for row in ended_rows[:_MOST_NAMES])
    words = f"the states of task instances with {label} show which run again; {len(ended_rows)} have ended ({names})."
    return ReadBackResult(None, words)


async def _find_entities(executor: OperationExecutor, attempt: Call) -> ReadBackResult:
    """Check each entity of a bulk change; the change is as requested only if all of them are."""
    entry = attempt.tool.entry
    assert entry.bulk is not None
    step = executor.catalog.operations[entry.bulk.read]
    applied: dict[str, list[str]] = {}
    missing: list[str] = []
    entities = [*bulk.iterate_entities(entry.bulk, attempt.arguments)]
    for (word, _, ids), is_applied in zip(
        entities,
        await run_concurrently(_is_applied(executor, attempt, step, *entity) for entity in entities),
        strict=True,
    ):
        name = "/".join(str(value) for value in ids.values())
        if is_applied:
            applied.setdefault(f"{word}d", []).append(name)
        else:
            missing.append(f"{word} {name}")
    if not missing:
        words = f"{step.name} shows every one of them as asked, as far as Airflow shows it."
        return ReadBackResult(True, words, bulk.build_result(applied))
    names = join_names((name for names in applied.values() for name in names), _MOST_NAMES)
    suffix = f"; as asked are {names}" if applied else ""
    return ReadBackResult(False, f"{step.name} does not show {join_names(missing, _MOST_NAMES)}{suffix}.")


async def _is_applied(
    executor: OperationExecutor, attempt: Call, step: Tool, word: str, entity: Json, ids: Json
) -> bool:
    """Tell whether Airflow holds one entity as requested."""
    spec = attempt.tool.entry.bulk
    assert spec is not None
    try:
        stored = (await executor.operate(attempt.step(step, ids), look_up=False)).single or {}
    except NotFoundError as error:
        if not error.is_own:
            raise
        return word == "delete" or (word == "update" and attempt.arguments.get("on_missing") == "skip")
    if word == "delete" or (word == "create" and attempt.arguments.get("on_existing") == "skip"):
        return word == "create"
    fields = {key: value for key, value in entity.items() if key not in spec.ids}
    return not _find_differences(ReadBack(operation=step.name, holds=spec.holds), fields, stored)
