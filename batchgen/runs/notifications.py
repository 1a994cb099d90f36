"""What a word says: one line with the cause, counts, money and where the results are.

Who hears of a run outside, and when: at its end, at a pause, at its first failure.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from batchgen.concurrency import LEAVE_SOON, LEAVE_WITHIN, in_thread, stop_signals
from batchgen.engine.events import Draining, JobMoved, ModelRefused, Notified, Paused
from batchgen.errors import BatchgenError, ExitCode
from batchgen.jobs import JobState
from batchgen.notify import Message, Mood, Notify, Occasion, deliver, read_address
from batchgen.state.costs import money
from batchgen.state.database import open_for_reading, translated
from batchgen.state.queries import counts, totals
from batchgen.state.records import money_line
from batchgen.text import counts_line, duration, plain_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from batchgen.engine.events import Event, Listener, Pause, PauseReason
    from batchgen.notify import Address
    from batchgen.runs.context import RunContext
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
class Standing:
    """How a run stands."""

    counts: Mapping[JobState, int]
    money: Money


def read_standing(folder: RunFolder) -> Standing:
    """Ask the state. Blocks; raises the tree's errors."""
    with closing(open_for_reading(folder.state)) as db, translated(folder.state):
        return Standing(totals(counts(db)), money(db))


def message(
    name: str, folder: RunFolder, cause: Cause, figures: Standing | None, seconds: float
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


SEND_SECONDS = 30.0
"""How long one word may take while the run goes on; nobody waits for it."""

END_SECONDS = 10.0
"""How long the end of a run waits for words on their way."""

FAILURES = (JobState.FAILED, JobState.LOST, JobState.UNKNOWN)


def recipients(place: RunContext) -> Notify:
    """Those of the command line in the manifest's stead. Raises InputError."""
    asked = place.options.notify
    notify = place.manifest.notify
    return Notify(tuple(map(read_address, asked)), notify.on) if asked else notify


@asynccontextmanager
async def notifying(place: RunContext, notify: Notify, tell: Listener) -> AsyncIterator[Notifier]:
    """Send words while the block lasts; at its end, wait a while for those on their way.

    `tell` hears what became of each. An error of the tree that ends the run is worth a word too.
    """
    notifier = Notifier(place, notify, tell)
    try:
        yield notifier
    except BatchgenError as exc:
        notifier.broke(exc)
        await notifier.settle()
        raise
    except BaseException:
        notifier.leave()
        raise
    await notifier.settle()


class Notifier:
    """Hears of a run, and sends a word about it. It never holds the run up: see `notifying`."""

    def __init__(self, place: RunContext, notify: Notify, tell: Listener) -> None:
        self._place = place
        self._notify = notify
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._words: set[asyncio.Task[None]] = set()
        self._has_failed = False
        self._has_ended = False
        self._pauses: set[PauseReason] = set()
        self._latest_end = float("inf")

    def on_event(self, event: Event) -> None:
        if not self._notify.to:
            return
        match event:
            case JobMoved(state=state) as moved if state in FAILURES:
                self._fail(first_failure(moved))
            case ModelRefused() as refused:
                self._fail(first_failure(refused))
            case Paused(why) if why.reason not in self._pauses:
                self._pauses.add(why.reason)
                self.say(Occasion.PAUSE, pause(why))
            case Draining():
                self._latest_end = self._loop.time() + LEAVE_WITHIN
            case _:
                pass

    def ended(self, summary: Summary) -> None:
        if summary.stopped_by not in LEAVE_SOON:
            self._latest_end = float("inf")
        self._say_end(end(summary))

    def broke(self, error: BatchgenError) -> None:
        self._say_end(broken(error))

    def say(self, occasion: Occasion, cause: Cause) -> None:
        """Send a word to everyone; returns at once."""
        if occasion in self._notify.on and self._notify.to:
            word = self._word(occasion, cause)
            self._words.add(self._loop.create_task(word, name=f"notify of {occasion.value}"))

    async def settle(self) -> None:
        """Wait a while for the words on their way; the next signal ends the waiting."""
        if not self._words:
            return
        left = max(0.0, min(END_SECONDS, self._latest_end - self._loop.time()))
        try:
            with stop_signals(self.leave, self.leave, on=self._place.world.signals):
                await asyncio.wait(self._words, timeout=left)
        finally:
            self.leave()
        # Each tells what became of it.
        await asyncio.wait(self._words)

    def leave(self) -> None:
        """Wait for nothing more."""
        for word in self._words:
            word.cancel()

    def _say_end(self, cause: Cause) -> None:
        """Only once: an error may come when the end was told already."""
        if not self._has_ended:
            self._has_ended = True
            self.say(Occasion.END, cause)

    def _fail(self, cause: Cause) -> None:
        if not self._has_failed:
            self._has_failed = True
            self.say(Occasion.FIRST_FAILURE, cause)

    async def _word(self, occasion: Occasion, cause: Cause) -> None:
        folder = self._place.folder
        name = self._place.manifest.name
        if self._place.options.emulator:
            name = f"{name} (rehearsal)"
        try:
            figures = await in_thread(partial(read_standing, folder))
        except BatchgenError:
            # A state that cannot be read ends the run by itself; this word may be about just that.
            figures = None
        seconds = self._loop.time() - self._started
        text = message(name, folder, cause, figures, seconds)
        async with asyncio.TaskGroup() as group:
            for address in self._notify.to:
                group.create_task(
                    self._send(address, text, occasion), name=f"notify {address.shown}"
                )

    async def _send(self, address: Address, message: Message, occasion: Occasion) -> None:
        trouble: str | None = "the run did not wait any longer"
        try:
            trouble = await deliver(address, message, SEND_SECONDS)
        finally:
            self._tell(Notified(address.shown, occasion.value, trouble))
