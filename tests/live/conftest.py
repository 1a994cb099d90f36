"""One browser and one server for each file of tests; before each test nothing is picked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from tests.acceptance.shell import Shell
from tests.live.live_page import CHROMIUM, Night
from tests.report.night_world import small_night
from tests.watch.watch_process import watching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser


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
    with watching(shell) as watcher:
        yield Night(shell.folder / "out", watcher)


@pytest.fixture
def night(watched_night: Night) -> Night:
    """As it was made, whatever the test before did."""
    watched_night.change(
        "UPDATE file SET pick = NULL",
        "UPDATE job SET state = 'done' WHERE id LIKE 'harbour-%'",
        "DELETE FROM flaw",
    )
    return watched_night
