"""How fast the report is in a browser: `python -m tests.benchmarks.page [JOBS…]`.

Each night is opened some times from the disk in headless Chromium; figures are medians, in
milliseconds, beside those of a report of a single job, which is the same page with nothing in it.
*Open* is from the start of the navigation until all data is there and drawn; *grid* until the first
pictures stand. Filtering is from the call until the browser has laid out what is left. While it
scrolls from top to bottom, the longest task of the page is looked for.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.report.browser_window import CHROMIUM
from tests.report.night_world import begin, big_night, job, make

NIGHTS = (10_000, 100_000)
TIMES = 7

WATCH = """
    window.times = { grid: 0, open: 0, tasks: [] };
    new PerformanceObserver(list => times.tasks.push(...list.getEntries().map(one => one.duration)))
        .observe({ entryTypes: ["longtask"] });
    const painted = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    const until = async is_so => {
        while (!is_so()) await new Promise(done => setTimeout(done, 4));
        await painted();
        return performance.now();
    };
    const tile = () => document.querySelector(".tile");
    const is_whole = () =>
        /^[\\d,]+ jobs?$/.test(document.getElementById("shown")?.textContent ?? "");
    window.opened = (async () => {
        times.grid = await until(tile);
        times.open = await until(() => tile() && is_whole());
    })();
"""
FILTER = """() => {
    const began = performance.now();
    CALL;
    document.body.offsetHeight;
    return performance.now() - began;
}"""
FILTERS = {
    "words": "batchgen.filters.search('ferry 12')",
    "state": "batchgen.filters.only('state', 'failed')",
    "axis": "batchgen.filters.only('axis:subject', 'night')",
    "two axes": "batchgen.filters.toggle('axis:row', '7', true)",
    "flaw": "batchgen.filters.only('flaw', 'near_duplicate')",
    "none": "batchgen.filters.clear()",
    "matrix": "batchgen.view('matrix')",
    "pictures": "batchgen.view('pictures')",
}
SCROLL = """async () => {
    times.tasks.length = 0;
    const height = document.body.scrollHeight;
    for (let step = 0; step <= 60; step += 1) {
        scrollTo(0, height * step / 60);
        await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    }
    return Math.max(0, ...times.tasks);
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nights", type=int, nargs="*", default=NIGHTS)
    nights = parser.parse_args().nights
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; medians of {TIMES}, in ms")
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with closing(browser):
            alone = median(measure(browser, one_job(Path(place) / "one")))
            tell(1, alone, alone)
            for count in nights:
                root = Path(place) / str(count)
                big_night(root, count)
                tell(count, median(measure(browser, make(root).page)), alone)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


def one_job(root: Path) -> Path:
    begin(root, [job("one", "the only one")]).close()
    return make(root).page


def measure(browser: Browser, page_file: Path) -> list[dict[str, float]]:
    found = []
    for _ in range(TIMES):
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(WATCH)
        page.goto(page_file.as_uri(), wait_until="commit")
        page.evaluate("opened")
        found.append(look_at(page))
        page.close()
    return found


def look_at(page: Page) -> dict[str, float]:
    times: dict[str, Any] = page.evaluate("times")
    opening = {"grid": times["grid"], "open": times["open"], "task": max([0, *times["tasks"]])}
    filters = {name: page.evaluate(FILTER.replace("CALL", call)) for name, call in FILTERS.items()}
    return {**opening, **filters, "scroll": page.evaluate(SCROLL)}


def median(found: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def tell(count: int, found: dict[str, float], alone: dict[str, float]) -> None:
    times = f"{found['open'] / alone['open']:.1f} times one job"
    print(f"{count:>7,} jobs: grid {found['grid']:.0f}, open {found['open']:.0f}, {times}")
    filters = ", ".join(f"{name} {found[name]:.0f}" for name in FILTERS)
    print(f"  filter: {filters}")
    print(f"  longest task: opening {found['task']:.0f}, scrolling {found['scroll']:.0f}")


if __name__ == "__main__":
    main()
