"""While a run goes on: what people decide in other commands, and whether its folder is there."""

from __future__ import annotations

import asyncio
import errno
import json
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from batchgen.engine.events import JobMoved, Noted
from batchgen.errors import StorageError
from batchgen.jobs import IN_FLIGHT, JobState
from batchgen.runs.decision_log import MARKS, Applied, Verb, apply_page
from batchgen.state import recovery

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from batchgen.engine.events import Event, Listener
    from batchgen.engine.scheduler import Scheduler
    from batchgen.runs.folder import RunFolder
    from batchgen.runs.tuning import Tuner
    from batchgen.state.database import Connection
    from batchgen.state.store import Store


LOOK_EVERY = 1.0
"""Seconds. No portable call announces that a file grows, and asking its size is cheap."""

GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENOTCONN, errno.ENODEV})


async def watch_decisions(
    path: Path, store: Store, scheduler: Scheduler, listener: Listener, tuner: Tuner
) -> None:
    """Apply what is appended to decisions.jsonl, until cancelled."""
    # Not the current size: lines may have been appended since the run began.
    size = 0
    while True:
        await asyncio.sleep(LOOK_EVERY)
        if (grown := _size(path)) != size:
            size = grown
            more = True
            while more:
                page = await store.run(apply_page, path)
                await act_on(page.applied, scheduler, listener)
                await tuner.take_up(page.applied)
                more = page.more


async def watch_folder(folder: RunFolder) -> None:
    """Raise StorageError once the run's folder is gone: nothing more may be submitted then."""
    while not is_gone(folder):  # noqa: ASYNC110 - nothing announces that a folder goes
        await asyncio.sleep(LOOK_EVERY)
    raise gone_error(folder)


async def act_on(applied: Iterable[Applied], scheduler: Scheduler, listener: Listener) -> None:
    """Inform the engine of decisions that the state has already applied."""
    releases = False
    for one in applied:
        verb, job_id = one.decision.verb, one.decision.job_id
        if verb is Verb.TUNE:
            continue  # the tuner's
        # Thousands of picks do not need a line each, only those that failed.
        if verb not in MARKS or one.objection:
            listener(Noted(one.objection or f"decided: {verb.value}", job_id))
        if one.seq is None or one.objection:
            continue
        if one.before is not one.after:
            listener(JobMoved(job_id, one.model, one.before, one.after))
        if one.ask_vendor:
            await scheduler.cancel(one.seq)
        elif verb is Verb.APPROVE or one.stays_done:
            releases = True
        elif verb is not Verb.CANCEL and verb not in MARKS:
            await scheduler.reconsider(one.seq)
    if releases:
        # Once for all of them: people approve a hundred pictures at a time.
        await scheduler.reload_due_jobs()


async def ask_for_cancels(jobs: Iterable[int], scheduler: Scheduler) -> None:
    """Ask the vendor to cancel what was cancelled before this run."""
    for seq in jobs:
        await scheduler.cancel(seq)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class RequestsInFlight:
    """The requests in flight, for when the state can no longer be read."""

    def __init__(self) -> None:
        self._requests: dict[str, str] = {}

    def on_event(self, event: Event) -> None:
        if not isinstance(event, JobMoved):
            return
        if event.request_id and event.state in {*IN_FLIGHT, JobState.FETCHING}:
            self._requests[event.job_id] = event.request_id
        elif event.state not in {*IN_FLIGHT, JobState.FETCHING}:
            self._requests.pop(event.job_id, None)

    def of(self, db: Connection) -> list[tuple[str, str]]:
        """Jobs and all their requests; SQLite can still read a removed file."""
        known = recovery.requests_if_readable(db)
        return list(self._requests.items()) if known is None else known


@contextmanager
def print_requests_if_gone(
    folder: RunFolder, db: Connection, held: RequestsInFlight
) -> Iterator[None]:
    """Print the requests to stderr if the folder vanished while the run went on.

    Raises StorageError then, unless something else was raised.
    """
    try:
        yield
    finally:
        if is_gone(folder):
            for job, request_id in held.of(db):
                with suppress(OSError, ValueError, AttributeError):
                    line = json.dumps({"job": job, "request_id": request_id})
                    sys.stderr.write(f"request of the run: {line}\n")
    if is_gone(folder):
        raise gone_error(folder)


def is_gone(folder: RunFolder) -> bool:
    """Whether the state is gone. Its inode does not show that: some file systems invent those."""
    try:
        folder.state.stat()
    except OSError as exc:
        return exc.errno in GONE
    return False


def gone_error(folder: RunFolder) -> StorageError:
    return StorageError(
        "the run's folder was moved, removed or unmounted while the run went on: its requests are"
        " printed above",
        where=str(folder.root),
        next_step="put the folder back, or mount its disk, and run the same command again",
    )
