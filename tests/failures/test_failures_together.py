"""Rows 62 to 64, and decisions handed to a run: two commands meet on one state."""

from __future__ import annotations

import hashlib
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.failures.broken_disks import adopt_unknown, assert_whole, charged
from tests.shell import Emulator, Shell, emulating, ended, wait_until


@contextmanager
def running(user: Shell, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A run that ends by Ctrl-C when the block does."""
    with user.start("run", "m.yaml", *options) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            ended(process)


def under_way(user: Shell, count: int) -> bool:
    return sum(state in {"queued", "running"} for state in user.states().values()) == count


def test_row_62_a_second_runner_sends_nothing_and_names_the_first(
    slow_user: Shell, slow_emulator: Emulator
) -> None:
    user = slow_user
    user.manifest(2)
    with running(user) as process:
        wait_until(lambda: under_way(user, 2), "two requests")
        user.manifest(5)
        done = user.expect(75, "run", "m.yaml")
        assert f"process {process.pid} on" in done.err
        assert "nothing was sent" in done.err
        assert process.poll() is None
    assert process.returncode == 130
    assert len(user.states()) == len(slow_emulator.charges()) == 2


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
    # It may have died before it met the fault, which would hang the next run instead.
    emulator.disarm()
    assert (user.folder / "out/run.lock").exists()
    user.run("run", "m.yaml")
    # The other submit may have been on the wire when the process died.
    adopt_unknown(user, emulator)
    user.expect(0, "run", "m.yaml")
    assert_whole(user, emulator, jobs=2)


def test_row_64_status_reads_a_snapshot_and_never_disturbs(
    slow_user: Shell, slow_emulator: Emulator
) -> None:
    user = slow_user
    user.manifest(3)
    with running(user) as process:
        wait_until(lambda: under_way(user, 3), "three requests")
        state = user.folder / "out/state.db"
        before = hashlib.sha256(state.read_bytes()).hexdigest()
        for _ in range(5):
            status = user.status()
            assert sum(status["counts"].values()) == 3
            assert {job["request_id"] for job in status["jobs"]} == {
                charge["request_id"] for charge in slow_emulator.charges()
            }
            user.expect(0, "status", "m.yaml")
        assert hashlib.sha256(state.read_bytes()).hexdigest() == before
        assert process.poll() is None
    assert process.returncode == 130
    assert len(slow_emulator.charges()) == 3


def test_a_decision_is_handed_to_the_runner_at_work(
    slow_user: Shell, slow_emulator: Emulator
) -> None:
    slow_user.manifest(2, run={"concurrency": 2})
    slow_emulator.arm("submit", "reset_after")
    with running(slow_user):
        wait_until(lambda: under_way(slow_user, 1), "one request")
        wait_until(lambda: "unknown" in slow_user.states().values(), "one unknown")
        done = slow_user.expect(0, "resolve", "m.yaml", "boat-*", "--resubmit")
        assert "1 decision handed to the run in progress" in done.out
        wait_until(lambda: under_way(slow_user, 2), "two requests")
    assert len(slow_emulator.charges()) == 3


def test_an_adopted_request_is_followed_by_the_runner_at_work(
    user: Shell, emulator: Emulator
) -> None:
    """A submit without an answer keeps the runner at work until the decision is taken up."""
    user.manifest(2, run={"concurrency": 1})
    emulator.arm("submit", "reset_after")
    emulator.arm("submit", "hang")
    with user.start("run", "m.yaml") as process:
        wait_until(lambda: len(emulator.charges()) == 2, "two charges")
        lost = emulator.charges()[0]["request_id"]
        user.expect(0, "resolve", "m.yaml", "boat-000", "--adopt", lost)
        wait_until(lambda: user.states()["boat-000"] == "done", "the adopted one is done")
        # Not Ctrl-C: it would wait for the answer that never comes.
        process.kill()
    assert len(emulator.charges()) == 2


def test_cancel_ends_what_was_not_begun_and_what_works_comes_with_the_next_run(
    shell: Shell,
) -> None:
    """Twelve jobs, ten sent: the emulator works on eight, two are in its queue."""
    shell.manifest(12, run={"concurrency": 10})
    ledger = shell.folder / "emulator.db"
    with emulating(latency=60, state=ledger) as slow:
        user = shell.using(slow)
        with running(user, "--limit", "10"):
            wait_until(lambda: under_way(user, 10), "ten requests")
        said = user.expect(0, "cancel", "m.yaml").out
        assert "4 jobs cancelled" in said
        assert "8 requests could not be cancelled" in said
        assert "batchgen run m.yaml" in said
        states = [charge["status"] for charge in slow.charges()]
        assert states.count("cancelled") == 2
    with emulating(state=ledger) as quick:
        shell.using(quick).expect(1, "run", "m.yaml")
        assert len(quick.charges()) == 10
    assert shell.status()["counts"] == {"done": 8, "cancelled": 4}


def test_cancel_reaches_the_runner_at_work(slow_user: Shell, slow_emulator: Emulator) -> None:
    slow_user.manifest(4, run={"concurrency": 2})
    with running(slow_user):
        wait_until(lambda: under_way(slow_user, 2), "two requests")
        done = slow_user.expect(0, "cancel", "m.yaml")
        assert "4 jobs handed to the run in progress" in done.out
        wait_until(
            lambda: list(slow_user.states().values()).count("cancelled") == 2, "two cancelled"
        )
        assert under_way(slow_user, 2)
    assert len(slow_emulator.charges()) == 2


def test_cancel_takes_a_selection(user: Shell, emulator: Emulator) -> None:
    user.manifest(3)
    user.expect(0, "run", "m.yaml", "--job", "boat-000")
    assert "1 job cancelled" in user.expect(0, "cancel", "m.yaml", "--job", "boat-001").out
    assert user.states() == {"boat-000": "done", "boat-001": "cancelled", "boat-002": "pending"}
    user.expect(1, "run", "m.yaml")
    assert len(emulator.charges()) == 2
    user.expect(0, "retry", "m.yaml")
    assert len(emulator.charges()) == 3
