"""Who is notified of a run, when, and with what text.

A message is one line: the cause, counts, money, and where the results are. It is sent at the end,
at a pause and at the first failure.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from batchgen.concurrency import TERMINATION_SECONDS, TERMINATION_SIGNALS, in_thread, stop_signals
from batchgen.engine.events import Draining, JobMoved, ModelRefused, Notified, Paused
from batchgen.errors import BatchgenError, ExitCode
from batchgen.jobs import JobState, counts_line
from batchgen.notify import Message, Notify, Occasion, Severity, deliver, read_address
from batchgen.runs.ownership import results_of
from batchgen.state.costs import money, money_line
from batchgen.state.database import reading
from batchgen.state.queries import counts, totals
from batchgen.text import format_duration, plain_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from batchgen.engine.events import Event, Listener, Pause, PauseReason
    from batchgen.notify import Address
    from batchgen.runs.context import RunContext
    from batchgen.runs.folder import RunFolder
    from batchgen.runs.summary import Summary
    from batchgen.state.records import Money
    from batchgen.storage.locations import Location


CAUSE_LIMIT = 200
"""Characters. A phone shows about this many."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a notification is sent."""

    text: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class Standing:
    """The figures of a run, and where its results are."""

    counts: Mapping[JobState, int]
    money: Money
    results: Location


def read_standing(folder: RunFolder) -> Standing:
    """Read the figures from the state. Blocks; raises the tree's errors."""
    with reading(folder.state) as db:
        return Standing(totals(counts(db)), money(db), results_of(db, folder).absolute())


def message(
    name: str, folder: RunFolder, cause: Cause, figures: Standing | None, seconds: float
) -> Message:
    """Compose a message; `seconds` is how long the run has been going on."""
    parts = [f"{name}: {plain_text(cause.text, CAUSE_LIMIT)}"]
    if figures is not None:
        parts += [counts_line(figures.counts), money_line(figures.money)]
    where = folder.root.absolute() if figures is None else figures.results
    parts += [format_duration(seconds), str(where)]
    if report := report_of(folder):
        parts.append(f"report: {report}")
    return Message(f"batchgen: {name}", " · ".join(parts), cause.severity)


def report_of(folder: RunFolder) -> Path | None:
    """Where the page of `batchgen report` is, if it was made."""
    page = folder.root.absolute() / "report" / "index.html"
    return page if os.access(page, os.R_OK) else None


def first_failure(event: JobMoved | ModelRefused) -> Cause:
    if isinstance(event, ModelRefused):
        return Cause(f"first failure: {event.model}: {event.reason}", Severity.WARNING)
    state = "outcome unknown" if event.state is JobState.UNKNOWN else event.state.value
    return Cause(f"first failure: {event.job_id} {state}: {event.reason}", Severity.WARNING)


def pause(found: Pause) -> Cause:
    return Cause(f"paused: {found.sentence}; {found.next_step}", Severity.FAILURE)


def broken(error: BatchgenError) -> Cause:
    return Cause(f"ended by an error: {error.what}", Severity.FAILURE)


def end(summary: Summary) -> Cause:
    if summary.stopped_by is not None:
        return Cause(f"stopped by {summary.stopped_by.name}", Severity.WARNING)
    if summary.pause is not None:
        return Cause(f"paused: {summary.pause.sentence}", Severity.FAILURE)
    if summary.held.to_approve:
        return Cause(f"{summary.held.to_approve} to approve", Severity.WARNING)
    return _ENDS.get(summary.exit_code, _GOES_ON)


_GOES_ON = Cause("not finished; run the same command again to continue", Severity.WARNING)
_ENDS = {
    ExitCode.DONE: Cause("all done", Severity.SUCCESS),
    ExitCode.SOME_FAILED: Cause("ended, some jobs failed", Severity.FAILURE),
    ExitCode.UNKNOWN_OUTCOMES: Cause("ended, outcomes unknown: batchgen resolve", Severity.FAILURE),
}


SEND_SECONDS = 30.0
"""How long one message may take while the run goes on; nothing waits for it."""

END_SECONDS = 10.0
"""How long the end of a run waits for messages on their way."""

FAILURES = (JobState.FAILED, JobState.LOST, JobState.UNKNOWN)


def recipients(place: RunContext) -> Notify:
    """The addresses; those of the command line override the manifest's. Raises InputError."""
    asked = place.options.notify
    notify = place.manifest.notify
    return Notify(tuple(map(read_address, asked)), notify.on) if asked else notify


@asynccontextmanager
async def notifying(place: RunContext, notify: Notify, emit: Listener) -> AsyncIterator[Notifier]:
    """Send messages while the block runs; at its end, wait a while for those on their way.

    `emit` gets the outcome of each. A BatchgenError that ends the run is sent too.
    """
    notifier = Notifier(place, notify, emit)
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
    """Listens to a run, and sends messages about it. It never holds the run up: see `notifying`."""

    def __init__(self, place: RunContext, notify: Notify, emit: Listener) -> None:
        self._place = place
        self._notify = notify
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._messages: set[asyncio.Task[None]] = set()
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
                self.send(Occasion.PAUSE, pause(why))
            case Draining():
                self._latest_end = self._loop.time() + TERMINATION_SECONDS
            case _:
                pass

    def ended(self, summary: Summary) -> None:
        if summary.stopped_by not in TERMINATION_SIGNALS:
            self._latest_end = float("inf")
        self._send_end(end(summary))

    def broke(self, error: BatchgenError) -> None:
        self._send_end(broken(error))

    def send(self, occasion: Occasion, cause: Cause) -> None:
        """Send a message to every address; returns at once."""
        if occasion in self._notify.on and self._notify.to:
            sending = self._compose_and_send(occasion, cause)
            self._messages.add(self._loop.create_task(sending, name=f"notify of {occasion.value}"))

    async def settle(self) -> None:
        """Wait a while for the messages on their way; the next signal ends the waiting."""
        if not self._messages:
            return
        left = max(0.0, min(END_SECONDS, self._latest_end - self._loop.time()))
        try:
            with stop_signals(self.leave, self.leave, on=self._place.world.signals):
                await asyncio.wait(self._messages, timeout=left)
        finally:
            self.leave()
        # Each emits its own outcome.
        await asyncio.wait(self._messages)

    def leave(self) -> None:
        """Stop waiting."""
        for task in self._messages:
            task.cancel()

    def _send_end(self, cause: Cause) -> None:
        """Send the end only once: an error may come after it has been sent."""
        if not self._has_ended:
            self._has_ended = True
            self.send(Occasion.END, cause)

    def _fail(self, cause: Cause) -> None:
        if not self._has_failed:
            self._has_failed = True
            self.send(Occasion.FIRST_FAILURE, cause)

    async def _compose_and_send(self, occasion: Occasion, cause: Cause) -> None:
        folder = self._place.folder
        name = self._place.manifest.name
        if self._place.options.emulator:
            name = f"{name} (rehearsal)"
        try:
            figures = await in_thread(partial(read_standing, folder))
        except BatchgenError:
            # This may be the message that the state cannot be read; that error ends the run anyway.
            figures = None
        seconds = self._loop.time() - self._started
        text = message(name, folder, cause, figures, seconds)
        async with asyncio.TaskGroup() as group:
            for address in self._notify.to:
                group.create_task(
                    self._send(address, text, occasion), name=f"notify {address.masked}"
                )

    async def _send(self, address: Address, message: Message, occasion: Occasion) -> None:
        trouble: str | None = "the run did not wait any longer"
        try:
            trouble = await deliver(address, message, SEND_SECONDS)
        finally:
            self._emit(Notified(address.masked, occasion.value, trouble))
