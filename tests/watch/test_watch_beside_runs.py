"""`batchgen watch` beside runs and other commands: several processes, one state."""

from __future__ import annotations

import sqlite3
import subprocess
import urllib.error
from contextlib import closing
from pathlib import Path

import pytest

from tests.shell import PICTURE, VIDEO, Emulator, Shell, boat, ended, wait_until
from tests.watch.watch_process import Watcher, watching
from tests.watch.watch_world import called


def picked(watcher: Watcher, action: str, file: int) -> None:
    """At once: the answer has the row as it is now."""
    answer = watcher.say({"action": action, "file": file})
    assert (answer["handed"], answer["objections"]) == (False, [])
    ((of, told),) = [(one[7], one[9]) for row in answer["rows"]["rows"] for one in row[14]]
    assert (of, told) == (file, action)


def test_a_run_beside_it_is_seen_and_its_results_are_picked(user: Shell) -> None:
    user.manifest(4)
    with watching(user) as watcher:
        assert watcher.rows() == {}
        user.expect(0, "run", "m.yaml", "--quiet")
        wait_until(lambda: set(watcher.rows().values()) == {"done"}, "the rows")
        first, second, *_ = watcher.files()
        picked(watcher, "keep", first)
        picked(watcher, "reject", second)
        document = called("take", watcher.get("data/jobs-0.js"))
        assert [row[14][0][9] for row in document["rows"]] == ["keep", "reject", "", ""]
        # The run is untouched by all this: nothing is left to do, and nothing is paid again.
        again = user.expect(0, "run", "m.yaml", "--json").document
        assert again["submitted"] == 0
    kept = user.expect(0, "status", "m.yaml", "--state", "kept", "--json").document
    assert [job["id"] for job in kept["jobs"]] == ["boat-000"]


def deleted(process: subprocess.Popen[str]) -> list[str]:
    """What the process holds open though nobody else can see it any more."""
    links = (str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir())
    return [link for link in links if "state.db" in link and link.endswith("(deleted)")]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc on this system")
def test_runs_after_a_pick_in_the_page_are_seen_by_it(user: Shell) -> None:
    """The pick is written in the watcher's own process, which must keep its hold on the log."""
    user.manifest(6)
    user.expect(0, "run", "m.yaml", "--quiet", "--limit", "2")
    with watching(user) as watcher:
        picked(watcher, "keep", watcher.files()[0])
        with watcher.told() as told:
            for count in (4, 6):
                user.expect(0, "run", "m.yaml", "--quiet", "--limit", "2")
                expected = {f"boat-{number:03}" for number in range(count - 2, count)}
                done: set[str] = set()
                while not expected <= done:
                    done |= {job for job, state in next(told).items() if state == "done"}
                assert deleted(watcher.process) == []
                picked(watcher, "reject", watcher.files()[count - 1])
        assert list(watcher.rows().values()) == ["done"] * 6
        assert deleted(watcher.process) == []


def test_two_watchers_picks_and_runs_lose_nothing_and_pay_nothing_twice(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(12)
    user.expect(0, "run", "m.yaml", "--quiet", "--limit", "4")
    with watching(user) as one, watching(user) as other:
        for round_, watcher in enumerate((one, other, one)):
            wait_until(lambda of=watcher: len(of.files()) >= 4, "the results")  # type: ignore[misc]
            picked(watcher, "keep", watcher.files()[round_])
            user.expect(0, "pick", "m.yaml", f"boat-{round_:03}", "--reject")
            picked(other, "reject", other.files()[3])
            if round_ < 2:
                user.expect(0, "run", "m.yaml", "--quiet", "--limit", "2")
        before = user.status()
    assert user.status() == before
    assert before["counts"]["done"] == 8
    rejected = user.expect(0, "status", "m.yaml", "--state", "rejected", "--json").document
    assert [job["id"] for job in rejected["jobs"]] == [f"boat-{number:03}" for number in range(4)]
    assert len(emulator.charges()) == 8
    # As many as are left, and no other.
    assert user.expect(0, "run", "m.yaml", "--json").document["submitted"] == 4
    assert len(emulator.charges()) == 12
    with closing(sqlite3.connect(user.folder / "out/state.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_an_approval_in_the_page_lets_a_run_at_work_go_on(user: Shell, emulator: Emulator) -> None:
    clip = {"model": VIDEO, "input": {"prompt": "slow pan", "image_urls": [PICTURE]}}
    of_still = {"prompt": "slow pan", "image_urls": ["{{ jobs['boat-000'].image }}"]}
    jobs = [
        boat(0, gate=True),
        {**clip, "id": "other"},
        {**clip, "id": "clip", "needs": ["boat-000"], "input": of_still},
    ]
    user.manifest(jobs, run={"check_inputs": "off"})
    # The run is at work until it hears of an end.
    emulator.hold(VIDEO)
    with watching(user) as watcher, user.start("run", "m.yaml", "--quiet") as run:
        wait_until(lambda: watcher.rows().get("boat-000") == "done", "the still")
        approval = {"action": "approve", "job": "boat-000", "attempt": 1}
        assert watcher.say(approval) == {"handed": True, "objections": [], "rows": None}
        emulator.charged(3)
        emulator.disarm()
        done = ended(run)
    assert done.code == 0, done.said
    assert set(user.states().values()) == {"done"}
    assert len(emulator.charges()) == 3


def test_errors_are_those_of_the_tree(shell: Shell, emulator: Emulator) -> None:
    shell.expect(66, "watch", "nothing.yaml")
    shell.manifest(1)
    with watching(shell) as watcher:
        port = watcher.url.split(":")[2].split("/")[0]
        taken = shell.expect(73, "watch", "m.yaml", "--port", port)
        assert f"port {port} of 127.0.0.1 is not available" in taken.err
        with pytest.raises(urllib.error.HTTPError, match="404"):
            watcher.get("../")
    (shell.folder / "out").mkdir()
    (shell.folder / "out/state.db").write_bytes(b"no state " * 1000)
    damaged = shell.expect(74, "watch", "m.yaml")
    assert "the state file is damaged" in damaged.err
    assert "Traceback" not in damaged.said
