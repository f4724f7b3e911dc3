"""Processes of the demo are found by their mark, all of them and nobody else, and locks die with their holder."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from airflow_mcp.demo.processes import (
    MARK,
    DemoError,
    FolderBusyError,
    end_marked,
    find_marked,
    hold_lock,
    read_tail,
    run_to_end,
)

WAIT = "import signal; print('ready', flush=True); signal.pause()"
IGNORE = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAIT}"
WITH_A_CHILD_IN_ITS_OWN_SESSION = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {WAIT!r}], stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
{WAIT}
"""
HOLD = f"""
import sys
from pathlib import Path
from airflow_mcp.demo.processes import hold_lock
with hold_lock(Path(sys.argv[1]), lambda: None):
    {WAIT}
"""


@contextmanager
def running(program: str, *arguments: str, mark: str = "") -> Generator["subprocess.Popen[bytes]"]:
    """A Python child that has said it is ready."""
    command = [sys.executable, "-c", program, *arguments]
    process = subprocess.Popen(command, env={**os.environ, MARK: mark}, stdout=subprocess.PIPE)
    with process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process
        finally:
            process.kill()


def refuse() -> NoReturn:
    raise FolderBusyError("busy")


def test_a_marked_process_and_its_child_in_another_session_are_both_ended():
    with running(WITH_A_CHILD_IN_ITS_OWN_SESSION, mark="ours-1") as process:
        assert len(find_marked("ours-1")) == 2
        end_marked("ours-1")
        assert find_marked("ours-1") == set()
        assert process.wait() != 0


def test_a_process_that_ignores_being_asked_is_killed():
    with running(IGNORE, mark="ours-2") as process:
        end_marked("ours-2", grace=0)
        assert process.wait() == -9


def test_a_stranger_is_never_ended_even_if_its_mark_begins_like_ours():
    with running(WAIT, mark="ours-3-and-more") as stranger, running(WAIT, mark="") as unmarked:
        end_marked("ours-3", grace=0)
        assert stranger.poll() is None
        assert unmarked.poll() is None


def test_ending_what_has_ended_already_is_no_error():
    end_marked("nobody-has-this-mark")


def test_a_held_lock_is_busy_for_the_next_one_and_free_afterwards(tmp_path: Path):
    with hold_lock(tmp_path / "lock", refuse), pytest.raises(FolderBusyError), hold_lock(tmp_path / "lock", refuse):
        pass
    with hold_lock(tmp_path / "lock", refuse):
        pass


def test_a_lock_is_free_again_after_its_holder_was_killed(tmp_path: Path):
    with running(HOLD, str(tmp_path / "lock")) as holder:
        with pytest.raises(FolderBusyError), hold_lock(tmp_path / "lock", refuse):
            pass
        holder.kill()
        holder.wait()
        with hold_lock(tmp_path / "lock", refuse):
            pass


def test_a_failing_command_becomes_a_sentence_with_the_end_of_its_output(tmp_path: Path):
    program = "print('one\\ntwo'); raise SystemExit('no space left')"
    with pytest.raises(DemoError, match=r"Migrating failed with exit code 1; its output ends:\n(.*\n)*.*no space left"):
        run_to_end([sys.executable, "-u", "-c", program], doing="Migrating", cwd=tmp_path, env=os.environ)


def test_a_command_that_does_not_exist_becomes_a_sentence(tmp_path: Path):
    with pytest.raises(DemoError, match=r"Migrating failed: .*nowhere cannot be started"):
        run_to_end([tmp_path / "nowhere"], doing="Migrating", cwd=tmp_path, env=os.environ)


def test_a_command_reads_its_input_and_gives_its_output(tmp_path: Path):
    program = "import sys; print(sys.stdin.read().upper())"
    output = run_to_end([sys.executable, "-c", program], doing="Asking", cwd=tmp_path, env=os.environ, stdin="hello")
    assert output.strip() == "HELLO"


def test_the_tail_of_a_log_has_its_last_lines_that_say_something():
    assert read_tail("a\n\nb  \n\nc\n\n", lines=2) == "    b\n    c"
    assert read_tail("") == "    (nothing)"
