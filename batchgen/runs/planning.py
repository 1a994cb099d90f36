"""A plan from manifest, state and vendor, without sending or writing anything.

Also lists the jobs one by one: what each would send and, with a state, what became of it.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.engine.auto_concurrency import AUTO_START
from batchgen.errors import BatchgenError, UsageError
from batchgen.manifest.policy import SHARED
from batchgen.manifest.problems import ProblemLog
from batchgen.models.billing import BILLED
from batchgen.runcomfy.base import api_base, is_loopback
from batchgen.runs.context import RunContext
from batchgen.runs.estimates import Alike, Cost, LaneWork, cost_of, lane_seconds, run_seconds
from batchgen.runs.fingerprint import fingerprint_of
from batchgen.runs.folder import RunFolder
from batchgen.runs.lost_state import find_lost
from batchgen.runs.options import RunOptions, effective_policy, engine_policy
from batchgen.runs.ownership import (
    is_rehearsal,
    refuse_other_manifest,
    refuse_other_results,
    results_of,
)
from batchgen.runs.plan import FilesToSend, ModelPlan, Plan
from batchgen.runs.prepare import checked_manifest, read_with_environment
from batchgen.runs.reuse import count_reusable, finder_of
from batchgen.runs.vendor_facts import VendorFacts, ask_about, price_sources
from batchgen.state.database import open_for_writing, reading, translated
from batchgen.state.meta import Meta, found_concurrency, get_meta
from batchgen.state.plan_counts import PlanCounts
from batchgen.state.planned import Wishes, foreseen
from batchgen.state.queries import Selection, expected_seconds, money, throttled_pace
from batchgen.state.results import (
    any_selected,
    foreseen_jobs,
    gone_jobs,
    job_histories,
    paths_to_send,
    remembered_jobs,
    some_ids,
)
from batchgen.state.selection import names_only
from batchgen.text import command_line, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from batchgen.errors import Problem
    from batchgen.manifest.header import Manifest
    from batchgen.runs.context import World
    from batchgen.state.database import Connection
    from batchgen.state.planned import Outlook
    from batchgen.state.records import JobHistory
    from batchgen.state.results import ListedJob
    from batchgen.storage.locations import Location


MOST_CHANGES = 1000
MOST_RENAMED = 1000
MOST_ORPHANS = 1000


def plan(path: Path, options: RunOptions, world: World, *, offline: bool = False) -> Plan:
    """Check the manifest, compare it with the state, and ask the vendor for prices and schemas.

    Raises ManifestError, MissingFileError, UsageError for a selection that names no job.
    """
    base = "" if options.emulator else api_base(world.env)
    rehearsing = options.emulator or is_loopback(base)
    log = ProblemLog(strict=options.strict)
    with checked_manifest(path, rehearsal=rehearsing, env=world.env, problems=log) as (
        manifest,
        staging,
    ):
        folder = RunFolder(manifest.output.dir)
        context = RunContext(manifest, folder, options, world, base)
        if not (options.start_over or options.recover):
            # As the run would: otherwise all jobs would be shown as new.
            find_lost(context, asks_bucket=False).refuse(folder)
        with (
            state_to_compare(manifest, options) as (state, db),
            foreseen(db, staging, state, wishes_of(options)) as outlook,
        ):
            refuse_other_results(db, context.results, folder)
            counts = outlook.counts()
            used = [model for model, found in counts.items() if found.jobs]
            if not used:
                raise nothing_selected()
            live = (
                VendorFacts(catalog=manifest.catalog)
                if offline
                else asyncio.run(ask_about(used, manifest, options, world))
            )
            reusable = _reusable(context, db, outlook)
            counts = {
                model: replace(
                    found,
                    to_do=found.to_do - len(reusable.get(model, ())),
                    reused=len(reusable.get(model, ())),
                )
                for model, found in counts.items()
            }
            desk = _Desk(manifest, outlook, db, options, live, log.warnings, reusable)
            return desk.plan(counts, folder, offline=offline)


def _reusable(context: RunContext, db: Connection, outlook: Outlook) -> Mapping[str, list[str]]:
    """By model, the inputs of jobs that would take a result of another run."""
    if not effective_policy(context.manifest.policy, context.options).reuse:
        return {}
    finder = finder_of(context, db)
    # A run would warn that the index cannot be read, and submit all jobs.
    with suppress(BatchgenError):
        return {} if finder is None else count_reusable(finder, outlook)
    return {}


def wishes_of(options: RunOptions) -> Wishes:
    return Wishes(options.selection, options.on_changed, options.retry_failed, options.limit)


@contextmanager
def state_to_compare(manifest: Manifest, options: RunOptions) -> Iterator[tuple[Path, Connection]]:
    """Open the state; before the first run, an empty one in a temporary folder."""
    folder = RunFolder(manifest.output.dir)
    if folder.state.exists():
        with reading(folder.state) as db:
            if not options.take_over:
                refuse_other_manifest(db, manifest, options)
            yield folder.state, db
        return
    with tempfile.TemporaryDirectory(prefix="batchgen-") as elsewhere:
        path = Path(elsewhere) / "state.db"
        with closing(open_for_writing(path)) as db, translated(path):
            yield path, db


def nothing_selected() -> UsageError:
    return UsageError(
        "no job of the manifest is selected",
        next_step="check --job, --model, --tag, --state and --cause",
    )


@dataclass(frozen=True, slots=True)
class _Desk:
    """Everything that a plan is computed from."""

    manifest: Manifest
    outlook: Outlook
    db: Connection
    options: RunOptions
    live: VendorFacts
    warnings: tuple[Problem, ...]
    reusable: Mapping[str, list[str]]

    def plan(self, counts: Mapping[str, PlanCounts], folder: RunFolder, *, offline: bool) -> Plan:
        lanes = {model: self._lane(model, found.to_do) for model, found in counts.items()}
        models = {
            model: ModelPlan(found, self._cost(model, found.to_do), lane_seconds(lanes[model]))
            for model, found in counts.items()
        }
        policy = engine_policy(self.manifest.policy, self.options)
        outlook, total = self.outlook, sum(counts.values(), PlanCounts())
        return Plan(
            name=self.manifest.name,
            folder=folder.root,
            bucket=self.manifest.output.bucket,
            models=models,
            money=money(self.db),
            budget=policy.budget,
            throttled={
                model: lane.interval
                for model, lane in lanes.items()
                if lane.throttled and lane.interval > policy.limits_of(model).interval
            },
            seconds=run_seconds(lanes.values(), policy.limit, policy.interval),
            on_changed=self.options.on_changed,
            # Each of these reads all jobs again, so it is left out if the count is 0.
            changed=tuple(outlook.changed(MOST_CHANGES) if total.changed else ()),
            renamed=tuple(outlook.renamed(MOST_RENAMED) if total.renamed else ()),
            orphans=tuple(outlook.orphans(MOST_ORPHANS) if total.orphaned else ()),
            live=self.live,
            outdated=self.live.rules(self.manifest.policy).judged(self.outlook.due_bodies),
            warnings=self.warnings,
            offline=offline,
            rehearsal=self.options.emulator or is_rehearsal(self.db),
            shares=policy.account == SHARED and not self.options.emulator,
            saved=sum((self._saved(model) for model in self.reusable), Cost()),
            files=self._files(),
        )

    def _files(self) -> FilesToSend:
        count = size = 0
        for path in paths_to_send(self.outlook, chain.from_iterable(self.reusable.values())):
            count += 1
            # A file that is gone by now fails its job at the submit.
            with suppress(OSError):
                size += (self.manifest.path.parent / path).stat().st_size
        return FilesToSend(count, size, self.manifest.inputs.send)

    def _lane(self, model: str, jobs: int) -> LaneWork:
        policy = engine_policy(self.manifest.policy, self.options)
        limits = policy.limits_of(model)
        seconds = expected_seconds(self.db, model)
        pace = throttled_pace(self.db, model) if jobs else None
        interval = max(limits.interval, pace or 0.0)
        limit = limits.limit
        if policy.finds_concurrency:
            # What the last run found; before the first one, what it begins with.
            found = found_concurrency(self.db).get(model)
            limit = min(limit, found["at_once"] if found else AUTO_START)
        return LaneWork(model, jobs, seconds, limit, interval, throttled=pace is not None)

    def _cost(self, model: str, jobs: int) -> Cost:
        if not jobs:
            return Cost()
        sources = price_sources(self.db, model, self.manifest.policy, self.live)
        if not sources.by_amount:
            return cost_of([Alike("{}", jobs)], sources)
        reused = Counter(_amount(body) for body in self.reusable.get(model, ()))
        return cost_of(
            [
                Alike(body, count - reused[_amount(body)])
                for body, count in self.outlook.due_by_amount(model)
            ],
            sources,
        )

    def _saved(self, model: str) -> Cost:
        sources = price_sources(self.db, model, self.manifest.policy, self.live)
        return cost_of([Alike(body, 1) for body in self.reusable[model]], sources)


def _amount(body: str) -> str:
    """What a price may depend on, as due_by_amount groups it."""
    values = json.loads(body)
    return json.dumps([values.get(key) for key in BILLED])


@dataclass(frozen=True, slots=True)
class Listing:
    """`jobs` are read as they are consumed: a million need no more memory than ten.

    `warnings` are about the manifest, if it had to be read.
    """

    name: str
    folder: RunFolder
    results: Location
    jobs: Iterator[tuple[ListedJob, JobHistory | None]]
    warnings: tuple[Problem, ...] = ()


@contextmanager
def planned_jobs(path: Path, options: RunOptions, world: World) -> Iterator[Listing]:
    """What a run would find: every selected job or, with a limit, those that it would start.

    The vendor is not asked, and nothing is written. Raises as `planning.plan` does.
    """
    with _held_against_state(path, options, world) as (listing, outlook):
        if next(foreseen_jobs(outlook), None) is None:
            raise nothing_selected()
        with closing(foreseen_jobs(outlook, only_due=options.limit is not None)) as jobs:
            yield replace(listing, jobs=((job, None) for job in jobs))


@contextmanager
def named_jobs(
    path: Path, names: Sequence[str], world: World, *, emulator: bool = False
) -> Iterator[Listing]:
    """List jobs by ids or globs, with their attempts. Raises UsageError for a name without a job.

    If the state was made from exactly this manifest, its jobs are not read again.
    """
    rehearsal = emulator or is_loopback(api_base(world.env))
    manifest = read_with_environment(path, world.env, rehearsal=rehearsal)
    folder = RunFolder(manifest.output.dir)
    every_job = command_line("plan", path, "--jobs", emulator=emulator)
    with state_to_compare(manifest, RunOptions()) as (_, db):
        selection = Selection(jobs=names_only(db, names))
        if fingerprint_of(manifest).is_of(get_meta(db, Meta.INPUTS)):
            _look_up(db, names, every_job, "main.job")
            with closing(remembered_jobs(db, selection.where())) as jobs:
                found = _with_history(db, jobs)
                yield Listing(manifest.name, folder, results_of(db, folder), found)
            return
    options = RunOptions(emulator=emulator, selection=selection)
    with _held_against_state(path, options, world) as (listing, outlook):
        _look_up(outlook.db, names, every_job, "incoming.job", "main.job")
        with closing(foreseen_jobs(outlook)) as here, closing(gone_jobs(outlook)) as gone:
            yield replace(listing, jobs=_with_history(outlook.db, chain(here, gone)))


@contextmanager
def _held_against_state(
    path: Path, options: RunOptions, world: World
) -> Iterator[tuple[Listing, Outlook]]:
    rehearsal = options.emulator or is_loopback(api_base(world.env))
    log = ProblemLog(strict=options.strict)
    with checked_manifest(path, rehearsal=rehearsal, env=world.env, problems=log) as (
        manifest,
        staging,
    ):
        folder = RunFolder(manifest.output.dir)
        with (
            state_to_compare(manifest, options) as (state, db),
            foreseen(db, staging, state, wishes_of(options)) as outlook,
        ):
            results = results_of(db, folder)
            yield Listing(manifest.name, folder, results, iter(()), log.warnings), outlook


def _look_up(db: Connection, names: Sequence[str], every_job: str, *tables: str) -> None:
    """Raise UsageError for a name that no job has. `every_job` is the command that lists them."""
    for name in names:
        selection = Selection(jobs=names_only(db, (name,)))
        if not any_selected(db, selection, tables):
            close = nearest(name, some_ids(db, tables[0]))
            hint = f"did you mean '{close}'?" if close else f"{every_job} has all"
            raise UsageError(f"no job is called '{name}'", next_step=hint)


def _with_history(
    db: Connection, jobs: Iterable[ListedJob]
) -> Iterator[tuple[ListedJob, JobHistory | None]]:
    for job in jobs:
        known = None if job.seq is None else job_histories(db, ("seq = ?", (job.seq,)))
        yield job, next(known, None) if known else None
