"""A real browser window on a served page, and the state beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from batchgen.state.database import reading
from tests.shell import wait_until
from tests.watch.watch_process import Watcher
from tests.watch.watch_world import change

CHROMIUM = Path("/usr/bin/chromium")
NEEDS_CHROMIUM = pytest.mark.skipif(
    not CHROMIUM.exists(), reason="there is no /usr/bin/chromium: apt-get install chromium"
)
DESKTOP, PHONE = (1280, 800), (390, 844)
RESULTS = 13
"""Of the eighteen jobs of a small night."""


@dataclass(frozen=True)
class Night:
    """A night that is over, watched by a process of its own."""

    root: Path
    watcher: Watcher

    @property
    def moment(self) -> int:
        """Of the watcher's last look that found a change."""
        return int(self.watcher.head()["live"]["moment"])

    def change(self, *statements: str) -> None:
        change(self.root, *statements)

    def judged(self, judgement: str) -> list[str]:
        return judged(self.root, judgement)

    def expect_judged(self, *, kept: int, rejected: int = 0) -> None:
        wait_until(
            lambda: (len(self.judged("kept")), len(self.judged("rejected"))) == (kept, rejected),
            f"{kept} kept and {rejected} rejected",
        )


def judged(root: Path, judgement: str) -> list[str]:
    """Read in this process: a command for each look would take half a second."""
    with reading(root / "state.db") as db:
        rows = db.execute("SELECT id FROM judged WHERE judgement = ? ORDER BY id", (judgement,))
        return [job_id for (job_id,) in rows]


@contextmanager
def looking(
    browser: Browser,
    watcher: Watcher,
    size: tuple[int, int] = DESKTOP,
    *,
    expected: str = "no complaint",
    clock: bool = False,
) -> Iterator[Page]:
    """A window on the page; it may complain of nothing else, and ask nobody but its server.

    `clock`: the page's time is the test's to move.
    """
    wrong: list[str] = []
    asked: list[str] = []
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    context.on("request", lambda request: asked.append(request.url))
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    context.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
    if clock:
        context.clock.install()
    yield opened(context, watcher)
    context.close()
    assert [text for text in wrong if expected not in text] == []
    origin = watcher.url.rsplit("/", 2)[0]
    assert [url for url in asked if not url.startswith(f"{origin}/")] == []


def opened(context: BrowserContext, watcher: Watcher) -> Page:
    page = context.new_page()
    page.goto(watcher.url)
    expect(page.locator("#live")).to_have_text(re.compile("^live"))
    return page


def focused(page: Page) -> str:
    """The id of the job whose tile has the focus."""
    return str(page.evaluate("document.activeElement.querySelector('.caption bdi')?.textContent"))


def is_pressed(page: Page, word: str) -> str:
    """Whether the button of that word beside a large picture is: "true" or "false"."""
    button = page.locator("#verdict").get_by_role("button", name=word)
    return str(button.get_attribute("aria-pressed"))


def expect_said(page: Page, text: str) -> None:
    expect(page.locator("#said")).to_have_text(text)


def expect_on_top(page: Page, selector: str) -> None:
    """Wait until a person sees it: nothing else lies at its middle."""
    page.wait_for_function(
        """selector => {
            const one = document.querySelector(selector);
            one.style.pointerEvents = "auto";
            const box = one.getBoundingClientRect();
            const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
            return box.width > 0 && one.contains(document.elementFromPoint(x, y));
        }""",
        arg=selector,
    )
