"""The live page beside real runs: results arrive, and an approval continues a chain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.live.live_page import NEEDS_CHROMIUM, focused, judged, looking
from tests.shell import Emulator, Shell, boat, emulating, ended, wait_until
from tests.watch.watch_process import watching

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with emulating(latency=0.25) as emulator:
        yield emulator


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    # Where a browser is driven, a loop runs already.
    return Shell(tmp_path, apart=True)


def test_results_come_in_while_the_page_is_open_and_the_focus_stays(
    browser: Browser, shell: Shell, emulator: Emulator
) -> None:
    shell.manifest(8, run={"concurrency": 2})
    with watching(shell) as watcher:
        user = shell.using(emulator)
        with looking(browser, watcher) as page:
            news = page.locator("#news")
            expect(news).to_contain_text("Nothing has been run yet")
            expect(news.locator("code")).to_have_text("batchgen run m.yaml")
            emulator.hold()
            with user.start("run", "m.yaml", "--quiet") as run:
                expect(page.locator(".tile")).to_have_count(8)
                expect(page.locator("#live")).to_have_text("live, running")
                expect(news).to_be_hidden()
                emulator.disarm()
                expect(page.locator(".tile img").first).to_be_visible()
                # From here on nothing is loaded anew, and what a person looks at stays.
                page.evaluate("window.mine = document.querySelector('.tile img')")
                page.locator(".tile").nth(7).focus()
                expect(page.locator(".tile img")).to_have_count(8)
                assert ended(run).code == 0
            assert page.evaluate("window.mine.isConnected")
            assert focused(page) == "boat-007"
            expect(page.locator(".line").first).to_contain_text("8 done")
            expect(page.locator("#live")).to_have_text("live")
            page.click("#tab-night")
            expect(page.locator("#view-night svg").first).to_be_visible()
            expect(page.get_by_role("row", name="t2i")).to_contain_text("8")


def test_an_approval_lets_the_chain_go_on(
    browser: Browser, shell: Shell, emulator: Emulator
) -> None:
    clip = {
        "id": "clip",
        "model": "bytedance/dreamina-3-0/pro/image-to-video",
        "needs": ["boat-000"],
        "input": {"prompt": "slow pan", "image_urls": ["{{ jobs['boat-000'].image }}"]},
    }
    shell.manifest([boat(0, gate=True), clip])
    with watching(shell) as watcher:
        user = shell.using(emulator)
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
            wait_until(lambda: judged(shell.folder / "out", "kept") == ["clip"], "the pick")
            assert video.evaluate("v => v.currentTime > 0.2 && !v.paused")
