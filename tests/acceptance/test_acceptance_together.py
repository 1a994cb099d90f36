"""Two commands at once: a second runner, status, resolve, cancel."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

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


def under_way(shell: Shell, count: int) -> bool:
    return sum(state in {"queued", "running"} for state in shell.states().values()) == count


def test_a_decision_is_handed_to_the_runner_at_work(
    slow_user: Shell, slow_emulator: Emulator
) -> None:
    slow_user.manifest(2, run={"concurrency": 2})
    slow_emulator.arm("submit", "reset_after")
    with running(slow_user):
        wait_until(lambda: under_way(slow_user, 1), "one request")
        wait_until(lambda: "unknown" in slow_user.states().values(), "one unknown")
        done = slow_user.expect(0, "resolve", "m.yaml", "boat-*", "--resubmit")
        assert "1 decision handed to the runner at work" in done.out
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
        assert "4 jobs handed to the runner at work" in done.out
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
