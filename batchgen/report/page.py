"""Figures → index.html. Whatever is text stays text: the template escapes, the page's code too."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import jinja2

from batchgen.jobs import JobState
from batchgen.report.plots import latency_ranges, time_plots

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import tzinfo

    from batchgen.report.folder import ReportFolder
    from batchgen.report.night import Night
    from batchgen.state.records import Money

STYLE = "style.css"
SCRIPTS = (
    "theme.js",
    "dom.js",
    "standing.js",
    "store.js",
    "marks.js",
    "previews.js",
    "filters.js",
    "grid.js",
    "axes.js",
    "matrix.js",
    "lightbox.js",
    "failures.js",
    "main.js",
)
"""In the order in which they are loaded; a page from file:// cannot import modules."""
LIVE_SCRIPTS = ("outbox.js", "selection.js", "picks.js", "again.js", "live.js")
"""After the others, where a server is behind the page."""
ICON = "icon.svg"
"""A browser asks a server for one."""
GLYPHS = {
    "done": "✓",
    "failed": "✕",
    "unknown": "?",
    "lost": "◌",
    "cancelled": "⊘",
    "blocked": "⛌",
    "pending": "·",
    "submitting": "↑",
    "queued": "⋯",
    "running": "▸",
    "fetching": "↓",
}
"""As in assets/dom.js."""
STRIP = 110.0
RANGE_WIDTH = 420.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page says without its data. `made_at`: epoch seconds."""

    name: str
    counts: Mapping[JobState, int]
    money: Money
    night: Night | None
    made_at: float
    zone: tzinfo | None = None


def write_page(folder: ReportFolder, facts: Facts, head: str) -> None:
    """`head`: the script that begins the page's data."""
    style = folder.write_hashed("assets", STYLE, asset(STYLE))
    scripts = [folder.write_hashed("assets", name, asset(name)) for name in SCRIPTS]
    folder.write_page(page_html(facts, style, [*scripts, head]))


def page_html(facts: Facts, style: str, scripts: Sequence[str], *, live: bool = False) -> str:
    """The whole page. `live`: it will be told by a server what happens, and may pick."""
    values = _values(facts)
    return _template().render(**values, style=style, scripts=list(scripts), live=live)


def part_html(facts: Facts, part: str) -> str:
    """One block of the page alone, as it would be drawn now: `line` or `night`."""
    template = _template()
    return "".join(template.blocks[part](template.new_context(_values(facts))))


def _values(facts: Facts) -> dict[str, Any]:
    night = facts.night
    return {
        "facts": facts,
        "counted": _counted(facts.counts),
        "glyphs": GLYPHS,
        "made": datetime.fromtimestamp(facts.made_at, facts.zone).astimezone(facts.zone),
        "plots": None if night is None else time_plots(night, STRIP, facts.zone),
        "ranges": () if night is None else latency_ranges(night.latencies, RANGE_WIDTH),
        "strip": STRIP,
        "range_width": RANGE_WIDTH,
    }


def _counted(counts: Mapping[JobState, int]) -> list[tuple[str, int]]:
    """What came out first, then what did not."""
    order = (JobState.DONE, *(state for state in JobState if state is not JobState.DONE))
    return [(state.value, counts[state]) for state in order if counts.get(state)]


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("batchgen.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    return environment.get_template("index.html.j2")


def asset(name: str) -> str:
    return resources.files("batchgen.report").joinpath("assets", name).read_text("utf-8")


def duration(seconds: float) -> str:
    """Say `8.2 s`, `3 min 05 s`, `2 h 07 min`."""
    if round(seconds, 1) < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004 - an hour
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
