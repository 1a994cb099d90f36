"""The live page changes limits of a real run: by keyboard, on a phone, with what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.live.live_page import DESKTOP, NEEDS_CHROMIUM, PHONE, looking
from tests.shell import Emulator, Shell, ended
from tests.watch.watch_process import watching

pytestmark = NEEDS_CHROMIUM

REFUSED = "status of 400"
"""What a browser writes into its console for each refusal."""


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_limits_are_changed_by_keyboard_while_a_run_goes_on(
    browser: Browser, tmp_path: Path, emulator: Emulator, size: tuple[int, int]
) -> None:
    shell = Shell(tmp_path, apart=True)
    shell.manifest(8, run={"concurrency": 1, "budget": 40})
    user = shell.using(emulator)
    with (
        watching(shell) as watcher,
        looking(browser, watcher, size, expected=REFUSED) as page,
    ):
        limits = page.locator("#limits")
        expect(limits).to_be_hidden()
        emulator.hold()
        with user.start("run", "m.yaml", "--quiet") as run:
            expect(limits).to_contain_text("Limits: 1 at once · budget 40.00 USD")
            page.locator("#tune").focus()
            page.keyboard.press("Enter")
            at_once = page.get_by_label("At once")
            expect(at_once).to_be_focused()
            expect(at_once).to_have_value("1")
            expect(page.get_by_label("Budget, USD")).to_have_value("40")
            # Keys that mean something elsewhere are text here.
            page.get_by_label("Rate").fill("")
            page.get_by_label("Rate").press_sequentially("quick")
            page.keyboard.press("Enter")
            refused = page.get_by_role("alert")
            expect(refused).to_contain_text("Not changed: rate: a rate looks like 60/min")
            box = page.locator("#tuning").bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= size[0]
            page.get_by_label("Rate").fill("")
            page.get_by_label("Budget, USD").fill("")
            at_once.fill("8")
            page.keyboard.press("Enter")
            expect(page.locator("#tuning")).to_be_hidden()
            expect(limits).to_contain_text("Limits: 8 at once")
            expect(limits).not_to_contain_text("budget")
            page.locator("#tune").click()
            page.locator("#tuning-model").select_option(label="t2i")
            expect(page.get_by_label("Budget, USD")).to_be_hidden()
            page.get_by_label("Rate").fill("600/min")
            page.get_by_role("button", name="Change", exact=True).click()
            expect(limits).to_contain_text("t2i: 600/min")
            page.locator("#tune").click()
            page.keyboard.press("Escape")
            expect(page.locator("#tuning")).to_be_hidden()
            emulator.disarm()
            assert ended(run).code == 0
        expect(limits).to_be_hidden()
    assert len(emulator.charges()) == 8
