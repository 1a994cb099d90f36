"""The folder of a run, its lock, and whose requests its state holds."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sqlite3
from pathlib import Path

import pytest

from batchgen.errors import ExitCode, LockedError, OutputError, ProviderMismatchError
from batchgen.runs.folder import RunFolder, lock_holder, locked
from batchgen.runs.ownership import claim_for_provider, provider_name
from batchgen.state.meta import Meta, set_meta
from batchgen.state.transitions import begin_attempt
from tests.runs.run_world import Place, in_a_process

VENDOR = "https://model-api.runcomfy.net/v1"
HOLD_THE_LOCK = """
import sys
from pathlib import Path
from batchgen.runs.folder import RunFolder
from batchgen.runs.folder import locked
with locked(RunFolder(Path(sys.argv[1]))):
    print("locked", flush=True)
    sys.stdin.readline()
"""


def test_the_folders_are_made_and_nothing_is_left_of_the_trial(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "deep" / "out")
    folder.create()
    folder.create()
    assert sorted(folder.root.iterdir(), reverse=True) == [folder.files, folder.decisions]
    assert list(folder.files.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused_at_the_start(tmp_path: Path) -> None:
    """Row 53."""
    (tmp_path / "out").write_text("a file stands here")
    with pytest.raises(OutputError, match="cannot be written") as caught:
        RunFolder(tmp_path / "out").create()
    assert caught.value.exit_code is ExitCode.CANNOT_WRITE
    assert "output.dir" in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_refused_at_the_start(tmp_path: Path) -> None:
    """Row 53."""
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        RunFolder(tmp_path / "out").create()


def test_a_second_runner_is_told_who_is_at_work_until_that_one_dies(place: Place) -> None:
    """Row 62, row 63."""
    set_meta(place.db, Meta.RUNNER, "process 4711 on deck")
    runner = in_a_process(HOLD_THE_LOCK, place.folder.root)
    assert runner.stdout is not None
    assert runner.stdout.readline() == "locked\n"
    with (
        pytest.raises(LockedError, match="process 4711 on deck") as caught,
        locked(place.folder),
    ):
        pass
    assert caught.value.exit_code is ExitCode.STOPPED
    assert "nothing was sent" in str(caught.value)
    os.kill(runner.pid, signal.SIGKILL)
    runner.communicate()
    with locked(place.folder):
        assert place.folder.lock.stat().st_mode & 0o077 == 0


def test_the_lock_can_be_taken_again_after_it_was_given_back(place: Place) -> None:
    for _ in range(2):
        with locked(place.folder):
            pass


@pytest.mark.parametrize("content", [None, b"", b"noise" * 999])
def test_a_state_that_cannot_be_read_does_not_hide_that_it_is_held(
    tmp_path: Path, content: bytes | None
) -> None:
    folder = RunFolder(tmp_path)
    if content is not None:
        folder.state.write_bytes(content)
    expected = "unknown process" if content else "it has just begun"
    assert lock_holder(folder) == expected
    with locked(folder), pytest.raises(LockedError, match=expected), locked(folder):
        pass


def test_a_lock_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.lock.mkdir()
    with pytest.raises(OutputError, match="cannot be locked"), locked(folder):
        pass


@pytest.mark.parametrize(
    ("base", "emulator", "name"),
    [
        ("", True, "the emulator"),
        ("http://127.0.0.1:5000/v1", False, "a server on this machine"),
        ("http://localhost:6000/v1", False, "a server on this machine"),
        (VENDOR, False, VENDOR),
    ],
)
def test_a_provider_has_a_name_that_outlives_its_port(base: str, emulator: bool, name: str) -> None:
    assert provider_name(base, emulator=emulator) == name


@pytest.mark.parametrize(
    ("first", "then", "way_back", "anew"),
    [
        ("the emulator", VENDOR, "add --emulator", "output.dir"),
        (VENDOR, "the emulator", "leave out --emulator", "output.dir"),
        (
            VENDOR,
            "https://elsewhere.example/v1",
            "RUNCOMFY_MODEL_API_BASE",
            "output.dir, and add --start-over",
        ),
    ],
)
def test_a_state_belongs_to_the_provider_it_was_begun_with(
    place: Place, first: str, then: str, way_back: str, anew: str
) -> None:
    """Row 65's cousin: rehearsed pictures are never taken for paid ones."""
    # Nothing was sent yet: it may still go elsewhere.
    claim_for_provider(place.db, then, place.folder)
    claim_for_provider(place.db, first, place.folder)
    begin_attempt(place.db, 1, "hash", None, 1.0)
    with pytest.raises(ProviderMismatchError, match=f"started with {first}") as caught:
        claim_for_provider(place.db, then, place.folder)
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    assert way_back in str(caught.value)
    assert str(caught.value).endswith(f"move the folder away or set another {anew}")


def test_the_holder_is_unknown_where_the_state_is_held_exclusively(place: Place) -> None:
    place.db.execute("DROP TABLE meta")
    assert lock_holder(place.folder) == "unknown process"
    assert isinstance(place.db, sqlite3.Connection)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_not_taken_for_another_runner(
    place: Place, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """A network disk: to go on without a lock could pay twice."""

    def without(_file: object, _operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", without)
    with (
        pytest.raises(OutputError, match="this file system has no locks") as caught,
        locked(place.folder),
    ):
        pass
    assert "local disk" in str(caught.value)
