"""metadata.jsonl and run.log: lines that grow, and what a crash leaves of them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from batchgen.downloads.outcomes import VerifiedFile
from batchgen.engine.events import (
    FileSaved,
    JobMoved,
    Noted,
    Pause,
    Paused,
    PauseReason,
    RunStarted,
)
from batchgen.errors import DiskFullError, OutputError
from batchgen.jobs import JobState
from batchgen.runs import append_log as lines_of_files
from batchgen.runs.journal import Journal, MetadataFile, catch_up
from batchgen.state import files, transitions
from batchgen.state.records import Money, Result
from tests.runs.run_world import Place, lines
from tests.state.state_world import T2I

MOVED = JobMoved("boat", T2I, JobState.PENDING, JobState.SUBMITTING)


def full_disk(_descriptor: int, _data: bytes) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def finish(place: Place, job_id: str, count: int = 1) -> list[Result]:
    seq = place.seq(job_id)
    transitions.begin_attempt(place.db, seq, "h", 0.5, 1.0)
    transitions.accepted(place.db, seq, 1, f"r-{job_id}", "raw", 1.0)
    transitions.delivered(place.db, seq, 1, ["u"] * count, 0.25, "raw", 2.0)
    todo = files.files_to_fetch(place.db, seq)
    assert todo is not None
    return [
        files.verified(
            place.db,
            one.id,
            VerifiedFile(f"files/{one.name}.png", 9, "ab", "image/png", 64, 48, None, 1),
            3.0,
        ).saved
        for one in todo.files
    ]


async def test_a_line_says_all_that_a_loader_wants(place: Place) -> None:
    (saved,) = finish(place, "boat")
    with MetadataFile(place.folder.metadata) as metadata:
        metadata.on_event(MOVED)
        metadata.on_event(FileSaved(saved))
    assert lines(place.folder.metadata) == [
        {
            "file_name": "files/boat.png",
            "id": "boat",
            "model": T2I,
            "prompt": "boat",
            "input": {"prompt": "boat", "seed": 7},
            "seed": 7,
            "sha256": "ab",
            "width": 64,
            "height": 48,
            "request_id": "r-boat",
            "cost": 0.25,
            "reused": None,
        }
    ]


@pytest.mark.parametrize("keep", [None, 0, 1, 40, -1])
def test_what_a_crash_left_out_or_tore_is_made_good(place: Place, keep: int | None) -> None:
    finish(place, "boat", count=2)
    catch_up(place.folder.metadata, place.db)
    whole = place.folder.metadata.read_bytes()
    assert len(lines(place.folder.metadata)) == 2
    if keep is None:
        place.folder.metadata.unlink()
    else:
        place.folder.metadata.write_bytes(whole[:keep])
    catch_up(place.folder.metadata, place.db)
    assert place.folder.metadata.read_bytes() == whole
    assert not list(place.folder.root.glob("*.part"))


def test_what_agrees_with_the_state_is_left_alone(place: Place) -> None:
    finish(place, "boat")
    catch_up(place.folder.metadata, place.db)
    before = place.folder.metadata.stat()
    catch_up(place.folder.metadata, place.db)
    after = place.folder.metadata.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_without_any_file_the_metadata_are_there_and_empty(place: Place) -> None:
    catch_up(place.folder.metadata, place.db)
    assert place.folder.metadata.read_bytes() == b""


def test_metadata_that_cannot_be_written_are_refused_before_the_run(place: Place) -> None:
    place.folder.metadata.mkdir()
    with pytest.raises(OutputError), MetadataFile(place.folder.metadata):
        pass
    with pytest.raises(OutputError):
        catch_up(place.folder.metadata, place.db)


async def test_the_log_has_a_json_line_an_event_and_no_empty_field(place: Place) -> None:
    pause = Pause(PauseReason.BUDGET, "enough", "raise it")
    with Journal(place.folder.log, lambda: 0.0) as journal:
        journal.on_event(MOVED)
        journal.on_event(Noted("odd \u2028 \ud800"))
        journal.on_event(Paused(pause))
        journal.on_event(
            RunStarted("boats", Path("out"), {T2I: {JobState.DONE: 2}}, Money(0, 0, 0))
        )
        journal.on_event(FileSaved(finish(place, "boat")[0]))
        journal.note("RunEnded", paused=None, exit_code=0)
    at = {"at": "1970-01-01T00:00:00.000+00:00"}
    assert lines(place.folder.log)[:1] == [
        at
        | {
            "event": "JobMoved",
            "job_id": "boat",
            "model": T2I,
            "before": "pending",
            "state": "submitting",
        }
    ]
    _, noted, paused, started, saved, ended = lines(place.folder.log)
    assert noted == at | {"event": "Noted", "text": "odd \u2028 \ud800"}
    assert paused["pause"] == {
        "reason": "budget",
        "sentence": "enough",
        "next_step": "raise it",
        "lets_go": False,
    }
    assert (started["folder"], started["counts"]) == ("out", {T2I: {"done": 2}})
    assert saved == at | {
        "event": "FileSaved",
        "job_id": "boat",
        "path": "files/boat.png",
        "bytes": 9,
    }
    assert ended == at | {"event": "RunEnded", "exit_code": 0}


async def test_the_log_grows_from_run_to_run_and_only_its_owner_reads_it(place: Place) -> None:
    place.folder.log.write_bytes(b'{"torn": ')
    place.folder.log.chmod(0o600)
    for _ in range(2):
        with Journal(place.folder.log, lambda: 0.0) as journal:
            journal.note("Hello")
    first, *others = place.folder.log.read_text().splitlines()
    assert first == '{"torn": '
    assert len(others) == 2
    assert stat.S_IMODE(place.folder.log.stat().st_mode) == 0o600


def test_a_log_that_cannot_be_opened_is_refused_before_the_run(place: Place) -> None:
    place.folder.log.mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        Journal(place.folder.log, lambda: 0.0).__enter__()


async def test_a_full_disk_does_not_tear_the_run_down_but_is_told_at_its_end(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 50: requests that are paid go on although the log cannot grow."""
    journal = Journal(place.folder.log, lambda: 0.0)
    journal.__enter__()
    monkeypatch.setattr(lines_of_files, "write_all", full_disk)
    journal.on_event(MOVED)
    journal.on_event(MOVED)
    with pytest.raises(DiskFullError, match="disk is full"):
        journal.__exit__(None, None, None)


async def test_a_log_that_cannot_grow_does_not_hide_what_ended_the_run(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(place.folder.log, lambda: 0.0)
    journal.__enter__()
    monkeypatch.setattr(lines_of_files, "write_all", full_disk)
    journal.on_event(MOVED)
    journal.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
