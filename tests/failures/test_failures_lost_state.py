"""A state that is gone is not a new run: nothing is paid for again unasked."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

from tests.shell import PATIENCE, Emulator, Shell, wait_until

JOBS = 4


def delete(out: Path) -> None:
    (out / "state.db").unlink()


def test_a_lost_state_stops_the_run_and_its_requests_can_be_recovered(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(JOBS)
    user.expect(0, "run", "m.yaml")
    ids = {charge["request_id"] for charge in emulator.charges()}
    delete(user.folder / "out")
    done = user.expect(65, "run", "m.yaml")
    assert f"does not know of {JOBS} requests" in done.err
    assert sum(name in done.err for name in ids) == JOBS
    assert "nothing was sent" in done.err
    # Not by the same command again either, nor by one that pays for what failed.
    user.expect(65, "retry", "m.yaml")
    assert "does not know of" in user.expect(65, "plan", "m.yaml", "--offline").err
    user.expect(0, "run", "m.yaml", "--recover")
    assert set(user.states().values()) == {"done"}
    assert len(emulator.charges()) == JOBS
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == JOBS


def test_a_new_start_pays_again_once_and_keeps_what_was_there(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(JOBS)
    user.expect(0, "run", "m.yaml")
    out = user.folder / "out"
    before = {path.name: path.read_bytes() for path in (out / "files").iterdir()}
    delete(out)
    user.expect(0, "run", "m.yaml", "--start-over")
    assert len(emulator.charges()) == 2 * JOBS
    kept = out / "earlier-1" / "files"
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
    # The flag in a shell's history pays for nothing where nothing is lost.
    user.expect(0, "run", "m.yaml", "--start-over")
    assert len(emulator.charges()) == 2 * JOBS
    assert not (out / "earlier-2").exists()


def test_a_folder_that_vanished_is_missed(user: Shell, emulator: Emulator) -> None:
    """The disk is not mounted, or somebody moved the folder."""
    user.manifest(JOBS)
    user.expect(0, "run", "m.yaml")
    (user.folder / "out").rename(user.folder / "moved")
    done = user.expect(65, "run", "m.yaml")
    assert f"{user.folder / 'out'}, where {JOBS} requests were paid for" in done.err
    assert not (user.folder / "out").exists()
    assert "m · no run in out\n" in user.expect(0, "status", "m.yaml").out
    (user.folder / "moved").rename(user.folder / "out")
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == JOBS


def test_another_output_folder_is_told_before_all_is_paid_again(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(JOBS)
    user.expect(0, "run", "m.yaml")
    user.manifest(JOBS, output={"dir": "other"})
    assert "output.dir is now other" in user.expect(65, "run", "m.yaml").err
    user.expect(0, "run", "m.yaml", "--start-over")
    assert not (user.folder / "other/earlier-1").exists()
    assert len(emulator.charges()) == 2 * JOBS
    # The first folder still has its state, so nothing of it is paid again.
    user.manifest(JOBS)
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 2 * JOBS


def test_what_is_remembered_is_the_users_alone(user: Shell) -> None:
    user.manifest(1)
    user.expect(0, "run", "m.yaml")
    (remembered,) = (user.folder / ".local/state/batchgen/runs").iterdir()
    assert remembered.stat().st_mode & 0o777 == 0o600
    assert remembered.parent.stat().st_mode & 0o777 == 0o700


def test_a_rehearsal_that_was_removed_is_no_loss(user: Shell, emulator: Emulator) -> None:
    """The README's way: rehearse, remove the folder, run."""
    user.manifest(2)
    user.expect(0, "run", "m.yaml", "--emulator", "--latency", "0")
    (user.folder / "out/state.db").unlink()
    user.expect(0, "run", "m.yaml", "--emulator", "--latency", "0")
    shutil.rmtree(user.folder / "out")
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 2


def test_a_rehearsal_does_not_go_over_the_traces_of_a_paid_run(user: Shell) -> None:
    user.manifest(2)
    user.expect(0, "run", "m.yaml")
    delete(user.folder / "out")
    err = user.expect(65, "run", "m.yaml", "--emulator").err
    user.expect(65, "run", "m.yaml", "--emulator", "--recover")
    # The requests are the vendor's; a new start of a rehearsal is a rehearsal.
    assert "batchgen run m.yaml --recover follows these requests" in err
    assert "batchgen run m.yaml --start-over --emulator rehearses all jobs" in err
    user.expect(0, "run", "m.yaml", "--start-over", "--emulator", "--latency", "0")


def test_without_a_place_to_remember_in_a_run_goes_as_before(
    user: Shell, emulator: Emulator
) -> None:
    (user.folder / "blocked").write_text("no folder")
    blocked = user.having(XDG_STATE_HOME=str(user.folder / "blocked"))
    blocked.manifest(1)
    blocked.expect(0, "run", "m.yaml")
    shutil.rmtree(user.folder / "out")
    blocked.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 2


def test_a_run_that_died_before_its_first_submit_needs_no_flag(
    user: Shell, emulator: Emulator
) -> None:
    out = user.folder / "out"
    (out / "files").mkdir(parents=True)
    for name in ("state.db", "run.lock", "decisions.jsonl"):
        (out / name).touch()
    user.manifest(1)
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 1


def test_a_run_whose_folder_vanishes_prints_its_requests(
    slow_user: Shell, slow_emulator: Emulator
) -> None:
    slow_user.manifest(3)
    with slow_user.start("run", "m.yaml") as run:
        slow_emulator.charged(3)
        wait_until(
            lambda: (
                list(slow_user.states().values()) == ["queued"] * 3
                or list(slow_user.states().values()) == ["running"] * 3
            ),
            "3 requests in the state",
        )
        (slow_user.folder / "out").rename(slow_user.folder / "away")
        _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 74, err
    assert "moved, removed or unmounted" in err
    told = [
        json.loads(line.partition(": ")[2])["request_id"]
        for line in err.splitlines()
        if line.startswith("request of the run: ")
    ]
    assert sorted(told) == sorted(one["request_id"] for one in slow_emulator.charges())
    # What was begun there, and never ended in order, is missed.
    slow_user.expect(65, "run", "m.yaml")


def test_what_a_killed_run_submitted_is_recovered_from_its_log(
    slow_user: Shell, slow_emulator: Emulator
) -> None:
    slow_user.manifest(3)
    log = slow_user.folder / "out/run.log"
    with slow_user.start("run", "m.yaml") as run:
        wait_until(
            lambda: log.exists() and log.read_text().count('"state": "queued"') == 3,
            "3 requests in the log",
        )
        run.send_signal(signal.SIGKILL)
        run.communicate(timeout=PATIENCE)
    # A line without an answer, as a kill between the two leaves it.
    moved = {"event": "JobMoved", "job_id": "boat-003", "before": "pending", "state": "submitting"}
    with log.open("a") as file:
        file.write(json.dumps(moved) + "\n")
    delete(slow_user.folder / "out")
    slow_user.manifest(5)
    assert "3 requests" in (err := slow_user.expect(65, "run", "m.yaml").err)
    assert "1 submit without an answer: boat-003" in err
    with slow_user.start("run", "m.yaml", "--recover", "--limit", "1") as run:
        wait_until(lambda: len(slow_user.states()) == 5, "the state")
        wait_until(
            lambda: slow_user.states()["boat-000"] in {"queued", "running"}, "what was recovered"
        )
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=PATIENCE)
    assert slow_user.states()["boat-003"] == "unknown"
    assert len(slow_emulator.charges()) <= 4
