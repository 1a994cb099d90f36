"""Rows 56 to 61: the process is stopped, killed or put to sleep, and the clock is wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, pairwise
from pathlib import Path
from random import Random

from batchgen.engine.events import Event, FileSaved, JobMoved
from batchgen.jobs import JobState
from batchgen.manifest.units import Rate
from batchgen.runs.context import World
from batchgen.runs.execute import execute
from batchgen.runs.options import RunOptions
from batchgen.runs.summary import Summary
from batchgen.state.database import reading
from batchgen.state.queries import job_statuses
from tests.engine import simulation
from tests.engine.virtual_loop import VirtualLoop
from tests.failures.broken_disks import (
    Fsyncs,
    adopt_unknown,
    assert_whole,
    charged,
    run_hearing,
    through,
)
from tests.failures.failing import IN_A_HURRY
from tests.shell import Emulator, Shell, emulating, ended, read_until, wait_until

DAY = 86400.0
HOURS = 3 * 3600.0
JUMPS_AT = set(JobState)


def wait_for(user: Shell, *states: str) -> None:
    wait_until(lambda: sorted(user.states().values()) == sorted(states), f"{states}")


def test_row_56_ctrl_c_lets_the_download_at_hand_finish_and_submits_no_more(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(3, run={"concurrency": 1, "rate": "1/min"})
    emulator.arm("file", "slow", seconds=3.0)
    with user.start("run", "m.yaml") as process:
        wait_for(user, "fetching", "pending", "pending")
        process.send_signal(signal.SIGINT)
        done = ended(process)
    assert done.code == 130
    assert "stopped by Ctrl-C" in done.said
    assert "batchgen run m.yaml" in done.said
    assert "Traceback" not in done.said
    assert user.states() == {"boat-000": "done", "boat-001": "pending", "boat-002": "pending"}
    assert len(emulator.charges()) == 1


def test_row_56_ctrl_c_leaves_requests_with_the_vendor_and_the_next_run_pays_for_none(
    shell: Shell,
) -> None:
    shell.manifest(3)
    ledger = shell.folder / "emulator.db"
    with emulating(latency=60, state=ledger) as slow:
        with shell.using(slow).start("run", "m.yaml") as process:
            slow.charged(3)
            wait_until(lambda: set(shell.states().values()) <= {"queued", "running"}, "accepted")
            process.send_signal(signal.SIGINT)
            done = ended(process)
        assert done.code == 130
        assert "stopped by Ctrl-C; 3 requests in flight stay with the vendor" in done.said
        assert "batchgen run m.yaml" in done.said
        assert "Traceback" not in done.said
        before = [charge["request_id"] for charge in slow.charges()]
    with emulating(state=ledger) as quick:
        again = shell.using(quick).expect(0, "run", "m.yaml", "--json").document
        assert again["submitted"] == 0
        assert [charge["request_id"] for charge in quick.charges()] == before
    assert set(shell.states().values()) == {"done"}


def test_row_56_a_second_ctrl_c_leaves_at_once_with_130(user: Shell, emulator: Emulator) -> None:
    user.manifest(1)
    emulator.arm("submit", "hang")
    with user.start("run", "m.yaml") as process:
        charged(emulator, process)
        process.send_signal(signal.SIGINT)
        read_until(process, "a second Ctrl-C exits at once")
        process.send_signal(signal.SIGINT)
        done = ended(process)
    assert done.code == 130
    assert "Traceback" not in done.said
    user.expect(76, "run", "m.yaml")
    assert user.states() == {"boat-000": "unknown"}
    assert len(emulator.charges()) == 1


def test_row_57_sigterm_drains_within_a_deadline_whatever_hangs(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(1)
    emulator.arm("file", "hang")
    with user.start("run", "m.yaml", prelude=IN_A_HURRY) as process:
        wait_for(user, "fetching")
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        done = ended(process)
        waited = time.monotonic() - asked
    assert done.code == 143
    assert "stopped by SIGTERM" in done.said
    assert waited < 15
    # It may have ended before it met the fault, which would hang the next run instead.
    emulator.disarm()
    assert user.expect(0, "run", "m.yaml", "--json").document["submitted"] == 0
    assert_whole(user, emulator)


def on_the_wire(user: Shell) -> int:
    return list(user.states().values()).count("submitting")


def kill_at(user: Shell, emulator: Emulator, charges: int) -> None:
    """From that charge on no submit is answered, so the run cannot be past it when it is killed."""
    emulator.disarm()
    before_it = charges - 1 - len(emulator.charges())
    emulator.arm("submit", "hang", after=before_it, times=None)
    emulator.arm("submit", "slow", seconds=0.1, times=None)
    with user.start("run", "m.yaml", "--quiet") as process:
        charged(emulator, process, charges)
        process.send_signal(signal.SIGKILL)
        ended(process)
    emulator.disarm()


def test_row_58_a_kill_leaves_at_most_as_many_unknown_as_submits_were_on_the_wire(
    user: Shell, emulator: Emulator
) -> None:
    jobs, concurrency = 24, 3
    user.manifest(jobs, run={"concurrency": concurrency})
    wires = []
    for moment in sorted(Random(58).sample(range(1, jobs - 3), 5)):
        if len(emulator.charges()) < moment:
            kill_at(user, emulator, moment)
            wires.append(on_the_wire(user))
    assert len(wires) >= 3
    assert max(wires) <= concurrency
    user.expect(76 if sum(wires) else 0, "run", "m.yaml")
    assert user.status()["counts"].get("unknown", 0) == sum(wires)
    adopt_unknown(user, emulator)
    user.expect(0, "run", "m.yaml")
    assert_whole(user, emulator, jobs)


def test_row_59_what_is_told_as_saved_is_durable_in_every_part(
    user: Shell, emulator: Emulator
) -> None:
    """Bytes, name, record: each is on the disk before the next claims it.

    That a power loss then takes nothing back is the simulation's to show.
    """
    user.manifest(1)
    (user.folder / "out/files").mkdir(parents=True)
    story: list[tuple[str, bool, str]] = []

    def tell(what: str) -> None:
        has_name = (user.folder / "out/files/boat-000.png").exists()
        story.append((what, has_name, user.states()["boat-000"]))

    def look(path: Path) -> None:
        if path.name == "boat-000.part":
            sizes.append(path.stat().st_size)
        if path.name in {"boat-000.part", "files"}:
            tell(f"fsync of {path.name}")

    def on_event(event: Event) -> None:
        if isinstance(event, FileSaved):
            tell("saved")

    sizes: list[int] = []
    with through(Fsyncs(look)):
        assert run_hearing(user, on_event).exit_code == 0
    assert story == [
        ("fsync of boat-000.part", False, "fetching"),
        ("fsync of files", True, "fetching"),
        ("saved", True, "done"),
    ]
    assert sizes == [(user.folder / "out/files/boat-000.png").stat().st_size]
    assert_whole(user, emulator)


def test_row_59_what_was_acknowledged_before_a_kill_is_there(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(6, run={"concurrency": 1})
    with user.start("run", "m.yaml", "--json") as process:
        wait_until(lambda: "done" in user.states().values(), "a file")
        process.kill()
        ended(process)
    with reading(user.folder / "out/state.db") as db:
        acknowledged = [one.files for one in job_statuses(db) if one.state.value == "done"]
    assert acknowledged
    for files in acknowledged:
        for file in files:
            assert (user.folder / "out" / file.path).stat().st_size == file.bytes


@dataclass
class JumpingClock:
    """A wall clock that jumps by up to a year while requests are sent, followed and fetched."""

    jumps: Iterator[float]
    shown: float = 1_750_000_000.0

    def now(self) -> float:
        return self.shown

    def on_event(self, event: Event) -> None:
        if isinstance(event, JobMoved) and event.state in JUMPS_AT:
            self.shown += next(self.jumps)


def run_by(user: Shell, clock: JumpingClock) -> Summary:
    world = World({**os.environ, **user.env}, user.folder, clock.now, Random(60), signals=False)
    with user.at_home():
        return asyncio.run(execute(Path("m.yaml"), RunOptions(), clock.on_event, world))


def test_row_60_a_clock_that_jumps_moves_no_timer(user: Shell, emulator: Emulator) -> None:
    user.manifest(4, run={"timeout": "15m", "concurrency": 1})
    # Not heard of at first: whoever believed the clock would call these requests lost.
    emulator.arm("result", "not_found", times=3)
    summary = run_by(user, JumpingClock(cycle([400 * DAY, -430 * DAY, 3600.0, -60.0])))
    assert summary.exit_code == 0
    assert 0 <= summary.seconds < 30
    assert_whole(user, emulator, jobs=4)


def test_row_61_a_machine_that_slept_makes_no_burst_of_submits(tmp_path: Path) -> None:
    """On the loop's own clock, which shows three hours more from one moment to the next."""
    world = simulation.World(tmp_path)
    simulation.one_model(world, 40)
    simulation.with_policy(world, concurrency=20, rate=Rate(1, 2.0))

    async def sleep_and_wake(process: simulation.Process) -> None:
        for _ in range(3):
            await asyncio.sleep(9.0)
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            loop.now += HOURS

    end = world.live(sleep_and_wake)
    assert end.pause is None
    starts = [at for at, _model in world.lives[0].line.posted]
    assert max(later - earlier for earlier, later in pairwise(starts)) > HOURS
    assert min(later - earlier for earlier, later in pairwise(starts)) >= 2.0
    assert set(world.states().values()) == {"done"}
    assert len(world.vendor.ledger) == 40
