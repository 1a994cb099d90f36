"""Jobs that another run has already done take its result instead of being submitted.

Nothing is sent and nothing is paid, so neither limits nor the budget apply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.downloads.probe import Gone
from batchgen.engine.events import JobMoved
from batchgen.jobs import JobState, digest_of
from batchgen.references import references_in
from batchgen.state.reuse import begin_reuse, is_an_input

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batchgen.engine.events import Event
    from batchgen.engine.ports import Inputs, Results
    from batchgen.state.records import JobRow
    from batchgen.state.reuse import Source
    from batchgen.state.store import Store


class Reuse:
    """`emit` gets an event for each job that takes a result."""

    def __init__(
        self,
        store: Store,
        results: Results | None,
        inputs: Inputs | None,
        emit: Callable[[Event], None],
    ) -> None:
        self._store = store
        self._results = results
        self._inputs = inputs
        self._emit = emit

    async def begin(self, jobs: Sequence[JobRow]) -> list[int]:
        """Record which of these due jobs take a result; they are fetching. Returns their numbers.

        Not a job whose input refers to another job: what will be sent is not known yet.
        """
        if self._results is None:
            return []
        begun: list[int] = []
        left = [job for job in jobs if not references_in(job.body)]
        while left:
            found = await self._results.find(left)
            chosen = [job for job in left if job.seq in found]
            taken = [job.seq for job in chosen if await self._begin(job, found[job.seq])]
            begun += taken
            if len(taken) == len(chosen):
                break
            # What one of them could not take may serve one that found nothing.
            left = [job for job in left if job.seq not in found]
        return begun

    async def _begin(self, job: JobRow, source: Source) -> bool:
        store = self._store
        if await store.run(is_an_input, job.seq) and not await self._is_served(source):
            return False
        digest = digest_of(job.body)
        if not await store.run(begin_reuse, job.seq, digest, source, store.now()):
            return False
        self._emit(
            JobMoved(
                job.id,
                job.model,
                JobState.PENDING,
                JobState.FETCHING,
                code="reused",
                reason=f"it takes the result of {source.origin}",
                cost=0.0,
            )
        )
        return True

    async def _is_served(self, source: Source) -> bool:
        """Whether the vendor can still fetch it, for a job that takes it as an input."""
        inputs = self._inputs
        for file in source.files:
            if file.url.startswith("data:"):
                return False
            if inputs is not None and isinstance(await inputs.probe(file.url), Gone):
                return False
        return True
