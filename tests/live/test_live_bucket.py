"""The report and the live page of results in a bucket, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.live.live_page import NEEDS_CHROMIUM, looking
from tests.report.browser_window import looking as looking_at_file
from tests.report.night_world import small_night
from tests.shell import Shell
from tests.storage.s3_server import S3Server
from tests.storage.stored import Stored, moved_to_bucket
from tests.watch.watch_process import watching

pytestmark = NEEDS_CHROMIUM


@pytest.fixture
def night(tmp_path: Path, s3: S3Server, bucket: str) -> Stored:
    shell = Shell(tmp_path, apart=True)
    shell.manifest(1)
    small_night(tmp_path / "out")
    return moved_to_bucket(shell, s3, bucket)


def test_a_report_shows_previews_and_where_the_originals_are(
    browser: Browser, night: Stored
) -> None:
    night.shell.expect(0, "report", "m.yaml")
    with looking_at_file(browser, night.shell.folder / "out/report/index.html") as page:
        page.locator(".tile").first.click()
        expect(
            page.get_by_text("The original is in the bucket: this is its preview.")
        ).to_be_visible()
        expect(page.locator("#stage img")).to_have_js_property("naturalWidth", 96)
        place = f"{night.location}/files/harbour-dawn-ink.png"
        expect(page.locator("#about dd", has_text=place)).to_be_visible()
        expect(page.get_by_role("button", name="Copy location")).to_be_visible()
        expect(page.locator("#original")).to_have_count(0)
        page.keyboard.press("Escape")
        page.get_by_role("button", name="clip, done").click()
        expect(
            page.get_by_text("The video is in the bucket: this is its first frame.")
        ).to_be_visible()
        expect(page.locator("#stage video")).to_have_count(0)


def test_the_live_page_shows_originals_through_its_server(browser: Browser, night: Stored) -> None:
    with watching(night.shell) as watcher, looking(browser, watcher) as page:
        page.locator(".tile").first.click()
        expect(page.locator("#stage img")).to_have_js_property("naturalWidth", 96)
        assert "originals/" in page.evaluate("document.querySelector('#stage img').currentSrc")
        expect(page.get_by_role("link", name="Original")).to_be_visible()
        place = f"{night.location}/files/harbour-dawn-ink.png"
        expect(page.locator("#about dd", has_text=place)).to_be_visible()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="clip, done").click()
        video = page.locator("#stage video")
        expect(video).to_have_js_property("readyState", 4)
        expect(video).to_have_js_property("error", None)
