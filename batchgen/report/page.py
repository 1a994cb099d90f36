"""Figures → index.html, with why jobs are not done and the command that redoes just those.

Text stays text: the template escapes it, and so does the page's own code.
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

    from batchgen.report.making import ReportFolder
    from batchgen.report.night import Night
    from batchgen.state.records import JobRow, Money


NAMED = 3
"""As many jobs are named in a command; of more, the cause is."""

PAYING = ("run", "retry")
"""Verbs that a rehearsal must be told to rehearse."""

RETRIED = (JobState.FAILED, JobState.CANCELLED, JobState.LOST)


@dataclass(slots=True)
class Cause:
    """Jobs in one state for one reason; `words` are the vendor's about the first of them."""

    key: str
    state: JobState
    code: str
    words: str
    jobs: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Shell:
    """How the run's commands begin: the manifest as it was named, and whether it is a rehearsal."""

    manifest: str
    rehearsal: bool

    def command(self, verb: str, *words: str) -> str:
        rehearsal = self.rehearsal and verb in PAYING
        return command_line(verb, self.manifest, *words, emulator=rehearsal)


def causes(troubled: Iterable[JobRow]) -> list[Cause]:
    """The commonest first."""
    found: dict[str, Cause] = {}
    for job in troubled:
        key = cause_key(job.id, job.state, job.error_code, job.error)
        cause = found.get(key)
        if cause is None:
            cause = found[key] = Cause(key, job.state, job.error_code or "", job.error or "")
        cause.jobs.append(job.id)
    return sorted(found.values(), key=lambda cause: -len(cause.jobs))


def rerun_command(cause: Cause, shell: Shell) -> str | None:
    """What runs just these jobs again; None where they go again by themselves.

    Of a few jobs it names each, of many the cause: a command stays short, and a shell takes it.
    """
    if cause.state is JobState.BLOCKED:
        return None
    few = len(cause.jobs) <= NAMED
    which = (
        [f"--job={exactly(job_id)}" for job_id in cause.jobs] if few else [f"--cause={cause.key}"]
    )
    if cause.state is JobState.UNKNOWN:
        jobs = ["--", *cause.jobs] if few else which
        return shell.command("resolve", "--resubmit", *jobs)
    return shell.command("retry" if cause.state in RETRIED else "run", *which)


def advice(cause: Cause) -> str:
    """What to know before the command is given."""
    match cause.state:
        case JobState.BLOCKED:
            return "They go again by themselves once the jobs they need are retried."
        case JobState.UNKNOWN:
            return (
                "The submit may have been charged: look on the page Generations of runcomfy.com"
                " first, this may pay twice."
            )
        case JobState.FAILED | JobState.CANCELLED | JobState.LOST:
            return "A retry is a new submit, and may cost."
        case _:
            return "The same run goes on with them."


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
"""In the order in which they are loaded; a page from file:// cannot import modules."""
LIVE_SCRIPTS = ("outbox.js", "selection.js", "picks.js", "reload.js", "live.js")
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
    environment.filters["duration"] = format_duration
    return environment.get_template("index.html.j2")


def asset(name: str) -> str:
    return resources.files("batchgen.report").joinpath("assets", name).read_text("utf-8")
