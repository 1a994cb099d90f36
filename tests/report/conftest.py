"""The browser and the reports that these tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.report.browser_window import CHROMIUM
from tests.report.night_world import make, marked_night, small_night
from tests.shell import PATIENCE

# As long as a busy machine takes.
expect.set_options(timeout=1000 * PATIENCE)


# Closed with each module: its loop would stand in the way of asynchronous tests.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # A container's root has no sandbox to go into.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


# Built once: the tests look at them, and change nothing.
@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bit of everything."""
    root = tmp_path_factory.mktemp("night") / "out"
    small_night(root)
    return make(root).page


@pytest.fixture(scope="session")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Picks, flaws and a gate."""
    root = tmp_path_factory.mktemp("marked") / "out"
    marked_night(root)
    return make(root).page
