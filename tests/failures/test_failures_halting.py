"""A run that stops by itself, and the same command that goes on."""

from __future__ import annotations

import signal

from tests.shell import Emulator, Shell, ended, read_until


def test_too_many_failures_stop_the_run_and_the_same_command_goes_on(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(8, run={"concurrency": 1, "halt": {"failed": "50%", "after": 2}})
    emulator.arm("submit", "vendor_failed", message="The brushes are dry.", times=2)
    done = user.expect(75, "run", "m.yaml", "--json")
    assert done.document["paused"]["reason"] == "failures"
    assert done.document["counts"] == {"failed": 2, "pending": 6}
    assert done.document["exit_code"] == 75
    assert "paused: 2 of the 2 jobs that ended in this run failed" in done.err
    assert "The brushes are dry." in done.err
    assert "continue with: batchgen run m.yaml" in done.err
    assert len(emulator.charges()) == 2
    user.expect(1, "run", "m.yaml")
    assert user.status()["counts"] == {"failed": 2, "done": 6}
    assert len(emulator.charges()) == 8


def test_a_longest_duration_ends_the_submits_and_what_is_paid_comes_home(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(3, run={"concurrency": 1, "rate": "1/h", "max_duration": "1h"})
    done = user.expect(75, "run", "m.yaml", "--max-duration", "2s", "--json")
    assert done.document["paused"]["reason"] == "max_duration"
    assert "paused: the run has lasted 2 s" in done.err
    assert user.status()["counts"] == {"done": 1, "pending": 2}
    user.expect(0, "run", "m.yaml", "--rate", "100/s")
    assert user.status()["counts"] == {"done": 3}
    assert len(emulator.charges()) == 3


def test_a_time_to_stop_that_is_past_sends_nothing(user: Shell, emulator: Emulator) -> None:
    user.manifest(2, run={"stop_at": "2020-01-01T07:00"})
    done = user.expect(75, "run", "m.yaml")
    assert "the stop time has been reached (2020-01-01 07:00:00)" in done.said
    assert "set stop_at to a later date" in done.said
    assert emulator.charges() == []
    user.expect(0, "run", "m.yaml", "--stop-at", "2099-01-01T07:00")
    assert user.status()["counts"] == {"done": 2}


def test_a_time_to_start_is_waited_for_and_ctrl_c_ends_the_waiting(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(2, run={"start_at": "2099-01-01T22:00"})
    with user.start("run", "m.yaml") as process:
        read_until(process, "nothing is submitted before 2099-01-01 22:00")
        process.send_signal(signal.SIGINT)
        assert ended(process).code == 130
    assert emulator.charges() == []
    user.expect(0, "run", "m.yaml", "--start-at", "2020-01-01T22:00")
    assert user.status()["counts"] == {"done": 2}


def test_a_budget_of_the_command_line_wins_over_the_manifest(
    user: Shell, emulator: Emulator
) -> None:
    """A picture costs 0.03 USD in the emulator's list."""
    user.manifest(3, run={"budget": 0.01})
    plan = user.expect(0, "plan", "m.yaml", "--budget", "0.07").out
    assert "budget    0.07 USD: not enough, 0.02 USD short" in plan
    assert "batchgen run m.yaml --budget=0.07" in plan
    done = user.expect(75, "run", "m.yaml", "--budget", "0.07")
    assert "raise run.budget or --budget" in done.said
    assert len(emulator.charges()) == 2
    assert "0 is not in the range" in user.expect(64, "run", "m.yaml", "--budget", "0").err


def test_a_disk_with_less_room_than_asked_for_gets_nothing(user: Shell, emulator: Emulator) -> None:
    """Row 50. No disk has so much room."""
    user.manifest(2, output={"dir": "out", "min_free": "1000TB"})
    done = user.expect(75, "run", "m.yaml", "--json")
    assert done.document["paused"]["reason"] == "disk_nearly_full"
    assert "the disk is nearly full" in done.err
    assert "make room, or set output.min_free" in done.err
    assert emulator.charges() == []


def test_a_time_that_is_none_is_refused_by_name(user: Shell) -> None:
    user.manifest(1)
    assert (
        "--stop-at: a time looks like" in user.expect(64, "run", "m.yaml", "--stop-at", "noon").err
    )
    assert (
        "--max-duration: a duration looks like"
        in user.expect(64, "run", "m.yaml", "--max-duration", "0s").err
    )
