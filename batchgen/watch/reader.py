"""The one thread that reads the state, and the figures that it reads for the page.

It has one connection, since SQLite's are bound to a thread.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from batchgen.errors import MissingFileError
from batchgen.fs import disk_errors
from batchgen.jobs import IN_FLIGHT, JobState
from batchgen.report.making import bucket_shown, head_document, page_facts
from batchgen.report.night import night_of
from batchgen.report.page import Facts, RunCommands
from batchgen.state.database import open_for_reading, snapshot, translated
from batchgen.state.meta import limits_in_force
from batchgen.state.records import Money
from batchgen.state.report_queries import attempt_times, has_due, has_more_attempts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from batchgen.jobs import JsonValue
    from batchgen.report.night import Night
    from batchgen.state.database import Connection
    from batchgen.watch.ports import Ports, Watched


MOST_REQUESTS = 100_000
"""Above this many attempts only the report draws the night: it takes a second and 100 MB."""

GOING = (JobState.FETCHING, *IN_FLIGHT)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one moment. `head` is for the page's script.

    `goes_on` is the command that continues what can go on; `approves` the one without which nothing
    can. `night` counts how often the attempts were looked at; `crowded`: they are too many.
    `limits` are those of the run in progress.
    """

    facts: Facts
    head: dict[str, JsonValue]
    goes_on: str | None
    approves: str | None
    night: int
    crowded: bool = False
    limits: Mapping[str, Any] | None = None


class Counting:
    """Counts at each reading; the attempts are read only on request."""

    def __init__(self, watched: Watched, ports: Ports) -> None:
        self._watched = watched
        self._ports = ports
        self._night: Night | None = None
        self._nights = 0
        self._crowded = False

    def nothing(self) -> Figures:
        """For a run that has not begun."""
        shell = RunCommands(self._watched.manifest, rehearsal=False)
        facts = Facts(self._watched.name, {}, Money(0.0, 0.0, 0), None, self._ports.now())
        return Figures(facts, {"jobs": 0, "causes": []}, shell.command("run"), None, 0)

    def count(self, db: Connection) -> Figures:
        shell = self._shell(db)
        facts = page_facts(db, self._watched.name, self._ports.now(), self._night)
        head = head_document(db, shell, sum(facts.counts.values()))
        head["bucket"] = bucket_shown(self._ports.results(db))
        goes = any(facts.counts.get(state) for state in GOING) or has_due(db)
        held = not goes and bool(facts.counts.get(JobState.PENDING))
        return Figures(
            facts,
            head,
            shell.command("run") if goes else None,
            self.command("approve", "--all") if held else None,
            self._nights,
            self._crowded,
            limits_in_force(db),
        )

    def command(self, verb: str, *words: str) -> str:
        """One that sends nothing, and so has no rehearsal."""
        return RunCommands(self._watched.manifest, rehearsal=False).command(verb, *words)

    @property
    def nights(self) -> int:
        """How often the attempts were read."""
        return self._nights

    def read_night(self, db: Connection) -> None:
        """Read all attempts; the next count has what they show."""
        self._crowded = has_more_attempts(db, MOST_REQUESTS)
        self._night = None if self._crowded else night_of(lambda: attempt_times(db))
        self._nights += 1

    def _shell(self, db: Connection) -> RunCommands:
        return RunCommands(self._watched.manifest, rehearsal=self._ports.is_rehearsal(db))


P = ParamSpec("P")
T = TypeVar("T")

FileId = tuple[int, int]
"""Device and number: another file of the same name has another one."""
LOG = "-wal"
"""What SQLite adds to the state's name for its write-ahead log."""


class Reader:
    """Opens the state when there is one, and again when another is in its place.

    Likewise when another log lies beside it: then somebody took away the one that is read here,
    and what is written from now on would never be seen.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(path.name + LOG)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="watch-reader")
        self._db: Connection | None = None
        self._of: FileId | None = None
        self._log_of: FileId | None = None
        self.opened_times = 0

    async def ask(
        self,
        question: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **more: P.kwargs,
    ) -> T:
        """Query one snapshot of the state. Raises MissingFileError, and the state's errors."""
        return await self.work(lambda: self._ask(question, *args, **more))

    async def work(self, action: Callable[[], T]) -> T:
        """Run something else in the thread, so that it never interrupts a query."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, action)

    def opened(self) -> tuple[Connection, FileId]:
        """Return the connection and its file's id. In the thread. Raises as `ask` does."""
        found = self._file_id()
        if self._db is None or self._of != found or self._log_of != self._log_id():
            self.close()
            self._db, self._of = open_for_reading(self._path), found
            # It is there once the state was opened: SQLite makes it for the first who reads.
            self._log_of = self._log_id()
            self.opened_times += 1
        return self._db, found

    def close(self) -> None:
        """In the thread; the next query opens it again."""
        if self._db is not None:
            self._db.close()
        self._db = None

    async def aclose(self) -> None:
        await self.work(self.close)
        self._thread.shutdown()

    def _ask(
        self,
        question: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **more: P.kwargs,
    ) -> T:
        db, _ = self.opened()
        with translated(self._path), snapshot(db):
            return question(db, *args, **more)

    def _file_id(self) -> FileId:
        with disk_errors(self._path):
            try:
                found = self._path.stat()
            except FileNotFoundError as exc:
                raise MissingFileError("nothing has been run yet", where=str(self._path)) from exc
        return found.st_dev, found.st_ino

    def _log_id(self) -> FileId | None:
        with disk_errors(self._log):
            try:
                found = self._log.stat()
            except FileNotFoundError:
                return None
        return found.st_dev, found.st_ino
