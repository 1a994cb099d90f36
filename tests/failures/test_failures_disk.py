"""Rows 50 to 53 and 55: the disk is full, fails, refuses, or has something else on it.

Row 54, a file that was deleted by hand, belongs to `verify` and `repair`.
"""

from __future__ import annotations

import json
import resource
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from batchgen.emulator.store import Store as EmulatorStore
from tests.failures.broken_disks import MIB, Fsyncs, assert_whole, charged, mounted, through
from tests.shell import Emulator, Shell, emulating, ended, wait_until

LATE = 3.0
"""Seconds between a charge and its answer: time enough to fill a disk."""


def test_row_50_a_disk_that_fills_up_while_downloading_pauses_the_run(shell: Shell) -> None:
    with (
        emulating(media_bytes=1536 * 1024) as emulator,
        mounted(shell.folder / "out", 8 * MIB) as disk,
    ):
        user = shell.using(emulator)
        disk.fill(leaving=MIB)
        user.manifest(3, run={"concurrency": 1, "rate": "1/min"})
        done = user.expect(74, "run", "m.yaml")
        assert "the disk is full" in done.said
        assert "same command" in done.said
        assert len(emulator.charges()) < 3, "submits went on although nothing can come home"
        assert "done" not in user.states().values()
        assert "boat-000.png" not in user.files()
        disk.make_room()
        user.expect(0, "run", "m.yaml", "--rate", "100/s")
        assert_whole(user, emulator, jobs=3)


@pytest.mark.parametrize("latency", ["0", "1"])
def test_row_50_a_rehearsal_on_a_full_disk_ends_as_a_run_does(shell: Shell, latency: str) -> None:
    """Whether the emulator's own state is full at a submit, or at the end of a request."""
    shell.manifest(40)
    rehearse = ("run", "m.yaml", "--emulator", "--latency", latency)
    with mounted(shell.folder / "out", 8 * MIB) as disk:
        with shell.start(*rehearse, "--rate", "5/s") as process:
            wait_until((disk.root / "files").exists, "the beginning")
            disk.fill()
            done = ended(process)
        assert done.code == 74, done.said
        assert "the disk is full" in done.said
        assert "same command" in done.said
        assert "bug" not in done.said
        assert "Traceback" not in done.said
        disk.make_room()
        shell.expect(0, *rehearse, "--rate", "100/s")


@pytest.mark.parametrize("place", ["add", "finish"])
def test_row_50_a_rehearsal_ends_when_only_the_emulator_cannot_write(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Its own requests would never end, and the run would ask for them for ever."""

    def fail(*_: object, **__: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    shell.manifest(2)
    rehearse = ("run", "m.yaml", "--emulator", "--latency", "0")
    with monkeypatch.context() as patch:
        patch.setattr(EmulatorStore, place, fail)
        done = shell.expect(74, *rehearse)
    assert "the disk is full: the emulator's state could not be recorded" in done.err
    assert "same command" in done.err
    again = shell.run(*rehearse)
    # As with the vendor, a submit without an answer is never sent again by itself.
    assert again.code == (76 if place == "add" else 0), again.said


def test_row_51_an_accepted_request_that_cannot_be_recorded_leaves_its_receipt(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(1)
    with mounted(user.folder / "out") as disk:
        emulator.arm("submit", "slow", seconds=LATE)
        with user.start("run", "m.yaml") as process:
            charged(emulator, process)
            disk.fill()
            done = ended(process)
        (charge,) = emulator.charges()
        assert done.code == 74, done.said
        assert "the disk is full" in done.err
        (line,) = [line for line in done.err.splitlines() if line.startswith("receipt of a paid")]
        receipt = {"job": "boat-000", "attempt": 1, "request_id": charge["request_id"]}
        assert json.loads(line.split(": ", 1)[1]) == receipt
        assert json.loads((user.folder / "out/receipts.jsonl").read_text()) == receipt
        disk.make_room()
        assert user.expect(0, "run", "m.yaml", "--json").document["submitted"] == 0
        assert_whole(user, emulator)


def test_row_52_a_failed_fsync_stops_the_run_and_is_never_repeated(
    user: Shell, emulator: Emulator
) -> None:
    """The door of downloads fails here: no file system fails its fsync on demand."""
    user.manifest(3, run={"concurrency": 1, "rate": "1/min"})
    broken = Fsyncs(failing=".part")
    with through(broken):
        done = user.expect(74, "run", "m.yaml")
    assert "the disk failed" in done.said
    assert "check the disk first" in done.said
    asked = [path.name for path in broken.asked if path.suffix == ".part"]
    assert len(asked) == len(set(asked)) >= 1
    # What did not reach the disk is no start for the next attempt either.
    assert all(name.endswith(".part") for name in user.files())
    assert len(emulator.charges()) < 3
    user.expect(0, "run", "m.yaml", "--rate", "100/s")
    assert_whole(user, emulator, jobs=3)


def test_row_52_a_failed_fsync_of_the_folder_is_never_repeated(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(3, run={"concurrency": 1, "rate": "1/min"})
    broken = Fsyncs(failing="files")
    (user.folder / "out/files").mkdir(parents=True)
    with through(broken):
        assert "the disk failed" in user.expect(74, "run", "m.yaml").said
    assert [path.name for path in broken.asked].count("files") == 1
    assert "done" not in user.states().values()
    user.expect(0, "run", "m.yaml", "--rate", "100/s")
    assert_whole(user, emulator, jobs=3)


def test_row_53_a_read_only_disk_is_refused_at_the_start(user: Shell, emulator: Emulator) -> None:
    user.manifest(1)
    with mounted(user.folder / "out", MIB) as disk:
        disk.remount("ro")
        done = user.expect(73, "run", "m.yaml")
        assert "the output folder cannot be written: Read-only file system" in done.err
        assert "set output.dir" in done.err
        assert list(disk.root.iterdir()) == []
        assert emulator.charges() == []
        disk.remount("rw")
        user.expect(0, "run", "m.yaml")


def test_row_53_a_link_to_a_folder_that_is_missing_is_refused_at_the_start(
    user: Shell, emulator: Emulator
) -> None:
    """Such as one on a disk that is not mounted: nothing is made in its place."""
    user.manifest(1)
    (user.folder / "out").symlink_to(user.folder / "elsewhere/out")
    assert "the output folder cannot be written" in user.expect(73, "run", "m.yaml").err
    assert not (user.folder / "elsewhere").exists()
    assert emulator.charges() == []


def test_row_53_a_file_where_the_folder_should_be_is_refused_at_the_start(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(1)
    (user.folder / "out").write_text("mine")
    err = user.expect(73, "run", "m.yaml").err
    assert "the output folder cannot be written" in err
    assert "set output.dir" in err
    assert emulator.charges() == []


def cut_short(state: Path) -> None:
    with state.open("r+b") as file:
        file.truncate(state.stat().st_size // 2)


def spoil_the_middle(state: Path) -> None:
    with state.open("r+b") as file:
        file.seek(4096)
        file.write(b"\x93noise\x00\xff" * 4096)


def replace(state: Path) -> None:
    state.write_bytes(b"\x93noise\x00" * 4096)


@pytest.mark.parametrize("damage", [cut_short, spoil_the_middle, replace])
def test_row_55_a_damaged_state_is_refused_and_nothing_is_sent(
    user: Shell, emulator: Emulator, damage: Callable[[Path], None]
) -> None:
    user.manifest(3)
    user.expect(0, "run", "m.yaml", "--limit", "1")
    state = user.folder / "out/state.db"
    for log in state.parent.glob("state.db-*"):
        # It would heal the damage.
        log.unlink()
    damage(state)
    before = state.read_bytes()
    for verb in ("run", "status", "cancel"):
        done = user.expect(74, verb, "m.yaml")
        assert "the state file is damaged" in done.err
        assert "restore it from a backup" in done.err
    assert state.read_bytes() == before
    assert len(emulator.charges()) == 1


def test_few_open_files_slow_a_run_down_and_do_not_end_it(user: Shell, emulator: Emulator) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    user.manifest(60, run={"concurrency": 60})
    with user.start("run", "m.yaml", preexec_fn=few) as process:
        done = ended(process)
    assert done.code == 0, done.said
    assert "open files: limit 64, so at most" in done.said
    assert "run `ulimit -n 4096` first" in done.said
    assert_whole(user, emulator, jobs=60)
