"""One browser and one server for each file of tests; before each test nothing is picked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.live.live_page import CHROMIUM, Night
from tests.report.night_world import small_night
from tests.shell import PATIENCE, Shell, wait_until
from tests.watch.watch_process import watching

QUICK_LOOKS = "from batchgen.watch import watching; watching.LOOK_EVERY = 0.05"

# What comes takes as long as the machine is busy: a command alone may need five seconds to start.
expect.set_options(timeout=1000 * PATIENCE)


# Closed with each module: its loop would stand in the way of asynchronous tests.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # A container's root has no sandbox to go into.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def watched_night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    shell = Shell(tmp_path_factory.mktemp("night"))
    small_night(shell.folder / "out")
    shell.manifest(1)
    with watching(shell, prelude=QUICK_LOOKS) as watcher:
        yield Night(shell.folder / "out", watcher)


@pytest.fixture
def night(watched_night: Night) -> Night:
    """As it was made, whatever the test before did; and the watcher has seen that."""
    night = watched_night
    before = night.moment
    night.change(
        "UPDATE file SET pick = NULL",
        "UPDATE job SET state = 'done' WHERE id LIKE 'harbour-%'",
        "DELETE FROM flaw",
        # Always a change, and one that no page shows.
        "UPDATE job SET approved = 1 - approved WHERE id = 'lost'",
    )
    wait_until(lambda: night.moment > before, "a look at it")
    return night
