"""A first run of very many jobs begins before the last of them is read.

Only a first run, since without a state nothing can have changed and nothing can be paid for. If a
later row is wrong, nothing more is submitted. A run that was interrupted while reading checks
everything before it continues.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from batchgen.concurrency import in_thread
from batchgen.engine.events import JobsAdded
from batchgen.errors import Problem
from batchgen.pauses import PauseReason, pause_for
from batchgen.runs.cross_job_checks import duplicate_id, missing_above, wrong_media_kinds
from batchgen.runs.drift import ways_out
from batchgen.runs.summary import LateProblemsError
from batchgen.state.appending import append_jobs
from batchgen.state.meta import Meta, set_meta

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.engine.events import Listener
    from batchgen.engine.scheduler import Scheduler
    from batchgen.jobs import Job
    from batchgen.manifest.problems import ProblemLog
    from batchgen.models.catalog import Catalog
    from batchgen.runs.drift import LiveRules
    from batchgen.runs.fingerprint import Fingerprint
    from batchgen.runs.summary import Summary
    from batchgen.state.appending import Unfit
    from batchgen.state.store import Store


CHECKED_AT_ONCE = 100_000
"""Up to this many jobs (some seconds of reading), all are checked before the first submit; with
run.full_check: always, any number."""
PAGE = 2000
"""Jobs per page: their inserts delay the run's commits by some milliseconds."""


class StreamingIngest:
    """The jobs that are still to be read, and the log of their problems."""

    def __init__(
        self,
        rest: Iterator[Job],
        catalog: Catalog,
        problems: ProblemLog,
        fingerprint: Fingerprint,
    ) -> None:
        self._rest = rest
        self._catalog = catalog
        self._problems = problems
        self._fingerprint = fingerprint
        self._rules: LiveRules | None = None

    def judge_by(self, rules: LiveRules) -> None:
        """Also compare the jobs with the vendor's current schemas."""
        self._rules = rules

    async def run(self, store: Store, scheduler: Scheduler, emit: Listener) -> None:
        """Feed the scheduler until the last job, or until something is wrong.

        After a problem the rest is still read, to report all problems at once; a cancellation ends
        that after the current page.
        """
        while (page := await in_thread(self._next_page)) and not self._problems:
            self._log_outdated(page)
            if self._problems:
                break
            await self._take_up(page, store)
            # A plain dict, since `asdict`, which the log uses, breaks a Counter.
            emit(JobsAdded(dict(Counter(job.model for job in page))))
            await scheduler.reload_due_jobs()
        if self._problems:
            # At once: reading may take long, and meanwhile jobs would be paid for.
            scheduler.pause(_PAUSE)
            while page := await in_thread(self._next_page):
                self._log_outdated(page)
        else:
            await store.run(set_meta, Meta.INPUTS, await in_thread(self._fingerprint.text))
        scheduler.all_jobs_added()

    def raise_if_wrong(self, summary: Summary) -> None:
        """Raise LateProblemsError with every problem; `summary` is how far the run came."""
        if self._problems:
            raise LateProblemsError(self._problems.problems, self._problems.total, summary)

    def _log_outdated(self, page: list[Job]) -> None:
        if self._rules is None or not self._rules.models:
            return
        for job in page:
            for one in self._rules.refusals(job.model, job.body):
                got = f"; got {one.got}" if one.got else ""
                words = f"{one.rule} in the vendor's current schema{got}"
                hint = ways_out(job.model)
                self._problems.add(Problem(job.file, job.line, 1, words, hint, job.id))

    async def _take_up(self, page: list[Job], store: Store) -> None:
        objects = partial(wrong_media_kinds, catalog=self._catalog)
        for unfit in await store.run(append_jobs, page, objects):
            for problem in _problems_of(unfit, self._catalog):
                self._problems.add(problem)

    def _next_page(self) -> list[Job]:
        """Give a page; it ends at the first wrong row, so that it is reported at once."""
        sound = not self._problems
        page: list[Job] = []
        for job in self._rest:
            page.append(job)
            if len(page) == PAGE or (sound and self._problems):
                break
        return page


_PAUSE = pause_for(PauseReason.MANIFEST)


def _problems_of(unfit: Unfit, catalog: Catalog) -> list[Problem]:
    if unfit.missing is not None:
        return [missing_above(unfit.job, unfit.missing)]
    if unfit.unlike is not None:
        return wrong_media_kinds(unfit.unlike, catalog)
    return [duplicate_id(unfit.job)]
