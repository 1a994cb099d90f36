"""A pool of downloads of its own, so that a slow one never delays a submit.

The queue holds numbers of jobs, not jobs: however far the downloads lag behind, memory stays flat.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, TypeVar

from batchgen.downloads.adopt import SourceGone
from batchgen.downloads.allowed_hosts import HostNotAllowed
from batchgen.downloads.embedding import Provenance
from batchgen.downloads.outcomes import Fetched, Interrupted, NotStored
from batchgen.engine.backoff import delay
from batchgen.engine.decisions import MISSING_TWICE
from batchgen.engine.events import FileSaved, JobMoved, Noted, Warned
from batchgen.engine.fetch_decisions import (
    ASKED_LATELY,
    FetchAgain,
    FetchFacts,
    GiveUp,
    Keep,
    RenewUrl,
    StopStoring,
    after_fetch,
)
from batchgen.engine.host_waits import Hosts
from batchgen.engine.result_hosts import FileHost
from batchgen.errors import BucketError, ClusterLostError, OutputError, StorageError
from batchgen.jobs import JobState
from batchgen.pauses import PauseReason, pause_for, pause_for_disk
from batchgen.runcomfy.outcomes import Missing, NoAnswer, Succeeded
from batchgen.state.reuse import give_back_reused, source_of
from batchgen.state.reviews import find_flaws

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from batchgen.downloads.adopt import AdoptOutcome
    from batchgen.downloads.outcomes import FetchOutcome
    from batchgen.engine.control import Control
    from batchgen.engine.ports import Ports
    from batchgen.state.records import FetchJob, FileRow, Verified
    from batchgen.state.reuse import Source

Outcome = TypeVar("Outcome", bound="FetchOutcome | AdoptOutcome")

NOT_WRITABLE_IN_A_ROW = 3

MOST_AT_HAND = 128
"""Jobs whose files are not read from the state again; few, since a body may be large."""


@dataclass(slots=True)
class _History:
    """What happened to one file in this run, at times of the loop.

    `since`: when its first try ended. `asked`: when the vendor was last asked for its URL.
    `is_whole`: it is on this machine, and only the bucket has to take it.
    """

    tries: int = 0
    since: float | None = None
    asked: float | None = None
    missing: int = 0
    is_whole: bool = False


class DownloadPool:
    """Downloads what was paid for. Call `add` for each job, run `work` in a few tasks.

    `on_done` gets the number of each job that is done, and what its last file changed;
    `on_given_back` is called when a job is pending again, since what it was to reuse is gone.
    """

    def __init__(
        self,
        ports: Ports,
        control: Control,
        on_done: Callable[[int, Verified], Awaitable[None]] | None = None,
        on_given_back: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._on_given_back = on_given_back
        self._ports = ports
        self._control = control
        self._on_done = on_done
        self._queue: asyncio.Queue[int] = asyncio.Queue()
        self._at_hand: dict[int, FetchJob] = {}
        self._histories: dict[int, _History] = {}
        self._hosts = Hosts(self._queue, control.emit, ports.dice)
        self._bucket = self._hosts.bucket
        self._given_up: set[int] = set()
        self._active: set[int] = set()
        self._requested_again: set[int] = set()
        self._cannot_store = False
        self._not_writable_in_a_row = 0

    @property
    def busy(self) -> bool:
        """Whether something is left to download."""
        return bool(self._active)

    def add(self, seq: int) -> None:
        """A job has a result. Never two tasks for one job: they would write the same files."""
        if seq in self._active:
            self._requested_again.add(seq)
            return
        self._active.add(seq)
        self._queue.put_nowait(seq)

    def _add_all(self, seqs: Iterable[int]) -> None:
        for seq in seqs:
            self.add(seq)

    def keep_at_hand(self, job: FetchJob) -> None:
        """`add` comes next, for a job that was read from the state a moment ago."""
        if len(self._at_hand) < MOST_AT_HAND:
            self._at_hand[job.seq] = job

    async def work(self) -> None:
        """One place of the pool. Ends when a stop is requested, after its current download."""
        while not self._control.drain.requested:
            with self._control.drain.scope() as scope:
                seq = await self._queue.get()
            if scope.interrupted:
                return
            await self._fetch_job(seq)
            self._hosts.schedule_tries()

    async def _fetch_job(self, seq: int) -> None:
        job = self._at_hand.pop(seq, None) or await self._ports.store.files_to_fetch(seq)
        if job is None:
            self._done(seq, ())
            return
        if job.reused_from is not None:
            waits = await self._reuse(job, source_of(job.reused_from))
        else:
            each = [await self._fetch_file(job, file) for file in job.files]
            waits = [wait for wait in each if wait is not None]
        if not waits:
            self._done(seq, job.files)
        elif host := next((wait for wait in waits if isinstance(wait, FileHost)), None):
            self._hosts.park(host, seq)
        else:
            # Meanwhile the place in the pool is free for others.
            seconds = max(wait for wait in waits if not isinstance(wait, FileHost))
            asyncio.get_running_loop().call_later(seconds, self._queue.put_nowait, seq)

    async def _reuse(self, job: FetchJob, source: Source) -> list[float | FileHost]:
        """Take the files of another run's result. Returns what to wait for, if anything."""
        for file in job.files:
            if self._cannot_store:
                break
            wanted = source.files[file.position - 1].file
            adopt = self._ports.files.adopt(source.location, wanted, file.name)
            outcome = await self._storing(job, file, adopt)
            if outcome is None:
                break
            if isinstance(outcome, SourceGone):
                await self._source_gone(job, source, outcome.reason)
                break
            if not isinstance(outcome, Fetched):
                wait = await self._act(job, file, self._bucket, outcome)
                return [] if wait is None else [wait]
            await self._keep(job, file, outcome)
        return []

    async def _storing(
        self, job: FetchJob, file: FileRow, work: Awaitable[Outcome]
    ) -> Outcome | None:
        """Await what writes a file. None if that cannot be done, which is then recorded."""
        try:
            return await work
        except BucketError as exc:
            self._pause_for_bucket(f"{exc.where}: {exc.what}", exc.next_step)
        except (StorageError, ClusterLostError) as exc:
            self._pause_for_disk(exc)
        except OutputError as exc:
            await self._not_writable(job, file, exc)
        return None

    async def _source_gone(self, job: FetchJob, source: Source, reason: str) -> None:
        """Nothing was paid, so it is submitted; unless it was there once, and is lost."""
        store = self._ports.store
        if self._ports.results is not None:
            await self._ports.results.drop(source)
        reason = f"the result that it reuses is gone: {reason}"
        if await store.run(give_back_reused, job.seq, job.attempt, reason, store.now()):
            self._emit_move(job, JobState.PENDING, "source_gone", reason)
            if self._on_given_back is not None:
                await self._on_given_back()
            return
        await store.trouble(job.seq, "source_gone", reason)
        self._emit_move(job, JobState.FETCHING, "source_gone", reason)

    def _done(self, seq: int, files: Iterable[FileRow]) -> None:
        for file in files:
            self._histories.pop(file.id, None)
            if file.id in self._given_up and (host := self._hosts.of(file.url)).gave_up:
                host.left.add(seq)
            self._given_up.discard(file.id)
        if seq in self._requested_again:
            self._requested_again.discard(seq)
            self._queue.put_nowait(seq)
            return
        self._active.discard(seq)
        if not self._active:
            self._control.wake.set()

    async def _fetch_file(self, job: FetchJob, file: FileRow) -> float | FileHost | None:
        """Try one file once. Returns the seconds, or the host, to wait for; None: not again."""
        if self._cannot_store or file.id in self._given_up:
            return None
        if not self._bucket.may_try(_loop_time()):
            return self._bucket
        host = self._bucket if self._history(file).is_whole else self._hosts.of(file.url)
        if not host.may_try(_loop_time()):
            return await self._wait_or_renew(job, file, host)
        self._bucket.trying = self._bucket.is_down
        host.trying = host.is_down
        try:
            outcome = await self._storing(job, file, self._fetch(job, file))
        finally:
            self._bucket.trying = host.trying = False
        return None if outcome is None else await self._act(job, file, host, outcome)

    async def _fetch(self, job: FetchJob, file: FileRow) -> FetchOutcome:
        assert job.request_id is not None, "what is reused is not downloaded"
        name, request, is_new = file.name, job.request_id, job.is_new
        provenance = Provenance.of(job.id, job.model, job.body)

        def fetch(url: str) -> Awaitable[FetchOutcome]:
            files = self._ports.files
            return files.fetch(url, name, provenance, request=request, is_new=is_new)

        if not file.url.startswith("data:") or self._history(file).is_whole:
            return await fetch(file.url)
        # Of a file that came inside an answer the state has only the hash.
        answer = await self._ports.api.result(request)
        if not isinstance(answer, Succeeded) or len(answer.urls) < file.position:
            return Interrupted("the vendor does not repeat the answer that contained it")
        url = answer.urls[file.position - 1]
        return await fetch(answer.data.get(url, url))

    async def _wait_or_renew(
        self, job: FetchJob, file: FileRow, host: FileHost
    ) -> float | FileHost | None:
        """Its host is down: ask for a new URL, which may lead elsewhere."""
        asked = self._asked(file)
        if asked >= ASKED_LATELY if host.gave_up else asked == inf and not host.asked_in_vain:
            return await self._renew(job, file, host.reason)
        if host.gave_up:
            await self._give_up(job, file, "unreachable", host.reason)
            return None
        return host

    async def _act(
        self, job: FetchJob, file: FileRow, host: FileHost, outcome: FetchOutcome
    ) -> float | FileHost | None:
        facts = self._count(file, host, outcome)
        match after_fetch(outcome, facts):
            case Keep(kept):
                await self._keep(job, file, kept)
                return None
            case GiveUp(code, reason):
                await self._give_up(job, file, code, reason)
                return None
            case RenewUrl(reason):
                text = f"download of {file.name}: {reason}; asking for a new URL"
                self._control.emit(Noted(text, job.id))
                return await self._renew(job, file, reason, expired=not host.is_down)
            case StopStoring(reason):
                self._pause_for_bucket(reason)
                return None
            case FetchAgain(reason, after):
                self._control.emit(
                    Noted(f"download of {file.name}: {reason}; trying again", job.id)
                )
                if isinstance(outcome, NotStored):
                    host = self._bucket
                if host.is_down:
                    return host
                return max(after, delay(facts.tries, self._ports.dice))

    def _count(self, file: FileRow, host: FileHost, outcome: FetchOutcome) -> FetchFacts:
        now, history = _loop_time(), self._history(file)
        history.tries += 1
        history.since = now if history.since is None else history.since
        history.is_whole = isinstance(outcome, NotStored)
        if isinstance(outcome, Interrupted):
            self._hosts.fails(host, file.id, outcome)
        elif not isinstance(outcome, HostNotAllowed):
            history.asked = None
            if host is not self._bucket:
                self._add_all(self._hosts.answers(host))
        if isinstance(outcome, NotStored):
            host = self._bucket
            self._hosts.fails(host, file.id, Interrupted(outcome.reason))
        elif isinstance(outcome, Fetched):
            self._add_all(self._hosts.answers(self._bucket))
        lasted, down = now - history.since, host.lasted(now)
        return FetchFacts(history.tries, lasted, down, self._asked(file))

    def _asked(self, file: FileRow) -> float:
        """For how many seconds the vendor has not been asked for the URL of a file."""
        asked = self._history(file).asked
        return inf if asked is None else _loop_time() - asked

    def _history(self, file: FileRow) -> _History:
        return self._histories.setdefault(file.id, _History())

    async def _keep(self, job: FetchJob, file: FileRow, fetched: Fetched) -> None:
        self._histories.pop(file.id, None)
        self._not_writable_in_a_row = 0
        verified = await self._ports.store.verified(file.id, fetched.file)
        self._control.emit(FileSaved(verified.saved))
        if fetched.not_embedded:
            self._control.emit(
                Warned(f"{fetched.file.path} has no metadata added: {fetched.not_embedded}")
            )
        if flaw := self._ports.catalog.wrong_kind(job.model, fetched.file.media_type):
            await self._ports.store.run(find_flaws, job.seq, file.position, {"wrong_kind": flaw})
            self._control.emit(
                Warned(f"{job.id}: {flaw}; it is kept as {fetched.file.path}, and is paid for")
            )
        if verified.done:
            self._emit_move(job, JobState.DONE)
            if self._on_done is not None:
                await self._on_done(job.seq, verified)

    async def _give_up(self, job: FetchJob, file: FileRow, code: str, reason: str) -> None:
        self._given_up.add(file.id)
        await self._ports.store.trouble(job.seq, code, reason)
        self._emit_move(job, JobState.FETCHING, code, reason)

    async def _renew(
        self, job: FetchJob, file: FileRow, reason: str, *, expired: bool = False
    ) -> float | FileHost | None:
        """Ask the vendor for a new URL, which costs nothing.

        `expired`: the host answered, and no longer serves the file at the old one.
        """
        history, host = self._history(file), self._hosts.of(file.url)
        assert job.request_id is not None, "what is reused is not downloaded"
        answer = await self._ports.api.result(job.request_id)
        if host.gave_up or not isinstance(answer, NoAnswer):
            history.asked = _loop_time()
        if isinstance(answer, Missing) and expired:
            history.missing += 1
            if history.missing >= MISSING_TWICE:
                await self._give_up(job, file, "url_expired", f"{reason}; {answer.reason}")
                return None
        if isinstance(answer, Succeeded) and len(answer.urls) >= file.position:
            url = answer.urls[file.position - 1]
            await self._ports.store.renew_url(file.id, url)
            if self._hosts.of(url) is not host or (expired and url != file.url):
                return 0.0
            host.asked_in_vain = host.is_down
        return host if host.is_down else delay(max(history.tries, 1), self._ports.dice)

    async def _not_writable(self, job: FetchJob, file: FileRow, error: OutputError) -> None:
        """One file cannot be written; for several in a row, it is the folder."""
        self._not_writable_in_a_row += 1
        if self._not_writable_in_a_row >= NOT_WRITABLE_IN_A_ROW:
            self._pause_for_disk(error)
        await self._give_up(job, file, "not_writable", f"{error.where}: {error.what}")

    def _pause_for_disk(self, error: StorageError | OutputError | ClusterLostError) -> None:
        """A bad disk concerns all jobs: nothing more is downloaded, the paid URLs are kept.

        So does a lost cluster.
        """
        self._cannot_store = True
        self._control.pause(pause_for_disk(error))

    def _pause_for_bucket(self, reason: str, next_step: str | None = None) -> None:
        """So does a bucket that takes nothing: what is paid for stays with the vendor, or here."""
        self._cannot_store = True
        pause = pause_for(PauseReason.BUCKET, reason=reason)
        self._control.pause(replace(pause, next_step=next_step or pause.next_step))
        self._hosts.release_all(self._bucket)

    def _emit_move(
        self, job: FetchJob, state: JobState, code: str | None = None, reason: str | None = None
    ) -> None:
        self._control.emit(
            JobMoved(job.id, job.model, JobState.FETCHING, state, job.request_id, code, reason)
        )


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
