"""A person picks stills before paying for video."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from _pytest.capture import CaptureFixture

from batchgen.cli.approve import approve_jobs
from batchgen.errors import MissingFileError, UsageError
from batchgen.jobs import JobState
from batchgen.runs.folder import locked
from batchgen.state.approvals import Held, held_back
from batchgen.state.queries import Selection
from batchgen.state.reviews import Pick, pick
from tests.runs.run_world import Place, apply_new, bring_home, make_gated, write_header


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """`still-1` and `still-2` are done; each has a clip behind it, and both together a poster."""
    place = make_gated(tmp_path / "out")
    bring_home(place, "still-1", "still-2", "sketch")
    with closing(place.db):
        yield place


@pytest.fixture
def manifest(tmp_path: Path, place: Place) -> Path:
    return write_header(tmp_path, place)


def due(place: Place) -> list[str]:
    """Jobs that may be submitted, besides the one still that is not made yet."""
    rows = place.db.execute("SELECT id FROM job WHERE state = 'pending' AND waiting = 0")
    return [job_id for (job_id,) in rows if job_id != "still-3"]


def test_without_a_name_those_that_wait_are_listed_with_their_files(
    place: Place, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    assert approve_jobs(manifest, [], every=False) == 0
    out = capsys.readouterr().out
    files = place.folder.root / "files"
    assert f"still-1\n    {files / 'still-1.png'}\nstill-2\n    {files / 'still-2.png'}\n" in out
    assert "2 jobs wait for approval\n" in out
    assert f"batchgen approve {manifest} JOB… | --all" in out
    assert "sketch" not in out
    assert due(place) == []


def test_an_approved_still_lets_its_clip_go_and_not_the_poster_of_two(
    place: Place, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    assert approve_jobs(manifest, ["still-1"], every=False) == 0
    out = capsys.readouterr().out
    assert "1 job approved: 1 job can start; 1 still to approve\n" in out
    assert f"  → batchgen run {manifest}\n" in out
    assert due(place) == ["clip-1"]


def test_all_are_approved_at_once(
    place: Place, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    assert approve_jobs(manifest, [], every=True) == 0
    assert "2 jobs approved: 3 jobs can start\n" in capsys.readouterr().out
    assert due(place) == ["clip-1", "clip-2", "poster"]
    assert approve_jobs(manifest, [], every=False) == 0
    assert "no job waits for approval\n" in capsys.readouterr().out


def test_a_glob_means_each_waiting_job_once(
    place: Place, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    assert approve_jobs(manifest, ["still-2", "still-*", "*"], every=False) == 0
    assert "2 jobs approved: 3 jobs can start\n" in capsys.readouterr().out
    assert due(place) == ["clip-1", "clip-2", "poster"]


def test_a_rehearsal_is_continued_as_one(
    place: Place, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    place.db.execute("INSERT INTO meta VALUES ('provider', 'the emulator')")
    assert approve_jobs(manifest, ["still-1"], every=False) == 0
    assert f"  → batchgen run {manifest} --emulator\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "objection"),
    [
        ("sketch", "sketch has no gate"),
        ("still-3", "still-3 is pending, not done yet"),
        ("stil-1", "no job that waits for approval is called 'stil-1'\n  → did you mean 'still-1'"),
        ("zz*", "waiting: still-1, still-2"),
    ],
)
def test_a_job_that_does_not_wait_is_refused_with_the_reason(
    place: Place, manifest: Path, name: str, objection: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        approve_jobs(manifest, ["still-1", name], every=False)
    assert objection in str(refusal.value)
    assert due(place) == []


def test_a_second_approval_is_refused(place: Place, manifest: Path) -> None:
    approve_jobs(manifest, ["still-1"], every=False)
    with pytest.raises(UsageError, match="still-1 is approved already"):
        approve_jobs(manifest, ["still-1"], every=False)
    with pytest.raises(UsageError, match=r"1 job called 'still-1\*' is already approved"):
        approve_jobs(manifest, ["still-1*"], every=False)
    approve_jobs(manifest, [], every=True)
    with pytest.raises(UsageError, match="no job waits for approval"):
        approve_jobs(manifest, [], every=True)
    with pytest.raises(UsageError, match="no job is called 'zz'"):
        approve_jobs(manifest, ["zz"], every=False)


def test_a_glob_given_again_says_that_its_jobs_are_approved(place: Place, manifest: Path) -> None:
    approve_jobs(manifest, ["still-*"], every=False)
    with pytest.raises(UsageError, match=r"2 jobs called 'still-\*' are already approved"):
        approve_jobs(manifest, ["still-*"], every=False)


def test_names_and_all_together_are_refused(place: Place, manifest: Path) -> None:
    with pytest.raises(UsageError, match="or give --all"):
        approve_jobs(manifest, ["still-1"], every=True)
    assert due(place) == []


def test_nothing_can_be_approved_before_the_first_run(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text('{"version": 1, "output": {"dir": "nowhere"}, "jobs": [{"id": "a"}]}')
    with pytest.raises(MissingFileError, match="nothing has been run in this folder yet") as caught:
        approve_jobs(path, [], every=False)
    assert str(caught.value.next_step).startswith(f"batchgen run {path} starts the run")


def test_a_runner_at_work_is_told_instead(
    place: Place, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    with locked(place.folder):
        assert approve_jobs(manifest, ["still-2"], every=False) == 0
    out = capsys.readouterr().out
    assert out == "1 approval handed to the run in progress: 1 job can start\n"
    assert due(place) == []
    (applied,) = apply_new(place.db, place.folder.decisions)
    assert applied.objection is None
    assert due(place) == ["clip-2"]


def reject(place: Place, *job_ids: str) -> None:
    for job_id in job_ids:
        assert pick(place.db, place.seq(job_id), None, Pick.REJECT) is None


@pytest.mark.parametrize(("named", "every"), [([], True), (["still-*"], False), (["*"], False)])
def test_all_and_globs_leave_rejected_results_out(
    place: Place, manifest: Path, capsys: CaptureFixture[str], named: list[str], every: bool
) -> None:
    reject(place, "still-1")
    assert approve_jobs(manifest, named, every=every) == 0
    out = capsys.readouterr().out
    assert "1 job approved: 1 job can start; 1 still to approve\n" in out
    assert "1 rejected result left out" in out
    assert due(place) == ["clip-2"]
    with pytest.raises(UsageError, match="the only one was rejected: nothing was approved"):
        approve_jobs(manifest, named, every=every)


def test_a_rejected_result_is_marked_in_the_list_and_approved_by_its_very_id(
    place: Place, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    reject(place, "still-1")
    approve_jobs(manifest, [], every=False)
    out = capsys.readouterr().out
    assert "still-1 · rejected\n" in out
    assert "still-2\n" in out
    assert approve_jobs(manifest, ["still-*", "still-1"], every=False) == 0
    out = capsys.readouterr().out
    assert "still-1 was rejected; it is approved because you gave its exact id" in out
    assert "left out" not in out
    assert due(place) == ["clip-1", "clip-2", "poster"]


def test_where_all_are_rejected_nothing_is_approved(place: Place, manifest: Path) -> None:
    reject(place, "still-1", "still-2")
    with pytest.raises(UsageError, match="all 2 were rejected: nothing was approved"):
        approve_jobs(manifest, [], every=True)
    assert due(place) == []


def test_a_name_with_an_exclamation_mark_is_no_rest(place: Place, manifest: Path) -> None:
    with pytest.raises(UsageError, match="is called '!still-1'"):
        approve_jobs(manifest, ["!still-1"], every=False)
    assert due(place) == []


def test_what_is_held_back_is_counted_within_the_selection(place: Place) -> None:
    assert held_back(place.db, Selection()) == Held(to_approve=2, waiting=4)
    assert held_back(place.db, Selection(("clip-1",))) == Held(to_approve=1, waiting=1)
    assert held_back(place.db, Selection(("clip-3",))) == Held(to_approve=0, waiting=1)
    assert held_back(place.db, Selection(("still-*",))) == Held()
    assert JobState(place.state("clip-1")) is JobState.PENDING
