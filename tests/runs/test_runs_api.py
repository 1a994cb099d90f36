"""Whole runs against the emulator: done once, paid once, whatever is killed in between."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from batchgen.emulator import Emulator, EmulatorSettings, Fault, running_emulator
from batchgen.engine.events import Event, JobMoved
from batchgen.errors import (
    ChangedJobsError,
    ExitCode,
    ManifestError,
    OutputError,
    ProviderMismatchError,
    TokenError,
)
from batchgen.jobs import JobState
from batchgen.runs import api
from batchgen.runs.context import World
from batchgen.runs.execute import execute
from batchgen.runs.options import RunOptions
from batchgen.runs.summary import Summary
from tests.runs.run_world import lines, statuses, write_manifest

REHEARSAL = RunOptions(emulator=True, emulator_latency=0.01)
TOKEN = "a-token-that-must-stay-secret"


async def charges_of_rehearsal(folder: Path) -> list[str]:
    async with running_emulator(EmulatorSettings(state=folder / "emulator.db")) as emulator:
        return sorted(charge.input for charge in emulator.charges())


def test_a_rehearsal_makes_every_job_and_a_second_run_submits_nothing(tmp_path: Path) -> None:
    """Promise 3."""
    manifest, out = write_manifest(tmp_path, 6), tmp_path / "out"
    events: list[Event] = []
    first = api.run(manifest, REHEARSAL, on_event=events.append)
    assert (first.exit_code, first.counts, first.submitted) == (
        ExitCode.DONE,
        {JobState.DONE: 6},
        6,
    )
    second = api.run(manifest, REHEARSAL)
    assert (second.exit_code, second.submitted) == (ExitCode.DONE, 0)
    assert len(asyncio.run(charges_of_rehearsal(out))) == 6
    moved = Counter(event.state for event in events if isinstance(event, JobMoved))
    assert moved[JobState.SUBMITTING] == moved[JobState.DONE] == 6
    rows = {row["id"]: row for row in lines(out / "metadata.jsonl")}
    assert sorted(rows) == [f"j{n}" for n in range(1, 7)]
    for status in statuses(out):
        (file,) = status.files
        assert (out / file.path).stat().st_size == file.bytes
        with Image.open(out / file.path) as picture:
            assert picture.size == (1024, 1024)
        assert rows[status.id]["sha256"] == file.sha256
    ended = [row for row in lines(out / "run.log") if row["event"] == "RunEnded"]
    assert [row["submitted"] for row in ended] == [6, 0]


def test_a_longer_manifest_pays_only_for_what_is_new(tmp_path: Path) -> None:
    api.run(write_manifest(tmp_path, 2), REHEARSAL)
    assert api.run(write_manifest(tmp_path, 4), REHEARSAL).submitted == 2
    assert len(asyncio.run(charges_of_rehearsal(tmp_path / "out"))) == 4


def test_a_rehearsal_of_another_version_says_how_to_start_over(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, 1)
    api.run(manifest, REHEARSAL)
    with closing(sqlite3.connect(tmp_path / "out/emulator.db")) as db:
        db.execute("PRAGMA user_version = 999")
    manifest = write_manifest(tmp_path, 2)
    with pytest.raises(OutputError, match="another version") as refusal:
        api.run(manifest, REHEARSAL)
    assert str(refusal.value.next_step).endswith(f"rm -r {tmp_path / 'out'}")


def test_a_limit_begins_so_many_and_the_next_run_goes_on(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, 3)
    limited = RunOptions(emulator=True, emulator_latency=0.01, limit=2)
    assert api.run(manifest, limited).submitted == 2
    assert api.run(manifest, limited).submitted == 1


def test_a_wrong_manifest_leaves_no_trace(tmp_path: Path) -> None:
    """Promise 4."""
    manifest = write_manifest(tmp_path, 1, more="  - {id: j9, input: {promt: x}}\n")
    with pytest.raises(ManifestError):
        api.run(manifest, REHEARSAL)
    assert not (tmp_path / "out").exists()


def test_a_changed_input_of_a_paid_job_is_refused_and_named(tmp_path: Path) -> None:
    """Row 2."""
    manifest = write_manifest(tmp_path, 2)
    api.run(manifest, REHEARSAL)
    manifest.write_text(manifest.read_text().replace("prompt: boat 2", "prompt: ship"))
    with pytest.raises(ChangedJobsError, match=r"1 job has a different input .*: j2 \(done\)"):
        api.run(manifest, REHEARSAL)
    assert len(asyncio.run(charges_of_rehearsal(tmp_path / "out"))) == 2


def test_a_rehearsals_state_is_not_taken_to_the_vendor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write_manifest(tmp_path, 1)
    api.run(manifest, REHEARSAL)
    monkeypatch.setenv("RUNCOMFY_TOKEN", TOKEN)
    monkeypatch.delenv("RUNCOMFY_MODEL_API_BASE", raising=False)
    with pytest.raises(ProviderMismatchError, match="started with the emulator"):
        api.run(manifest)


@asynccontextmanager
async def vendor(**settings: object) -> AsyncIterator[Emulator]:
    """An emulator that outlives the runs, as the vendor does."""
    async with running_emulator(EmulatorSettings(latency=0.01, **settings)) as emulator:  # type: ignore[arg-type]
        yield emulator


def world(emulator: Emulator, home: Path, token: str | None = TOKEN) -> World:
    env = {"RUNCOMFY_MODEL_API_BASE": emulator.base_url}
    if token:
        env["RUNCOMFY_TOKEN"] = token
    return World(env, home, lambda: 1_700_000_000.0, Random(1), signals=False)


async def run(
    manifest: Path, emulator: Emulator, options: RunOptions | None = None, **other: str | None
) -> Summary:
    where = world(emulator, manifest.parent, **other)
    return await execute(manifest, options or RunOptions(), lambda _: None, where)


async def test_without_a_token_nothing_is_made(tmp_path: Path) -> None:
    """Row 12."""
    async with vendor() as emulator:
        with pytest.raises(TokenError):
            await run(write_manifest(tmp_path, 1), emulator, token=None)
        assert emulator.charges() == ()
    assert not (tmp_path / "out").exists()


async def test_a_finished_run_needs_no_token_and_no_vendor(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, 2)
    async with vendor() as emulator:
        await run(manifest, emulator)
    assert (await run(manifest, emulator, token=None)).exit_code is ExitCode.DONE


async def test_the_token_is_in_no_file_of_the_run(tmp_path: Path) -> None:
    """Row 66, promise 7."""
    async with vendor() as emulator:
        emulator.arm(Fault(on="submit", kind="vendor_failed", times=1))
        await run(write_manifest(tmp_path, 3), emulator)
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {"state.db", "run.log", "metadata.jsonl"} <= {path.name for path in left}
    assert not [path for path in left if TOKEN.encode() in path.read_bytes()]


async def test_a_lost_answer_is_held_and_never_sent_again_by_itself(tmp_path: Path) -> None:
    """Row 23, promise 1."""
    manifest = write_manifest(tmp_path, 3)
    async with vendor() as emulator:
        emulator.arm(Fault(on="submit", kind="reset_after", times=1))
        for expected in (3, 0, 0):
            found = await run(manifest, emulator)
            assert found.submitted == expected
            assert found.exit_code is ExitCode.UNKNOWN_OUTCOMES
            assert found.counts == {JobState.DONE: 2, JobState.UNKNOWN: 1}
        assert len(emulator.charges()) == 3


async def test_an_empty_account_pauses_and_the_same_command_continues(tmp_path: Path) -> None:
    """Row 15."""
    manifest = write_manifest(tmp_path, 3)
    async with vendor() as emulator:
        emulator.arm(Fault(on="submit", kind="status", status=402, after=1, times=None))
        paused = await run(manifest, emulator, RunOptions(concurrency=1))
        assert paused.exit_code is ExitCode.STOPPED
        assert paused.counts == {JobState.PENDING: 2, JobState.DONE: 1}
        emulator.clear_faults()
        assert (await run(manifest, emulator)).exit_code is ExitCode.DONE
        assert len(emulator.charges()) == 3


RUN_AND_DIE = """
import os, signal, sys
from batchgen.engine.events import JobMoved
from batchgen.jobs import JobState
from batchgen.runs import api
state, left = JobState(sys.argv[2]), [3]
def hear(event):
    if isinstance(event, JobMoved) and event.state is state:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
api.run(sys.argv[1], on_event=hear)
"""


@pytest.mark.parametrize("moment", ["submitting", "queued", "fetching", "done"])
async def test_a_run_that_is_killed_goes_on_and_pays_no_job_twice(
    tmp_path: Path, moment: str
) -> None:
    """Row 58, row 63, promises 1 to 3."""
    manifest = write_manifest(tmp_path, 8, run="{concurrency: 4}")
    async with vendor() as emulator:
        env = {
            **os.environ,
            "RUNCOMFY_MODEL_API_BASE": emulator.base_url,
            "RUNCOMFY_TOKEN": TOKEN,
        }
        killed = await asyncio.create_subprocess_exec(
            sys.executable, "-c", RUN_AND_DIE, str(manifest), moment, env=env
        )
        assert await killed.wait() == -signal.SIGKILL
        found = await run(manifest, emulator)
        charges = Counter(charge.input for charge in emulator.charges())
    assert set(charges.values()) == {1}
    unknown = found.counts.get(JobState.UNKNOWN, 0)
    # As many as were on the wire, at most.
    assert unknown <= 4
    assert found.counts[JobState.DONE] == 8 - unknown
    assert found.exit_code is (ExitCode.UNKNOWN_OUTCOMES if unknown else ExitCode.DONE)
    out = tmp_path / "out"
    named = sorted(row["file_name"] for row in lines(out / "metadata.jsonl"))
    assert named == sorted(file.path for status in statuses(out) for file in status.files)
    assert sorted(path.name for path in (out / "files").iterdir()) == [
        name.removeprefix("files/") for name in named
    ]
