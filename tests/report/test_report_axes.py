"""Sweeps in the page: tables over their axes, and filters by them, whatever they are called."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from itertools import product
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.report.browser_window import NEEDS_CHROMIUM, PHONE, ids, looking
from tests.report.night_world import begin, harbour, job, make

pytestmark = NEEDS_CHROMIUM

HOSTILE_AXES = (
    "<img src=x onerror=\"document.title='owned'\">",
    "__proto__",
    "constructor",
    "👩‍👩‍👧‍👦 🏳️‍🌈",
    "\u202e\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "long " * 40,
    "state",
    "all",
)


@pytest.fixture(scope="module")
def sea(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hours, looks and weathers, each combination twice; and three rows of a data file."""
    root = tmp_path_factory.mktemp("axes") / "out"
    cells = product(("dawn", "dusk"), ("ink", "oil"), ("fog", "rain"), (1, 2))
    swept = [
        job(f"sea-{h}-{k}-{w}-{n}", "", **harbour(hour=h, look=k, weather=w, repeat=n))
        for h, k, w, n in cells
    ]
    rows = [job(f"row-{n}", f"take {n}", tags=(f"style-{n % 2}",), sweep="row") for n in range(4)]
    begin(root, [*swept, *rows, job("alone", "no sweep")]).close()
    return make(root).page


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two jobs, apart in each of the hostile axes."""
    root = tmp_path_factory.mktemp("hostile") / "out"
    jobs = [job(f"job-{n}", "", **harbour(**values_of(n))) for n in range(2)]
    begin(root, jobs).close()
    return make(root).page


def values_of(number: int) -> Mapping[str, str]:
    return {name: f"{name}{number}" for name in HOSTILE_AXES}


def heads(page: Page, part: str) -> list[str]:
    return page.locator(f"table.matrix {part}").all_text_contents()


def test_the_first_axis_goes_down_the_second_across_and_the_others_narrow(
    browser: Browser, sea: Path
) -> None:
    with looking(browser, sea) as page:
        page.click("#tab-matrix")
        assert heads(page, "tbody th") == ["dawn", "dusk"]
        assert heads(page, "thead th") == ["hour ╲ look", "ink", "oil"]
        expect(page.locator("td").first.locator(".cell")).to_have_count(4)
        page.get_by_label("weather:").select_option("rain")
        page.get_by_label("repeat:").select_option("2")
        found = [one.get_attribute("title") for one in page.locator(".cell").all()]
        assert found == [f"sea-{h}-{k}-rain-2" for h in ("dawn", "dusk") for k in ("ink", "oil")]
        page.get_by_label("Down").select_option("repeat")
        assert heads(page, "tbody th") == ["1", "2"]
        page.get_by_label("Across").select_option("—")
        assert heads(page, "thead th") == ["repeat", "all"]


def test_rows_without_axes_are_distinguished_by_what_differs(browser: Browser, sea: Path) -> None:
    with looking(browser, sea) as page:
        page.click("#tab-matrix")
        page.locator("#matrix").get_by_label("Sweep").select_option("row")
        assert heads(page, "thead th") == ["tag 1 ╲ prompt", *(f"take {n}" for n in range(4))]
        assert heads(page, "tbody th") == ["style-0", "style-1"]


def test_axes_filter_together_and_the_values_of_one_beside_each_other(
    browser: Browser, sea: Path
) -> None:
    with looking(browser, sea) as page:
        legends = page.locator("legend").all_text_contents()
        assert legends == ["Sweep", "hour", "look", "weather", "repeat", "Tag"]
        page.get_by_role("group", name="hour").get_by_label("dawn").check()
        page.get_by_role("group", name="look").get_by_label("oil").check()
        page.get_by_role("group", name="repeat").get_by_label("1").check()
        expect(page.locator("#shown")).to_have_text("2 of 21 jobs")
        assert ids(page) == ["sea-dawn-oil-fog-1", "sea-dawn-oil-rain-1"]
        # What is offered besides is counted as if it were chosen too.
        dusk = page.get_by_role("group", name="hour").locator(".choice").nth(1)
        assert dusk.inner_text().split() == ["dusk", "2"]
        dusk.click()
        expect(page.locator("#shown")).to_have_text("4 of 21 jobs")
        page.reload()
        expect(page.locator("#shown")).to_have_text("4 of 21 jobs")


def test_an_axis_of_one_value_or_of_very_many_is_no_filter(
    browser: Browser, tmp_path: Path
) -> None:
    jobs = [job(f"j-{n}", "", **harbour(row=n, same="x", few=n % 60)) for n in range(61)]
    with closing(begin(tmp_path / "out", jobs)):
        page_file = make(tmp_path / "out").page
    with looking(browser, page_file) as page:
        assert page.locator("legend").all_text_contents() == ["few"]
        expect(page.locator("#facets .choice")).to_have_count(12)
        page.get_by_role("button", name="48 more").click()
        expect(page.locator("#facets .choice")).to_have_count(60)


def test_hostile_names_of_axes_are_text_and_filter_like_any_other(
    browser: Browser, hostile: Path
) -> None:
    with looking(browser, hostile) as page:
        view = urlencode([(f"axis:{name}", value) for name, value in values_of(1).items()])
        page.evaluate("view => { location.hash = view; }", view)
        expect(page.locator("#shown")).to_have_text("1 of 2 jobs")
        assert ids(page) == ["job-1"]
        assert page.locator("legend").all_text_contents() == list(HOSTILE_AXES)
        page.click("#clear")
        expect(page.locator("#facets input:checked")).to_have_count(0)
        for place in range(len(HOSTILE_AXES)):
            page.locator("fieldset").nth(place).locator("input").first.check()
            expect(page.locator(".tile")).to_have_count(1)
            page.click("#clear")
        page.locator(".tile").first.click()
        terms = page.locator("#about dt").all_text_contents()
        assert [term for term in terms if term in HOSTILE_AXES] == list(HOSTILE_AXES)
        page.keyboard.press("Escape")
        page.click("#tab-matrix")
        assert heads(page, "thead th")[0].startswith(HOSTILE_AXES[0])
        assert page.title() == "night · batchgen report"
        assert page.locator("legend img, th img, dt img").count() == 0


def test_a_wide_table_scrolls_inside_a_phone(browser: Browser, hostile: Path) -> None:
    with looking(browser, hostile, PHONE, view="#view=matrix") as page:
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
        inside = page.locator("#matrix .scroller")
        assert inside.evaluate("one => one.scrollWidth >= one.clientWidth")
