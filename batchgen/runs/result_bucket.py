"""The bucket of a run's results: claimed by one run, with metadata.jsonl, without half uploads."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from batchgen.concurrency import in_daemon_thread
from batchgen.engine.events import Noted, Warned
from batchgen.errors import BatchgenError, BucketError, OtherManifestError
from batchgen.pauses import PauseReason
from batchgen.runs.append_log import json_line
from batchgen.runs.ownership import known_run_id
from batchgen.storage.locations import BucketLocation
from batchgen.storage.results import open_bucket
from batchgen.storage.stamps import METADATA

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator

    from batchgen.engine.events import Listener
    from batchgen.jobs import JsonObject
    from batchgen.pauses import Pause
    from batchgen.runs.context import RunContext
    from batchgen.state.database import Connection

CLAIM = "run.json"
MOST_CLAIM = 4096
"""Bytes."""
EVERY = 300.0
"""Seconds between two copies of metadata.jsonl while a run goes on."""
AT_MOST = 20
"""A copy takes a twentieth of the time at most: that of a million results has a gigabyte."""
LAST_COPY = 600.0
"""Seconds for it at the end of a run."""
LAST_COPY_WHEN_STOPPED = 5.0
"""After SIGTERM there is no more time."""


def claim_prefix(context: RunContext, db: Connection) -> None:
    """Make the prefix of the results this run's, which also shows that it can be written to.

    Raises OtherManifestError if another run has it; BucketError, BucketUnavailableError.
    """
    location, options = context.results, context.options
    if not isinstance(location, BucketLocation):
        return
    bucket, run = open_bucket(location), known_run_id(db)
    text = json.dumps({"run": run, "name": context.manifest.name}, ensure_ascii=False)
    if bucket.put_text(CLAIM, text, only_new=True):
        return
    claim = read_claim(location)
    if claim.get("run") == run:
        return
    is_ours_again = options.take_over or options.recover
    if is_ours_again or (options.start_over and not any(bucket.names())):
        bucket.put_text(CLAIM, text)
        return
    name = claim.get("name")
    take_over = options.command(context.manifest.path, "--take-over")
    raise OtherManifestError(
        f"another run{f' ({name})' if isinstance(name, str) else ''} stores its results there;"
        " nothing was sent",
        where=str(location),
        next_step="set another output.dir, with a prefix of its own; or, if that run is over and"
        f" yours may store results beside its: {take_over}",
    )


def read_claim(location: BucketLocation) -> JsonObject:
    """Whose results are there; empty if that cannot be read from it."""
    try:
        with open_bucket(location).open(CLAIM) as file:
            return json_line(file.read(MOST_CLAIM)) or {}
    except FileNotFoundError:
        return {}


def copy_metadata(context: RunContext) -> None:
    """Put metadata.jsonl beside the results. Blocks. Raises the tree's errors."""
    location, file = context.results, context.folder.metadata
    if isinstance(location, BucketLocation) and file.exists():
        open_bucket(location).put_lines(file, METADATA)


def remove_half_uploads(context: RunContext, before: float) -> int:
    """Return how many there were. Blocks. Raises BucketError."""
    location = context.results
    if not isinstance(location, BucketLocation):
        return 0
    return open_bucket(location).remove_half_uploads(before)


@dataclass(slots=True)
class BucketKeeper:
    """Copies metadata.jsonl now and then. `began` is the start of the run, in epoch seconds."""

    context: RunContext
    emit: Listener
    began: float

    async def work(self) -> None:
        """Return at once for results that are in a folder."""
        if not self._has_bucket:
            return
        loop, pause = asyncio.get_running_loop(), EVERY
        while True:
            await asyncio.sleep(pause)
            start = loop.time()
            await self._copy()
            pause = max(EVERY, AT_MOST * (loop.time() - start))

    @property
    def _has_bucket(self) -> bool:
        return isinstance(self.context.results, BucketLocation)

    async def end(self, pause: Pause | None, stopped_by: signal.Signals | None) -> None:
        """Make the last copy, and remove what earlier runs left of uploads."""
        if not self._has_bucket or (pause is not None and pause.reason is PauseReason.BUCKET):
            return
        is_stopped = stopped_by is not None
        limit = LAST_COPY_WHEN_STOPPED if is_stopped else LAST_COPY
        try:
            async with asyncio.timeout(limit):
                is_copied = await self._copy()
                if is_copied and not is_stopped:
                    await self._tidy()
        except TimeoutError:
            self._warn(f"it took longer than {limit:.0f} s")

    async def _copy(self) -> bool:
        try:
            await in_daemon_thread(partial(copy_metadata, self.context), "metadata.jsonl")
        except BatchgenError as exc:
            self._warn(exc.what)
            return False
        return True

    def _warn(self, why: str) -> None:
        where = self.context.results.of(METADATA)
        self.emit(Warned(f"{where} is not up to date: {why}; the next run copies it"))

    async def _tidy(self) -> None:
        work = partial(remove_half_uploads, self.context, self.began)
        try:
            count = await in_daemon_thread(work, "half uploads")
        except BucketError as exc:
            self.emit(Noted(exc.what))
            return
        if count:
            self.emit(Noted(f"{count} half uploads of earlier runs were removed"))


@asynccontextmanager
async def bucket_kept_up(context: RunContext, emit: Listener) -> AsyncIterator[BucketKeeper]:
    keeper = BucketKeeper(context, emit, context.world.now())
    task = asyncio.create_task(keeper.work(), name="metadata in the bucket")
    try:
        yield keeper
    finally:
        task.cancel()
        await asyncio.wait({task})
