"""A first run of very many jobs begins before the last of them is read.

Only a first one: it meets no state, so that nothing can have changed and nothing be paid already.
Where a later row is wrong no more is submitted; a run that was cut off meanwhile checks everything
before it goes on.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

from batchgen.downloads.threads import in_thread
from batchgen.engine.events import JobsAdded, Pause, PauseReason
from batchgen.runs.whole import stands_below, stands_twice
from batchgen.state.appending import append_jobs
from batchgen.state.queries import set_meta

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.engine.events import Listener
    from batchgen.engine.scheduler import Scheduler
    from batchgen.errors import Problem
    from batchgen.jobs import Job
    from batchgen.manifest import ProblemLog
    from batchgen.state.appending import Unfit
    from batchgen.state.store import Store

CHECKED_AT_ONCE = 200_000
"""Jobs up to which everything is checked before the first submit, unless run.full_check says so
for any number: some seconds of reading."""
PAGE = 2000
"""Jobs between two looks at the run: their inserts hold up its commits for some milliseconds."""
INPUTS = "inputs"


class Intake:
    """The jobs that are still to be read, and where what is wrong with them is logged."""

    def __init__(self, rest: Iterator[Job], problems: ProblemLog, fingerprint: str) -> None:
        self._rest = rest
        self._problems = problems
        self._fingerprint = fingerprint

    async def run(self, store: Store, scheduler: Scheduler, tell: Listener) -> None:
        """Feed the scheduler until the last job, or until something is wrong."""
        while page := await in_thread(self._next_page):
            for unfit in await store.run(append_jobs, page):
                self._problems.add(_problem_of(unfit))
            if self._problems:
                break
            # A plain mapping: `asdict` in the log makes keys of a Counter's pairs.
            tell(JobsAdded(dict(Counter(job.model for job in page))))
            await scheduler.look_for_released()
        if self._problems:
            await in_thread(self._read_on)
            scheduler.pause(
                Pause(
                    PauseReason.MANIFEST,
                    f"{self._problems.total} problems in rows that were read while the run went on",
                    "mend them; the same command continues, and pays nothing twice",
                )
            )
        else:
            await store.run(set_meta, INPUTS, self._fingerprint)
        scheduler.all_is_there()

    def raise_if_wrong(self) -> None:
        """Raise ManifestError with every problem that was found."""
        self._problems.raise_if_any()

    def _next_page(self) -> list[Job]:
        return list(islice(self._rest, PAGE))

    def _read_on(self) -> None:
        """So that all problems are told at once."""
        for _ in self._rest:
            pass


def _problem_of(unfit: Unfit) -> Problem:
    if unfit.missing is None:
        return stands_twice(unfit.job)
    return stands_below(unfit.job, unfit.missing)
