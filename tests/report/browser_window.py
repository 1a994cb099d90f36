"""A window of a real browser on a report."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

CHROMIUM = Path("/usr/bin/chromium")
NEEDS_CHROMIUM = pytest.mark.skipif(
    not CHROMIUM.exists(), reason="there is no /usr/bin/chromium: apt-get install chromium"
)
DESKTOP, PHONE = (1440, 900), (390, 844)


@contextmanager
def looking(
    browser: Browser,
    page: Path,
    size: tuple[int, int] = DESKTOP,
    theme: str = "light",
    *,
    missing: str | None = None,
    view: str = "",
) -> Iterator[Page]:
    """A window on the page; at its end nothing may have been complained of, or asked of a net.

    `missing`: what stands in the addresses of files that are allowed to be missing. `view`: what
    the address ends with.
    """
    wrong: list[str] = []
    asked: list[str] = []
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if theme == "dark" else "light",
    )
    # Nothing leaves this machine, whatever the page does.
    context.route("http*://**", lambda route: route.abort())
    context.on("request", lambda request: asked.append(request.url))
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    context.on("console", lambda message: wrong.append(f"{message.type}: {_told(message)}"))
    window = context.new_page()
    window.goto(page.as_uri() + view)
    expect(window.locator("#shown")).to_have_text(re.compile(r"^[\d,]+ jobs?$"))
    yield window
    context.close()
    assert [one for one in wrong if missing is None or missing not in one] == []
    assert [url for url in asked if not url.startswith("file://")] == []


def _told(message: ConsoleMessage) -> str:
    return f"{message.text} {message.location['url']}"


def ids(page: Page) -> list[str]:
    return page.locator(".tile .caption bdi").all_text_contents()
