"""Installing an Airflow: once, again after an interruption, and only where a fitting Python is."""

import re
from pathlib import Path

import pytest

from airflow_mcp.demo.install import DEFAULT_VERSION, RELEASES, Build, Release, choose_python, find_release, install
from airflow_mcp.demo.processes import DemoError
from tests.fab.release import FAB

LOCKED = {release.name: release for release in (*RELEASES.values(), FAB)}


class Builder:
    """Stands for uv and pip: makes the Python of the environment, or is interrupted half-way."""

    def __init__(self) -> None:
        self.builds: list[Build] = []
        self.interrupt = False

    def __call__(self, build: Build) -> None:
        self.builds.append(build)
        (build.folder / "bin").mkdir(parents=True)  # fails when the rest of an earlier try lies there
        (build.folder / "bin" / "python").touch()
        if self.interrupt:
            raise KeyboardInterrupt


def interpreter(folder: Path, name: str, says: str) -> Path:
    """A program that answers the question for its version."""
    file = folder / name
    file.write_text(f"#!/bin/sh\n{says}\n")
    file.chmod(0o755)
    return file


def steps(_: str) -> None:
    pass


@pytest.mark.parametrize("release", LOCKED.values(), ids=LOCKED)
def test_every_release_has_a_lock_file_that_pins_each_package_with_hashes(release: Release):
    text = release.lock.read_text()
    pins = re.findall(r"^[a-z0-9][a-z0-9._-]*==\S+", text, re.MULTILINE)
    assert f"apache-airflow=={release.version}" in pins
    assert len(re.findall(r"==.* \\\n    --hash=sha256:", text)) == len(pins)


@pytest.mark.parametrize("release", LOCKED.values(), ids=LOCKED)
def test_a_lock_file_says_how_it_is_made_and_names_no_index(release: Release):
    text = release.lock.read_text()
    assert "uv pip compile" in text.split("\n")[1]
    assert "://" not in text


def test_the_default_release_is_offered():
    assert DEFAULT_VERSION in RELEASES


def test_a_version_that_is_not_offered_is_refused_with_those_that_are(tmp_path: Path):
    with pytest.raises(DemoError, match=r"does not offer Airflow 1\.10\.15; choose one of 3\.3\.2, 2\.11\.2\."):
        install("1.10.15", tmp_path, steps)


def test_a_finished_installation_is_not_done_again(tmp_path: Path):
    build = Builder()
    first = install("3.3.2", tmp_path, steps, build)
    assert install("3.3.2", tmp_path, steps, build) == first
    assert len(build.builds) == 1


def test_the_same_version_with_other_packages_is_installed_beside_it(tmp_path: Path):
    build = Builder()
    assert install(FAB, tmp_path, steps, build) != install("3.3.2", tmp_path, steps, build)
    assert [made.lock for made in build.builds] == [FAB.lock, find_release("3.3.2").lock]


def test_an_interrupted_installation_is_done_again_from_nothing(tmp_path: Path):
    build = Builder()
    build.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        install("3.3.2", tmp_path, steps, build)
    build.interrupt = False
    install("3.3.2", tmp_path, steps, build)
    assert len(build.builds) == 2


def test_an_installation_from_another_lock_file_is_done_again(tmp_path: Path):
    build = Builder()
    python = install("3.3.2", tmp_path, steps, build)
    (python.parents[1] / "installed-from").write_text("an older lock file")
    install("3.3.2", tmp_path, steps, build)
    assert len(build.builds) == 2


def test_an_installation_whose_python_has_gone_is_done_again(tmp_path: Path):
    build = Builder()
    install("3.3.2", tmp_path, steps, build).unlink()
    install("3.3.2", tmp_path, steps, build)
    assert len(build.builds) == 2


def test_the_running_python_is_taken_when_it_fits(tmp_path: Path):
    running = interpreter(tmp_path, "python", "echo 3.11")
    assert choose_python(find_release("2.11.2"), running=running, path=str(tmp_path)) == running


def test_another_python_on_the_path_is_taken_when_the_running_one_does_not_fit(tmp_path: Path):
    running = interpreter(tmp_path, "python", "echo 3.14")
    fitting = interpreter(tmp_path, "python3.11", "echo 3.11")
    assert choose_python(find_release("2.11.2"), running=running, path=str(tmp_path)) == fitting


def test_a_version_managers_shim_without_its_python_is_passed_over(tmp_path: Path):
    running = interpreter(tmp_path, "python", "echo 3.14")
    interpreter(tmp_path, "python3.12", "echo 'python3.12: command not found' >&2; exit 127")
    fitting = interpreter(tmp_path, "python3.11", "echo 3.11")
    assert choose_python(find_release("2.11.2"), running=running, path=str(tmp_path)) == fitting


def test_without_a_fitting_python_one_sentence_says_which_to_install(tmp_path: Path):
    running = interpreter(tmp_path, "python", "echo 3.14")
    expected = (
        r"^Airflow 2\.11\.2 needs Python 3\.11 or 3\.12, and neither this Python \(3\.14\) nor the PATH offers one; "
        r"install one \(for example `uv python install 3\.12`\) and start again\.$"
    )
    with pytest.raises(DemoError, match=expected):
        choose_python(find_release("2.11.2"), running=running, path=str(tmp_path))
