"""Results come home: a pool of downloads of its own, so that a slow one never holds a submit back.

The queue holds numbers of jobs, not jobs: however far the downloads lag behind, memory stays flat.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from batchgen.engine.backoff import delay
from batchgen.engine.events import FileSaved, JobMoved, Noted, Pause, PauseReason
from batchgen.engine.verdicts import FetchAgain, GiveUp, Keep, RenewUrl, after_fetch
from batchgen.errors import OutputError, StorageError
from batchgen.jobs import JobState
from batchgen.runcomfy.outcomes import Missing, Succeeded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from batchgen.downloads.outcomes import Fetched
    from batchgen.engine.control import Control
    from batchgen.engine.doors import Doors
    from batchgen.state.records import FetchJob, ResultFile


NOT_WRITABLE_IN_A_ROW = 3


class Fetcher:
    """Downloads what was paid. Call `add` for each job, run `work` in a few tasks.

    `on_done` is told the number of each job that is done, and whether others became due by that.
    """

    def __init__(
        self,
        doors: Doors,
        control: Control,
        on_done: Callable[[int, bool], Awaitable[None]] | None = None,
    ) -> None:
        self._doors = doors
        self._control = control
        self._on_done = on_done
        self._queue: asyncio.Queue[int] = asyncio.Queue()
        self._tries: dict[int, int] = {}
        self._given_up: set[int] = set()
        self._left = 0
        self._disk_failed = False
        self._not_writable_in_a_row = 0

    @property
    def busy(self) -> bool:
        """Whether something is left to download."""
        return self._left > 0

    def add(self, seq: int) -> None:
        self._left += 1
        self._queue.put_nowait(seq)

    async def work(self) -> None:
        """One place of the pool. Ends when a stop is asked for, after the download at hand."""
        while not self._control.drain.requested:
            with self._control.drain.scope() as scope:
                seq = await self._queue.get()
            if scope.interrupted:
                return
            await self._fetch_job(seq)

    async def _fetch_job(self, seq: int) -> None:
        job = await self._doors.store.files_to_fetch(seq)
        if job is None:
            self._done(())
            return
        waits = [
            wait for file in job.files if (wait := await self._fetch_file(job, file)) is not None
        ]
        if waits:
            # The place in the pool is for others meanwhile.
            asyncio.get_running_loop().call_later(max(waits), self._queue.put_nowait, seq)
        else:
            self._done(job.files)

    def _done(self, files: Iterable[ResultFile]) -> None:
        for file in files:
            self._tries.pop(file.id, None)
            self._given_up.discard(file.id)
        self._left -= 1
        if not self._left:
            self._control.wake.set()

    async def _fetch_file(self, job: FetchJob, file: ResultFile) -> float | None:
        """Try one file once. Returns the seconds after which to try again, None for never."""
        if self._disk_failed or file.id in self._given_up:
            return None
        try:
            outcome = await self._doors.files.fetch(file.url, file.name)
        except StorageError as exc:
            self._pause_for_disk(exc)
            return None
        except OutputError as exc:
            await self._not_writable(job, file, exc)
            return None
        tries = self._tries[file.id] = self._tries.get(file.id, 0) + 1
        match after_fetch(outcome, tries):
            case Keep(kept):
                await self._keep(job, file, kept)
                return None
            case GiveUp(code, reason):
                await self._give_up(job, file, code, reason)
                return None
            case RenewUrl(reason):
                return await self._renew(job, file, reason, tries)
            case FetchAgain(reason, after):
                self._control.emit(Noted(f"download of {file.name}: {reason}; again", job.id))
                return max(after, delay(tries, self._doors.dice))

    async def _keep(self, job: FetchJob, file: ResultFile, fetched: Fetched) -> None:
        self._tries.pop(file.id, None)
        self._not_writable_in_a_row = 0
        verified = await self._doors.store.verified(file.id, fetched.file)
        self._control.emit(FileSaved(verified.saved))
        if verified.done:
            self._tell(job, JobState.DONE)
            if self._on_done is not None:
                await self._on_done(job.seq, verified.released)

    async def _give_up(self, job: FetchJob, file: ResultFile, code: str, reason: str) -> None:
        self._given_up.add(file.id)
        await self._doors.store.trouble(job.seq, code, reason)
        self._tell(job, JobState.FETCHING, code, reason)

    async def _renew(
        self, job: FetchJob, file: ResultFile, reason: str, tries: int
    ) -> float | None:
        """The URL has expired: the request is asked again, which costs nothing."""
        answer = await self._doors.api.result(job.request_id)
        if isinstance(answer, Missing):
            await self._give_up(job, file, "url_expired", f"{reason}; {answer.reason}")
            return None
        if isinstance(answer, Succeeded) and len(answer.urls) >= file.position:
            url = answer.urls[file.position - 1]
            await self._doors.store.renew_url(file.id, url)
            if url != file.url:
                return 0.0
        return delay(tries, self._doors.dice)

    async def _not_writable(self, job: FetchJob, file: ResultFile, error: OutputError) -> None:
        """Something stands where one file should go; for several in a row, it is the folder."""
        self._not_writable_in_a_row += 1
        if self._not_writable_in_a_row >= NOT_WRITABLE_IN_A_ROW:
            self._pause_for_disk(error)
        await self._give_up(job, file, "not_writable", f"{error.where}: {error.what}")

    def _pause_for_disk(self, error: StorageError | OutputError) -> None:
        """A bad disk is every job's trouble: nothing more is downloaded, the paid URLs are kept."""
        self._disk_failed = True
        next_step = error.next_step or "check the disk; the same command continues"
        self._control.pause(Pause(PauseReason.DISK, error.what, next_step, where=error.where))

    def _tell(
        self, job: FetchJob, state: JobState, code: str | None = None, reason: str | None = None
    ) -> None:
        self._control.emit(
            JobMoved(job.id, job.model, JobState.FETCHING, state, job.request_id, code, reason)
        )
