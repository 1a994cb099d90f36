"""The part of a run that talks to the world: API or emulator, downloads, engine, signals.

How many files may be open at once, and what a run makes of it.

A socket is an open file too. The soft limit is often 256 or 1024, far below the hard one, which any
program may raise its own to.
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.concurrency import in_thread, stop_signals
from batchgen.downloads.allowed_hosts import AllowedHosts
from batchgen.downloads.fetch import open_downloader
from batchgen.downloads.outcomes import DownloadSettings, Target
from batchgen.downloads.probe import ProbeSettings
from batchgen.engine.events import Warned
from batchgen.engine.ports import Ports, Room
from batchgen.engine.result_hosts import SiftedApi
from batchgen.engine.scheduler import Scheduler
from batchgen.errors import BatchgenError, InputError
from batchgen.fs import disk_errors
from batchgen.manifest.policy import CheckInputs
from batchgen.models.catalog import catalog
from batchgen.pauses import Pause, PauseReason, pause_for
from batchgen.runs.context import connected
from batchgen.runs.drift import LiveRules, RefusedJobs, ways_out
from batchgen.runs.estimates import price_list
from batchgen.runs.input_images import open_input_images
from batchgen.runs.input_survey import refuse_broken
from batchgen.runs.live_models import (
    BEFORE_A_RUN,
    UNASKED,
    Funds,
    VendorFacts,
    ask_vendor,
    estimated,
)
from batchgen.runs.options import effective_policy, engine_policy
from batchgen.runs.recovery_log import RecoveryLog
from batchgen.runs.supervision import ask_for_cancels, watch_decisions, watch_folder
from batchgen.state.due import pending_bodies

SHOWN_RULES = 20

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator, Iterable, Iterator

    from batchgen.downloads.fetch import Downloader
    from batchgen.downloads.outcomes import FetchOutcome
    from batchgen.engine.events import Listener
    from batchgen.engine.policy import EnginePolicy
    from batchgen.engine.scheduler import RunEnd
    from batchgen.runcomfy.client import RunComfy
    from batchgen.runs.begin import Workload
    from batchgen.runs.context import RunContext
    from batchgen.runs.ingest import StreamingIngest
    from batchgen.runs.input_images import InputImages
    from batchgen.state.database import Connection
    from batchgen.state.selection import Selection
    from batchgen.state.store import Store


@dataclass(frozen=True, slots=True)
class Ended:
    """Why the work stopped before its end, if it did."""

    pause: Pause | None = None
    stopped_by: signal.Signals | None = None
    funds: Funds = UNASKED


@dataclass(frozen=True, slots=True)
class _FilesBelow:
    """The engine's ports to the disk: names become files below one folder."""

    downloader: Downloader
    folder: Path

    async def fetch(self, url: str, name: str) -> FetchOutcome:
        return await self.downloader.fetch(url, Target(self.folder, name))

    async def room(self) -> Room:
        return await in_thread(self._room)

    def _room(self) -> Room:
        with disk_errors(self.folder):
            usage = shutil.disk_usage(self.folder)
        return Room(usage.free, usage.total, str(self.folder))


@asynccontextmanager
async def files_of(place: RunContext) -> AsyncIterator[_FilesBelow]:
    hosts = AllowedHosts.of(place.manifest.output.allow_hosts, loopback=place.on_this_machine)
    async with open_downloader(DownloadSettings(hosts, proxies=place.proxies)) as downloader:
        yield _FilesBelow(downloader, place.folder.files)


async def work(
    place: RunContext,
    store: Store,
    beginning: Workload,
    tell: Listener,
    intake: StreamingIngest | None = None,
) -> Ended:
    """Do what there is to do; `intake` are jobs still to be read. Raises the tree's errors."""
    async with AsyncExitStack() as stack:
        policy = engine_policy(place.manifest.policy, place.options)
        room = allow_open_files(policy.concurrency, doubled=place.options.emulator)
        if too_few := room.warning(policy.concurrency):
            tell(Warned(too_few))
        api = await stack.enter_async_context(connected(place, room.asks))
        receipts = RecoveryLog(place.folder.receipts)
        receipts.reserve()
        files = await stack.enter_async_context(files_of(place))
        images = await stack.enter_async_context(input_images_of(place, store))
        collecting = beginning.is_collecting
        with first_error_only():
            await refuse_broken(images, store, beginning.selection, tell, collecting=collecting)
        may_come = () if intake is None else tuple(catalog())
        live = await _live(place, api, beginning, may_come)
        rules = LiveRules(live, place.manifest.policy)
        outdated = await _outdated(store, rules, beginning)
        funds = await _funds(place, store, beginning, live)
        if warning := funds.warning():
            tell(Warned(warning))
        ports = Ports(
            api=SiftedApi(api, files.downloader.peek),
            store=store,
            files=files,
            prices=await price_list(
                api,
                replace(place.manifest.policy, budget=policy.budget),
                beginning.priced,
                may_come=may_come,
                collecting=collecting,
                known=live.facts,
            ),
            receipts=receipts,
            dice=place.world.dice,
            disk=files,
            inputs=images,
        )
        policy = _within(room, policy, place, beginning)
        scheduler = Scheduler(ports, policy, beginning.selection, tell)
        if outdated is not None:
            scheduler.pause(outdated)
        if intake is not None:
            intake.judge_by(rules)
        with first_error_only():
            ended = await _run_together(_Crew(place, scheduler, store, tell), beginning, intake)
        return replace(ended, funds=funds)


def _within(
    room: OpenFiles, policy: EnginePolicy, place: RunContext, beginning: Workload
) -> EnginePolicy:
    return replace(
        policy,
        concurrency=room.submits,
        downloads=min(policy.downloads, room.downloads),
        min_free=place.manifest.output.min_free,
        start_at=beginning.start_at,
    )


async def _live(
    place: RunContext, api: RunComfy, beginning: Workload, may_come: Iterable[str]
) -> VendorFacts:
    """What the vendor says today, where something is to be submitted."""
    if not beginning.models:
        return VendorFacts()
    env = {} if place.options.emulator else place.world.env
    models = dict.fromkeys((*beginning.models, *may_come))
    return await ask_vendor(api, models, env, BEFORE_A_RUN)


async def _outdated(store: Store, rules: LiveRules, beginning: Workload) -> Pause | None:
    """Hold what is to be submitted against the vendor's schemas of today.

    Raises InputError, unless something is paid already: that is collected all the same, and the run
    pauses before its first submit.
    """
    outdated = await store.run(_judged, rules, beginning.selection)
    if not outdated:
        return None
    words, next_step = _words(outdated), ways_out(outdated.models[0])
    if beginning.is_collecting:
        return pause_for(PauseReason.SCHEMA, problems=words, ways_out=next_step)
    raise InputError(words, next_step=next_step)


def _judged(db: Connection, rules: LiveRules, selection: Selection) -> RefusedJobs:
    return rules.judged(lambda model: pending_bodies(db, model, selection))


def _words(outdated: RefusedJobs) -> str:
    lines = outdated.lines()
    shown = [f"  {line}" for line in lines[:SHOWN_RULES]]
    more = [f"  and {len(lines) - SHOWN_RULES} more"] if len(lines) > SHOWN_RULES else []
    what = "the vendor's schema of today no longer takes some inputs; nothing is submitted"
    return "\n".join([what, *shown, *more])


async def _funds(place: RunContext, store: Store, beginning: Workload, live: VendorFacts) -> Funds:
    if live.balance is None:
        return UNASKED
    policy, selection = place.manifest.policy, beginning.selection
    cost = await store.run(estimated, beginning.models, selection, policy, live)
    budget = effective_policy(policy, place.options).budget
    most = None if budget is None else max(0.0, budget - beginning.money.committed)
    return Funds(live.balance, cost, most)


@asynccontextmanager
async def input_images_of(place: RunContext, store: Store) -> AsyncIterator[InputImages]:
    """Any public host may have input images; a rehearsal looks at those of this machine only."""
    hosts = AllowedHosts.in_public()
    if place.on_this_machine:
        hosts = AllowedHosts.of(place.manifest.output.allow_hosts, loopback=True)
    checking = place.manifest.policy.check_inputs is CheckInputs.AUTO
    async with open_input_images(
        ProbeSettings(hosts, proxies=place.proxies),
        store,
        checking=checking,
        only_here=place.on_this_machine,
    ) as images:
        yield images


@dataclass(frozen=True, slots=True)
class _Crew:
    """Who is at work together, until the scheduler ends."""

    place: RunContext
    scheduler: Scheduler
    store: Store
    tell: Listener


async def _run_together(crew: _Crew, beginning: Workload, intake: StreamingIngest | None) -> Ended:
    place, scheduler, store, tell = crew.place, crew.scheduler, crew.store, crew.tell
    async with asyncio.TaskGroup() as group:
        reading = None
        if intake is not None:
            scheduler.more_to_come()
            reading = group.create_task(intake.run(store, scheduler, tell), name="intake")
        running = group.create_task(scheduler.run(beginning.models), name="scheduler")
        watching = group.create_task(
            watch_decisions(place.folder.decisions, store, scheduler, tell), name="decisions"
        )
        watching_folder = group.create_task(watch_folder(place.folder), name="folder")
        cancelling = group.create_task(
            ask_for_cancels(beginning.cancels, scheduler), name="cancels of before"
        )

        def drain() -> None:
            scheduler.drain()
            if reading is not None:
                reading.cancel()

        with stop_signals(drain, running.cancel, on=place.world.signals) as stop:
            await asyncio.wait({running})
            watching.cancel()
            watching_folder.cancel()
            # What was not asked yet is remembered in the state, for the next run.
            cancelling.cancel()
            if reading is not None:
                if _paused_for(running) is PauseReason.MANIFEST:
                    # All problems are told at once, so the rows are read to their end.
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
    """One failure of the disk reaches every task at once; the first says it all."""
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


USUALLY_OPEN = 40
"""Of a run, where the system does not say how many are open."""
RESERVE = 16
"""For what is opened for a moment: the state's journal, a look-up of a name, a decoder."""
A_JOB = 4
"""A submit and a look, and the emulator's ends of both."""
A_DOWNLOAD = 3
"""A socket, the file and its sidecar."""
MOST_DOWNLOADS = 8
MANY = 1024


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """What fits into the `limit` (None: unknown, and no limit of ours).

    `submits` at once, `asks` at once (others wait for their turn), `downloads` at once.
    """

    limit: int | None
    submits: int
    asks: int
    downloads: int = MOST_DOWNLOADS

    def warning(self, concurrency: int) -> str:
        """Say what is lower than asked for, and how to lift it; "" where nothing is."""
        if self.limit is None or self.submits >= concurrency:
            return ""
        return (
            f"open files: limit {self.limit}, so at most {self.submits} requests are in flight;"
            f" run `ulimit -n 4096` before, or set run.concurrency: {self.submits}"
        )


def allow_open_files(concurrency: int, *, doubled: bool) -> OpenFiles:
    """Raise the soft limit to what `concurrency` needs, as far as the hard one goes.

    `doubled`: the server is in this very process, so each connection has both its ends here.
    """
    limit = _raised(max(MANY, USUALLY_OPEN + RESERVE + A_JOB * concurrency))
    return share(limit, _open_now(), concurrency, doubled=doubled)


def share(limit: int | None, used: int, concurrency: int, *, doubled: bool) -> OpenFiles:
    if limit is None:
        return OpenFiles(None, concurrency, 0)
    free = max(0, limit - used - RESERVE)
    downloads = min(MOST_DOWNLOADS, max(1, free // (4 * A_DOWNLOAD)))
    connections = max(2, (free - A_DOWNLOAD * downloads) // (2 if doubled else 1))
    submits = min(concurrency, connections // 2)
    return OpenFiles(limit, submits, connections - submits, downloads)


def _raised(wanted: int) -> int | None:
    try:
        import resource  # noqa: PLC0415 - Windows has none, and no such limit
    except ImportError:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    if soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
        except (ValueError, OSError):
            return soft  # macOS has one more limit, of the whole system.
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _open_now() -> int:
    try:
        return sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        return USUALLY_OPEN
