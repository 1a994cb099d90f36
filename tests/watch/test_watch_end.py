"""The end of `batchgen watch`: by signals, by force, with a browser that takes its time."""

from __future__ import annotations

import os
import signal

import pytest

from tests.shell import Shell, ended, wait_until
from tests.watch.watch_process import Watcher, watching
from tests.watch.watch_world import called


def have_a_preview_made(watcher: Watcher) -> None:
    """So that there are processes which make them."""
    file = called("take", watcher.get("data/jobs-0.js"))["rows"][0][14][0]
    with watcher.opened(f"thumbs/{file[1][:2]}/{file[1]}.webp?file={file[7]}") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_as_it_ends_the_emulator(user: Shell, number: signal.Signals) -> None:
    user.manifest(1)
    user.expect(0, "run", "m.yaml", "--quiet")
    with watching(user) as watcher:
        assert watcher.first.startswith("watching m on http://127.0.0.1:")
        have_a_preview_made(watcher)
        # A page that is open does not hold it up.
        with watcher.told():
            watcher.process.send_signal(number)
            done = ended(watcher.process)
    assert done.code == 0
    assert "Traceback" not in done.said


def test_one_that_is_killed_leaves_no_process(user: Shell) -> None:
    """One would hold the pipes: nobody would see their end."""
    user.manifest(1)
    user.expect(0, "run", "m.yaml", "--quiet")
    with watching(user) as watcher:
        have_a_preview_made(watcher)
        watcher.process.kill()
        assert ended(watcher.process).code == -signal.SIGKILL


def test_a_browser_that_stays_holds_up_neither_the_page_nor_its_end(shell: Shell) -> None:
    """As a text browser does, or a command in BROWSER."""
    shell.manifest(1)
    pid = shell.folder / "browser.pid"
    script = shell.folder / "browser"
    script.write_text(f"#!/bin/sh\necho $$ > {pid.name}\nexec sleep 600 > /dev/null 2>&1\n")
    script.chmod(0o700)
    try:
        with watching(shell.having(BROWSER=f"{script} %s"), "--open") as watcher:
            wait_until(lambda: pid.exists() and bool(pid.read_text()), "the browser")
            assert watcher.rows() == {}
            watcher.process.send_signal(signal.SIGINT)
            done = ended(watcher.process)
        assert (done.code, "Traceback" in done.said) == (0, False)
    finally:
        os.kill(int(pid.read_text()), signal.SIGTERM)
