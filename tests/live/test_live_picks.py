"""Picking in the live page: with keys, by touch, several, all shown; and undoing."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from tests.live.live_page import (
    DESKTOP,
    NEEDS_CHROMIUM,
    PHONE,
    RESULTS,
    Night,
    expect_said,
    focused,
    is_pressed,
    looking,
    opened,
)

pytestmark = NEEDS_CHROMIUM


def test_the_keyboard_picks_and_the_state_has_it(browser: Browser, night: Night) -> None:
    with looking(browser, night.watcher) as page:
        expect(page.locator(".tile")).to_have_count(18)
        page.locator(".tile").first.focus()
        for key in ("k", "x", "k"):
            page.keyboard.press(key)
        # Each goes on to the next.
        assert focused(page) == "harbour-noon-oil"
        page.keyboard.press("z")
        expect_said(page, "harbour-noon-ink: undone")
        night.expect_judged(kept=1, rejected=1)
        page.reload()
        page.locator(".tile").first.click()
        expect(page.locator("#verdict")).to_be_visible()
        assert is_pressed(page, "Keep") == "true"
        # In the large view the keys pick too, and go on.
        page.keyboard.press("u")
        assert is_pressed(page, "Keep") == "false"
        page.keyboard.press("x")
        expect(page.locator("#lightbox h2")).to_have_text("harbour-dawn-oil")
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#lightbox h2")).to_have_text("harbour-dawn-ink")
        page.keyboard.press("Escape")
        night.expect_judged(kept=0, rejected=2)


def test_a_picking_key_steps_over_what_has_no_result(browser: Browser, night: Night) -> None:
    with looking(browser, night.watcher) as page:
        for key in ("k", "x"):
            page.locator(".tile", has_text="bad-0").focus()
            page.keyboard.press(key)
            expect_said(page, "There is no result to pick yet")
            assert focused(page) == "clip"
        page.locator(".tile", has_text="bad-1").click()
        page.keyboard.press("k")
        expect(page.locator("#lightbox h2")).to_have_text("clip")
        # The last that has a result: nowhere to go on to.
        page.keyboard.press("k")
        expect(page.locator("#lightbox h2")).to_have_text("clip")
        night.expect_judged(kept=1)


def test_several_are_selected_by_shift_and_arrows_and_picked_together(
    browser: Browser, night: Night
) -> None:
    with looking(browser, night.watcher) as page:
        page.locator(".tile").nth(1).focus()
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowRight")
        expect(page.locator("#selected")).to_have_text("3 selected")
        expect(page.locator(".tile.selected")).to_have_count(3)
        page.keyboard.press("x")
        night.expect_judged(kept=0, rejected=3)
        page.keyboard.press("Escape")
        expect(page.locator("#picking")).to_be_hidden()
        page.keyboard.press("z")
        expect_said(page, "3 picks undone")
        night.expect_judged(kept=0)


def test_of_those_selected_only_the_shown_ones_count_and_are_picked(
    browser: Browser, night: Night
) -> None:
    with looking(browser, night.watcher) as page:
        page.locator(".tile").nth(0).focus()
        for _ in range(3):
            page.keyboard.press("Shift+ArrowRight")
        expect(page.locator("#selected")).to_have_text("4 selected")
        page.get_by_role("group", name="look").get_by_label("ink").check()
        expect(page.locator("#selected")).to_have_text("2 selected")
        page.keyboard.press("2")
        expect(page.locator("#picking")).to_be_hidden()
        page.keyboard.press("1")
        page.locator("#picking [data-word=keep]").click()
        night.expect_judged(kept=2)
        assert night.judged("kept") == ["harbour-dawn-ink", "harbour-noon-ink"]
        page.fill("#search", "slow pan")
        expect(page.locator("#picking")).to_be_hidden()


def test_all_that_is_shown_is_picked_after_a_question(browser: Browser, night: Night) -> None:
    with looking(browser, night.watcher) as page:
        page.fill("#search", "harbour")
        expect(page.locator(".tile")).to_have_count(6)
        page.click("#all")
        expect(page.locator("#question")).to_contain_text("all 6 results")
        page.keyboard.press("k")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#confirm")).to_be_hidden()
        assert night.judged("kept") == []
        page.click("#all")
        page.get_by_role("button", name="Keep all").click()
        night.expect_judged(kept=6)


def test_all_that_the_matrix_shows_is_what_is_picked_there(browser: Browser, night: Night) -> None:
    with looking(browser, night.watcher) as page:
        page.keyboard.press("2")
        expect(page.locator(".cell")).to_have_count(6)
        expect(page.locator("#select")).to_be_hidden()
        page.get_by_role("group", name="hour").get_by_label("dawn").check()
        expect(page.locator(".cell")).to_have_count(2)
        page.click("#all")
        expect(page.locator("#question")).to_contain_text("all 2 results")
        page.get_by_role("button", name="Reject all").click()
        expect(page.locator(".cell[data-pick=reject]")).to_have_count(2)
        night.expect_judged(kept=0, rejected=2)
        assert night.judged("rejected") == ["harbour-dawn-ink", "harbour-dawn-oil"]
        page.keyboard.press("z")
        night.expect_judged(kept=0)


def test_many_picks_are_taken_back_as_one(browser: Browser, night: Night) -> None:
    with looking(browser, night.watcher) as page:
        page.locator(".tile").nth(1).focus()
        # Each answer is waited for by itself: what is asked after this counts, and no more.
        with page.expect_response("**/decisions"):
            page.keyboard.press("x")
        page.click("#all")
        with page.expect_response("**/decisions"):
            page.get_by_role("button", name="Keep all").click()
        night.expect_judged(kept=RESULTS)
        sent: list[str] = []
        page.on("request", lambda one: sent.append(one.url) if one.method == "POST" else None)
        changes = page.evaluate(
            """() => {
                let changes = 0;
                batchgen.store.onChange(() => { changes += 1; });
                const z = new KeyboardEvent("keydown", { key: "z", bubbles: true });
                document.body.dispatchEvent(z);
                return changes;
            }"""
        )
        expect_said(page, f"{RESULTS} picks undone")
        night.expect_judged(kept=0, rejected=1)
        assert (changes, len(sent)) == (1, 1)


def test_an_older_row_that_comes_late_does_not_cover_the_answer_to_a_pick(
    browser: Browser, night: Night
) -> None:
    """The stream and the answer are two connections: what was read first may come last."""
    with looking(browser, night.watcher) as page:
        expect(page.locator(".tile")).to_have_count(18)
        shown = page.evaluate(
            """async () => {
                const job = batchgen.store.jobs()[0];
                const [file, { moment }] = [job.files[0], job];
                const row = (pick) => ({
                    texts: ["", "m", "done", "[]"], moment,
                    rows: [[job.seq, job.id, 1, 2, 0, [], 0, [], 0, 0, job.attempts,
                        null, null, null,
                        [[file.path, file.thumb, file.type, file.width, file.height, file.bytes,
                            null, file.key, 1, pick, []]], [], ""]],
                });
                window.fetch = async () => Response.json(
                    { handed: false, objections: [], rows: row("keep") });
                batchgen.outbox.pick(job, file, "keep");
                await batchgen.outbox.send();
                batchgen.take(row(""));
                return batchgen.store.jobs()[0].files[0].pick;
            }"""
        )
        assert shown == "keep"


def test_taking_back_counts_what_it_changed(browser: Browser, night: Night) -> None:
    with looking(browser, night.watcher, expected="ERR_FAILED") as page:
        page.locator(".tile").first.focus()
        page.route("**/decisions", lambda route: route.abort())
        page.keyboard.press("k")
        expect_said(page, "Not saved: the server is gone")
        page.keyboard.press("z")
        expect_said(page, "Nothing is left to undo")
        page.keyboard.press("z")
        expect_said(page, "Nothing to undo")


def test_a_finger_selects_and_picks_with_buttons(browser: Browser, night: Night) -> None:
    with looking(browser, night.watcher, PHONE) as page:
        page.click("#select")
        page.locator(".tile").nth(0).click()
        page.locator(".tile").nth(2).click()
        expect(page.locator("#selected")).to_have_text("2 selected")
        for button in page.locator("#picking button").all():
            box = button.bounding_box()
            assert box is not None
            assert box["x"] >= 10
            assert box["x"] + box["width"] <= PHONE[0] - 10
            assert box["height"] >= 40
        page.locator("#picking [data-word=keep]").click()
        page.click("#unselect")
        page.locator(".tile").nth(1).click()
        page.locator("#verdict").get_by_role("button", name="Reject").click()
        expect(page.locator("#lightbox h2")).to_have_text("harbour-noon-ink")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        night.expect_judged(kept=2, rejected=1)


def test_a_pick_in_one_window_is_seen_in_the_other(browser: Browser, night: Night) -> None:
    with looking(browser, night.watcher) as page:
        other = opened(page.context, night.watcher)
        other.locator(".tile").first.click()
        page.locator(".tile").first.focus()
        page.keyboard.press("k")
        keep = other.locator("#verdict").get_by_role("button", name="Keep")
        expect(keep).to_have_attribute("aria-pressed", "true")


def test_the_focused_tile_has_a_ring_inside_and_a_selected_one_looks_otherwise(
    browser: Browser, night: Night
) -> None:
    ring = "one => getComputedStyle(one.querySelector('.frame'), '::before').boxShadow"
    with looking(browser, night.watcher, DESKTOP) as page:
        first, second = page.locator(".tile").nth(0), page.locator(".tile").nth(1)
        page.keyboard.press("Tab")
        first.focus()
        page.keyboard.press("ArrowRight")
        # A tile is cut off at its edge: a ring around it would not be seen.
        assert second.evaluate(ring).count("inset") == 2
        assert "inset" not in first.evaluate(ring)
        page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowRight")
        expect(page.locator(".tile.selected")).to_have_count(2)
        assert "inset" not in second.evaluate(ring)
