"""The state as the engine sees it: one async method a durable step, the clock put in here."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from batchgen.concurrency import Threads
from batchgen.jobs import digest_of
from batchgen.state import due, files, manual_actions, queries, transitions
from batchgen.state.writer import Writer

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from batchgen.downloads.outcomes import VerifiedFile
    from batchgen.state.due import DueKey
    from batchgen.state.records import (
        Counts,
        FetchJob,
        JobRow,
        LiveRequest,
        Money,
        Result,
        Verified,
    )
    from batchgen.state.selection import Selection

T = TypeVar("T")
P = ParamSpec("P")


class Store:
    """Every method returns once its change is durable. `now` is the wall clock, epoch seconds."""

    def __init__(self, writer: Writer, now: Callable[[], float]) -> None:
        self._writer = writer
        self.now = now

    async def run(
        self,
        change: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Any change or question of this room, in its place in the queue."""
        return await self._writer.run(lambda db: change(db, *args, **kwargs))

    async def due_page(
        self,
        model: str,
        selection: Selection,
        after: DueKey | None,
        limit: int,
        closed: frozenset[str] = frozenset(),
    ) -> list[JobRow]:
        return await self.run(due.due_page, model, selection, after, limit, closed)

    async def first_due(
        self, model: str, sweep: str, selection: Selection, count: int
    ) -> list[JobRow]:
        return await self.run(due.first_due, model, sweep, selection, count)

    async def unproven_sweeps(self) -> frozenset[tuple[str, str]]:
        return await self.run(due.unproven_sweeps)

    async def needed_files(self, seq: int) -> tuple[Result, ...]:
        return await self.run(due.needed_files, seq)

    async def begin_attempt(
        self,
        job: JobRow,
        price: float | None,
        body: str | None = None,
        *,
        uploading: bool = False,
    ) -> int | None:
        sent = job.body if body is None else body
        digest = digest_of(sent)
        own = None if sent == job.body else sent
        return await self.run(
            transitions.begin_attempt,
            job.seq,
            digest,
            price,
            self.now(),
            own,
            uploading=uploading,
        )

    async def handed_over(self, seq: int, number: int) -> bool:
        return await self.run(transitions.handed_over, seq, number)

    async def reject(self, seq: int, code: str, reason: str) -> bool:
        return await self.run(transitions.reject, seq, code, reason)

    async def accepted(
        self, seq: int, number: int, request_id: str, answer: str
    ) -> transitions.Acceptance:
        return await self.run(transitions.accepted, seq, number, request_id, answer, self.now())

    async def unclear(self, seq: int, number: int, code: str, reason: str, answer: str) -> bool:
        return await self.run(transitions.unclear, seq, number, code, reason, answer)

    async def turn_back(self, seq: int, number: int, outcome: str, reason: str) -> bool:
        return await self.run(transitions.turn_back, seq, number, outcome, reason, self.now())

    async def refused(self, seq: int, number: int, code: str, reason: str) -> bool:
        return await self.run(transitions.refused, seq, number, code, reason, self.now())

    async def refuse_model(self, model: str, code: str, reason: str) -> int:
        return await self.run(transitions.refuse_model, model, code, reason)

    async def running(self, seq: int) -> bool:
        return await self.run(transitions.running, seq)

    async def delivered(
        self, request: LiveRequest, urls: Sequence[str], cost: float | None, result: str
    ) -> FetchJob | None:
        return await self.run(files.delivered, request, urls, cost, result, self.now())

    async def ended(self, request: LiveRequest, ending: transitions.Ending) -> bool:
        return await self.run(transitions.ended, request.seq, request.attempt, ending, self.now())

    async def set_aside(
        self, request: LiveRequest, code: str, reason: str, cost: float | None, result: str
    ) -> bool:
        return await self.run(
            transitions.set_aside, request.seq, request.attempt, code, reason, cost, result
        )

    async def resubmit_unknown(self, seq: int, most: int) -> str | None:
        return await self.run(manual_actions.resubmit_within, seq, most, self.now())

    async def files_to_fetch(self, seq: int) -> FetchJob | None:
        return await self.run(files.files_to_fetch, seq)

    async def renew_url(self, file_id: int, url: str) -> None:
        await self.run(transitions.renew_url, file_id, url)

    async def refresh_url(self, file_id: int, url: str) -> None:
        await self.run(transitions.refresh_url, file_id, url)

    async def verified(self, file_id: int, file: VerifiedFile) -> Verified:
        return await self.run(files.verified, file_id, file, self.now())

    async def trouble(self, seq: int, code: str, reason: str) -> None:
        await self.run(transitions.trouble, seq, code, reason)

    async def pending_job(self, seq: int) -> JobRow | None:
        return await self.run(due.pending_job, seq)

    async def live_request(self, seq: int) -> LiveRequest | None:
        return await self.run(queries.live_request, seq)

    async def live_requests(self) -> list[LiveRequest]:
        return await self.run(queries.live_requests)

    async def unanswered(self, since: float) -> list[tuple[int, str, float]]:
        return await self.run(queries.unanswered, since)

    async def fetching(self) -> list[int]:
        return await self.run(queries.fetching)

    async def counts(self) -> Counts:
        return await self.run(queries.counts)

    async def money(self) -> Money:
        return await self.run(queries.money)

    async def expected_seconds(self, model: str) -> float | None:
        return await self.run(queries.expected_seconds, model)


@asynccontextmanager
async def open_store(
    connection: sqlite3.Connection, path: Path, now: Callable[[], float]
) -> AsyncIterator[Store]:
    """The store on a connection of open_for_writing, which stays the caller's to close."""
    with Threads(1, "state-writer") as executor:
        writer = Writer(connection, path, executor)
        try:
            yield Store(writer, now)
        finally:
            await writer.drain()
