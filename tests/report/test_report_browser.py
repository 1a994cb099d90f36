"""The page in a real browser: what people click, what hostile text does, how fast it is."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.report.browser_window import DESKTOP, NEEDS_CHROMIUM, PHONE, ids, looking
from tests.report.night_world import HOSTILE, big_night, make

pytestmark = NEEDS_CHROMIUM


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_every_view_fits_its_window(browser: Browser, report: Path, size: tuple[int, int]) -> None:
    with looking(browser, report, size) as page:
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
            expect(page.locator("html")).to_have_attribute("data-theme", theme)
            for view in ("matrix", "failures", "night", "pictures"):
                page.click(f"#tab-{view}")
                expect(page.locator(f"#view-{view}")).to_be_visible()
                assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_filters_narrow_the_grid_and_are_kept_in_the_address(
    browser: Browser, report: Path
) -> None:
    with looking(browser, report) as page:
        assert len(ids(page)) == 18
        page.locator("input[name=state][value=failed]").check()
        assert ids(page) == ["bad-0", "bad-1", "bad-2", "late"]
        page.fill("#search", "SLOW")
        expect(page.locator(".tile")).to_have_count(1)
        assert ids(page) == ["late"]
        page.reload()
        expect(page.locator(".tile")).to_have_count(1)
        page.click("#clear")
        page.locator("input[name=tag][value=dusk]").check()
        assert ids(page) == ["harbour-dusk-ink", "harbour-dusk-oil"]
        page.click("#clear")
        page.locator("input[name=model][value*=image-to-video]").check()
        assert ids(page) == ["clip"]
        page.fill("#search", "no such prompt")
        expect(page.get_by_text("Nothing matches.")).to_be_visible()


def test_filters_are_behind_a_button_on_a_phone(browser: Browser, report: Path) -> None:
    with looking(browser, report, PHONE) as page:
        expect(page.locator("#filters")).to_be_hidden()
        page.click("#toggle-filters")
        page.locator("input[name=state][value=unknown]").check()
        page.click("#toggle-filters")
        assert ids(page) == ["lost"]


def test_a_picture_opens_with_what_is_known_of_it_and_arrows_walk_on(
    browser: Browser, report: Path
) -> None:
    with looking(browser, report) as page:
        page.locator(".tile").first.click()
        box = page.locator("#lightbox")
        expect(box.locator("h2")).to_have_text("harbour-dawn-ink")
        for text in ("a harbour at dawn, ink", "bytedance/dreamina-4-0/text-to-image", "96×64"):  # noqa: RUF001 - as it is shown
            expect(box.get_by_text(text, exact=True)).to_be_visible()
        assert page.evaluate("document.querySelector('#stage img').naturalWidth") == 96
        page.keyboard.press("ArrowRight")
        expect(box.locator("h2")).to_have_text("harbour-dawn-oil")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        expect(box.locator("h2")).to_have_text("harbour-dawn-ink")
        page.keyboard.press("Escape")
        expect(box).to_be_hidden()


def test_the_keyboard_alone_finds_and_opens_a_picture(browser: Browser, report: Path) -> None:
    with looking(browser, report) as page:
        page.keyboard.press("/")
        page.keyboard.type("harbour")
        expect(page.locator(".tile")).to_have_count(6)
        page.locator(".tile[tabindex='0']").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page.locator("#lightbox h2")).to_have_text("harbour-dawn-oil")
        page.keyboard.press("Escape")
        page.keyboard.press("3")
        expect(page.locator("#view-failures")).to_be_visible()


def test_a_video_has_a_poster_and_plays(browser: Browser, report: Path) -> None:
    with looking(browser, report) as page:
        page.get_by_role("button", name="clip, done").click()
        video = page.locator("#stage video")
        assert (video.get_attribute("poster") or "").endswith(".webp")
        video.evaluate(
            "async v => { v.muted = true; await v.play(); await new Promise("
            "done => { v.ontimeupdate = () => v.currentTime > 0.2 && done(); }); }"
        )
        assert video.evaluate("v => v.currentTime") > 0.2


def test_a_cause_shows_its_jobs_and_its_command_is_copied(browser: Browser, report: Path) -> None:
    with looking(browser, report) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.click("#tab-failures")
        card = page.locator(".cause").first
        expect(card.locator("strong")).to_have_text("3")
        expect(card.locator("blockquote")).to_have_text("policy <b>violation</b> in request 000")
        card.get_by_role("button", name="Copy").click()
        expect(page.locator("#said")).to_have_text("Copied")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == "batchgen retry night.yaml --job=bad-0 --job=bad-1 --job=bad-2"
        card.get_by_role("button", name="Show these").click()
        assert ids(page) == ["bad-0", "bad-1", "bad-2"]


def test_hostile_prompts_are_shown_as_the_text_they_are(browser: Browser, report: Path) -> None:
    with looking(browser, report) as page:
        title = page.title()
        for number, prompt in enumerate(HOSTILE):
            page.fill("#search", f"hostile-{number}")
            expect(page.locator(".tile .caption bdi")).to_have_text([f"hostile-{number}"])
            page.locator(".tile").click()
            assert page.locator("#about .prompt").text_content() == prompt
            page.keyboard.press("Escape")
        assert page.title() == title
        assert page.locator("script:not([src]), .tile b, #facets b, .cause b").count() == 0


def test_light_and_dark_can_be_chosen_and_stay(browser: Browser, report: Path) -> None:
    with looking(browser, report) as page:
        page.click("#theme")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        page.reload()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_a_zipped_report_works_where_it_is_unpacked(
    browser: Browser, report: Path, tmp_path: Path
) -> None:
    run = report.parent.parent
    with zipfile.ZipFile(tmp_path / "run.zip", "w") as packed:
        for path in (p for part in ("report", "files") for p in (run / part).rglob("*")):
            packed.write(path, path.relative_to(run))
    with zipfile.ZipFile(tmp_path / "run.zip") as packed:
        packed.extractall(tmp_path / "a friend's #1 folder")
    with looking(browser, tmp_path / "a friend's #1 folder/report/index.html") as page:
        page.locator(".tile").first.click()
        assert page.evaluate("document.querySelector('#stage img').decode().then(() => 'sound')")


def test_a_report_without_its_run_folder_shows_previews_and_a_note(
    browser: Browser, report: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "report.zip", "w") as packed:
        for path in report.parent.rglob("*"):
            packed.write(path, path.relative_to(report.parent))
    with zipfile.ZipFile(tmp_path / "report.zip") as packed:
        packed.extractall(tmp_path / "mail")
    with looking(browser, tmp_path / "mail/index.html", missing="files/") as page:
        page.locator(".tile").first.click()
        expect(page.get_by_text("this is its preview")).to_be_visible()
        expect(page.locator("#stage img")).to_have_js_property("naturalWidth", 96)
        assert "thumbs/" in page.evaluate("document.querySelector('#stage img').currentSrc")
        expect(page.locator("#original")).to_have_count(0)
        page.keyboard.press("Escape")
        page.get_by_role("button", name="clip, done").click()
        expect(page.get_by_text("The video is not beside this page")).to_be_visible()


def test_ten_thousand_results_open_soon_and_filter_within_a_second(
    browser: Browser, tmp_path: Path
) -> None:
    big_night(tmp_path / "out", 10_000)
    page_file = make(tmp_path / "out").page
    began = time.perf_counter()
    with looking(browser, page_file) as page:
        expect(page.locator("#shown")).to_have_text("10,000 jobs")
        opened = time.perf_counter() - began
        # Only what is near the window exists.
        assert page.locator(".tile").count() < 200
        # The quickest of three: another program may have the cores at any moment.
        filtered = min(
            page.evaluate(
                "text => { const t = performance.now(); batchgen.filters.search(text);"
                " document.body.offsetHeight; return performance.now() - t; }",
                text,
            )
            for text in ("ferry 12", "gulls 7", "ferry 34")
        )
        page.click("#clear")
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        expect(page.get_by_role("button", name="poster-009999")).to_be_visible()
    assert filtered < 1000
    assert opened < 30, "about a second; the rest is for whatever else the machine does"
