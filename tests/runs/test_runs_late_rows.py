"""What a huge first run does where its later rows are not what the first ones let hope."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from batchgen.cli import main
from batchgen.engine.events import Event, JobMoved, Paused
from batchgen.errors import ManifestError
from batchgen.jobs import Job, JobState
from batchgen.manifest.problems import ProblemLog
from batchgen.manifest.stream import checked_jobs
from batchgen.runs import api, ingest, startup
from batchgen.runs.context import RunContext
from batchgen.runs.folder import RunFolder
from batchgen.runs.lost_state import Traces
from batchgen.runs.options import RunOptions
from batchgen.state.appending import append_jobs
from tests.runs.run_world import Place, bring_home, statuses
from tests.state.state_world import T2I

I2V = "bytedance/dreamina-3-0/pro/image-to-video"
REHEARSAL = RunOptions(emulator=True, emulator_latency=0.01)


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "CHECKED_AT_ONCE", 10)
    monkeypatch.setattr(ingest, "PAGE", 5)


def write_jobs(folder: Path, *items: str) -> Path:
    path = folder / "m.yaml"
    jobs = "".join(f"  - {{{item}}}\n" for item in items)
    path.write_text(
        f"version: 1\nname: boats\ndefaults: {{model: {T2I}}}\nrun: {{concurrency: 2}}\n"
        f"output: {{dir: '{folder / 'out'}'}}\njobs:\n{jobs}",
        encoding="utf-8",
    )
    return path


def picture(job_id: str, more: str = "") -> str:
    return f"id: {job_id}, input: {{prompt: {job_id}, size: 1024x1024}}{more}"


def pictures(first: int, last: int) -> list[str]:
    return [picture(f"j{number:02}") for number in range(first, last + 1)]


def video_of(job_id: str, needed: str, part: str = "image") -> str:
    url = f"{{{{ jobs.still.{part} }}}}"
    given = f"input: {{prompt: pan, image_urls: ['{url}'], seed: 1}}"
    return f"id: {job_id}, model: {I2V}, needs: {{still: {needed}}}, {given}"


class Steps:
    """Reads the jobs as ever, but waits before some of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **before: threading.Event) -> None:
        self._before = before
        self.read: list[str] = []
        monkeypatch.setattr(startup, "checked_jobs", self._read)

    def _read(self, *given: Any) -> Iterator[Job]:
        for job in checked_jobs(*given):
            if wait := self._before.get(job.id):
                assert wait.wait(30), f"what {job.id} waits for did not happen"
            self.read.append(job.id)
            yield job


def test_no_more_is_submitted_from_the_first_wrong_row_on_while_the_others_are_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [f"id: {name}, input: {{prompt: {name}, size: 3x3}}" for name in ("w1", "w2")]
    path = write_jobs(tmp_path, *pictures(1, 14), wrong[0], *pictures(15, 40), wrong[1])
    done, paused = threading.Event(), threading.Event()
    steps = Steps(monkeypatch, j14=done, j30=paused)

    def on_event(_self: object, event: Event) -> None:
        if isinstance(event, JobMoved) and event.state is JobState.DONE:
            done.set()
        if isinstance(event, Paused):
            paused.set()

    monkeypatch.setattr("batchgen.cli.progress.Progress.on_event", on_event)
    assert main(["run", str(path), "--emulator"]) == 65
    # The last wrong row is told too, though the run had nothing to do any more by then.
    assert steps.read[-1] == "j40"
    shown = capsys.readouterr()
    assert "job w1" in shown.err
    assert "job w2" in shown.err
    assert "nothing was sent" not in shown.err
    assert "2 problems in the manifest; nothing more is submitted" in shown.err
    known = [one.id for one in statuses(tmp_path / "out")]
    assert known == [f"j{number:02}" for number in range(1, len(known) + 1)]
    assert len(known) < 15
    count = sum(one.state is JobState.DONE for one in statuses(tmp_path / "out"))
    assert f"{count} done" in shown.out


def test_a_second_run_that_waited_for_the_lock_takes_no_early_part_for_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_jobs(tmp_path, *pictures(1, 40))
    open_state = startup._open_state

    def after_another(place: RunContext, held: ExitStack) -> tuple[sqlite3.Connection, Traces]:
        """The other run took up all, and the last one is paid already."""
        db, traces = open_state(place, held)
        append_jobs(db, list(checked_jobs(place.manifest, ProblemLog())))
        bring_home(Place(place.folder.state, db), "j40")
        return db, traces

    monkeypatch.setattr(startup, "_open_state", after_another)
    assert api.run(path, REHEARSAL).counts == {JobState.DONE: 40}


def test_a_need_that_stands_further_down_has_all_read_before_the_first_submit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = video_of("clip", "still")
    path = write_jobs(tmp_path, early, *pictures(1, 40), picture("still"))
    begun: list[object] = []
    monkeypatch.setattr(startup, "StreamingIngest", lambda *given: begun.append(given))
    assert main(["validate", str(path)]) == 0
    assert api.run(path, REHEARSAL).counts == {JobState.DONE: 42}
    assert begun == []


def test_of_an_early_part_with_a_problem_those_of_all_rows_are_told(tmp_path: Path) -> None:
    wrong = [f"id: {name}, input: {{prompt: {name}, size: 3x3}}" for name in ("w1", "w2")]
    path = write_jobs(tmp_path, wrong[0], *pictures(1, 40), wrong[1])
    with pytest.raises(ManifestError, match="2 problems in the manifest; nothing was sent"):
        api.run(path, REHEARSAL)
    assert not RunFolder(tmp_path / "out").state.exists()


def test_a_late_job_that_wants_a_video_of_what_makes_pictures_is_told_and_left_out(
    tmp_path: Path,
) -> None:
    late = "id: poster, model: bytedance/dreamina-4-0/edit, needs: {still: clip}, input: "
    late += "{prompt: x, image_urls: ['{{ jobs.still.image }}'], size: 1024x1024}"
    path = write_jobs(tmp_path, picture("still"), video_of("clip", "still"), *pictures(1, 40), late)
    with pytest.raises(ManifestError) as caught:
        api.run(path, REHEARSAL)
    (problem,) = caught.value.problems
    assert problem.job_id == "poster"
    assert "'clip' makes a video, not an image" in problem.message
    assert str(caught.value).startswith("1 problem in the manifest; nothing more is submitted")
    assert "poster" not in [one.id for one in statuses(tmp_path / "out")]
