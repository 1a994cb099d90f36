"""The live page in a real browser, beside real runs: what comes in, what is picked, what fails."""

from __future__ import annotations

import re
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.acceptance.shell import Shell, aimed, boat, emulating, ended, wait_until
from tests.report.night_world import small_night
from tests.watch.watch_process import watching
from tests.watch.watch_world import change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.watch.watch_process import Watcher

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(), reason="there is no /usr/bin/chromium: apt-get install chromium"
)
DESKTOP, PHONE = (1280, 800), (390, 844)
RESULTS = 13


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # A container's root has no sandbox to go into.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def night(shell: Shell) -> Iterator[Watcher]:
    """A night that is over, watched."""
    small_night(shell.folder / "out")
    shell.manifest(1)
    with watching(shell) as watcher:
        yield watcher


@contextmanager
def looking(
    browser: Browser,
    watcher: Watcher,
    size: tuple[int, int] = DESKTOP,
    *,
    expected: str = "no complaint",
) -> Iterator[Page]:
    """A window on the page; it may complain of nothing else, and ask nobody but its server."""
    wrong: list[str] = []
    asked: list[str] = []
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    context.on("request", lambda request: asked.append(request.url))
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    context.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
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


def kept(shell: Shell, judgement: str = "kept") -> list[str]:
    words = ("status", "m.yaml", "--state", judgement, "--json")
    return sorted(job["id"] for job in shell.expect(0, *words).document["jobs"])


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.querySelector('.caption bdi')?.textContent"))


def tile(page: Page, job_id: str) -> str:
    """The tile's label. It says the job's id first."""
    return str(page.locator(".tile", has_text=job_id).get_attribute("aria-label"))


def test_results_come_in_while_the_page_is_open_and_the_focus_stays(
    browser: Browser, shell: Shell
) -> None:
    shell.manifest(8, run={"concurrency": 2})
    with emulating(shell, latency=0.5) as emulator, watching(shell) as watcher:
        user = aimed(shell, emulator)
        with looking(browser, watcher) as page:
            news = page.locator("#news")
            expect(news).to_contain_text("Nothing was run yet")
            expect(news.locator("code")).to_have_text("batchgen run m.yaml")
            with user.start("run", "m.yaml", "--quiet") as run:
                expect(page.locator(".tile")).to_have_count(8)
                expect(page.locator("#live")).to_have_text("live, running")
                expect(news).to_be_hidden()
                expect(page.locator(".tile img").first).to_be_visible()
                # From here on nothing is loaded anew, and what a person looks at stays.
                page.evaluate("window.mine = document.querySelector('.tile img')")
                page.locator(".tile").nth(7).focus()
                expect(page.locator(".tile img")).to_have_count(8, timeout=20_000)
                assert ended(run).code == 0
            assert page.evaluate("window.mine.isConnected")
            assert focused(page) == "boat-007"
            expect(page.locator(".line").first).to_contain_text("8 done")
            expect(page.locator("#live")).to_have_text("live")
            page.click("#tab-night")
            expect(page.locator("#view-night svg").first).to_be_visible()
            expect(page.get_by_role("row", name="t2i")).to_contain_text("8")


def test_the_keyboard_picks_and_the_state_has_it(
    browser: Browser, shell: Shell, night: Watcher
) -> None:
    with looking(browser, night) as page:
        expect(page.locator(".tile")).to_have_count(18)
        page.locator(".tile").first.focus()
        for key in ("k", "x", "k"):
            page.keyboard.press(key)
        # Each goes on to the next.
        assert focused(page) == "harbour-noon-oil"
        page.keyboard.press("z")
        wait_until(
            lambda: (
                kept(shell) == ["harbour-dawn-ink"]
                and kept(shell, "rejected") == ["harbour-dawn-oil"]
            ),
            "the picks",
        )
        page.reload()
        page.locator(".tile").first.click()
        verdict = page.locator("#verdict")
        expect(verdict.get_by_role("button", name="Keep")).to_have_attribute("aria-pressed", "true")
        # In the large view the keys pick too, and go on.
        page.keyboard.press("u")
        expect(verdict.get_by_role("button", name="Keep")).to_have_attribute(
            "aria-pressed", "false"
        )
        page.keyboard.press("x")
        expect(page.locator("#lightbox h2")).to_have_text("harbour-dawn-oil")
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#lightbox h2")).to_have_text("harbour-dawn-ink")
        page.keyboard.press("Escape")
        wait_until(lambda: len(kept(shell, "rejected")) == 2 and not kept(shell), "the word")


def test_several_are_selected_by_shift_and_arrows_and_picked_together(
    browser: Browser, shell: Shell, night: Watcher
) -> None:
    with looking(browser, night) as page:
        page.locator(".tile").nth(1).focus()
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowRight")
        expect(page.locator("#selected")).to_have_text("3 selected")
        expect(page.locator(".tile.selected")).to_have_count(3)
        page.keyboard.press("x")
        wait_until(lambda: len(kept(shell, "rejected")) == 3, "three rejected")
        page.keyboard.press("Escape")
        expect(page.locator("#picking")).to_be_hidden()
        page.keyboard.press("z")
        wait_until(lambda: kept(shell, "rejected") == [], "taken back")


def test_all_that_is_shown_is_picked_after_a_question(
    browser: Browser, shell: Shell, night: Watcher
) -> None:
    with looking(browser, night) as page:
        page.fill("#search", "harbour")
        expect(page.locator(".tile")).to_have_count(6)
        page.click("#all")
        expect(page.locator("#question")).to_contain_text("all 6 results")
        page.keyboard.press("k")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#confirm")).to_be_hidden()
        assert kept(shell) == []
        page.click("#all")
        page.get_by_role("button", name="Keep all").click()
        wait_until(lambda: len(kept(shell)) == 6, "all kept")


def test_a_finger_selects_and_picks_with_buttons(
    browser: Browser, shell: Shell, night: Watcher
) -> None:
    with looking(browser, night, PHONE) as page:
        page.click("#select")
        page.locator(".tile").nth(0).click()
        page.locator(".tile").nth(2).click()
        expect(page.locator("#selected")).to_have_text("2 selected")
        page.locator("#picking [data-word=keep]").click()
        page.click("#unselect")
        page.locator(".tile").nth(1).click()
        page.locator("#verdict").get_by_role("button", name="Reject").click()
        expect(page.locator("#lightbox h2")).to_have_text("harbour-noon-ink")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        wait_until(lambda: len(kept(shell)) == 2 and len(kept(shell, "rejected")) == 1, "picks")


def test_a_pick_in_one_window_is_seen_in_the_other(browser: Browser, night: Watcher) -> None:
    with looking(browser, night) as page:
        other = opened(page.context, night)
        other.locator(".tile").first.click()
        page.locator(".tile").first.focus()
        page.keyboard.press("k")
        keep = other.locator("#verdict").get_by_role("button", name="Keep")
        expect(keep).to_have_attribute("aria-pressed", "true")


def test_an_approval_lets_the_chain_go_on(browser: Browser, shell: Shell) -> None:
    clip = {
        "id": "clip",
        "model": "bytedance/dreamina-3-0/pro/image-to-video",
        "needs": ["boat-000"],
        "input": {"prompt": "slow pan", "image_urls": ["{{ jobs['boat-000'].image }}"]},
    }
    shell.manifest([boat(0, gate=True), clip])
    with emulating(shell) as emulator, watching(shell) as watcher:
        user = aimed(shell, emulator)
        user.expect(75, "run", "m.yaml", "--quiet")
        with looking(browser, watcher) as page:
            news = page.locator("#news")
            expect(news.locator("code")).to_have_text("batchgen approve m.yaml --all")
            page.locator(".tile").first.focus()
            page.keyboard.press("a")
            expect(page.locator("#said")).to_have_text("boat-000 approved")
            expect(news.locator("code")).to_have_text("batchgen run m.yaml")
            user.expect(0, "run", "m.yaml", "--quiet")
            page.get_by_role("button", name="clip, done").click()
            video = page.locator("#stage video")
            video.evaluate(
                "async v => { v.muted = true; await v.play(); await new Promise("
                "done => { v.ontimeupdate = () => v.currentTime > 0.2 && done(); }); }"
            )
            # What is picked while it plays does not stop it.
            page.keyboard.press("u")
            page.locator("#verdict").get_by_role("button", name="Keep").click()
            wait_until(lambda: kept(shell) == ["clip"], "the pick")
            assert video.evaluate("v => v.currentTime > 0.2 && !v.paused")


def test_rows_that_come_in_above_do_not_move_what_is_looked_at(
    browser: Browser, shell: Shell, night: Watcher
) -> None:
    with looking(browser, night, (390, 500)) as page:
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
        _write(shell, "UPDATE job SET state = 'cancelled' WHERE id LIKE 'harbour-noon-%'")
        expect(page.locator("#shown")).not_to_have_text(count or "")
        assert page.evaluate(there) == [name, top]


def test_a_server_that_is_gone_is_said_and_a_pick_is_taken_back(
    browser: Browser, shell: Shell, night: Watcher
) -> None:
    with looking(browser, night, expected="ERR_CONNECTION_REFUSED") as page:
        page.locator(".tile").first.click()
        night.process.send_signal(signal.SIGINT)
        assert ended(night.process).code == 0
        page.keyboard.press("k")
        expect(page.locator("#said")).to_have_text("Not saved: the server is gone")
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#verdict").get_by_role("button", name="Keep")).to_have_attribute(
            "aria-pressed", "false"
        )
        page.keyboard.press("Escape")
        expect(page.locator("#news")).to_contain_text("The server is gone")
        expect(page.locator("#news code")).to_have_text("batchgen watch m.yaml")
    assert kept(shell) == []


def _write(shell: Shell, statement: str) -> None:
    change(shell.folder / "out", statement)
