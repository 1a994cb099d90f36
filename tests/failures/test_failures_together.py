"""Rows 62 to 64: two commands meet on one state."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterator

import pytest

from tests.failures.broken_disks import assert_whole, charged
from tests.shell import Emulator, Shell, emulating, ended, wait_until


@pytest.fixture
def slow() -> Iterator[Emulator]:
    """Its requests take a minute: longer than any test."""
    with emulating(latency=60) as emulator:
        yield emulator


def under_way(user: Shell) -> bool:
    return set(user.states().values()) in ({"queued"}, {"running"}, {"queued", "running"})


def test_row_62_a_second_runner_sends_nothing_and_names_the_first(
    shell: Shell, slow: Emulator
) -> None:
    user = shell.using(slow)
    user.manifest(2)
    with user.start("run", "m.yaml") as process:
        wait_until(lambda: under_way(user), "two requests")
        user.manifest(5)
        done = user.expect(75, "run", "m.yaml")
        assert f"process {process.pid} on" in done.err
        assert "nothing was sent" in done.err
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert ended(process).code == 130
    assert len(user.states()) == len(slow.charges()) == 2


def test_row_62_a_submit_of_a_live_runner_is_not_up_for_decision(
    user: Shell, emulator: Emulator
) -> None:
    """It may be well: whoever resubmits it, and whose runner dies then, would pay twice."""
    user.manifest(1)
    emulator.arm("submit", "hang")
    with user.start("run", "m.yaml") as process:
        charged(emulator, process)
        done = user.expect(64, "resolve", "m.yaml", "--all", "--resubmit")
        assert "no job is unknown" in done.err
        process.kill()
    user.expect(76, "run", "m.yaml")
    assert user.states() == {"boat-000": "unknown"}
    assert len(emulator.charges()) == 1


def test_row_63_the_lock_of_a_dead_process_is_taken_over(user: Shell, emulator: Emulator) -> None:
    user.manifest(2, run={"concurrency": 1})
    emulator.arm("file", "hang")
    with user.start("run", "m.yaml") as process:
        wait_until(lambda: "fetching" in user.states().values(), "a request at its end")
        charged(emulator, process)
        process.kill()
        ended(process)
    assert (user.folder / "out/run.lock").exists()
    user.run("run", "m.yaml")
    unknown = [job for job, state in user.states().items() if state == "unknown"]
    for job in unknown:
        # The other submit may have been on the wire when the process died.
        user.expect(0, "resolve", "m.yaml", job, "--adopt", emulator.charges()[-1]["request_id"])
    user.expect(0, "run", "m.yaml")
    assert_whole(user, emulator, jobs=2)


def test_row_64_status_reads_a_snapshot_and_never_disturbs(shell: Shell, slow: Emulator) -> None:
    user = shell.using(slow)
    user.manifest(3)
    with user.start("run", "m.yaml") as process:
        wait_until(lambda: under_way(user), "three requests")
        state = user.folder / "out/state.db"
        before = hashlib.sha256(state.read_bytes()).hexdigest()
        for _ in range(5):
            status = user.status()
            assert sum(status["counts"].values()) == 3
            assert {job["request_id"] for job in status["jobs"]} == {
                charge["request_id"] for charge in slow.charges()
            }
            user.expect(0, "status", "m.yaml")
        assert hashlib.sha256(state.read_bytes()).hexdigest() == before
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert ended(process).code == 130
    assert len(slow.charges()) == 3
