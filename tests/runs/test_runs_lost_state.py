"""Ways in which a state is lost, and what shows that an earlier run was paid for."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from batchgen.cli.status import show_once
from batchgen.emulator import Emulator
from batchgen.errors import ExitCode, InputError, LostStateError
from batchgen.jobs import JobState
from batchgen.runs.execute import Ended, execute
from batchgen.runs.journal import CHUNK, Journal, latest_line
from batchgen.runs.last_run import LastRunFile
from batchgen.runs.lost_state import find_traces, known_state
from batchgen.runs.options import RunOptions
from batchgen.runs.summary import Summary
from batchgen.state.database import add_functions
from batchgen.state.queries import Selection
from batchgen.storage.locations import FolderLocation
from tests.runs.run_world import Place, bring_home, statuses, write_manifest
from tests.runs.test_runs_api import vendor, world
from tests.runs.test_runs_metadata import MOVED

JOBS = 3


def empty(out: Path) -> None:
    (out / "state.db").write_bytes(b"")


def lose_the_log_of_a_young_state(out: Path) -> None:
    """What is left of it when all its tables were in the write-ahead log."""
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (out / name).unlink(missing_ok=True)
    young = sqlite3.connect(out / "state.db")
    young.execute("PRAGMA journal_mode = WAL")
    young.close()


def put_back_an_older_state(out: Path) -> None:
    """Into the same file, so that it is not noticed as a copy."""
    with sqlite3.connect(out / "state.db") as db:
        add_functions(db)
        db.executescript(
            "DELETE FROM file WHERE job = 3; DELETE FROM attempt WHERE job = 3;"
            "UPDATE job SET state = 'pending', attempts = 0 WHERE seq = 3"
        )
    db.close()


def remove_all_but_results(out: Path) -> None:
    for path in out.iterdir():
        if path.name not in {"files", "metadata.jsonl"}:
            path.unlink()


async def run(
    manifest: Path,
    emulator: Emulator,
    *,
    recover: bool = False,
    start_over: bool = False,
    accept_copy: bool = False,
) -> Summary:
    where = replace(world(emulator, manifest.parent), memory=manifest.parent / "user")
    options = RunOptions(recover=recover, start_over=start_over, accept_copy=accept_copy)
    return await execute(manifest, options, lambda _: None, where)


@pytest.mark.parametrize(
    ("lose", "count"),
    [
        (empty, JOBS),
        (lose_the_log_of_a_young_state, JOBS),
        (put_back_an_older_state, 1),
        (remove_all_but_results, JOBS),
    ],
)
async def test_requests_that_the_state_lost_stop_the_run_and_can_be_recovered(
    tmp_path: Path, lose: Callable[[Path], None], count: int
) -> None:
    manifest, out = write_manifest(tmp_path, JOBS), tmp_path / "out"
    async with vendor() as emulator:
        await run(manifest, emulator)
        lose(out)
        with pytest.raises(LostStateError, match=f"does not know of {count} request") as caught:
            await run(manifest, emulator)
        assert caught.value.exit_code is ExitCode.BAD_INPUT
        assert (await run(manifest, emulator, recover=True)).counts == {JobState.DONE: JOBS}
        assert (await run(manifest, emulator)).exit_code is ExitCode.DONE
        assert len(emulator.charges()) == JOBS


async def test_a_status_without_its_state_does_not_say_that_nothing_was_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, out = write_manifest(tmp_path, 1), tmp_path / "out"
    monkeypatch.chdir(tmp_path)
    async with vendor() as emulator:
        await run(manifest, emulator)
        empty(out)
    for as_json in (False, True):
        with pytest.raises(LostStateError, match="does not know of 1 request") as caught:
            show_once(manifest, Selection(), as_json=as_json)
        assert f"batchgen run {manifest} --recover follows" in str(caught.value)
        assert f"batchgen run {manifest} --start-over pays" in str(caught.value)


async def test_results_alone_cannot_be_recovered_and_are_kept_by_a_new_start(
    tmp_path: Path,
) -> None:
    manifest, out = write_manifest(tmp_path, 1), tmp_path / "out"
    async with vendor() as emulator:
        await run(manifest, emulator)
        remove_all_but_results(out)
        (out / "metadata.jsonl").unlink()
        before = (out / "files/j1.png").read_bytes()
        with pytest.raises(LostStateError, match="does not know of the results in files/"):
            await run(manifest, emulator, recover=True)
        assert (await run(manifest, emulator, start_over=True)).counts == {JobState.DONE: 1}
    assert (out / "earlier-1/files/j1.png").read_bytes() == before
    assert [one.id for one in statuses(out)] == ["j1"]


async def test_an_older_state_is_missed_though_its_log_is_gone_too(tmp_path: Path) -> None:
    manifest, out = write_manifest(tmp_path, JOBS), tmp_path / "out"
    async with vendor() as emulator:
        await run(manifest, emulator)
        put_back_an_older_state(out)
        (out / "run.log").unlink()
        with pytest.raises(LostStateError, match=f"{JOBS} requests were paid for") as caught:
            await run(manifest, emulator)
        assert "the state here is an older one" in caught.value.what
        assert f"batchgen run {manifest} --accept-copy" in str(caught.value.next_step)
        assert len(emulator.charges()) == JOBS
        assert (await run(manifest, emulator, accept_copy=True)).counts == {JobState.DONE: JOBS}
        assert len(emulator.charges()) == JOBS + 1


async def test_a_run_that_ended_before_its_first_submit_holds_up_no_other_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write_manifest(tmp_path, 1)

    async def refuse(*_: object) -> Ended:
        raise InputError("an image is broken")

    async with vendor() as emulator:
        with monkeypatch.context() as patch:
            patch.setattr("batchgen.runs.execute.work", refuse)
            with pytest.raises(InputError, match="an image is broken"):
                await run(manifest, emulator)
        shutil.rmtree(tmp_path / "out")
        assert (await run(manifest, emulator)).counts == {JobState.DONE: 1}


def test_a_young_state_is_in_the_file_itself(place: Place, tmp_path: Path) -> None:
    """The first commit is brought there: a lost write-ahead log leaves more than nothing."""
    copy = tmp_path / "copy.db"
    copy.write_bytes(place.folder.state.read_bytes())
    with sqlite3.connect(copy) as db:
        assert db.execute("SELECT count(*) FROM job").fetchone() == (0,)
    db.close()


@pytest.mark.parametrize("noise", [0, 300, CHUNK])
async def test_the_latest_line_of_a_kind_is_found_however_long_the_log(
    place: Place, noise: int
) -> None:
    accepted = replace(MOVED, before=JobState.SUBMITTING, state=JobState.QUEUED, request_id="r7")
    with Journal(place.folder.log, lambda: 0.0) as journal:
        for _ in range(3):
            journal.on_event(replace(accepted, request_id="r6"))
            journal.note("Noise", text="x" * 900)
        journal.on_event(accepted)
        for _ in range(0, noise, 1000):
            journal.note("Noise", text="x" * 900)
    mark = b'"state": "queued", "request_id": "'
    found = latest_line(place.folder.log, 0, mark)
    assert found is not None
    assert found["request_id"] == "r7"
    assert latest_line(place.folder.log, place.folder.log.stat().st_size, mark) is None


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"at": ' + b"9" * 5000 + b"}",
        b'{"job_id": "\\ud800"}',
        b"\xff\xc3",
        b"[1]",
    ],
)
def test_a_log_that_somebody_damaged_is_read_past_that(place: Place, line: bytes) -> None:
    moved = {"event": "JobMoved", "job_id": "boat", "state": "queued", "request_id": "r1"}
    place.folder.log.write_bytes(line + b"\n" + json.dumps(moved).encode() + b"\n" + line + b"\n")
    with known_state(place.folder) as db:
        assert find_traces(place.folder, db, FolderLocation(place.folder.root)).requests == {
            "r1": "boat"
        }


def test_what_the_state_knows_is_no_trace(place: Place) -> None:
    bring_home(place, "boat")
    moved = {"event": "JobMoved", "job_id": "boat", "state": "queued", "request_id": "r-boat-1"}
    place.folder.log.write_text(json.dumps(moved) + "\n")
    with known_state(place.folder) as db:
        assert not find_traces(place.folder, db, FolderLocation(place.folder.root))


def test_what_is_remembered_outlives_a_loss_of_power_though_its_folders_are_new(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, synced = tmp_path / "new" / "home", set()
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", recorded)
    manifest = write_manifest(tmp_path, 1)
    LastRunFile(home, manifest).write(place.db, place.folder, 0.0, is_over=False)
    entered_in = [tmp_path, tmp_path / "new", home, home / "runs"]
    assert {folder.stat().st_ino for folder in entered_in} <= synced


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"run_id": 1}', "\xff", "[" * 10_000])
def test_what_is_remembered_and_cannot_be_read_is_forgotten(tmp_path: Path, text: str) -> None:
    manifest = write_manifest(tmp_path, 1)
    memory = LastRunFile(tmp_path / "user", manifest)
    file = memory._file
    assert file is not None
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="latin-1")
    assert memory.last() is None
