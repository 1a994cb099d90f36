"""Marks of results in the page: picks, flaws and gates that wait."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect

from tests.report.browser_window import NEEDS_CHROMIUM, ids, looking

pytestmark = NEEDS_CHROMIUM


def test_a_tile_shows_its_marks_by_shape_and_word(browser: Browser, marked: Path) -> None:
    with looking(browser, marked) as page:
        tile = page.locator(".tile")
        for at, words, shapes in (
            (0, "sea-0, done, kept,", "★"),
            (1, "sea-1, done, rejected, near blank,", "⊖⚑"),
            (2, "sea-2, done, duplicate, near blank,", "⚑"),
            (3, "sea-3, done, waits for approval,", "◔"),
            (7, "sea-6, done, t2i", ""),
        ):
            assert (tile.nth(at).get_attribute("aria-label") or "").startswith(words)
            assert "".join(tile.nth(at).locator(".mark").all_text_contents()) == shapes
        title = tile.nth(2).locator(".mark").get_attribute("title")
        assert title == "duplicate: the same bytes as sea-0; near blank: 98 %"
        assert [tile.nth(at).get_attribute("data-pick") for at in range(3)] == [
            "keep",
            "reject",
            "",
        ]
        keys = {one.get_attribute("data-key") for one in tile.all()}
        assert len(keys) == 9
        dimmed = "one => Number(getComputedStyle(one.querySelector('img')).opacity) < 0.5"
        assert [tile.nth(at).evaluate(dimmed) for at in range(3)] == [False, True, False]


def test_the_first_lines_count_what_is_marked(browser: Browser, marked: Path) -> None:
    with looking(browser, marked) as page:
        said = page.locator("#marked .badge").all_inner_texts()
        words = [" ".join(one.split()) for one in said]
        assert words == ["★ 2 kept", "⊖ 1 rejected", "⚑ 2 flawed", "◔ 1 waits for approval"]


def choice(page: Page, word: str) -> Locator:
    return page.locator("#facets").get_by_label(word)


def test_marks_filter_and_of_two_files_only_the_marked_one_is_shown(
    browser: Browser, marked: Path
) -> None:
    with looking(browser, marked) as page:
        choice(page, "kept").check()
        assert ids(page) == ["sea-0", "sea-4"]
        page.locator(".tile").nth(1).click()
        expect(page.locator("#about dd").last).to_have_text("files/sea-4-2.png")
        page.keyboard.press("Escape")
        choice(page, "not picked").check()
        expect(page.locator(".tile")).to_have_count(8)
        page.reload()
        expect(page.locator(".tile")).to_have_count(8)
        page.click("#clear")
        page.get_by_role("group", name="Flaw").get_by_label("near blank").check()
        assert ids(page) == ["sea-1", "sea-2"]
        choice(page, "rejected").check()
        assert ids(page) == ["sea-1"]
        page.click("#clear")
        choice(page, "waits for approval").check()
        assert ids(page) == ["sea-3"]


def test_a_night_without_marks_has_no_filters_for_them(browser: Browser, report: Path) -> None:
    with looking(browser, report) as page:
        legends = page.locator("legend").all_text_contents()
        assert legends == ["State", "Model", "hour", "look", "Tag"]
        expect(page.locator("#marked")).to_be_hidden()
        page.click("#tab-failures")
        assert page.locator(".part").all_text_contents() == ["Not done"]


def test_a_duplicate_leads_to_the_other_and_back(browser: Browser, marked: Path) -> None:
    with looking(browser, marked) as page:
        page.locator(".tile").nth(2).click()
        assert page.locator(".flaws li").all_inner_texts() == [
            "duplicate: the same bytes as sea-0Show the other",
            "near blank: 98 %",
        ]
        page.get_by_role("button", name="Show the other").click()
        expect(page.locator("#lightbox h2")).to_have_text("sea-0")
        expect(page.locator(".pills")).to_have_text("★kept")
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#lightbox h2")).to_have_text("sea-2")
        page.keyboard.press("Escape")
        expect(page.locator(".tile").nth(2)).to_be_focused()


def test_flaws_are_grouped_by_kind_with_commands_to_check_again_and_to_retry(
    browser: Browser, marked: Path
) -> None:
    with looking(browser, marked) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.click("#tab-failures")
        assert page.locator(".part").all_text_contents() == ["Flaws", "Rejected"]
        card = page.locator(".cause[data-flaw=near_blank]")
        expect(card.locator("strong")).to_have_text("2")
        expect(card.locator("li").first).to_have_text(
            "sea-1: 97.1 % of its pixels are <b>alike</b>"
        )
        assert page.locator("#causes code").all_text_contents() == [
            "batchgen check night.yaml",
            "batchgen check night.yaml --reject near_blank",
            "batchgen retry night.yaml --state=rejected",
            "batchgen check night.yaml --reject duplicate",
            "batchgen retry night.yaml --state=rejected",
            "batchgen retry night.yaml --state=rejected",
        ]
        card.get_by_role("button", name="Copy").first.click()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == "batchgen check night.yaml --reject near_blank"
        card.get_by_role("button", name="Show these").click()
        assert ids(page) == ["sea-1", "sea-2"]
