"""One run of a manifest, from its start to its summary.

`execute` starts the run, works through its jobs and sums up. `work` connects the engine's ports,
checks what can be checked before money is spent, and runs the engine alongside tasks that watch for
decisions, for a vanished folder and for signals.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from batchgen.concurrency import stop_signals
from batchgen.engine.events import JobMoved, Noted, RunStarted, Warned
from batchgen.engine.guessed_outputs import SiftedApi
from batchgen.engine.ports import Ports
from batchgen.engine.reuse import Reuse
from batchgen.engine.scheduler import Scheduler
from batchgen.errors import BatchgenError
from batchgen.jobs import JobState
from batchgen.pauses import Pause, PauseReason
from batchgen.runs.account import account_of
from batchgen.runs.estimates import UNASKED, Funds
from batchgen.runs.input_survey import refuse_broken
from batchgen.runs.journal import Journal, MetadataFile, renew_if_stale
from batchgen.runs.last_run import LastRunFile
from batchgen.runs.notifications import notifying, recipients
from batchgen.runs.open_files import allow_open_files
from batchgen.runs.options import engine_policy
from batchgen.runs.ownership import recorded_provider
from batchgen.runs.ports import connected, files_of, input_images_of, own_files_of
from batchgen.runs.recovery_log import RecoveryLog
from batchgen.runs.result_bucket import bucket_kept_up
from batchgen.runs.reuse import ReusableResults, finder_of, reuse_first
from batchgen.runs.reuse_index import index_kept_up
from batchgen.runs.startup import start_up
from batchgen.runs.summary import Summary
from batchgen.runs.supervision import (
    RequestsInFlight,
    ask_for_cancels,
    print_requests_if_gone,
    watch_decisions,
    watch_folder,
)
from batchgen.runs.tuning import Tuner
from batchgen.runs.vendor_facts import facts_before_run
from batchgen.runs.workers import cluster_of
from batchgen.runs.workload import take_stock, take_stock_again
from batchgen.state import manual_actions
from batchgen.state.approvals import held_back
from batchgen.state.meta import Meta, set_meta
from batchgen.state.queries import totals
from batchgen.state.reuse import count_reused
from batchgen.state.store import open_store
from batchgen.storage.locations import BucketLocation

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.cluster.client import Cluster
    from batchgen.engine.events import Event, Listener
    from batchgen.engine.policy import EnginePolicy
    from batchgen.engine.scheduler import RunEnd
    from batchgen.runs.context import RunContext, World
    from batchgen.runs.ingest import StreamingIngest
    from batchgen.runs.input_images import InputImages
    from batchgen.runs.open_files import OpenFiles
    from batchgen.runs.options import RunOptions
    from batchgen.runs.startup import StartedRun
    from batchgen.runs.workload import Workload
    from batchgen.state.database import Connection
    from batchgen.state.store import Store


@dataclass(slots=True)
class _SubmitCounter:
    submitted: int = 0

    def on_event(self, event: Event) -> None:
        if isinstance(event, JobMoved) and event.state is JobState.SUBMITTING:
            self.submitted += 1


@dataclass(frozen=True, slots=True)
class Ended:
    """Why the work stopped before its end, if it did."""

    pause: Pause | None = None
    stopped_by: signal.Signals | None = None
    funds: Funds = UNASKED


def emit_to(*listeners: Listener) -> Listener:
    """One listener that passes each event on to all of them, in this order."""

    def emit(event: Event) -> None:
        for on_event in listeners:
            on_event(event)

    return emit


async def execute(path: Path, options: RunOptions, listener: Listener, world: World) -> Summary:
    """Start, continue or finish the run of a manifest.

    Raises the errors of batchgen.errors; LateProblemsError if the run began before its last rows
    were read, and some of those are wrong.
    """
    began = asyncio.get_running_loop().time()
    with ExitStack() as held:
        started = start_up(path, options, world, held)
        context, folder = started.context, started.context.folder
        counter, in_flight = _SubmitCounter(), RequestsInFlight()
        held.enter_context(print_requests_if_gone(folder, started.db, in_flight))
        journal = held.enter_context(Journal(folder.log, world.now))
        metadata = held.enter_context(MetadataFile(folder.metadata))
        outside = emit_to(journal.on_event, listener)
        async with notifying(context, recipients(context), outside) as notifier:
            emit = emit_to(
                journal.on_event,
                metadata.on_event,
                counter.on_event,
                in_flight.on_event,
                notifier.on_event,
                listener,
            )
            async with bucket_kept_up(context, emit) as bucket:
                worked = await _work_through(started, emit)
            metadata.flush()
            await bucket.end(worked.pause, worked.stopped_by)
            summary = replace(
                worked,
                submitted=counter.submitted,
                seconds=asyncio.get_running_loop().time() - began,
            )
            journal.note("RunEnded", **summary.to_json())
            # Last, when everything is on disk: the end of the block waits for the notifications.
            notifier.ended(summary)
        if started.ingest is not None:
            started.ingest.raise_if_wrong(summary)
        return summary


async def _work_through(started: StartedRun, emit: Listener) -> Summary:
    """Do what there is to do, and sum up."""
    context, now = started.context, started.context.world.now
    async with open_store(started.db, context.folder.state, now) as store:
        workload = await store.run(
            take_stock, context.folder, context.manifest, context.options, now()
        )
        emit(
            RunStarted(
                context.manifest.name,
                context.folder.root,
                workload.counts,
                workload.money,
                await store.run(recorded_provider),
            )
        )
        if context.options.emulator and (bucket := context.manifest.output.bucket):
            text = f"a rehearsal: results stay in {context.folder.root}, and {bucket} is not used"
            emit(Noted(text, on_screen=True))
        early_warnings = started.problems.warnings
        for warning in early_warnings:
            emit(Warned(str(warning)))
        ended = Ended()
        if not workload.is_idle:
            ended = await _work_remembered(started, store, workload, emit)
        await store.run(partial(_remember, context, is_over=True))
        # By now, the last rows of a huge first run have been read.
        late = set(started.problems.warnings) - set(early_warnings)
        for warning in sorted(late, key=lambda one: one.place):
            emit(Warned(str(warning)))
        return Summary(
            name=context.manifest.name,
            folder=context.folder.root,
            counts=totals(await store.counts()),
            money=await store.money(),
            pause=ended.pause,
            stopped_by=ended.stopped_by,
            held=await store.run(held_back, workload.selection),
            warnings=started.problems.warnings,
            funds=ended.funds,
            reused=await store.run(count_reused),
            results_in=str(context.results),
        )


async def _work_remembered(
    started: StartedRun, store: Store, workload: Workload, emit: Listener
) -> Ended:
    """Work, and record in the user's state folder that this run is going on."""
    context = started.context
    await store.run(partial(_remember, context, is_over=False))
    try:
        ended = await work(context, store, workload, emit, started.ingest)
    except BatchgenError:
        # No more submits follow, and all are in the state, if it can be read.
        with suppress(BatchgenError):
            await store.run(partial(_remember, context, is_over=True))
        raise
    # No more submits follow: one without an answer is unknown from now on.
    await store.run(manual_actions.settle_dead_run, store.now())
    await store.run(renew_if_stale, context.folder.metadata)
    return ended


def _remember(context: RunContext, db: Connection, *, is_over: bool) -> None:
    """Write it to the user's own folder, which outlives the run's. Not for a rehearsal."""
    if not context.options.emulator:
        last_run = LastRunFile(context.world.memory, context.manifest.path)
        last_run.write(db, context.folder, context.world.now(), is_over=is_over)


async def work(
    context: RunContext,
    store: Store,
    workload: Workload,
    emit: Listener,
    ingest: StreamingIngest | None = None,
) -> Ended:
    """Do what there is to do; `ingest` reads the jobs still to come. Raises as `execute` does."""
    policy = engine_policy(context.manifest.policy, context.options)
    open_files = allow_open_files(
        policy.limit,
        doubled=context.options.emulator,
        in_bucket=isinstance(context.results, BucketLocation),
    )
    if warning := open_files.warning(policy.limit):
        emit(Warned(warning))
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(connected(context, open_files.asks))
        recovery_log = RecoveryLog(context.folder.receipts)
        recovery_log.reserve()
        cluster = await stack.enter_async_context(cluster_of(context))
        await _record_cluster(store, cluster, emit)
        files = await stack.enter_async_context(files_of(context, cluster))
        images = await stack.enter_async_context(input_images_of(context, store))
        finder = await store.run(partial(finder_of, context))
        saved = await stack.enter_async_context(index_kept_up(finder, store, emit))
        emit = emit_to(emit, saved)
        results = None
        if policy.reuse and finder is not None:
            results = ReusableResults(finder, store, emit)
            workload = await _reuse_results(results, images, store, workload, emit)
        with first_error_only():
            collecting = workload.is_collecting
            await refuse_broken(images, store, workload.selection, emit, collecting=collecting)
        facts = await facts_before_run(
            context, store, workload, api, emit, streams=ingest is not None
        )
        opening = own_files_of(context, api, collecting=workload.is_collecting)
        own_files = await stack.enter_async_context(opening)
        account = await stack.enter_async_context(account_of(context))
        ports = Ports(
            api=SiftedApi(api, files.downloader.peek),
            store=store,
            files=files,
            prices=facts.prices,
            recovery_log=recovery_log,
            dice=context.world.dice,
            disk=files,
            inputs=images,
            catalog=context.manifest.catalog,
            results=results,
            own_files=own_files,
            account=account,
        )
        policy = _within_limits(policy, open_files, context, workload)
        if files.cluster is not None:
            policy = replace(policy, downloads=files.cluster.at_once)
        scheduler = Scheduler(ports, policy, workload.selection, emit)
        if pause := facts.outdated or own_files.pause:
            scheduler.pause(pause)
        if ingest is not None:
            ingest.judge_by(facts.rules)
        tuner = Tuner(scheduler, store, emit, open_files, facts.prices, facts.prices_for)
        await tuner.begin(policy, workload.priced)
        with first_error_only():
            team = _Team(context, scheduler, store, emit, tuner)
            ended = await _run_together(team, workload, ingest)
        return replace(ended, funds=facts.funds)


async def _record_cluster(store: Store, cluster: Cluster | None, emit: Listener) -> None:
    name = "" if cluster is None else str(cluster)
    await store.run(partial(set_meta, key=Meta.CLUSTER, value=name))
    if cluster is not None:
        emit(Noted(f"ray: {name}", on_screen=True))


async def _reuse_results(
    results: ReusableResults, images: InputImages, store: Store, workload: Workload, emit: Listener
) -> Workload:
    """Take results of other runs; returns what is still to be submitted."""
    if not await reuse_first(Reuse(store, results, images, emit), store, workload):
        return workload
    return await store.run(take_stock_again, workload)


def _within_limits(
    policy: EnginePolicy, open_files: OpenFiles, context: RunContext, workload: Workload
) -> EnginePolicy:
    return replace(
        policy.within(open_files.submits),
        downloads=open_files.downloads,
        min_free=context.manifest.output.min_free,
        begins_at=workload.begins_at,
    )


@dataclass(frozen=True, slots=True)
class _Team:
    """What works together until the scheduler ends."""

    context: RunContext
    scheduler: Scheduler
    store: Store
    emit: Listener
    tuner: Tuner


async def _run_together(team: _Team, workload: Workload, ingest: StreamingIngest | None) -> Ended:
    context, scheduler, store, emit = team.context, team.scheduler, team.store, team.emit
    async with asyncio.TaskGroup() as group:
        reading = None
        if ingest is not None:
            scheduler.expect_more_jobs()
            reading = group.create_task(ingest.run(store, scheduler, emit), name="ingest")
        running = group.create_task(scheduler.run(workload.models), name="scheduler")
        watching = [
            group.create_task(
                watch_decisions(context.folder.decisions, store, scheduler, emit, team.tuner),
                name="decisions",
            ),
            group.create_task(watch_folder(context.folder), name="folder"),
            group.create_task(ask_for_cancels(workload.cancels, scheduler), name="earlier cancels"),
        ]

        def drain() -> None:
            scheduler.drain()
            if reading is not None:
                reading.cancel()

        with stop_signals(drain, running.cancel, on=context.world.signals) as stop:
            await asyncio.wait({running})
            # Cancels that were not sent yet are in the state, for the next run.
            for task in watching:
                task.cancel()
            if reading is not None:
                if _paused_for(running) is PauseReason.MANIFEST:
                    # All problems are shown at once, so the remaining rows are read first.
                    await asyncio.wait({reading})
                reading.cancel()
    pause = None if running.cancelled() else running.result().pause
    return Ended(pause, stop.received)


def _paused_for(running: asyncio.Task[RunEnd]) -> PauseReason | None:
    if running.cancelled() or running.exception() is not None:
        return None
    pause = running.result().pause
    return None if pause is None else pause.reason


@contextmanager
def first_error_only() -> Iterator[None]:
    """Raise only the first error of a group: a disk failure reaches every task at once."""
    try:
        yield
    except BaseExceptionGroup as group:
        known = group.subgroup(BatchgenError)
        if known is None:
            raise
        raise _first(known) from group


def _first(group: BaseExceptionGroup[BatchgenError]) -> BatchgenError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, BatchgenError)
    return error
