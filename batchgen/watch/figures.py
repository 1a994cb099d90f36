"""The run in figures, as the page shows them. In the reader's thread."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.jobs import IN_FLIGHT, JobState
from batchgen.report.causes import Shell
from batchgen.report.making import head_document, page_facts
from batchgen.report.night import night_of
from batchgen.report.page import Facts
from batchgen.state.looking import shown_attempts
from batchgen.state.records import Money
from batchgen.state.watching import has_due, has_more_attempts

if TYPE_CHECKING:
    import sqlite3

    from batchgen.jobs import JsonValue
    from batchgen.report.night import Night
    from batchgen.watch.doors import Doors, Watched

NIGHT_EVERY = 5.0
"""Seconds between two readings of all attempts; nobody sees a night change sooner."""
MOST_REQUESTS = 100_000
"""Above that many a night is the report's to draw: it takes a second and 100 MB for so many."""
NIGHT_SHARE = 20
"""So many times longer than it takes to read: a twentieth of the time."""

GOING = (JobState.FETCHING, *IN_FLIGHT)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one moment. `head` is for the page's script.

    `goes_on` is the command that continues what can go on; `approves` the one without which nothing
    can. `night` counts how often the attempts were looked at; `crowded`: they are too many.
    """

    facts: Facts
    head: dict[str, JsonValue]
    goes_on: str | None
    approves: str | None
    night: int
    crowded: bool = False


class Counting:
    """Counts at each look, and reads through the attempts now and then."""

    def __init__(self, watched: Watched, doors: Doors) -> None:
        self._watched = watched
        self._doors = doors
        self._night: Night | None = None
        self._nights = 0
        self._crowded = False
        self._due = 0.0
        self._stale = True

    def nothing(self) -> Figures:
        """Where nothing was run yet."""
        shell = Shell(self._watched.manifest, rehearsal=False)
        facts = Facts(self._watched.name, {}, Money(0.0, 0.0, 0), None, self._doors.now())
        return Figures(facts, {"jobs": 0, "causes": []}, shell.command("run"), None, 0)

    def count(self, db: sqlite3.Connection) -> Figures:
        shell = Shell(self._watched.manifest, rehearsal=self._doors.is_rehearsal(db))
        self._stale = True
        if self.night_is_due:
            self._read_night(db)
        facts = page_facts(db, self._watched.name, self._doors.now(), self._night)
        head = head_document(db, shell, sum(facts.counts.values()))
        goes = any(facts.counts.get(state) for state in GOING) or has_due(db)
        held = not goes and bool(facts.counts.get(JobState.PENDING))
        return Figures(
            facts,
            head,
            shell.command("run") if goes else None,
            self.command("approve", "--all") if held else None,
            self._nights,
            self._crowded,
        )

    def command(self, verb: str, *words: str) -> str:
        """One that sends nothing, and so has no rehearsal."""
        return Shell(self._watched.manifest, rehearsal=False).command(verb, *words)

    @property
    def night_is_due(self) -> bool:
        """Whether the night was counted without its attempts, and they may be read again now."""
        return self._stale and time.monotonic() >= self._due

    def _read_night(self, db: sqlite3.Connection) -> None:
        began = time.monotonic()
        self._crowded = has_more_attempts(db, MOST_REQUESTS)
        self._night = None if self._crowded else night_of(lambda: shown_attempts(db))
        self._nights += 1
        self._stale = False
        ended = time.monotonic()
        self._due = ended + max(NIGHT_EVERY, NIGHT_SHARE * (ended - began))
