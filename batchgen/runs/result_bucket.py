"""The bucket of a run's results: claimed by one run, with metadata.jsonl, without half uploads."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from batchgen.concurrency import in_daemon_thread
from batchgen.engine.events import Noted, Warned
from batchgen.errors import BatchgenError, BucketError, LostStateError, OtherManifestError
from batchgen.pauses import PauseReason
from batchgen.runs.append_log import json_line
from batchgen.runs.ownership import known_run_id
from batchgen.storage.locations import BucketLocation
from batchgen.storage.results import open_bucket
from batchgen.storage.stamps import FILES
from batchgen.text import plural

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator, Callable, Sequence

    from batchgen.engine.events import Listener
    from batchgen.jobs import JsonObject
    from batchgen.pauses import Pause
    from batchgen.runs.context import RunContext
    from batchgen.state.database import Connection

CLAIM = "run.json"
METADATA = "metadata.jsonl"
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
    _refuse_nested(location)
    text = json.dumps({"run": run, "name": context.manifest.name}, ensure_ascii=False)
    if bucket.put_text(CLAIM, text, only_new=True):
        return
    claim = read_claim(location)
    if claim.get("run") == run:
        return
    name = claim.get("name")
    is_ours_again = options.recover or (options.start_over and not any(bucket.names()))
    if options.take_over or (is_ours_again and name == context.manifest.name):
        bucket.put_text(CLAIM, text)
        return
    take_over = options.command(context.manifest.path, "--take-over")
    raise OtherManifestError(
        f"another run{f' ({name})' if isinstance(name, str) else ''} stores its results there;"
        " nothing was sent",
        where=str(location),
        next_step="set another output.dir, with a prefix of its own; or, if that run is over and"
        f" you want its prefix: {take_over}",
    )


def refuse_results_of_another(context: RunContext) -> None:
    """Raise OtherManifestError if results that the state does not have belong to another name.

    They are no sign of a lost state then, and no backup of it would help.
    """
    location = context.results
    if not isinstance(location, BucketLocation):
        return
    name = read_claim(location).get("name")
    if isinstance(name, str) and name != context.manifest.name:
        raise OtherManifestError(
            f"the run {name} has stored its results there; nothing was sent",
            where=str(location),
            next_step="set another output.dir, with a prefix of its own; or, if this is that run"
            " under a new name, put its state.db back from a backup",
        )


def refuse_occupied(context: RunContext) -> None:
    """Raise LostStateError if a run that starts over could not store what it would pay for again.

    No object is overwritten, and moving a million of them would take the night.
    """
    location = context.results
    if isinstance(location, BucketLocation) and any(open_bucket(location).names()):
        raise LostStateError(
            "results of the earlier run are there, and none is overwritten; nothing was sent",
            where=str(location),
            next_step="set another output.dir to start over",
        )


def _refuse_nested(location: BucketLocation) -> None:
    """Raise OtherManifestError if the results would be among those of another run, or around them.

    Each would tidy up what belongs to the other. Who may not ask is not kept from running.
    """
    parts = location.url.split("/")
    around = ["/".join(parts[:at]) for at in range(3, len(parts)) if parts[at] == FILES]
    for url in [*around, location.of(FILES)]:
        with suppress(BucketError):
            if open_bucket(BucketLocation(url)).stamp(CLAIM) is not None:
                raise OtherManifestError(
                    f"another run stores its results in {url}; nothing was sent",
                    where=str(location),
                    next_step="set another output.dir, with a prefix of its own",
                )


def read_claim(location: BucketLocation) -> JsonObject:
    """Whose results are there; empty if that cannot be read from it."""
    try:
        with open_bucket(location).open(CLAIM) as file:
            return json_line(file.read(MOST_CLAIM)) or {}
    except FileNotFoundError:
        return {}


def finish_bucket(context: RunContext, before: float, emit: Listener) -> None:
    """Copy metadata.jsonl, and remove half uploads begun before (epoch seconds). Blocks."""
    if isinstance(context.results, BucketLocation):
        for warned in _copy_metadata(context):
            emit(warned)
        for noted in _remove_half_uploads(context, before):
            emit(noted)


def _copy_metadata(context: RunContext) -> list[Warned]:
    location, file = context.results, context.folder.metadata
    assert isinstance(location, BucketLocation)
    try:
        if file.exists():
            open_bucket(location).put_lines(file, METADATA)
    except BatchgenError as exc:
        return [_out_of_date(location, exc.what)]
    return []


def _out_of_date(location: BucketLocation, why: str) -> Warned:
    return Warned(f"{location.of(METADATA)} is not up to date: {why}; the next run copies it")


def _remove_half_uploads(context: RunContext, before: float) -> list[Noted]:
    location = context.results
    assert isinstance(location, BucketLocation)
    try:
        bucket = open_bucket(location)
        count = bucket.remove_half_uploads(before)
        count += bucket.remove_half_uploads(before, METADATA)
    except BucketError as exc:
        # Not everyone may list them, and nothing depends on it.
        return [Noted(exc.what)]
    removed = Noted(f"{plural(count, 'half upload')} of earlier runs removed")
    return [removed] if count else []


@dataclass(slots=True)
class BucketKeeper:
    """Copies metadata.jsonl now and then. `began` is the start of the run, in epoch seconds."""

    context: RunContext
    emit: Listener
    began: float

    async def work(self) -> None:
        """Return at once for results that are in a folder."""
        loop, pause = asyncio.get_running_loop(), EVERY
        while isinstance(self.context.results, BucketLocation):
            await asyncio.sleep(pause)
            start = loop.time()
            await self._do(partial(_copy_metadata, self.context))
            pause = max(EVERY, AT_MOST * (loop.time() - start))

    async def end(self, pause: Pause | None, stopped_by: signal.Signals | None) -> None:
        """Make the last copy, and remove what earlier runs left of uploads."""
        location = self.context.results
        is_away = pause is not None and pause.reason is PauseReason.BUCKET
        if is_away or not isinstance(location, BucketLocation):
            return
        limit = LAST_COPY if stopped_by is None else LAST_COPY_WHEN_STOPPED
        try:
            async with asyncio.timeout(limit):
                await self._do(partial(_copy_metadata, self.context))
                if stopped_by is None:
                    await self._do(partial(_remove_half_uploads, self.context, self.began))
        except TimeoutError:
            self.emit(_out_of_date(location, f"it took longer than {limit:.0f} s"))

    async def _do(self, work: Callable[[], Sequence[Warned | Noted]]) -> None:
        for event in await in_daemon_thread(work, "bucket"):
            self.emit(event)


@asynccontextmanager
async def bucket_kept_up(context: RunContext, emit: Listener) -> AsyncIterator[BucketKeeper]:
    keeper = BucketKeeper(context, emit, context.world.now())
    task = asyncio.create_task(keeper.work(), name="metadata in the bucket")
    try:
        yield keeper
    finally:
        task.cancel()
        await asyncio.wait({task})
