"""The run in figures, as the page shows them. In the reader's thread."""

from __future__ import annotations

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

MOST_REQUESTS = 100_000
"""Above that many a night is the report's to draw: it takes a second and 100 MB for so many."""

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
    """Counts at each look; the attempts are read through when it is asked to."""

    def __init__(self, watched: Watched, doors: Doors) -> None:
        self._watched = watched
        self._doors = doors
        self._night: Night | None = None
        self._nights = 0
        self._crowded = False

    def nothing(self) -> Figures:
        """Where nothing was run yet."""
        shell = Shell(self._watched.manifest, rehearsal=False)
        facts = Facts(self._watched.name, {}, Money(0.0, 0.0, 0), None, self._doors.now())
        return Figures(facts, {"jobs": 0, "causes": []}, shell.command("run"), None, 0)

    def count(self, db: sqlite3.Connection) -> Figures:
        shell = self._shell(db)
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

    def renewal(self, db: sqlite3.Connection) -> str:
        """The command that brings an older state up to date."""
        return self._shell(db).command("run")

    @property
    def nights(self) -> int:
        """How often the attempts were read."""
        return self._nights

    def read_night(self, db: sqlite3.Connection) -> None:
        """Read all attempts; the next count has what they tell."""
        self._crowded = has_more_attempts(db, MOST_REQUESTS)
        self._night = None if self._crowded else night_of(lambda: shown_attempts(db))
        self._nights += 1

    def _shell(self, db: sqlite3.Connection) -> Shell:
        return Shell(self._watched.manifest, rehearsal=self._doors.is_rehearsal(db))
