"""What a program gets: results, plans, events, and one sentence where a loop is running."""

from __future__ import annotations

import asyncio
import importlib.resources
from contextlib import closing
from pathlib import Path

import pytest

import batchgen
import batchgen.manifest
from batchgen import events
from batchgen.errors import MissingFileError, UsageError
from batchgen.runs.results import job_results
from batchgen.state.reviews import Pick, pick
from tests.runs.run_world import bring_home, make_place, write_manifest

REHEARSAL = batchgen.RunOptions(emulator=True, emulator_latency=0.01)


def test_results_have_paths_costs_and_errors(tmp_path: Path) -> None:
    place = make_place(tmp_path / "out", ["done", "failed", "later"])
    bring_home(place, "done")
    pick(place.db, place.seq("done"), None, Pick.KEEP)
    place.db.execute(
        "UPDATE job SET state = 'failed', error_code = 'policy', error = 'no' WHERE id = 'failed'"
    )
    with closing(place.db):
        done, failed, later = job_results(place.folder)
    (file,) = done.files
    assert file.path == tmp_path / "out/files/done.png"
    assert (file.bytes, file.width, file.height, file.pick) == (1234, 64, 48, "keep")
    assert (done.cost, done.attempts, done.request_id) == (0.03, 1, "r-done-1")
    assert done.input == {"prompt": "done", "seed": 7}
    assert (failed.state, failed.error_code, failed.error) == ("failed", "policy", "no")
    assert (later.cost, later.files, later.attempts) == (None, (), 0)


def test_a_sound_has_no_width(tmp_path: Path) -> None:
    place = make_place(tmp_path / "out", ["song"])
    bring_home(place, "song")
    place.db.execute("UPDATE file SET media_type = 'audio/mpeg', width = NULL, height = NULL")
    with closing(place.db):
        (song,) = job_results(place.folder)
    assert (song.files[0].width, song.files[0].height) == (None, None)


def test_results_are_read_while_they_are_asked_for(tmp_path: Path) -> None:
    place = make_place(tmp_path / "out", [f"j{number:04}" for number in range(1200)])
    with closing(place.db):
        found = job_results(place.folder)
        assert next(found).id == "j0000"
        # What happens to a job before its turn is told; and nobody who writes is kept waiting.
        place.db.execute("UPDATE job SET state = 'cancelled' WHERE id = 'j1199'")
        place.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        rest = list(found)
    assert len(rest) == 1199
    assert rest[-1].state is batchgen.JobState.CANCELLED


def test_a_selection_chooses_results(tmp_path: Path) -> None:
    summary = batchgen.run(write_manifest(tmp_path, 3), REHEARSAL)
    chosen = summary.results(batchgen.Selection(jobs=("!j1",)))
    assert [job.id for job in chosen] == ["j2", "j3"]
    manifest = tmp_path / "boats.yaml"
    assert [job.id for job in batchgen.results(manifest)] == ["j1", "j2", "j3"]
    with pytest.raises(MissingFileError, match="nothing has been run in this folder yet"):
        list(batchgen.results(write_manifest(tmp_path / "out", 1)))


async def test_inside_a_running_loop_one_sentence_says_what_to_call(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, 2)
    with pytest.raises(UsageError, match=r"call `await batchgen\.run_async\(\.\.\.\)`"):
        batchgen.run(manifest, REHEARSAL)
    with pytest.raises(UsageError, match=r"call `await batchgen\.plan_async\(\.\.\.\)`"):
        batchgen.plan(manifest, REHEARSAL)
    plan = await batchgen.plan_async(manifest, REHEARSAL)
    assert plan.total.to_do == 2
    moved: list[str] = []

    def on_event(event: events.Event) -> None:
        if isinstance(event, events.JobMoved) and event.state is batchgen.JobState.DONE:
            moved.append(event.job_id)

    summary = await batchgen.run_async(manifest, REHEARSAL, on_event=on_event)
    assert sorted(moved) == ["j1", "j2"]
    results = await asyncio.to_thread(lambda: list(summary.results()))
    assert [job.state for job in results] == ["done", "done"]


def test_the_package_says_that_it_is_typed() -> None:
    assert importlib.resources.files("batchgen").joinpath("py.typed").is_file()


def test_each_public_name_is_found() -> None:
    for name in batchgen.__all__:
        assert getattr(batchgen, name) is not None


def test_no_room_hides_a_public_name() -> None:
    """Once imported, `batchgen/run/` would hide the function `batchgen.run()`."""
    rooms = {path.stem for path in Path(batchgen.__file__).parent.iterdir()}
    assert rooms.isdisjoint(batchgen.__all__)
