"""Problems between the page and its server, and what the user sees of them."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Route, expect

from tests.live.live_page import (
    NEEDS_CHROMIUM,
    PHONE,
    Night,
    expect_on_top,
    expect_said,
    is_pressed,
    judged,
    looking,
)
from tests.report.night_world import small_night
from tests.shell import Shell, ended
from tests.watch.watch_process import watching
from tests.watch.watch_world import called

pytestmark = NEEDS_CHROMIUM

NOT_SAVED = "Not saved: the server is gone"


def answering(page: Page, *answers: dict[str, Any]) -> None:
    """The server's answers to what is picked, one after the other; the last one again and again."""
    left = list(answers)

    def answer(route: Route) -> None:
        route.fulfill(json=left.pop(0) if len(left) > 1 else left[0])

    page.route("**/decisions", answer)


def heard(objections: Sequence[str] = (), rows: Any = None) -> dict[str, Any]:
    return {"handed": rows is None, "objections": list(objections), "rows": rows}


def test_a_gone_server_is_shown_and_an_unsaved_pick_is_reverted(
    browser: Browser, tmp_path: Path
) -> None:
    shell = Shell(tmp_path)
    small_night(tmp_path / "out")
    shell.manifest(1)
    with (
        watching(shell) as watcher,
        looking(browser, watcher, expected="Failed to load resource") as page,
    ):
        page.locator(".tile").first.click()
        watcher.process.send_signal(signal.SIGINT)
        assert ended(watcher.process).code == 0
        page.keyboard.press("k")
        expect_said(page, NOT_SAVED)
        expect_on_top(page, "#said")
        mark = page.locator("#lightbox .live")
        expect(mark).to_have_text("not live")
        expect_on_top(page, "#lightbox .live")
        page.keyboard.press("ArrowLeft")
        assert is_pressed(page, "Keep") == "false"
        page.keyboard.press("Escape")
        expect(page.locator("#news")).to_contain_text("The server is gone")
        expect(page.locator("#news code")).to_have_text("batchgen watch m.yaml")
        assert judged(tmp_path / "out", "kept") == []
        # Another one at the same place knows nothing of this page.
        with watching(shell, "--port", str(urlsplit(watcher.url).port)):
            expect(page.locator("#news")).to_contain_text("restarted")
            page.keyboard.press("k")
            expect_said(page, "Not saved: the server was restarted: open its new address")


def test_messages_over_a_large_picture_are_visible(browser: Browser, night: Night) -> None:
    for size in ((1280, 800), PHONE):
        with looking(browser, night.watcher, size) as page:
            page.locator(".tile").first.click()
            page.keyboard.press("a")
            expect_said(page, "Nothing here waits for approval")
            expect_on_top(page, "#said")
            expect(page.locator("#lightbox .live")).to_be_hidden()
            # What is said stays to be seen when the picture is closed.
            page.keyboard.press("Escape")
            expect_on_top(page, "#said")


def test_what_the_server_took_is_not_taken_back_however_long_the_state_takes(
    browser: Browser, night: Night
) -> None:
    with looking(browser, night.watcher, clock=True) as page:
        answering(page, heard())
        page.locator(".tile").first.click()
        page.locator("#verdict").get_by_role("button", name="Keep").click()
        page.keyboard.press("ArrowLeft")
        page.clock.run_for(60_000)
        assert is_pressed(page, "Keep") == "true"


def test_the_rows_of_an_answer_say_what_became_of_it(browser: Browser, night: Night) -> None:
    rows = called("take", night.watcher.get("data/jobs-0.js"))
    first = {**rows, "rows": rows["rows"][:1]}
    first["rows"][0][14][0][9] = "reject"
    with looking(browser, night.watcher) as page:
        # Meanwhile somebody else has rejected it.
        answering(page, heard(rows=first))
        page.locator(".tile").first.focus()
        page.keyboard.press("k")
        expect(page.locator(".tile").first).to_have_attribute("data-pick", "reject")


def test_an_objection_reverts_only_the_pick_it_concerns(browser: Browser, night: Night) -> None:
    with looking(browser, night.watcher, clock=True) as page:
        answering(page, heard(["file 1 no longer exists"]), heard())
        tile = page.locator(".tile").first
        tile.focus()
        page.keyboard.press("k")
        expect_said(page, "file 1 no longer exists")
        tile.focus()
        page.keyboard.press("x")
        page.clock.run_for(20_000)
        expect(tile).to_have_attribute("data-pick", "reject")
    with looking(browser, night.watcher, clock=True) as page:
        answering(page, heard(["file 1 no longer exists"]))
        tile = page.locator(".tile").first
        tile.focus()
        page.keyboard.press("k")
        expect_said(page, "file 1 no longer exists")
        page.clock.run_for(2_000)
        expect(tile).to_have_attribute("data-pick", "")


def test_a_preview_that_cannot_be_had_just_now_is_asked_for_again(
    browser: Browser, night: Night
) -> None:
    with looking(browser, night.watcher, expected="Failed to load", clock=True) as page:
        page.route("**/thumbs/**", lambda route: route.fulfill(status=503))
        page.reload()
        why = page.locator(".tile .why")
        expect(why.first).to_have_text("no preview just now")
        page.unroute("**/thumbs/**")
        expect(page.locator(".tile img")).to_have_count(0)
        page.clock.run_for(6_000)
        expect(page.locator(".tile img")).to_have_count(13)
        page.route("**/thumbs/**", lambda route: route.fulfill(status=404))
        page.reload()
        expect(why.first).to_have_text("no preview: the file could not be read")


def test_jobs_and_the_night_that_cannot_be_read_just_now_are_asked_for_again(
    browser: Browser, night: Night
) -> None:
    with looking(browser, night.watcher, expected="status of 503", clock=True) as page:
        for address in ("**/data/jobs-0.js", "**/night"):
            page.route(address, lambda route: route.fulfill(status=503))
        page.reload()
        expect_said(page, "Some jobs could not be read just now: trying again")
        page.unroute("**/data/jobs-0.js")
        page.clock.run_for(4_000)
        expect(page.locator(".tile")).to_have_count(18)
        with page.expect_response("**/night"):
            page.click("#tab-night")
        page.unroute("**/night")
        with page.expect_response("**/night") as answer:
            page.clock.run_for(4_000)
        assert answer.value.ok
