"""While rows come in, focus, scroll position and a mouse press in progress are kept."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from batchgen.cli.browser import private_page
from tests.live.live_page import NEEDS_CHROMIUM, Night, expect_said, is_pressed, looking

pytestmark = NEEDS_CHROMIUM


def leave(night: Night, page: Page, hour: str = "noon") -> None:
    """Two jobs become cancelled, and the page has drawn it."""
    night.change(f"UPDATE job SET state = 'cancelled' WHERE id LIKE 'harbour-{hour}-%'")
    expect(page.locator(".line").first).to_contain_text("2 cancelled")
    page.wait_for_function(
        "() => batchgen.store.jobs().filter(job => job.state === 'cancelled').length === 2"
    )


def test_a_browser_comes_to_the_page_through_the_private_file(
    browser: Browser, night: Night, tmp_path: Path
) -> None:
    with private_page(night.watcher.url, tmp_path) as file:
        assert file is not None
        page = browser.new_page()
        page.goto(file.as_uri())
        expect(page).to_have_url(night.watcher.url)
        expect(page.locator(".tile")).to_have_count(18)
        page.close()


def test_rows_that_arrive_above_do_not_move_what_is_visible(browser: Browser, night: Night) -> None:
    with looking(browser, night.watcher, (390, 500)) as page:
        page.click("#toggle-filters")
        page.locator("input[name=state][value=done]").check()
        page.click("#toggle-filters")
        page.evaluate("scrollTo(0, 900)")
        there = (
            "() => [...document.querySelectorAll('.tile')]"
            ".map(t => [t.querySelector('.caption bdi').textContent,"
            " Math.round(t.getBoundingClientRect().top)]).find(([, top]) => top >= 0)"
        )
        name, top = page.wait_for_function(there).json_value()
        count = page.locator("#shown").text_content()
        # The third line's job leaves the filter.
        leave(night, page)
        expect(page.locator("#shown")).not_to_have_text(count or "")
        assert page.evaluate(there) == [name, top]


def test_a_filter_pressed_while_rows_come_in_is_chosen(browser: Browser, night: Night) -> None:
    with looking(browser, night.watcher) as page:
        box = page.locator("input[name=state][value=done]")
        count = page.locator(".choice", has=box).locator(".count")
        expect(count).to_have_text("13")
        box.hover()
        page.mouse.down()
        leave(night, page)
        expect(count).to_have_text("11")
        page.mouse.up()
        expect(box).to_be_checked()
        expect(page.locator("#shown")).to_contain_text("11 of")


def test_the_matrix_keeps_focus_and_scroll_while_rows_come_in(
    browser: Browser, night: Night
) -> None:
    with looking(browser, night.watcher, (390, 400)) as page:
        page.click("#tab-matrix")
        scroller = page.locator("#matrix .scroller")
        scroller.evaluate("one => { one.style.maxHeight = '150px'; one.scrollTop = 120; }")
        first = page.locator(".cell").nth(0)
        first.evaluate("one => { window.mine = one; one.focus({ preventScroll: true }); }")
        leave(night, page)
        expect(page.locator(".cell[data-state=cancelled]")).to_have_count(2)
        assert page.evaluate("document.activeElement === window.mine")
        assert scroller.evaluate("one => one.scrollTop") == 120
        # One that changes itself hands its focus on.
        night.change("UPDATE file SET pick = 'keep' WHERE name = 'harbour-dawn-ink'")
        expect(first).to_have_attribute("data-pick", "keep")
        expect(first).to_be_focused()
        page.locator("#matrix select").nth(1).focus()
        leave_again = "UPDATE job SET state = 'done' WHERE id LIKE 'harbour-%'"
        night.change(leave_again)
        expect(page.locator(".cell[data-state=cancelled]")).to_have_count(0)
        expect(page.locator("#matrix select").nth(1)).to_be_focused()


def test_a_card_of_the_failures_keeps_the_focus_while_rows_come_in(
    browser: Browser, night: Night
) -> None:
    with looking(browser, night.watcher) as page:
        page.click("#tab-failures")
        copy = page.locator(".cause").first.get_by_role("button", name="Copy")
        copy.focus()
        copy.evaluate("one => { window.mine = one; }")
        night.change("INSERT INTO flaw (file, kind, words) SELECT min(id), 'blank', 'x' FROM file")
        expect(page.locator(".cause[data-flaw=blank]")).to_be_visible()
        assert page.evaluate("document.activeElement === window.mine")


def test_a_large_picture_closed_over_the_matrix_leaves_the_page_where_it_was(
    browser: Browser, night: Night
) -> None:
    with looking(browser, night.watcher, (390, 500)) as page:
        # The hidden pictures were laid out, and stand far below.
        page.locator(".tile").last.focus()
        page.click("#tab-matrix")
        page.locator(".cell").last.scroll_into_view_if_needed()
        top = page.evaluate("scrollY")
        page.locator(".cell").last.click()
        page.keyboard.press("Escape")
        expect(page.locator("#lightbox")).to_be_hidden()
        assert page.evaluate("scrollY") == top


def test_reloading_the_manifest_keeps_what_was_open_and_selected(
    browser: Browser, night: Night
) -> None:
    read = "INSERT OR REPLACE INTO meta (key, value) VALUES ('inputs', '{}')"
    night.change(read.format("before"))
    with looking(browser, night.watcher) as page:
        page.locator(".tile").first.focus()
        page.keyboard.press("Shift+ArrowRight")
        expect(page.locator("#selected")).to_have_text("2 selected")
        page.locator(".tile").nth(3).evaluate(
            "one => batchgen.lightbox.open(batchgen.grid.tiles(), Number(one.dataset.at))"
        )
        page.keyboard.press("k")
        expect(page.locator("#lightbox h2")).to_have_text("harbour-dusk-ink")
        page.evaluate("window.before = true")
        night.expect_judged(kept=1)
        night.change(read.format("after"))
        page.wait_for_function("() => !window.before")
        expect(page.locator("#lightbox h2")).to_have_text("harbour-dusk-ink")
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#lightbox h2")).to_have_text("harbour-noon-oil")
        assert is_pressed(page, "Keep") == "true"
        page.keyboard.press("z")
        expect_said(page, "harbour-noon-oil: undone")
        page.keyboard.press("Escape")
        expect(page.locator("#selected")).to_have_text("2 selected")
        night.expect_judged(kept=0)
