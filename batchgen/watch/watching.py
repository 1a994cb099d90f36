"""Polls the state, and notifies those who wait that something is new.

Each look that finds a change has a number, the moment. A client that names the last moment it knows
gets what changed after it, however long it was away.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from array import array
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from batchgen.errors import BatchgenError, MissingFileError
from batchgen.manifest.tuning import limits_line
from batchgen.report.page import part_html
from batchgen.state.database import snapshot, translated
from batchgen.state.report_queries import manifest_read, signatures, version
from batchgen.watch.reader import Counting, Reader

if TYPE_CHECKING:
    from batchgen.jobs import JsonValue
    from batchgen.state.database import Connection
    from batchgen.watch.ports import Ports, Watched
    from batchgen.watch.reader import Figures, FileId


STRETCH = 4096
"""Jobs compared at once: nearly all stretches of a large run are equal."""


class Moments:
    """The signatures of the last look, and the moment of each job's last change: 12 bytes a job."""

    def __init__(self) -> None:
        self.moment = 0
        self._signatures = array("Q")
        self._changed = array("I")

    @property
    def last(self) -> int:
        """The highest number that a job has."""
        return max(0, len(self._signatures) - 1)

    def look(self, found: array[int]) -> bool:
        """Take in the current signatures, by number. Returns whether any job changed."""
        changed = changes(self._signatures, found)
        if not changed and self.moment:
            return False
        self.moment += 1
        size = max(len(found), len(self._changed))
        self._changed.extend(array("I", bytes(4 * (size - len(self._changed)))))
        for seq in changed:
            self._changed[seq] = self.moment
        self._signatures = found
        return True

    def since(self, moment: int) -> list[int]:
        """The numbers of jobs that changed after that moment."""
        if moment >= self.moment:
            return []
        return [seq for seq, when in enumerate(self._changed) if when > moment]


def changes(before: array[int], after: array[int]) -> list[int]:
    """Where the two differ; the shorter one counts as padded with 0."""
    size = max(len(before), len(after))
    found: list[int] = []
    for begin in range(0, size, STRETCH):
        old, new = before[begin : begin + STRETCH], after[begin : begin + STRETCH]
        if old == new:
            continue
        length = min(STRETCH, size - begin)
        old.extend([0] * (length - len(old)))
        new.extend([0] * (length - len(new)))
        pairs = enumerate(zip(old, new, strict=True), begin)
        found += [seq for seq, (one, other) in pairs if one != other]
    return found


LOOK_EVERY = 1.0
"""Seconds. Nothing announces a change by another process; checking for one is a single read
of shared memory."""
SHARE = 9
"""Rests this many times longer than a reading takes: a tenth of the time, for a run of any size.
After a known change it rests less: reading is then at most half of the time."""
NIGHT_EVERY = 5.0
"""Seconds between two readings of all attempts; the night's plots change no sooner."""
NIGHT_SHARE = 20
"""Rests this many times longer than reading them takes: a twentieth of the time."""

Version = tuple[int, int]
"""Which connection reads the state, and SQLite's count of changes as that one sees it."""


@dataclass(frozen=True, slots=True)
class View:
    """What is known. Moments count within one `instance`: a state, as one manifest made it.

    `facts` is the event with the figures; `trouble`: why the state cannot be read just now.
    """

    instance: str
    moment: int
    figures: Figures
    at_work: bool | None
    trouble: str | None
    waiting: bool
    facts: str


class Watching:
    """One for a server, however many pages are open."""

    def __init__(self, watched: Watched, ports: Ports) -> None:
        self.watched = watched
        self._counting = Counting(watched, ports)
        self.reader = Reader(watched.state)
        self.moments = Moments()
        self.stopped = False
        self._ports = ports
        self._instance = _new_instance()
        self._of: FileId | None = None
        self._version: Version | None = None
        self._night_of: Version | None = None
        self._inputs = ""
        self._figures = self._counting.nothing()
        self._took = self._night_took = 0.0
        self._turned = asyncio.Event()
        self._asked = asyncio.Event()
        self._moved = asyncio.Event()
        # A look for the runner holds its lock for a moment; a decision must not meet that.
        self.doors_lock = asyncio.Lock()
        self.view = self._viewed(None, None, waiting=True)

    async def begin(self) -> None:
        """Look for the first time. Raises BatchgenError where the state cannot be read."""
        waiting = await self.reader.work(self._look)
        await self._show(waiting=waiting, trouble=None)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._rest(self._took)
            await self._look_again()

    async def run_night(self) -> None:
        """Read the attempts after changes, until cancelled: less often than the rest.

        It takes a second of a long night, and must not be what a look takes.
        """
        while True:
            await self._moved.wait()
            self._moved.clear()
            self._night_of = self._version
            # What goes wrong there, the next look meets too, and says.
            with suppress(BatchgenError):
                await self.reader.ask(self._read_night)
            self.look_soon()
            await asyncio.sleep(max(NIGHT_EVERY, NIGHT_SHARE * self._night_took))

    def look_soon(self) -> None:
        """A change is known already: read soon."""
        self._asked.set()

    async def turned(self, seen: View, patience: float | None = None) -> None:
        """Wait until there is another view than the one `seen`, for at most `patience` seconds."""
        if self.view is not seen or self.stopped:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._turned.wait()

    def stop(self) -> None:
        """Release everyone who waits."""
        self.stopped = True
        self._tell()

    async def night(self) -> str:
        """The page's view of the night."""
        figures = self.view.figures
        if figures.crowded:
            command = escape(self._counting.command("report"))
            return (
                f'<p class="empty">Too many requests to show live: see <code>{command}</code></p>'
            )
        return await self.reader.work(lambda: part_html(figures.facts, "night"))

    async def _rest(self, took: float) -> None:
        await asyncio.sleep(took)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(LOOK_EVERY, took * (SHARE - 1))):
                await self._asked.wait()
        self._asked.clear()

    async def _look_again(self) -> None:
        try:
            waiting = await self.reader.work(self._measured_look)
        except BatchgenError as exc:
            # It may be mended, or only be held for long: the page says so, and the next look asks.
            self._version = None
            await self.reader.work(self.reader.close)
            await self._show(waiting=False, trouble=str(exc))
        else:
            await self._show(waiting=waiting, trouble=None)
            if self._version != self._night_of:
                self._moved.set()

    def _measured_look(self) -> bool:
        """Measured here: waiting for the thread while it reads a night does not count as work."""
        began = time.monotonic()
        try:
            return self._look()
        finally:
            self._took = time.monotonic() - began

    def _read_night(self, db: Connection) -> None:
        began = time.monotonic()
        self._counting.read_night(db)
        self._night_took = time.monotonic() - began

    def _look(self) -> bool:
        """Whether there is no state to look at. In the reader's thread."""
        try:
            db, file_id = self.reader.opened()
        except MissingFileError:
            if self._of is not None:
                self._begin_anew(None)
                self._figures = self._counting.nothing()
            return True
        with translated(self.watched.state):
            if file_id != self._of:
                self._begin_anew(file_id)
                self._night_of = None
            # `version` can be compared only within one connection.
            found = self.reader.opened_times, version(db)
            if found != self._version or self._counting.nights != self._figures.night:
                self._read(db, changed=found != self._version)
                self._version = found
        return False

    def _read(self, db: Connection, *, changed: bool) -> None:
        with snapshot(db):
            if changed:
                self._compare(db)
            if self._night_of is None:
                # Of this state for the first time: a page is not begun without it.
                self._night_of = self.reader.opened_times, version(db)
                self._counting.read_night(db)
            self._figures = self._counting.count(db)

    def _compare(self, db: Connection) -> None:
        inputs = manifest_read(db)
        # "" while it is being read; the jobs that arrive meanwhile are sent one by one.
        if inputs and self._inputs and inputs != self._inputs:
            self._begin_anew(self._of)
        self._inputs = inputs or self._inputs
        self.moments.look(signatures(db))

    def _begin_anew(self, file_id: FileId | None) -> None:
        """What the pages know is no longer valid."""
        self._instance = _new_instance()
        self._of = file_id
        self._version = None
        self._inputs = ""
        self.moments = Moments()

    async def _show(self, *, waiting: bool, trouble: str | None) -> None:
        async with self.doors_lock:
            at_work = None if waiting else await asyncio.to_thread(self._ports.at_work)
        seen = self._viewed(at_work, trouble, waiting=waiting)
        known, self.view = self.view, seen
        if _differs(known, seen):
            self._tell()

    def _viewed(self, at_work: bool | None, trouble: str | None, *, waiting: bool) -> View:
        facts = self._facts(at_work, trouble, waiting=waiting)
        return View(
            self._instance, self.moments.moment, self._figures, at_work, trouble, waiting, facts
        )

    def _facts(self, at_work: bool | None, trouble: str | None, *, waiting: bool) -> str:
        figures = self._figures
        # Those of a run that died are in force no more.
        limits = figures.limits if at_work is not False else None
        document: dict[str, JsonValue] = {
            "head": figures.head,
            "line": part_html(figures.facts, "line"),
            "atWork": at_work,
            "goesOn": figures.goes_on,
            "approves": figures.approves,
            "limits": limits and {**limits, "line": limits_line(limits)},
            "again": self._counting.command("watch"),
            "trouble": trouble,
            "waiting": waiting,
            "night": figures.night,
        }
        return json.dumps(document, separators=(",", ":"))

    def _tell(self) -> None:
        turned, self._turned = self._turned, asyncio.Event()
        turned.set()


def _differs(one: View, other: View) -> bool:
    return (one.instance, one.moment, one.facts) != (other.instance, other.moment, other.facts)


def _new_instance() -> str:
    return secrets.token_hex(6)
