"""Log files of task instances that never ran, copied in form from logs which this very Airflow wrote."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

# The moment a line begins with: Airflow 3 writes a JSON object, Airflow 2 text.
_STAMP = re.compile(r'(?m)^(\{"timestamp":"|\[)(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)')
_PATTERN_RUN = ("load_partitions", "load-1", "load")
_PATTERN_PRINTED = "loading partition 0"
_PATTERN_ERROR = "partition 3 of orders has no rows"


@dataclass(frozen=True)
class Line:
    """A task instance whose log is written, and when it began."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    begun: datetime


class Logs:
    """The task logs of one Airflow, by its own naming of files."""

    def __init__(self, folder: Path, dags: Path, version: str) -> None:
        self.folder = folder
        self._dags = dags
        self._is_old = version.startswith("2.")

    def file(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, try_number: int = 1) -> Path:
        """Where the log of one try lies."""
        place = self.folder / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        return (place / f"map_index={map_index}" if map_index >= 0 else place) / f"attempt={try_number}.log"

    def all(self) -> list[Path]:
        """Every log of every task."""
        return sorted(self.folder.glob("dag_id=*/**/*.log"))

    def files(self, dag_id: str, run_id: str) -> list[Path]:
        """Every log of a run."""
        return sorted((self.folder / f"dag_id={dag_id}" / f"run_id={run_id}").rglob("*.log"))

    def rename_run(self, dag_id: str, run_id: str, new: str) -> None:
        """Move a run's logs to its new id, which they mention too."""
        for file in self.files(dag_id, run_id):
            file.write_text(file.read_text().replace(run_id, new))
        (self.folder / f"dag_id={dag_id}" / f"run_id={run_id}").rename(
            self.folder / f"dag_id={dag_id}" / f"run_id={new}"
        )

    def shard(self, line: Line, kind: str, message: str) -> None:
        """The log of one of the 1,000: that of a partition, with its own names and, if it failed, its error."""
        model = 3 if kind else 0
        text = self._model(model)
        for old, new in {
            "load_partitions": line.dag_id,
            "load-1": line.run_id,
            f'"map_index":{model}': f'"map_index":{line.map_index}',
            f"map_index={model}": f"map_index={line.map_index}",
            f"'--map-index', '{model}'": f"'--map-index', '{line.map_index}'",
            f"loading partition {model}": f"fetching shard {line.map_index}",
        }.items():
            text = text.replace(old, new)
        if kind:
            text = self._with_error(text, kind, message)
        self._write(line, text)

    def beginning(self, dag_id: str, run_id: str, task_id: str, *, at: datetime, said: str) -> None:
        """The log of a task that runs, or died without a word: as a partition's up to what it printed."""
        text = self._model(0)
        for old, new in {
            "load_partitions": dag_id,
            "load-1 map_index=0": run_id,
            "load-1": run_id,
            '"map_index":0': '"map_index":-1',
            ", '--map-index', '0'": "",
            ".load ": f".{task_id} ",
            "'load'": f"'{task_id}'",
            '"task_id":"load"': f'"task_id":"{task_id}"',
            "Subtask load": f"Subtask {task_id}",
            "Mapped(_PythonDecoratedOperator): load": f"Task(_PythonDecoratedOperator): {task_id}",
        }.items():
            text = text.replace(old, new)
        before, end, rest = text.partition("::endgroup::")  # of what Airflow prepares
        printed = next(row for row in rest.splitlines(keepends=True) if _PATTERN_PRINTED in row)
        begun = before + end + rest.splitlines(keepends=True)[0] + printed.replace(_PATTERN_PRINTED, said)
        self._write(Line(dag_id, run_id, task_id, -1, at), begun)

    def _write(self, line: Line, text: str) -> None:
        file = self.file(line.dag_id, line.run_id, line.task_id, line.map_index)
        file.parent.mkdir(parents=True)
        stamp = _STAMP.search(text)
        if stamp is None:
            raise LookupError(f"The log of {_PATTERN_RUN} has no times.")
        began = datetime.fromisoformat(stamp[2]).replace(tzinfo=UTC)
        file.write_text(shifted(text, line.begun - began))

    def _with_error(self, text: str, kind: str, message: str) -> str:
        source = (self._dags / "mapped.py").read_text().splitlines()
        numbers = {
            "check_rows": (
                _line_of(source, 'raise ValueError(f"partition'),
                _line_of(source, f"raise {kind}(", last=True),
            ),
            "load": (_line_of(source, "return check_rows"), _line_of(source, "return fetch_shard")),
        }
        for name, (old, new) in numbers.items():
            text = text.replace(f'"lineno":{old},"name":"{name}"', f'"lineno":{new},"name":"{name}"')
            text = text.replace(f'mapped.py", line {old}, in {name}', f'mapped.py", line {new}, in {name}')
        raised = source[numbers["check_rows"][0] - 1].strip(), source[numbers["check_rows"][1] - 1].strip()
        written = message if self._is_old else message.replace('"', '\\"')
        for old, new in {
            raised[0]: "\0",
            "check_rows(partition)": "fetch_shard(shard)",
            "check_rows": "fetch_shard",
            f"ValueError: {_PATTERN_ERROR}": f"{kind}: {message}",
            '"exc_type":"ValueError"': f'"exc_type":"{kind}"',
            _PATTERN_ERROR: written,
            "\0": raised[1],
        }.items():
            text = text.replace(old, new)
        return text

    @cache  # noqa: B019 - lives as long as one seeding
    def _model(self, map_index: int) -> str:
        return self.file(*_PATTERN_RUN, map_index).read_text()


def _line_of(source: list[str], text: str, *, last: bool = False) -> int:
    found = [number for number, line in enumerate(source, 1) if text in line]
    return found[-1 if last else 0]


def shift_log(file: Path, by: timedelta) -> None:
    """Move every moment of a log."""
    file.write_text(shifted(file.read_text(errors="surrogateescape"), by), errors="surrogateescape")


def shifted(text: str, by: timedelta) -> str:
    """A log's text with the moments its lines begin with moved by whole seconds."""
    whole = timedelta(seconds=round(by.total_seconds()))

    @cache
    def moved(moment: str) -> str:
        return f"{datetime.fromisoformat(moment) + whole:%Y-%m-%dT%H:%M:%S}"

    return _STAMP.sub(lambda match: match[1] + moved(match[2]), text)
