"""Ctrl-C, Ctrl-C again, and SIGTERM (rows 56 and 57)."""

from __future__ import annotations

import signal
import subprocess

from batchgen.run.folder import RunFolder, holder
from tests.shell import Emulator, Shell, emulating, ended, wait_until


def interrupted(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    process.send_signal(number)
    done = ended(process)
    return done.code, done.said


def test_ctrl_c_leaves_requests_with_the_vendor_and_the_next_run_pays_for_none(
    shell: Shell,
) -> None:
    """Row 56."""
    shell.manifest(3)
    ledger = shell.folder / "emulator.db"
    with emulating(latency=60, state=ledger) as slow:
        with shell.using(slow).start("run", "m.yaml") as process:
            slow.charged(3)
            wait_until(lambda: set(shell.states().values()) <= {"queued", "running"}, "accepted")
            code, said = interrupted(process, signal.SIGINT)
        assert code == 130
        assert "stopped by Ctrl-C; 3 requests in flight stay with the vendor" in said
        assert "batchgen run m.yaml" in said
        assert "Traceback" not in said
        before = [charge["request_id"] for charge in slow.charges()]
    with emulating(state=ledger) as quick:
        again = shell.using(quick).expect(0, "run", "m.yaml", "--json").document
        assert again["submitted"] == 0
        assert [charge["request_id"] for charge in quick.charges()] == before
    assert set(shell.states().values()) == {"done"}


def test_a_second_ctrl_c_leaves_at_once(
    shell: Shell, slow_user: Shell, slow_emulator: Emulator
) -> None:
    """Row 56. The answer to a submit is on its way, which the first Ctrl-C waits for."""
    shell.manifest(1)
    slow_emulator.arm("submit", "hang")
    with slow_user.start("run", "m.yaml") as process:
        slow_emulator.charged(1)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        stopping = process.stderr.readline()
        code, said = interrupted(process, signal.SIGINT)
    assert "a second Ctrl-C leaves at once" in stopping
    assert code == 130
    assert "Traceback" not in said
    # Its outcome is a person's to find out, and the ledger has the id.
    assert slow_user.expect(76, "run", "m.yaml").code == 76
    assert shell.states() == {"boat-000": "unknown"}
    assert len(slow_emulator.charges()) == 1


def test_sigterm_drains_too(shell: Shell, slow_user: Shell, slow_emulator: Emulator) -> None:
    """Row 57."""
    shell.manifest(2)
    with slow_user.start("run", "m.yaml") as process:
        slow_emulator.charged(2)
        wait_until(lambda: set(shell.states().values()) <= {"queued", "running"}, "accepted")
        code, said = interrupted(process, signal.SIGTERM)
    assert code == 143
    assert "stopped by SIGTERM; 2 requests in flight" in said
    assert "Traceback" not in said


def test_a_lock_of_a_killed_runner_is_taken_over(
    shell: Shell, slow_user: Shell, slow_emulator: Emulator
) -> None:
    """Row 63."""
    shell.manifest(1)
    with slow_user.start("run", "m.yaml") as process:
        slow_emulator.charged(1)
        process.kill()
    with slow_user.start("run", "m.yaml") as process:
        me = f"process {process.pid} on"
        wait_until(lambda: holder(RunFolder(shell.folder / "out")).startswith(me), "the lock")
        code, said = interrupted(process, signal.SIGINT)
    assert code == 130, said
    assert len(slow_emulator.charges()) == 1
