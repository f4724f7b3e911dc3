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
from airflow_mcp.catalog.load import Tool
from airflow_mcp.catalog.read_back import ReadBack
from airflow_mcp.catalog.versions import Version
from airflow_mcp.dispatch.gather import together
from airflow_mcp.dispatch.operations import bulk
from airflow_mcp.dispatch.operations.result import PLAIN, Reply, name_of
from airflow_mcp.errors import (
    AirflowMcpError,
    AirflowUnreachableError,
    NotFoundError,
    NotSupportedError,
    UnusableAnswerError,
)
from airflow_mcp.policy.decide import decide
from airflow_mcp.policy.effects import Effect, touched_by
from airflow_mcp.redact import MASK
from airflow_mcp.text import clean, in_strings

if TYPE_CHECKING:
    from airflow_mcp.dispatch.call import Call
    from airflow_mcp.dispatch.operations.executor import Operations

Failure = UnusableAnswerError | AirflowUnreachableError
READ_BACK, NOT_SO_FAR, UNKNOWN = "read back: as asked", "read back: not so far", "unknown"
_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})  # states of a task instance
_CLOCKS = timedelta(seconds=30)  # that Airflow's clock may be behind ours
_MOST_NAMES = 5


@dataclass(frozen=True)
class Finding:
    """What reading back showed: whether it is as asked (None: that does not show), in words, and what is there."""

    as_asked: bool | None
    words: str
    reply: Reply | None = None


@dataclass(frozen=True)
class Attempt:
    """One change as it was sent: the arguments include what Airflow alone knew, such as the id of an asset."""

    call: Call
    version: Version
    began: datetime = field(default_factory=lambda: datetime.now(UTC))


async def settle(executor: Operations, attempt: Attempt, failure: Failure) -> Reply:
    """The reply of a change that Airflow holds as asked, with a hint that says so.

    Raises the failure with what is known: that Airflow does not hold it so far, or that nothing shows it.
    """
    reason, name = str(failure), attempt.call.tool.entry.part_of or attempt.call.tool.name
    try:
        finding = await _find(executor, attempt)
    except NotSupportedError:
        raise  # what the connected Airflow has not got it has not done
    except AirflowMcpError as error:
        finding = Finding(None, f"Reading it back failed too: {error}")
    if finding.as_asked:
        hint = (
            f"The answer could not be used, so it was read back: {finding.words} That does not tell whether this call "
            f"did it or it was so before. What came instead: {reason}"
        )
        reply = finding.reply or Reply(None, 0, None, PLAIN)
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
    raise _with(failure, f"{reason} {words}", outcome)


def _with(failure: Failure, sentence: str, outcome: str) -> Failure:
    error: Failure
    if isinstance(failure, UnusableAnswerError):
        error = UnusableAnswerError(sentence, failure.status)
    else:
        error = AirflowUnreachableError(sentence, sent=True)
    error.answered, error.outcome = failure.answered, outcome
    return error


async def _find(executor: Operations, attempt: Attempt) -> Finding:
    call, version, entry = attempt.call, attempt.version, attempt.call.tool.entry
    if entry.bulk:
        return await _find_entities(executor, call)
    read_back = entry.read_back or (ReadBack(operation=entry.patch.read) if entry.patch else None)
    if isinstance(read_back, str):
        return Finding(None, read_back)
    if read_back is None:
        return Finding(None, "")
    step, asked = _reading(executor, read_back, attempt)
    label = _label(step, asked)
    wanted = {**entry.default.at(version), **call.arguments, **entry.const.at(version)}
    names = asked.keys() | {*read_back.asks.values()} - {*read_back.holds.values()}
    wanted = {name: value for name, value in wanted.items() if name not in names}
    if not step.entry.since.has(version):
        return Finding(None, f"Airflow {version} does not show it.")
    try:
        reply = await executor.operate(call.step(step, asked), look_up=False)
    except NotFoundError as error:
        if not error.is_own:
            return Finding(None, f"What answers {step.name} with {label} does not tell either.")
        return Finding(read_back.gone, f"Airflow has no {_name(step, asked)} now ({step.name} with {label}).")
    except AirflowMcpError as error:
        return Finding(None, f"Reading it back failed too ({error}); {step.name} with {label} shows it.")
    rows = reply.rows if reply.rows is not None else [reply.one or {}]
    if read_back.made:
        rows = [row for row in rows if not _others(read_back, wanted, row)]
        seen = _visible(call, step, asked, reply)
        return _find_made(read_back.made, rows, attempt.began, f"{step.name} with {label}", seen)
    if read_back.gone:
        left = "there is none left" if not rows else "it is still there"
        return Finding(not rows, f"{step.name} with {label}: {left}.")
    if read_back.unfinished:
        return await _find_unfinished(executor, call, label, reply)
    if read_back.apart:
        apart = {name: call.arguments[name] for name in read_back.apart if call.arguments.get(name)}
        beside = "".join(
            f", but its {name} is {str(held)[:60]!r}" for name, held in _others(read_back, apart, rows[0]).items()
        )
        words = f"Airflow has {_name(step, asked)} ({step.name} with {label}){beside}."
        return Finding(True, words, _visible(call, step, asked, reply))
    others = {name: held for row in rows for name, held in _others(read_back, wanted, row).items()}
    if others:
        held = ", ".join(f"{name} is {str(value)[:60]!r}" for name, value in [*others.items()][:_MOST_NAMES])
        return Finding(False, f"{step.name} with {label} shows that {held}.")
    if not any(True for row in rows for _ in _compared(read_back, wanted, row)) and rows:
        return Finding(None, f"{step.name} with {label} shows that it is there, but not what was asked for.")
    words = f"{step.name} with {label} shows what was asked for, as far as Airflow shows it."
    return Finding(True, words, _visible(call, step, asked, reply))


def _find_made(made: str, rows: list[Json], began: datetime, where: str, reply: Reply | None) -> Finding:
    """Of rows that fit, newest first, one that was made since the call began, as far as two clocks agree."""
    for row in rows:
        moment = _moment(str(row.get(made)))
        if moment and moment >= began - _CLOCKS:
            return Finding(True, f"{where} shows id {row.get('id')}, {made} {row.get(made)}.", _one(reply, row))
    if not rows:
        return Finding(False, f"{where} shows none that fits.")
    return Finding(
        None, f"{where} shows it: the newest that fits is id {rows[0].get('id')}, {made} {rows[0].get(made)}."
    )


def _one(reply: Reply | None, row: Json) -> Reply | None:
    return replace(reply, rows=None, total=None, one=row) if reply else None


def _reading(executor: Operations, read_back: ReadBack, attempt: Attempt) -> tuple[Tool, Json]:
    """The operation that is read, and its arguments: the call's own of the same names, or of those in `asks`."""
    call, version = attempt.call, attempt.version
    step = executor.catalog.operations[read_back.operation]
    given = {**call.tool.entry.default.at(version), **call.arguments}
    asked: Json = {}
    for use in step.entry.params:
        theirs = read_back.asks.get(use.name, use.name)
        name = theirs if theirs in given else use.name
        if name in given and use.since.has(version):
            asked[use.name] = given[name]
    return step, asked | read_back.where


def _label(step: Tool, asked: Json) -> str:
    """The ids to look for: pool_name 'small'."""
    named = {name: value for name, value in asked.items() if isinstance(value, str | int) and value is not False}
    return ", ".join(f"{name} {str(value)[:80]!r}" for name, value in [*named.items()][:_MOST_NAMES]) or step.name


def _name(step: Tool, asked: Json) -> str:
    """What is looked for, in two words: pool 'small'."""
    noun = (step.entry.record or "object").replace("dag_run", "run").replace("_", " ")
    ids = [value for name, value in asked.items() if name != "map_index"]
    return f"{noun} {str(ids[-1])[:80]!r}" if ids else noun


def _visible(call: Call, step: Tool, asked: Json, reply: Reply) -> Reply | None:
    """The reply, where it is what the tool answers and the caller may read it."""
    decision = decide(call.policy, Effect(step, touched_by(step, asked)), call.principal)
    if step.entry.record != call.tool.entry.record or not decision.allowed or decision.by_row:
        return None
    return reply


def _compared(read_back: ReadBack, wanted: Json, row: Json) -> Iterator[tuple[str, Any, Any]]:
    """Fields of the record that a change is about: what was asked for, and what is held. A mask tells nothing."""
    values = {name: value for name, value in wanted.items() if value is not None}
    values |= {ours: wanted[name] for ours, name in read_back.holds.items() if wanted.get(name) is not None}
    for name, value in (values | read_back.values).items():
        if name in row and MASK not in str(row[name]):
            yield name, value, row[name]


def _others(read_back: ReadBack, wanted: Json, row: Json) -> Json:
    """The fields of a record that hold something else than was asked for."""
    return {
        name: held
        for name, value, held in _compared(read_back, wanted, row)
        if (held is None if value == "*" else not (same(value, held) or same(in_strings(value, clean), held)))
    }


def same(sent: Any, held: Any) -> bool:
    """Equal as values: JSON may be held as text, a time in another zone, a list of names in another order."""
    if sent == held:
        return True
    if isinstance(sent, list) and isinstance(held, list):
        return sorted(map(repr, sent)) == sorted(map(repr, held))
    if isinstance(sent, dict) and isinstance(held, dict):
        return sent.keys() <= held.keys() and all(same(value, held[key]) for key, value in sent.items())
    if not isinstance(held, str):
        return held is None and sent in ("", {}, [])
    if isinstance(sent, str) and (moment := _moment(sent)) and moment == _moment(held):
        return True
    try:
        parsed = json.loads(held)
    except (ValueError, RecursionError):
        return False
    if isinstance(sent, str):
        try:
            sent = json.loads(sent)
        except (ValueError, RecursionError):
            return sent == parsed
    return sent == parsed


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


async def _find_unfinished(executor: Operations, call: Call, label: str, reply: Reply) -> Finding:
    """Of task instances that were to run again: none that still matches has ended."""
    rows = reply.rows or []
    if any("state" not in row for row in rows):  # Airflow 2's dry run names them alone
        listing = executor.catalog.operations["list_task_instances"]
        states: dict[str, Any] = {}
        for dag_id, run_id in {(row.get("dag_id"), row.get("dag_run_id")) for row in rows}:
            step = call.step(listing, {"dag_id": dag_id, "dag_run_id": run_id})
            found = await executor.operate(step, look_up=False)
            states |= {name_of(row): row.get("state") for row in found.rows or ()}
        rows = [{**row, "state": states.get(name_of(row), "unknown")} for row in rows]
    ended = [row for row in rows if row.get("state") in _ENDED]
    if any(row.get("state") == "unknown" for row in rows):
        return Finding(None, f"the states of task instances with {label} show it.")
    if not ended:
        return Finding(True, f"of the task instances that match {label}, none has ended.", reply)
    names = ", ".join(f"{row.get('task_id')} is {row.get('state')}" for row in ended[:_MOST_NAMES])
    words = f"the states of task instances with {label} show which run again; {len(ended)} have ended ({names})."
    return Finding(None, words)


async def _find_entities(executor: Operations, call: Call) -> Finding:
    """Each entity of a bulk change by itself; as asked only where all of them are."""
    entry = call.tool.entry
    assert entry.bulk is not None
    step = executor.catalog.operations[entry.bulk.read]
    done: dict[str, list[str]] = {}
    lacking: list[str] = []
    entities = [*bulk.entities(entry.bulk, call.arguments)]
    for (word, _, ids), is_so in zip(
        entities, await together(_is_so(executor, call, step, *entity) for entity in entities), strict=True
    ):
        name = "/".join(str(value) for value in ids.values())
        if is_so:
            done.setdefault(f"{word}d", []).append(name)
        else:
            lacking.append(f"{word} {name}")
    if not lacking:
        words = f"{step.name} shows every one of them as asked, as far as Airflow shows it."
        return Finding(True, words, bulk.reply(done))
    part = f"; as asked are {_some(one for names in done.values() for one in names)}" if done else ""
    return Finding(False, f"{step.name} does not show {_some(lacking)}{part}.")


async def _is_so(executor: Operations, call: Call, step: Tool, word: str, entity: Json, ids: Json) -> bool:
    """Whether one entity is as asked."""
    spec = call.tool.entry.bulk
    assert spec is not None
    try:
        held = (await executor.operate(call.step(step, ids), look_up=False)).one or {}
    except NotFoundError as error:
        if not error.is_own:
            raise
        return word == "delete" or (word == "update" and call.arguments.get("on_missing") == "skip")
    if word == "delete" or (word == "create" and call.arguments.get("on_existing") == "skip"):
        return word == "create"
    fields = {key: value for key, value in entity.items() if key not in spec.ids}
    return not _others(ReadBack(operation=step.name, holds=spec.holds), fields, held)


def _some(names: Iterable[str]) -> str:
    listed = [*names]
    more = f" and {len(listed) - _MOST_NAMES} more" if len(listed) > _MOST_NAMES else ""
    return ", ".join(listed[:_MOST_NAMES]) + more
