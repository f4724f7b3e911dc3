"""A change whose answer cannot be used is settled by reading back what Airflow holds now.

What is found is said as it is: that Airflow holds what was asked for does not tell by whom, and that it does not so far
does not tell that it never will, since a request whose answer was lost may still be carried out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
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
from airflow_mcp.text import clean, map_strings

if TYPE_CHECKING:
    from airflow_mcp.dispatch.call import Call
    from airflow_mcp.dispatch.operations.executor import OperationExecutor

Failure = UnusableAnswerError | AirflowUnreachableError
READ_BACK, NOT_SO_FAR, UNKNOWN = "read back: as asked", "read back: not so far", "unknown"
_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})  # states of a task instance
_CLOCKS = timedelta(seconds=30)  # that Airflow's clock may be behind ours
_MOST_NAMES = 5


@dataclass(frozen=True)
class ReadBackResult:
    """What reading back showed: whether it is as asked (None: that does not show), in words, and what is there."""

    as_asked: bool | None
    words: str
    reply: OperationResult | None = None


@dataclass(frozen=True)
class Attempt:
    """One change as it was sent: the arguments include what Airflow alone knew, such as the id of an asset."""

    call: Call
    version: Version
    began: datetime = field(default_factory=lambda: datetime.now(UTC))


async def settle(executor: OperationExecutor, attempt: Attempt, failure: Failure) -> OperationResult:
    """The reply of a change that Airflow holds as asked, with a hint that says so.

    Raises the failure with what is known: that Airflow does not hold it so far, or that nothing shows it.
    """
    reason, name = str(failure), attempt.call.tool.entry.part_of or attempt.call.tool.name
    try:
        finding = await _find(executor, attempt)
    except NotSupportedError:
        raise  # what the connected Airflow has not got it has not done
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
    step, asked = _plan_read_back(executor, read_back, attempt)
    label = _write_label(step, asked)
    wanted = {**entry.default.select_values(version), **call.arguments, **entry.const.select_values(version)}
    names = asked.keys() | {*read_back.asks.values()} - {*read_back.holds.values()}
    wanted = {name: value for name, value in wanted.items() if name not in names}
    if not step.entry.since.has(version):
        return ReadBackResult(None, f"Airflow {version} does not show it.")
    try:
        reply = await executor.operate(call.step(step, asked), look_up=False)
    except NotFoundError as error:
        if not error.is_own:
            return ReadBackResult(None, f"What answers {step.name} with {label} does not tell either.")
        return ReadBackResult(
            read_back.gone, f"Airflow has no {_write_name(step, asked)} now ({step.name} with {label})."
        )
    except AirflowMcpError as error:
        return ReadBackResult(None, f"Reading it back failed too ({error}); {step.name} with {label} shows it.")
    rows = reply.rows if reply.rows is not None else [reply.single or {}]
    if read_back.made:
        rows = [row for row in rows if not _find_differences(read_back, wanted, row)]
        seen = _select_visible(call, step, asked, reply)
        return _find_created(read_back.made, rows, attempt.began, f"{step.name} with {label}", seen)
    if read_back.gone:
        left = "there is none left" if not rows else "it is still there"
        return ReadBackResult(not rows, f"{step.name} with {label}: {left}.")
    if read_back.unfinished:
        return await _find_unfinished(executor, call, label, reply)
    if read_back.apart:
        apart = {name: call.arguments[name] for name in read_back.apart if call.arguments.get(name)}
        beside = "".join(
            f", but its {name} is {str(held)[:60]!r}"
            for name, held in _find_differences(read_back, apart, rows[0]).items()
        )
        words = f"Airflow has {_write_name(step, asked)} ({step.name} with {label}){beside}."
        return ReadBackResult(True, words, _select_visible(call, step, asked, reply))
    others = {name: held for row in rows for name, held in _find_differences(read_back, wanted, row).items()}
    if others:
        held = ", ".join(f"{name} is {str(value)[:60]!r}" for name, value in [*others.items()][:_MOST_NAMES])
        return ReadBackResult(False, f"{step.name} with {label} shows that {held}.")
    if not any(True for row in rows for _ in _compare_fields(read_back, wanted, row)) and rows:
        return ReadBackResult(None, f"{step.name} with {label} shows that it is there, but not what was asked for.")
    words = f"{step.name} with {label} shows what was asked for, as far as Airflow shows it."
    return ReadBackResult(True, words, _select_visible(call, step, asked, reply))


def _find_created(
    time_field: str, rows: list[Json], began: datetime, where: str, reply: OperationResult | None
) -> ReadBackResult:
    """Of rows that fit, newest first, one that was made since the call began, as far as two clocks agree."""
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
    """The operation that is read, and its arguments: the call's own of the same names, or of those in `asks`."""
    call, version = attempt.call, attempt.version
    step = executor.catalog.operations[read_back.operation]
    given = {**call.tool.entry.default.select_values(version), **call.arguments}
    asked: Json = {}
    for use in step.entry.params:
        theirs = read_back.asks.get(use.name, use.name)
        name = theirs if theirs in given else use.name
        if name in given and use.since.has(version):
            asked[use.name] = given[name]
    return step, asked | read_back.where


def _write_label(step: Tool, query: Json) -> str:
    """The ids to look for: pool_name 'small'."""
    named = {name: value for name, value in query.items() if isinstance(value, str | int) and value is not False}
    return ", ".join(f"{name} {str(value)[:80]!r}" for name, value in [*named.items()][:_MOST_NAMES]) or step.name


def _write_name(step: Tool, query: Json) -> str:
    """What is looked for, in two words: pool 'small'."""
    noun = (step.entry.record or "object").replace("dag_run", "run").replace("_", " ")
    ids = [value for name, value in query.items() if name != "map_index"]
    return f"{noun} {str(ids[-1])[:80]!r}" if ids else noun


def _select_visible(attempt: Call, step: Tool, query: Json, reply: OperationResult) -> OperationResult | None:
    """The reply, where it is what the tool answers and the caller may read it."""
    decision = decide(attempt.policy, Effect(step, find_target_ids(step, query)), attempt.principal)
    if step.entry.record != attempt.tool.entry.record or not decision.allowed or decision.by_row:
        return None
    return reply


def _compare_fields(read_back: ReadBack, wanted: Json, row: Json) -> Iterator[tuple[str, Any, Any]]:
    """Fields of the record that a change is about: what was asked for, and what is held. A mask tells nothing."""
    values = {name: value for name, value in wanted.items() if value is not None}
    values |= {ours: wanted[name] for ours, name in read_back.holds.items() if wanted.get(name) is not None}
    for name, value in (values | read_back.values).items():
        if name in row and MASK not in str(row[name]):
            yield name, value, row[name]


def _find_differences(read_back: ReadBack, wanted: Json, row: Json) -> Json:
    """The fields of a record that hold something else than was asked for."""
    return {
        name: held
        for name, value, held in _compare_fields(read_back, wanted, row)
        if (
            held is None if value == "*" else not (are_equal(value, held) or are_equal(map_strings(value, clean), held))
        )
    }


def are_equal(wanted: Any, stored: Any) -> bool:
    """Equal as values: JSON may be held as text, a time in another zone, a list of names in another order."""
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
    """Of task instances that were to run again: none that still matches has ended."""
    rows = reply.rows or []
    if any("state" not in row for row in rows):  # Airflow 2's dry run names them alone
        listing = executor.catalog.operations["list_task_instances"]
        states: dict[str, Any] = {}
        for dag_id, run_id in {(row.get("dag_id"), row.get("dag_run_id")) for row in rows}:
            step = attempt.step(listing, {"dag_id": dag_id, "dag_run_id": run_id})
            found = await executor.operate(step, look_up=False)
            states |= {name_target(row): row.get("state") for row in found.rows or ()}
        rows = [{**row, "state": states.get(name_target(row), "unknown")} for row in rows]
    ended = [row for row in rows if row.get("state") in _ENDED]
    if any(row.get("state") == "unknown" for row in rows):
        return ReadBackResult(None, f"the states of task instances with {label} show it.")
    if not ended:
        return ReadBackResult(True, f"of the task instances that match {label}, none has ended.", reply)
    names = ", ".join(f"{row.get('task_id')} is {row.get('state')}" for row in ended[:_MOST_NAMES])
    words = f"the states of task instances with {label} show which run again; {len(ended)} have ended ({names})."
    return ReadBackResult(None, words)


async def _find_entities(executor: OperationExecutor, attempt: Call) -> ReadBackResult:
    """Each entity of a bulk change by itself; as asked only where all of them are."""
    entry = attempt.tool.entry
    assert entry.bulk is not None
    step = executor.catalog.operations[entry.bulk.read]
    done: dict[str, list[str]] = {}
    lacking: list[str] = []
    entities = [*bulk.iterate_entities(entry.bulk, attempt.arguments)]
    for (word, _, ids), is_so in zip(
        entities,
        await run_concurrently(_is_applied(executor, attempt, step, *entity) for entity in entities),
        strict=True,
    ):
        name = "/".join(str(value) for value in ids.values())
        if is_so:
            done.setdefault(f"{word}d", []).append(name)
        else:
            lacking.append(f"{word} {name}")
    if not lacking:
        words = f"{step.name} shows every one of them as asked, as far as Airflow shows it."
        return ReadBackResult(True, words, bulk.build_result(done))
    part = f"; as asked are {_first_names(one for names in done.values() for one in names)}" if done else ""
    return ReadBackResult(False, f"{step.name} does not show {_first_names(lacking)}{part}.")


async def _is_applied(
    executor: OperationExecutor, attempt: Call, step: Tool, word: str, entity: Json, ids: Json
) -> bool:
    """Whether one entity is as asked."""
    spec = attempt.tool.entry.bulk
    assert spec is not None
    try:
        held = (await executor.operate(attempt.step(step, ids), look_up=False)).single or {}
    except NotFoundError as error:
        if not error.is_own:
            raise
        return word == "delete" or (word == "update" and attempt.arguments.get("on_missing") == "skip")
    if word == "delete" or (word == "create" and attempt.arguments.get("on_existing") == "skip"):
        return word == "create"
    fields = {key: value for key, value in entity.items() if key not in spec.ids}
    return not _find_differences(ReadBack(operation=step.name, holds=spec.holds), fields, held)


def _first_names(names: Iterable[str]) -> str:
    listed = [*names]
    more = f" and {len(listed) - _MOST_NAMES} more" if len(listed) > _MOST_NAMES else ""
    return ", ".join(listed[:_MOST_NAMES]) + more
