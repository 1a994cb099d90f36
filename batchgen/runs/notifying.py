"""Who hears of a run outside, and when: at its end, at a pause, at its first failure."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from batchgen.downloads.threads import in_thread
from batchgen.engine.events import Draining, JobMoved, ModelRefused, Notified, Paused
from batchgen.errors import BatchgenError
from batchgen.jobs import JobState
from batchgen.notify.address import read_address
from batchgen.notify.occasions import Notify, Occasion
from batchgen.notify.sending import deliver
from batchgen.runs import told
from batchgen.runs.signals import LEAVE_SOON, LEAVE_WITHIN, StopSignals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from batchgen.engine.events import Event, Listener, PauseReason
    from batchgen.notify.address import Address
    from batchgen.notify.message import Message
    from batchgen.runs.summary import Summary
    from batchgen.runs.told import Cause
    from batchgen.runs.workplace import Workplace

SEND_SECONDS = 30.0
"""How long one word may take while the run goes on; nobody waits for it."""

END_SECONDS = 10.0
"""How long the end of a run waits for words on their way."""

FAILURES = (JobState.FAILED, JobState.LOST, JobState.UNKNOWN)


def recipients(place: Workplace) -> Notify:
    """Those of the command line in the manifest's stead. Raises InputError."""
    asked = place.options.notify
    notify = place.manifest.notify
    return Notify(tuple(map(read_address, asked)), notify.on) if asked else notify


@asynccontextmanager
async def notifying(place: Workplace, notify: Notify, tell: Listener) -> AsyncIterator[Notifier]:
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

    def __init__(self, place: Workplace, notify: Notify, tell: Listener) -> None:
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

    def hear(self, event: Event) -> None:
        if not self._notify.to:
            return
        match event:
            case JobMoved(state=state) as moved if state in FAILURES:
                self._fail(told.first_failure(moved))
            case ModelRefused() as refused:
                self._fail(told.first_failure(refused))
            case Paused(pause) if pause.reason not in self._pauses:
                self._pauses.add(pause.reason)
                self.say(Occasion.PAUSE, told.pause(pause))
            case Draining():
                self._latest_end = self._loop.time() + LEAVE_WITHIN
            case _:
                pass

    def ended(self, summary: Summary) -> None:
        if summary.stopped_by not in LEAVE_SOON:
            self._latest_end = float("inf")
        self._say_end(told.end(summary))

    def broke(self, error: BatchgenError) -> None:
        self._say_end(told.broken(error))

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
            with StopSignals(self.leave, self.leave, on=self._place.world.signals):
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
            figures = await in_thread(partial(told.read_figures, folder))
        except BatchgenError:
            # A state that cannot be read ends the run by itself; this word may be about just that.
            figures = None
        seconds = self._loop.time() - self._started
        message = told.message(name, folder, cause, figures, seconds)
        async with asyncio.TaskGroup() as group:
            for address in self._notify.to:
                group.create_task(
                    self._send(address, message, occasion), name=f"notify {address.shown}"
                )

    async def _send(self, address: Address, message: Message, occasion: Occasion) -> None:
        trouble: str | None = "the run did not wait any longer"
        try:
            trouble = await deliver(address, message, SEND_SECONDS)
        finally:
            self._tell(Notified(address.shown, occasion.value, trouble))
