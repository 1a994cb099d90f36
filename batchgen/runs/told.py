"""What a word says: one line with the cause, counts, money and where the results are."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.engine.events import ModelRefused
from batchgen.errors import ExitCode
from batchgen.jobs import JobState
from batchgen.notify.message import Message, Mood
from batchgen.runcomfy.text import plain_text
from batchgen.runs.words import counts_line, duration, money_line
from batchgen.state.costs import money
from batchgen.state.database import open_for_reading, translated
from batchgen.state.queries import counts, totals

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from batchgen.engine.events import JobMoved, Pause
    from batchgen.errors import BatchgenError
    from batchgen.runs.folder import RunFolder
    from batchgen.runs.summary import Summary
    from batchgen.state.records import Money

CAUSE_LIMIT = 200
"""Characters. A phone shows about so many."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a word is sent."""

    text: str
    mood: Mood


@dataclass(frozen=True, slots=True)
class Figures:
    """How a run stands."""

    counts: Mapping[JobState, int]
    money: Money


def read_figures(folder: RunFolder) -> Figures:
    """Ask the state. Blocks; raises the tree's errors."""
    with closing(open_for_reading(folder.state)) as db, translated(folder.state):
        return Figures(totals(counts(db)), money(db))


def message(
    name: str, folder: RunFolder, cause: Cause, figures: Figures | None, seconds: float
) -> Message:
    """Put it together; `seconds` is how long the run has been going on."""
    parts = [f"{name}: {plain_text(cause.text, CAUSE_LIMIT)}"]
    if figures is not None:
        parts += [counts_line(figures.counts), money_line(figures.money)]
    parts += [duration(seconds), str(folder.root.absolute())]
    if report := report_of(folder):
        parts.append(f"report: {report}")
    return Message(f"batchgen: {name}", " · ".join(parts), cause.mood)


def report_of(folder: RunFolder) -> Path | None:
    """Where the page of `batchgen report` is, if it was made."""
    page = folder.root.absolute() / "report" / "index.html"
    return page if os.access(page, os.R_OK) else None


def first_failure(event: JobMoved | ModelRefused) -> Cause:
    if isinstance(event, ModelRefused):
        return Cause(f"first failure: {event.model}: {event.reason}", Mood.WARNING)
    state = "outcome unknown" if event.state is JobState.UNKNOWN else event.state.value
    return Cause(f"first failure: {event.job_id} {state}: {event.reason}", Mood.WARNING)


def pause(found: Pause) -> Cause:
    return Cause(f"paused: {found.sentence}; {found.next_step}", Mood.FAILURE)


def broken(error: BatchgenError) -> Cause:
    return Cause(f"ended by an error: {error.what}", Mood.FAILURE)


def end(summary: Summary) -> Cause:
    if summary.stopped_by is not None:
        return Cause(f"stopped by {summary.stopped_by.name}", Mood.WARNING)
    if summary.pause is not None:
        return Cause(f"paused: {summary.pause.sentence}", Mood.FAILURE)
    if summary.held.to_approve:
        return Cause(f"{summary.held.to_approve} to approve", Mood.WARNING)
    return _ENDS.get(summary.exit_code, _GOES_ON)


_GOES_ON = Cause("not finished; the same command continues", Mood.WARNING)
_ENDS = {
    ExitCode.DONE: Cause("all done", Mood.SUCCESS),
    ExitCode.SOME_FAILED: Cause("ended, some jobs failed", Mood.FAILURE),
    ExitCode.UNKNOWN_OUTCOMES: Cause("ended, outcomes unknown: batchgen resolve", Mood.FAILURE),
}
