"""Figures → index.html; and why jobs are not done, with the command that reruns just those.

Text is never markup: the template escapes it, and the page's code inserts it as text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import jinja2

from batchgen.jobs import JobState
from batchgen.report.plots import latency_ranges, time_plots
from batchgen.state.causes import cause_key
from batchgen.state.selection import exactly
from batchgen.text import command_line, format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import tzinfo

    from batchgen.report.folder import ReportFolder
    from batchgen.report.night import Night
    from batchgen.state.records import JobRow, Money


MAX_LISTED_JOBS = 3
"""A command lists at most this many jobs; for more, it gives the cause."""

SUBMITTING_VERBS = ("run", "retry")
"""Verbs that need --emulator in a rehearsal."""

RETRIED = (JobState.FAILED, JobState.CANCELLED, JobState.LOST)


@dataclass(slots=True)
class Cause:
    """Jobs in one state for one reason; `message` is the vendor's, about the first of them."""

    key: str
    state: JobState
    code: str
    message: str
    jobs: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunCommands:
    """Makes commands for the run: with the manifest's path as given, and --emulator if needed."""

    manifest: str
    rehearsal: bool

    def command(self, verb: str, *arguments: str) -> str:
        rehearsal = self.rehearsal and verb in SUBMITTING_VERBS
        return command_line(verb, self.manifest, *arguments, emulator=rehearsal)


def causes(troubled: Iterable[JobRow]) -> list[Cause]:
    """Group troubled jobs by cause, the most common first."""
    found: dict[str, Cause] = {}
    for job in troubled:
        key = cause_key(job.id, job.state, job.error_code, job.error)
        cause = found.get(key)
        if cause is None:
            cause = found[key] = Cause(key, job.state, job.error_code or "", job.error or "")
        cause.jobs.append(job.id)
    return sorted(found.values(), key=lambda cause: -len(cause.jobs))


def rerun_command(cause: Cause, commands: RunCommands) -> str | None:
    """Return the command that reruns just these jobs; None if they restart by themselves.

    It lists a few jobs by id, many by their cause, so that it stays short enough for a shell.
    """
    if cause.state is JobState.BLOCKED:
        return None
    few = len(cause.jobs) <= MAX_LISTED_JOBS
    which = (
        [f"--job={exactly(job_id)}" for job_id in cause.jobs] if few else [f"--cause={cause.key}"]
    )
    if cause.state is JobState.UNKNOWN:
        jobs = ["--", *cause.jobs] if few else which
        return commands.command("resolve", "--resubmit", *jobs)
    return commands.command("retry" if cause.state in RETRIED else "run", *which)


def advice(cause: Cause) -> str:
    """Return what to know before running the command."""
    match cause.state:
        case JobState.BLOCKED:
            return "They start by themselves once the jobs they need are retried."
        case JobState.UNKNOWN:
            return (
                "The submit may have been charged: check the page Generations on runcomfy.com"
                " first, because resubmitting may pay twice."
            )
        case JobState.LOST:
            return "A retry asks the vendor for these requests again, for free."
        case JobState.FAILED | JobState.CANCELLED:
            return "A retry is a new submit, and may cost."
        case _:
            return "Run the same command again to continue with them."


STYLE = "style.css"
SCRIPTS = (
    "theme.js",
    "dom.js",
    "reuse.js",
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
"""In load order; a page from file:// cannot import modules."""
LIVE_SCRIPTS = ("outbox.js", "selection.js", "picks.js", "limits.js", "reload.js", "live.js")
"""Loaded after the others if the page comes from a server."""
ICON = "icon.svg"
"""Browsers request one from a server."""
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
"""The same as in assets/dom.js."""
STRIP = 110.0
RANGE_WIDTH = 420.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page shows without its data. `made_at` is in epoch seconds."""

    name: str
    counts: Mapping[JobState, int]
    money: Money
    night: Night | None
    made_at: float
    zone: tzinfo | None = None


def write_page(folder: ReportFolder, facts: Facts, head: str) -> None:
    """Write the page and its assets. `head` is the script that starts the page."""
    style = folder.write_hashed("assets", STYLE, asset(STYLE))
    scripts = [folder.write_hashed("assets", name, asset(name)) for name in SCRIPTS]
    folder.write_page(page_html(facts, style, [*scripts, head]))


def page_html(facts: Facts, style: str, scripts: Sequence[str], *, live: bool = False) -> str:
    """Return the whole page. `live`: a server sends it updates and takes its picks."""
    values = _values(facts)
    return _template().render(**values, style=style, scripts=list(scripts), live=live)


def part_html(facts: Facts, part: str) -> str:
    """Return one block of the page with current values: `line` or `night`."""
    template = _template()
    return "".join(template.blocks[part](template.new_context(_values(facts))))


def _values(facts: Facts) -> dict[str, Any]:
    night = facts.night
    return {
        "facts": facts,
        "counted": _ordered_counts(facts.counts),
        "glyphs": GLYPHS,
        "made": datetime.fromtimestamp(facts.made_at, facts.zone).astimezone(facts.zone),
        "plots": None if night is None else time_plots(night, STRIP, facts.zone),
        "ranges": () if night is None else latency_ranges(night.latencies, RANGE_WIDTH),
        "strip": STRIP,
        "range_width": RANGE_WIDTH,
    }


def _ordered_counts(counts: Mapping[JobState, int]) -> list[tuple[str, int]]:
    """Return counts by state: done first."""
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
    environment.filters["duration"] = format_duration
    return environment.get_template("index.html.j2")


def asset(name: str) -> str:
    return resources.files("batchgen.report").joinpath("assets", name).read_text("utf-8")
