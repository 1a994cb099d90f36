"""`batchgen watch` beside a run: two processes, one page, and Ctrl-C."""

from __future__ import annotations

import signal
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.shell import aimed, boat, emulating, ended, wait_until
from tests.watch.watch_process import watching
from tests.watch.watch_world import called

if TYPE_CHECKING:
    from tests.acceptance.shell import Emulator, Shell

DONE = {"handed": False, "objections": []}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_as_it_ends_the_emulator(shell: Shell, number: signal.Signals) -> None:
    shell.manifest(1)
    with watching(shell) as watcher:
        assert watcher.first.startswith("watching m on http://127.0.0.1:")
        # A page that is open does not hold it up.
        live = watcher.head()["live"]
        place = f"{live['instance']}-{live['moment']}"
        with urllib.request.urlopen(f"{watcher.url}events?after={place}", timeout=20) as stream:
            stream.readline()
            watcher.process.send_signal(number)
            done = ended(watcher.process)
    assert done.code == 0
    assert "Traceback" not in done.said


def test_a_run_beside_it_is_seen_and_its_results_are_picked(user: Shell) -> None:
    user.manifest(4)
    with watching(user) as watcher:
        assert watcher.rows() == {}
        user.expect(0, "run", "m.yaml", "--quiet")
        wait_until(lambda: set(watcher.rows().values()) == {"done"}, "the rows")
        document = called("take", watcher.get("data/jobs-0.js"))
        first, second = (row[14][0][7] for row in document["rows"][:2])
        assert watcher.say({"word": "keep", "file": first}) == DONE
        assert watcher.say({"word": "reject", "file": second}) == DONE
        document = called("take", watcher.get("data/jobs-0.js"))
        assert [row[14][0][9] for row in document["rows"]] == ["keep", "reject", "", ""]
        # The run is untouched by all this: nothing is left to do, and nothing is paid again.
        again = user.expect(0, "run", "m.yaml", "--json").document
        assert again["submitted"] == 0
    kept = user.expect(0, "status", "m.yaml", "--state", "kept", "--json").document
    assert [job["id"] for job in kept["jobs"]] == ["boat-000"]


def test_an_approval_in_the_page_lets_a_run_at_work_go_on(shell: Shell) -> None:
    still = boat(0, gate=True)
    clip = {
        "id": "clip",
        "model": "bytedance/dreamina-3-0/pro/image-to-video",
        "needs": ["boat-000"],
        "input": {"prompt": "slow pan", "image_urls": ["{{ jobs['boat-000'].image }}"]},
    }
    others = [boat(number) for number in range(1, 9)]
    shell.manifest([still, *others, clip], run={"concurrency": 1})
    with emulating(shell, latency=0.7) as emulator:
        user = aimed(shell, emulator)
        with watching(user) as watcher, user.start("run", "m.yaml", "--quiet") as run:
            wait_until(lambda: watcher.rows().get("boat-000") == "done", "the still")
            word = {"word": "approve", "job": "boat-000", "attempt": 1}
            assert watcher.say(word) == {"handed": True, "objections": []}
            done = ended(run)
        assert done.code == 0, done.said
        assert set(user.states().values()) == {"done"}
        assert len(emulator.charges()) == 10


def test_errors_are_those_of_the_tree(shell: Shell, emulator: Emulator) -> None:
    shell.expect(66, "watch", "nothing.yaml")
    shell.manifest(1)
    with watching(shell) as watcher:
        port = watcher.url.split(":")[2].split("/")[0]
        taken = shell.expect(73, "watch", "m.yaml", "--port", port)
        assert f"port {port} of 127.0.0.1 cannot be had" in taken.err
        with pytest.raises(urllib.error.HTTPError, match="404"):
            watcher.get("../")
    (shell.folder / "out").mkdir()
    (shell.folder / "out/state.db").write_bytes(b"no state " * 1000)
    damaged = shell.expect(74, "watch", "m.yaml")
    assert "the state file is damaged" in damaged.err
    assert "Traceback" not in damaged.said
