"""Repair: missing and damaged files are downloaded again by their saved request ids.

There is no scheduler and no submitter here, so whatever the state says, nothing can be paid for.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from batchgen.concurrency import stop_signals
from batchgen.engine.control import Control
from batchgen.engine.downloads_pool import DownloadPool
from batchgen.engine.events import Noted
from batchgen.engine.guessed_outputs import SiftedApi
from batchgen.engine.ports import Ports
from batchgen.errors import ExitCode, TokenError
from batchgen.jobs import JobState
from batchgen.pauses import PauseReason
from batchgen.runcomfy.outcomes import (
    Gateway,
    Halted,
    Missing,
    NoAnswer,
    NotReady,
    Succeeded,
    Throttled,
)
from batchgen.runcomfy.token import find_token
from batchgen.runs.context import RunContext
from batchgen.runs.decisions import runner_lock
from batchgen.runs.estimates import PriceList
from batchgen.runs.execute import Ended, first_error_only
from batchgen.runs.folder import this_process
from batchgen.runs.journal import Journal, MetadataFile, catch_up
from batchgen.runs.ownership import (
    claim_file,
    claim_for_provider,
    claim_results,
    refuse_other_manifest,
)
from batchgen.runs.ports import connected, files_of
from batchgen.runs.recovery_log import RecoveryLog
from batchgen.runs.result_bucket import claim_prefix, finish_bucket
from batchgen.runs.verify import Damage, check_files
from batchgen.runs.workers import cluster_at, shared_folders
from batchgen.state.database import open_for_reading, open_for_writing, transaction, translated
from batchgen.state.files import fetch_again, result_numbered
from batchgen.state.meta import Meta, set_meta
from batchgen.state.queries import not_downloaded, select_jobs
from batchgen.state.store import open_store
from batchgen.storage.results import open_results
from batchgen.text import command_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from batchgen.cluster.client import Cluster
    from batchgen.engine.events import Event, Listener
    from batchgen.runs.context import World
    from batchgen.runs.options import RunOptions
    from batchgen.runs.ports import FilesBelow
    from batchgen.runs.verify import Checked
    from batchgen.state.database import Connection
    from batchgen.state.records import Result
    from batchgen.storage.results import Results


DOWNLOADS = 8
RENEWALS = 4


async def redownload(
    place: RunContext,
    db: Connection,
    jobs: Iterable[int],
    listener: Listener,
    cluster: Cluster | None,
) -> Ended:
    """Download what is left of the jobs, all of them fetching. Raises the tree's errors."""
    folder = place.folder
    async with AsyncExitStack() as stack:
        journal = stack.enter_context(Journal(folder.log, place.world.now))
        metadata = stack.enter_context(MetadataFile(folder.metadata))

        def emit(event: Event) -> None:
            for on_event in (journal.on_event, metadata.on_event, listener):
                on_event(event)

        files = await stack.enter_async_context(files_of(place, cluster))
        ports = await _ports(place, db, files, stack)
        downloads = DOWNLOADS if files.cluster is None else files.cluster.at_once
        redownload = _Redownload(ports, Control(emit), downloads)
        with first_error_only():
            return await redownload.run(jobs, signals=place.world.signals)


async def _ports(
    place: RunContext, db: Connection, files: FilesBelow, stack: AsyncExitStack
) -> Ports:
    store = await stack.enter_async_context(open_store(db, place.folder.state, place.world.now))
    api = await stack.enter_async_context(connected(place))
    return Ports(
        api=SiftedApi(api, files.downloader.peek),
        store=store,
        files=files,
        prices=PriceList({}, {}, place.manifest.catalog),
        recovery_log=RecoveryLog(place.folder.receipts),
        dice=place.world.dice,
        catalog=place.manifest.catalog,
    )


class _Redownload:
    """Gets a job's fresh URLs, then downloads its files; several jobs at once."""

    def __init__(self, ports: Ports, control: Control, at_once: int) -> None:
        self._ports = ports
        self._control = control
        self._at_once = at_once
        self._downloads = DownloadPool(ports, control)

    async def run(self, jobs: Iterable[int], *, signals: bool) -> Ended:
        waiting = iter(jobs)
        try:
            async with asyncio.TaskGroup() as group:
                teller = group.create_task(self._control.deliver_events(), name="events")
                pool = [
                    group.create_task(self._downloads.work(), name=f"download {number}")
                    for number in range(self._at_once)
                ]
                renewals = [
                    group.create_task(self._renew_each(waiting), name=f"renewal {number}")
                    for number in range(RENEWALS)
                ]
                tasks = (*pool, *renewals)
                with stop_signals(self._drain, lambda: _cancel(tasks), on=signals) as stop:
                    await asyncio.wait(renewals)
                    await self._until_home()
                    if not self._control.drain.requested:
                        _cancel(pool)
                    await asyncio.wait(pool)
                teller.cancel()
        finally:
            self._control.flush_events()
        return Ended(self._control.paused, stop.received)

    def _drain(self) -> None:
        self._control.drain.request()
        self._control.wake.set()

    async def _until_home(self) -> None:
        while self._downloads.busy and not self._control.drain.requested:
            await self._control.wake.wait()
            self._control.wake.clear()

    async def _renew_each(self, waiting: Iterator[int]) -> None:
        for seq in waiting:
            if self._control.drain.requested:
                return
            await self._renew(seq)
            self._downloads.add(seq)

    async def _renew(self, seq: int) -> None:
        """Most old URLs have expired; without new ones, the saved ones are tried."""
        job = await self._ports.store.files_to_fetch(seq)
        if job is None or job.request_id is None:
            return  # what is reused is taken from the other run once more
        answer = await self._ports.api.result(job.request_id)
        if isinstance(answer, Succeeded):
            for file in job.files:
                if file.position <= len(answer.urls):
                    await self._ports.store.renew_url(file.id, answer.urls[file.position - 1])
        elif isinstance(answer, Halted) and answer.cause is PauseReason.TOKEN_REFUSED:
            raise TokenError(
                f"the API refused: {answer.reason}",
                where=job.id,
                next_step="set a valid RUNCOMFY_TOKEN, then run the same command again to continue",
            )
        else:
            why = "the request no longer has this result"
            if isinstance(answer, Missing | NotReady | Gateway | NoAnswer | Throttled | Halted):
                why = answer.reason
            self._control.emit(Noted(f"no fresh URL ({why}): the saved one is tried", job.id))


def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


@dataclass(frozen=True, slots=True)
class RepairedFile:
    """A repaired file. `differs`: the vendor now serves different content."""

    before: Result
    after: Result

    @property
    def differs(self) -> bool:
        return self.before.sha256 != self.after.sha256


@dataclass(frozen=True, slots=True)
class Repair:
    """What became of everything that was wrong.

    `not_downloaded`: `(job id, why)` of results that were not fetched; their jobs stay fetching.
    `out_of_reach`: damaged files of earlier attempts, which no request of today has.
    `aside`: names, below the run's folder, that damaged files have now.
    """

    mended: tuple[RepairedFile, ...] = ()
    not_downloaded: tuple[tuple[str, str], ...] = ()
    out_of_reach: tuple[Checked, ...] = ()
    aside: tuple[str, ...] = ()
    fetched_jobs: int = 0
    ended: Ended = field(default_factory=Ended)

    @property
    def exit_code(self) -> int:
        if self.ended.stopped_by is not None:
            return 128 + self.ended.stopped_by
        if self.ended.pause is not None:
            return self.ended.pause.exit_code
        return ExitCode.SOME_FAILED if self.not_downloaded or self.out_of_reach else ExitCode.DONE


@dataclass(frozen=True, slots=True)
class Listeners:
    """Listeners: for each file looked at, and for what happens then."""

    checked: Callable[[Checked], None]
    event: Listener


def repair(path: Path, options: RunOptions, world: World, listeners: Listeners) -> Repair:
    """Verify the selected jobs' files and fetch again what is wrong. Raises the tree's errors."""
    place = RunContext.of(path, options, world)
    folder = place.folder
    # Says what to do if nothing was ever run; opening it for writing would make an empty state.
    start = command_line("run", path, emulator=options.emulator)
    open_for_reading(folder.state, start).close()
    with ExitStack() as held:
        held.enter_context(runner_lock(folder))
        db = held.enter_context(closing(open_for_writing(folder.state)))
        held.enter_context(translated(folder.state))
        set_meta(db, Meta.RUNNER, this_process())
        claim_file(db, folder, path, options, "repair")
        claim_for_provider(db, place.provider, folder)
        refuse_other_manifest(db, place.manifest)
        claim_results(db, place.results, folder)
        claim_prefix(place, db)
        with ExitStack() as stack:
            cluster = None
            if options.ray is not None:
                opening = cluster_at(options.ray, world.env, *shared_folders(place.results))
                cluster = stack.enter_context(opening)
            return _repair(place, db, listeners, cluster)


def _repair(
    place: RunContext, db: Connection, listeners: Listeners, cluster: Cluster | None
) -> Repair:
    selection, results = place.options.selection, open_results(place.results)
    workers = None if cluster is None else partial(cluster.map, at_once=results.at_once)
    files = check_files(db, results, selection, workers=workers)
    wrong = _wrong_files(files, listeners)
    again = [one for one in wrong if one.file.is_latest]
    if again and not place.options.emulator:
        # Before anything is moved: without a token, nothing could be downloaded in its place.
        find_token(place.world.env, place.world.home)
    aside = _set_again(results, db, again)
    catch_up(place.folder.metadata, db)
    jobs = [seq for seq, _, _ in select_jobs(db, selection, (JobState.FETCHING,))]
    began = place.world.now()
    ended = asyncio.run(redownload(place, db, jobs, listeners.event, cluster)) if jobs else Ended()
    if ended.pause is None:
        finish_bucket(place, began, listeners.event)
    return Repair(
        mended=_mended(db, again),
        not_downloaded=tuple(not_downloaded(db, selection)),
        out_of_reach=tuple(one for one in wrong if not one.file.is_latest),
        aside=aside,
        fetched_jobs=len(jobs),
        ended=ended,
    )


def _wrong_files(files: Iterator[Checked], listeners: Listeners) -> list[Checked]:
    wrong = []
    for checked in files:
        listeners.checked(checked)
        if checked.damage:
            wrong.append(checked)
    return wrong


def _set_again(results: Results, db: Connection, again: Sequence[Checked]) -> tuple[str, ...]:
    """Move what is in the way aside, then record it in the state: in one transaction.

    In this order: after a crash in between, the file is missing, and the next repair sees that.
    """
    aside = [
        name
        for one in again
        if one.damage not in {Damage.MISSING, Damage.FOLDER_LINK}
        and (name := results.move_aside(one.file.path))
    ]
    with transaction(db):
        for one in again:
            fetch_again(db, one.file)
    return tuple(aside)


def _mended(db: Connection, again: Sequence[Checked]) -> tuple[RepairedFile, ...]:
    found = ((one.file, result_numbered(db, one.file.id)) for one in again)
    return tuple(RepairedFile(before, after) for before, after in found if after is not None)
