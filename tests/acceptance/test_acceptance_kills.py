"""kill -9 at any moment (row 58): nothing paid is lost, and nothing is paid twice unasked."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random

from tests.shell import Emulator, Shell, emulating, wait_until

JOBS = 200
KILLS = 10


def kill_after(user: Shell, emulator: Emulator, charges: int) -> None:
    """Start the run, and kill it once the ledger has so many charges."""
    with user.start("run", "m.yaml", "--quiet") as process:
        wait_until(
            lambda: process.poll() is not None or len(emulator.charges()) >= charges,
            f"{charges} charges",
        )
        process.kill()


def test_ten_kills_lose_nothing_and_pay_nothing_twice(shell: Shell) -> None:
    dice = Random(20)
    moments = sorted(dice.sample(range(1, JOBS - 10), KILLS))
    shell.manifest(JOBS, run={"concurrency": 8})
    with emulating(latency=0.05) as emulator:
        user = shell.using(emulator)
        for moment in moments:
            kill_after(user, emulator, moment)
        user.run("run", "m.yaml", "--quiet")
        unknown = [job for job, state in user.states().items() if state == "unknown"]
        paid_before = len(emulator.charges())
        for job_id in unknown:
            user.expect(0, "resolve", "m.yaml", job_id, "--resubmit")
        user.expect(0, "run", "m.yaml", "--quiet")

        charges = emulator.charges()
        assert len(charges) == paid_before + len(unknown)
        attempts = sum(job["attempts"] for job in user.status()["jobs"])
        # A lost answer may or may not have been charged: only resubmits come on top.
        assert JOBS <= len(charges) <= JOBS + len(unknown) <= attempts + len(unknown)
        assert_all_there(user)


def assert_all_there(user: Shell) -> None:
    status = user.status()
    assert status["counts"] == {"done": JOBS}
    for job in status["jobs"]:
        (file,) = job["files"]
        assert file["sha256"] == hashlib.sha256(Path(file["path"]).read_bytes()).hexdigest()
    requests = [job["request_id"] for job in status["jobs"]]
    assert len(set(requests)) == JOBS
    assert not list((user.folder / "out").rglob("*.part"))
    assert len(list((user.folder / "out" / "files").iterdir())) == JOBS
    lines = (user.folder / "out" / "metadata.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == JOBS


def test_a_kill_leaves_at_most_as_many_unknown_as_submits_were_on_the_wire(shell: Shell) -> None:
    """Row 58."""
    shell.manifest(9, run={"concurrency": 3})
    with emulating(latency=0.1) as emulator:
        user = shell.using(emulator)
        emulator.arm("submit", "hang", after=4, times=2)
        kill_after(user, emulator, 6)
        user.run("run", "m.yaml", "--quiet")
        unknown = [job for job, state in user.states().items() if state == "unknown"]
        assert 1 <= len(unknown) <= 3
        assert len(emulator.charges()) == 9
