"""A huge first run begins before its last row is read; and rows are read again only when needed."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchgen.emulator import EmulatorSettings, running_emulator
from batchgen.engine.events import Event, JobMoved, JobsAdded
from batchgen.errors import ChangedJobsError, ExitCode, ManifestError
from batchgen.jobs import Job, JobState
from batchgen.manifest.stream import AT_A_TIME, checked_jobs
from batchgen.runs import api, fingerprint, ingest, startup
from batchgen.runs.options import RunOptions
from batchgen.runs.summary import Summary
from tests.runs.run_world import in_a_process, lines, statuses
from tests.state.state_world import T2I

EDIT = "bytedance/dreamina-4-0/edit"
REHEARSAL = RunOptions(emulator=True, emulator_latency=0.01)
ROWS = 60
AT_ONCE = 10
HELD_AT = 40
"""More than the cells that are made at a time: what stands behind is not read before."""


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "CHECKED_AT_ONCE", AT_ONCE)
    monkeypatch.setattr(ingest, "PAGE", 5)


def row(number: int) -> dict[str, Any]:
    return {"id": f"j{number:02}", "prompt": f"boat {number}", "model": T2I, "images": None}


def write_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(one) + "\n" for one in rows)
    (folder / "rows.jsonl").write_text(text, encoding="utf-8")


def write_sweep(folder: Path, run: str = "{}", more: str = "") -> Path:
    path = folder / "m.yaml"
    path.write_text(
        f"version: 1\nname: boats\noutput: {{dir: {folder / 'out'}}}\nrun: {run}\n{more}"
        "jobs:\n"
        "  - id: '{{ id }}'\n    from: rows.jsonl\n    model: '{{ model }}'\n"
        "    input: {prompt: '{{ prompt }}', size: 1024x1024, image_urls: '{{ images }}'}\n",
        encoding="utf-8",
    )
    return path


def charges(out: Path) -> Counter[str]:
    """How often each prompt was charged."""

    async def ask() -> Counter[str]:
        async with running_emulator(EmulatorSettings(state=out / "emulator.db")) as emulator:
            return Counter(json.loads(one.input)["prompt"] for one in emulator.charges())

    return asyncio.run(ask())


def once_each(count: int) -> Counter[str]:
    return Counter(f"boat {number}" for number in range(1, count + 1))


class Reader:
    """Reads the jobs as ever, but waits before one of them until `go_on` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, held_at: int = HELD_AT) -> None:
        self.go_on = threading.Event()
        self._held_at = held_at
        monkeypatch.setattr(startup, "checked_jobs", self._read)

    def _read(self, *given: Any) -> Iterator[Job]:
        for number, job in enumerate(checked_jobs(*given), start=1):
            yield job
            if number == self._held_at:
                assert self.go_on.wait(60), "nothing was done before the last row was read"


class Hearer:
    """Lets the reader go on once enough jobs have come so far."""

    def __init__(self, reader: Reader, state: JobState, count: int) -> None:
        self.events: list[Event] = []
        self._reader = reader
        self._wanted = state, count

    def on_event(self, event: Event) -> None:
        self.events.append(event)
        state, count = self._wanted
        moved = [one for one in self.events if isinstance(one, JobMoved) and one.state is state]
        if len(moved) >= count:
            self._reader.go_on.set()


def run_held(
    manifest: Path,
    monkeypatch: pytest.MonkeyPatch,
    state: JobState = JobState.SUBMITTING,
    held_at: int = HELD_AT,
) -> tuple[Summary, list[Event]]:
    """Run; the last rows are not read before three jobs are in that state."""
    reader = Reader(monkeypatch, held_at)
    hearer = Hearer(reader, state, 3)
    return api.run(manifest, REHEARSAL, on_event=hearer.on_event), hearer.events


@pytest.mark.usefixtures("few_at_once")
def test_the_first_jobs_are_done_before_the_last_row_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path, [row(n) for n in range(1, ROWS + 1)])
    summary, events = run_held(write_sweep(tmp_path), monkeypatch, JobState.DONE)
    assert (summary.exit_code, summary.counts) == (ExitCode.DONE, {JobState.DONE: ROWS})
    added = [one.by_model[T2I] for one in events if isinstance(one, JobsAdded)]
    assert sum(added) == ROWS - AT_ONCE
    assert charges(tmp_path / "out") == once_each(ROWS)
    logged = [one for one in lines(tmp_path / "out/run.log") if one["event"] == "JobsAdded"]
    assert sum(one["by_model"][T2I] for one in logged) == ROWS - AT_ONCE


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({**row(55), "prompt": None}, "prompt is required"),
        ({**row(55), "id": "j03"}, "duplicate id 'j03': a job above has it"),
    ],
)
def test_a_late_wrong_row_stops_the_submits_and_once_mended_nothing_is_paid_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any], said: str
) -> None:
    sound = [row(n) for n in range(1, ROWS + 1)]
    write_rows(tmp_path, [*sound[:54], wrong, *sound[55:]])
    manifest = write_sweep(tmp_path, run="{concurrency: 2}")
    with pytest.raises(ManifestError) as caught:
        run_held(manifest, monkeypatch, held_at=AT_A_TIME - 1)
    assert caught.value.exit_code == ExitCode.BAD_INPUT
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"{tmp_path / 'rows.jsonl'}:55:1:")
    assert said in str(problem)
    paid = charges(tmp_path / "out")
    assert 3 <= len(paid) < ROWS
    states = Counter(one.state for one in statuses(tmp_path / "out"))
    assert states.keys() == {JobState.DONE, JobState.PENDING}
    assert states[JobState.DONE] == len(paid)

    monkeypatch.setattr(startup, "checked_jobs", checked_jobs)
    with pytest.raises(ManifestError):
        api.run(manifest, REHEARSAL)
    assert charges(tmp_path / "out") == paid
    write_rows(tmp_path, sound)
    assert api.run(manifest, REHEARSAL).exit_code == ExitCode.DONE
    assert charges(tmp_path / "out") == once_each(ROWS)


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.parametrize("run", ["{}", "{canary: 1}", "{budget: 100}"])
def test_a_model_that_only_late_rows_name_is_run_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: str
) -> None:
    picture = ["https://pictures.example.com/a.png"]
    late = [{**row(n), "model": EDIT, "images": picture} for n in range(51, ROWS + 1)]
    write_rows(tmp_path, [*(row(n) for n in range(1, 51)), *late])
    summary, _ = run_held(write_sweep(tmp_path, run), monkeypatch, JobState.DONE)
    assert (summary.pause, summary.counts) == (None, {JobState.DONE: ROWS})
    assert charges(tmp_path / "out") == once_each(ROWS)


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.parametrize(
    ("run", "options"),
    [
        ("{full_check: always}", {}),
        ("{}", {"limit": 2}),
    ],
)
def test_where_all_must_be_seen_a_late_wrong_row_ends_the_run_before_it_begins(
    tmp_path: Path, run: str, options: dict[str, Any]
) -> None:
    write_rows(tmp_path, [*(row(n) for n in range(1, ROWS)), {**row(ROWS), "prompt": None}])
    with pytest.raises(ManifestError):
        api.run(write_sweep(tmp_path, run), RunOptions(emulator=True, **options))
    assert not (tmp_path / "out").exists()


KILLED = """
import sys, threading
from batchgen.engine.events import JobMoved
from batchgen.jobs import JobState
from batchgen.manifest.stream import checked_jobs
from batchgen.runs import api, ingest, startup
from batchgen.runs.options import RunOptions
startup.CHECKED_AT_ONCE, ingest.PAGE = 10, 5
def held(*given):
    for number, job in enumerate(checked_jobs(*given), start=1):
        yield job
        if number == 40:
            threading.Event().wait()
startup.checked_jobs = held
done = 0
def hear(event):
    global done
    done += isinstance(event, JobMoved) and event.state is JobState.DONE
    if done == 40:
        print("all that was taken up is home", flush=True)
api.run(sys.argv[1], RunOptions(emulator=True, emulator_latency=0.01), on_event=hear)
"""


def test_after_a_kill_in_the_middle_of_the_rows_the_same_command_takes_up_the_rest(
    tmp_path: Path,
) -> None:
    write_rows(tmp_path, [row(n) for n in range(1, ROWS + 1)])
    manifest = write_sweep(tmp_path)
    with in_a_process(KILLED, manifest) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "all that was taken up is home\n"
        process.kill()
    assert len(statuses(tmp_path / "out")) < ROWS
    summary = api.run(manifest, REHEARSAL)
    assert (summary.exit_code, summary.submitted) == (ExitCode.DONE, ROWS - 40)
    assert charges(tmp_path / "out") == once_each(ROWS)


def reads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows with each time that the jobs are read."""
    found: list[object] = []

    def read(*given: Any) -> Iterator[Job]:
        found.append(given)
        return checked_jobs(*given)

    monkeypatch.setattr(startup, "checked_jobs", read)
    return found


def write_all(folder: Path) -> Path:
    """A manifest with everything that its jobs may be made from."""
    write_rows(folder, [row(1), row(2)])
    (folder / "more").mkdir()
    write_more(folder, "one")
    return write_sweep(folder, more="env: [MOOD]\nvars: {look: calm}\ninclude: [more/*.yaml]\n")


def write_more(folder: Path, name: str) -> None:
    jobs = f"  - {{id: {name}, model: {T2I}, input: {{prompt: {name}, size: 1024x1024}}}}\n"
    (folder / f"more/{name}.yaml").write_text(f"version: 1\njobs:\n{jobs}", encoding="utf-8")


def replace_by_the_same(folder: Path) -> None:
    path = folder / "rows.jsonl"
    text = path.read_bytes()
    path.unlink()
    path.write_bytes(text)


def annotate(path: Path) -> None:
    path.write_text(path.read_text("utf-8") + "# edited\n", encoding="utf-8")


@pytest.mark.parametrize("meanwhile", [lambda _: None, replace_by_the_same])
def test_a_run_whose_inputs_are_the_same_reads_no_row_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Path], None]
) -> None:
    monkeypatch.setenv("MOOD", "calm")
    manifest = write_all(tmp_path)
    api.run(manifest, REHEARSAL)
    meanwhile(tmp_path)
    found = reads(monkeypatch)
    assert api.run(manifest, REHEARSAL).counts == {JobState.DONE: 3}
    assert found == []


@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        (lambda folder, _: write_rows(folder, [row(1), row(2), row(3)]), 4),
        (lambda folder, _: write_more(folder, "two"), 4),
        (lambda folder, _: annotate(folder / "m.yaml"), 3),
        (lambda _, patch: patch.setenv("MOOD", "wild"), 3),
        (lambda _, patch: patch.setattr(fingerprint, "schemas_sha256", lambda: "another"), 3),
        (lambda _, patch: patch.setattr(fingerprint, "version", lambda _: "99"), 3),
    ],
    ids=["a row", "an included file", "the manifest", "the environment", "schemas", "batchgen"],
)
def test_whatever_jobs_are_made_from_has_them_read_again_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[..., object], jobs: int
) -> None:
    monkeypatch.setenv("MOOD", "calm")
    manifest = write_all(tmp_path)
    api.run(manifest, REHEARSAL)
    change(tmp_path, monkeypatch)
    found = reads(monkeypatch)
    assert api.run(manifest, REHEARSAL).counts == {JobState.DONE: jobs}
    assert len(found) == 1
    api.run(manifest, REHEARSAL)
    assert len(found) == 1


def test_a_changed_row_that_was_paid_is_asked_about_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOOD", "calm")
    manifest = write_all(tmp_path)
    api.run(manifest, REHEARSAL)
    write_rows(tmp_path, [row(1), {**row(2), "prompt": "another"}])
    for _ in range(2):
        with pytest.raises(ChangedJobsError):
            api.run(manifest, REHEARSAL)
    assert sum(charges(tmp_path / "out").values()) == 3
