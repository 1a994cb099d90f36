"""Ctrl-C, Ctrl-C again, and SIGTERM (rows 56 and 57)."""

from __future__ import annotations

import signal
import subprocess

from tests.shell import Shell, emulating, ended, wait_until


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
