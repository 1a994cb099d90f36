"""Accessibility: contrast, focus, motion, long words, and use without a mouse."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.report.browser_window import DESKTOP, NEEDS_CHROMIUM, PHONE, looking
from tests.report.night_world import (
    begin,
    harbour,
    job,
    make,
    not_done,
)

pytestmark = NEEDS_CHROMIUM

AA = 4.5
"""WCAG 2.2, 1.4.3: text of any size below 24 px."""

FAINT = Path(__file__).with_name("faint.js").read_text("utf-8")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_stands_out_from_its_ground(
    browser: Browser, report: Path, marked: Path, theme: str
) -> None:
    for page_file in (report, marked):
        with looking(browser, page_file, DESKTOP, theme) as page:
            faint = {}
            for view in ("matrix", "failures", "night", "pictures"):
                page.click(f"#tab-{view}")
                faint[view] = page.evaluate(FAINT, AA)
            page.locator(".tile").nth(1).click()
            faint["lightbox"] = page.evaluate(FAINT, AA)
            assert not any(faint.values()), faint


def test_the_keyboard_alone_reaches_every_view_and_shows_where_it_is(
    browser: Browser, marked: Path, report: Path
) -> None:
    with looking(browser, report) as page:
        page.keyboard.press("Tab")
        for tab in ("pictures", "matrix"):
            expect(page.locator(f"#tab-{tab}")).to_be_focused()
            assert has_ring(page)
            expect(page.locator(f"#view-{tab}")).to_be_visible()
            # The tabs are one stop; what is next to them comes next.
            page.keyboard.press("ArrowRight" if tab == "pictures" else "Tab")
        expect(page.locator("#theme")).to_be_focused()
        page.locator("#matrix select").first.focus()
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page.locator("table.matrix tbody th").first).to_have_text("ink")
        expect(page.locator("#matrix select").nth(1)).to_be_focused()
        page.keyboard.press("4")
        expect(page.locator("#view-matrix")).to_be_visible()
    with looking(browser, marked) as page:
        page.locator("input[value=reject]").focus()
        page.keyboard.press("Space")
        expect(page.locator(".tile")).to_have_count(1)
        expect(page.locator("input[value=reject]")).to_be_focused()
        assert has_ring(page)
        page.locator(".tile").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#lightbox h2")).to_have_text("sea-1")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('dialog') !== null")
        page.keyboard.press("Escape")
        expect(page.locator(".tile")).to_be_focused()


def has_ring(page: Page) -> bool:
    return bool(
        page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth) >= 2")
    )


def test_nothing_moves_if_reduced_motion_is_preferred(browser: Browser, report: Path) -> None:
    with looking(browser, report) as page:
        moving = (
            "() => [...document.querySelectorAll('*')].filter(one =>"
            " getComputedStyle(one).transitionDuration !== '0s').length"
        )
        assert page.evaluate(moving) > 0
        page.emulate_media(reduced_motion="reduce")
        assert page.evaluate(moving) == 0


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_endless_words_do_not_overflow(
    browser: Browser, tmp_path: Path, size: tuple[int, int]
) -> None:
    word = "immeasurable" * 16
    jobs = [
        job(f"{word}-{n}", word, tags=(word, f"{n}"), **harbour(**{word: f"{word}{n}"}))
        for n in range(3)
    ]
    with closing(begin(tmp_path / "out", jobs)) as db:
        not_done(db, jobs[0].id, "failed", word[:64], word * 3)
    with looking(browser, make(tmp_path / "out").page, size) as page:
        for view in ("matrix", "failures", "pictures"):
            page.click(f"#tab-{view}")
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0], view
        page.locator(".tile").first.click()
        inside = "one => one.scrollWidth <= one.clientWidth"
        assert page.locator("#about").evaluate(inside)
        page.keyboard.press("Escape")
        if size is PHONE:
            page.click("#toggle-filters")
        assert page.locator("#filters").evaluate(inside)
