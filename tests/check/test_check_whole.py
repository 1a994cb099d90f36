"""A night with bad results: they are found and rejected, and only they are paid again."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import threading
from contextlib import closing
from subprocess import Popen

from batchgen.state.database import reading
from tests.shell import T2I, VIDEO, Emulator, Shell, boat, ended, wait_until

PICTURE = "https://pictures.example.com/boat.png"


def flaws(shell: Shell) -> dict[str, set[str]]:
    with reading(shell.folder / "out/state.db") as db:
        rows = db.execute(
            "SELECT job.id, kind FROM flaw JOIN file ON file.id = flaw.file"
            " JOIN job ON job.seq = file.job AND job.attempts = file.attempt"
        )
        found: dict[str, set[str]] = {}
        for job_id, kind in rows:
            found.setdefault(job_id, set()).add(kind)
        return found


def test_what_was_delivered_blank_is_found_rejected_and_made_again(
    user: Shell, emulator: Emulator
) -> None:
    emulator.arm("file", "blank", size=512)
    path = user.manifest(5, run={"concurrency": 1})
    user.expect(0, "run", path)
    user.expect(0, "verify", path)
    found = user.expect(1, "check", path, "--json").document
    assert found["counts"] == {"blank": 1, "wrong_size": 1}
    (spoilt,) = (file["id"] for file in found["files"])
    assert flaws(user) == {spoilt: {"blank", "wrong_size"}}
    said = user.expect(1, "check", path, "--reject", "blank").out
    assert "0 examined now" in said
    assert f"batchgen retry {path} --state rejected" in said
    assert len(emulator.charges()) == 5
    user.expect(0, "retry", path, "--state", "rejected")
    assert len(emulator.charges()) == 6
    again = user.expect(0, "check", path, "--json").document
    assert (again["looked_at"], again["checked"], again["files"]) == (1, 5, [])
    assert flaws(user) == {}
    user.expect(64, "retry", path, "--state", "rejected")
    assert len(emulator.charges()) == 6


def test_a_rehearsal_has_no_flaws_until_its_files_are_damaged(shell: Shell) -> None:
    """Landscapes that look much alike, and clips in which little moves: no false alarm."""
    clip = {"prompt": "slow pan", "image_urls": [PICTURE], "frames": 121}
    jobs = [*map(boat, range(40)), {"id": "clip", "model": VIDEO, "input": clip}]
    path = shell.manifest(jobs, run={"check_inputs": "off"})
    shell.expect(0, "run", path, "--emulator", "--latency", "0.02")
    assert "nothing found" in shell.expect(0, "check", path).out
    files = shell.folder / "out/files"
    (files / "boat-001.png").unlink()
    (files / "boat-002.png").write_bytes((files / "boat-002.png").read_bytes()[:500])
    shutil.copy(files / "boat-004.png", files / "boat-003.png")
    spoilt = {"boat-001", "boat-002", "boat-003"}
    found = shell.expect(1, "check", path, "--json").document
    assert {file["id"] for file in found["files"]} == spoilt
    assert found["looked_at"] == 3
    assert flaws(shell) == {job_id: {"unreadable"} for job_id in spoilt}
    shell.expect(0, "repair", path, "--emulator")
    assert "3 gone" in shell.expect(0, "check", path).out
    assert flaws(shell) == {}


def test_equal_pictures_leave_one_in_the_dataset(shell: Shell) -> None:
    """Two jobs with one input make one picture here."""
    twins = [{"id": f"twin-{n}", "input": {"prompt": "the same boat"}} for n in range(3)]
    path = shell.manifest([boat(1), *twins])
    shell.expect(0, "run", path, "--emulator", "--latency", "0.02")
    shell.expect(1, "check", path, "--reject", "duplicate", "--reject", "near_duplicate")
    assert flaws(shell) == {"twin-1": {"duplicate"}, "twin-2": {"duplicate"}}
    words = ("export", path, "ds", "--to", "jsonl", "--state", "!rejected", "--json")
    assert shell.expect(0, *words).document["results"] == 2


def measured(shell: Shell) -> int:
    """How many files are in the cache; none while it is being made."""
    path = shell.folder / "out/measures.db"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM seen").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def test_ctrl_c_keeps_what_was_examined(shell: Shell) -> None:
    large = {"model": T2I, "input": {"size": "4096x4096"}}
    path = shell.manifest(20, defaults=large)
    shell.expect(0, "run", path, "--emulator", "--latency", "0.02")
    with shell.start("check", path, start_new_session=True) as process:
        wait_until(lambda: measured(shell) > 0, "a file that was looked at")
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole group
        stopped = ended(process)
    assert stopped.code == 130
    assert "Traceback" not in stopped.said
    kept = measured(shell)
    assert 0 < kept < 20
    again = shell.expect(0, "check", path, "--json").document
    assert (again["checked"], again["looked_at"]) == (20, 20 - kept)


def large(shell: Shell, jobs: int = 20) -> str:
    """A check of these takes a while."""
    path = shell.manifest(jobs, defaults={"model": T2I, "input": {"size": "4096x4096"}})
    shell.expect(0, "run", path, "--emulator", "--latency", "0.02")
    return path


def test_sigterm_ends_a_check_in_order_and_its_processes(shell: Shell) -> None:
    """To the command alone, as `kill` sends it: its pipes end, so nobody is left to hold them."""
    path = large(shell)
    with shell.start("check", path) as process:
        wait_until(lambda: measured(shell) > 0, "a file that was looked at")
        process.send_signal(signal.SIGTERM)
        stopped = ended(process)
    assert (stopped.code, stopped.out, stopped.err) == (143, "", "")
    assert not list((shell.folder / "out").glob("measures.db-*"))
    assert 0 < measured(shell) < 20


def test_a_check_that_is_killed_leaves_no_process(shell: Shell) -> None:
    path = large(shell)
    with shell.start("check", path) as process:
        wait_until(lambda: measured(shell) > 0, "a file that was looked at")
        process.kill()
        assert "Traceback" not in ended(process).err
    assert shell.expect(0, "check", path, "--json").document["looked_at"] < 20


def test_ctrl_c_while_the_processes_start_shows_no_traceback(shell: Shell) -> None:
    """Children that had just begun told of it in their own words."""
    path = large(shell, 12)
    cache = shell.folder / "out/measures.db"
    for patience in (0.0, 0.2):
        cache.unlink(missing_ok=True)
        with shell.start("check", path, start_new_session=True) as process:
            wait_until(cache.exists, "the cache, which is opened just before")
            threading.Event().wait(patience)
            os.killpg(process.pid, signal.SIGINT)
            stopped = ended(process)
        assert (stopped.code, stopped.err.strip()) == (130, "")


def test_two_first_checks_at_once_both_report_everything(shell: Shell) -> None:
    twins = [{"id": f"twin-{n}", "input": {"prompt": "the same boat"}} for n in range(2)]
    path = shell.manifest([*twins, *map(boat, range(6))])
    shell.expect(0, "run", path, "--emulator", "--latency", "0.02")
    checks = [shell.start("check", path, "--json", "--dry-run") for _ in range(2)]
    for process in checks:
        with process:
            done = ended(process)
        assert done.code == 1, done.said
        assert done.document["counts"] == {"duplicate": 1}


def interrupt_twice(runner: Popen[str]) -> None:
    """Interrupt until it ends: two signals at once may arrive as one."""

    def is_ended() -> bool:
        runner.send_signal(signal.SIGINT)
        return runner.poll() is not None

    wait_until(is_ended, "the end of the run")


def test_a_check_during_a_run_hands_over_what_it_finds(shell: Shell) -> None:
    """The runner has the lock: it writes down what was found of the result that is there."""
    twins = [{"id": f"twin-{n}", "input": {"prompt": "the same boat"}} for n in range(2)]
    path = shell.manifest(twins)
    shell.expect(0, "run", path, "--emulator", "--latency", "0.02")
    later = [*twins, boat(1)]
    path = shell.manifest(later)
    words = ("run", path, "--emulator", "--latency", "60")
    with shell.start(*words) as runner:
        wait_until(lambda: shell.states().get("boat-001") in {"queued", "running"}, "a request")
        said = shell.expect(1, "check", path).out
        assert "(handed to the run in progress)" in said
        wait_until(lambda: flaws(shell) == {"twin-1": {"duplicate"}}, "the runner's pen")
        interrupt_twice(runner)
        ended(runner)
