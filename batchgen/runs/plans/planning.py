"""What a run would do, without sending or writing anything: manifest, state and vendor together."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.errors import UsageError
from batchgen.manifest import ProblemLog
from batchgen.runcomfy.base import api_base, is_loopback
from batchgen.runs.engine_policy import engine_policy
from batchgen.runs.folder import RunFolder
from batchgen.runs.funds import price_sources
from batchgen.runs.opening import find_lost
from batchgen.runs.plans.changes import FieldChange, input_changes
from batchgen.runs.plans.costing import Alike, Cost, cost_of
from batchgen.runs.plans.forecast import LaneWork, lane_seconds, run_seconds
from batchgen.runs.plans.live_models import LiveModels, ask_about
from batchgen.runs.plans.outdated import LiveRules
from batchgen.runs.plans.plan import ChangedInput, Figures, ModelPlan, Orphan, Plan, Renamed
from batchgen.runs.prepare import checked
from batchgen.runs.provider import is_rehearsal, refuse_other_manifest
from batchgen.runs.workplace import Workplace
from batchgen.state.database import open_for_reading, open_for_writing, translated
from batchgen.state.differences import PlanCounts, foreseen
from batchgen.state.planned import Wishes
from batchgen.state.queries import expected_seconds, money, throttled_pace

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

    from batchgen.errors import Problem
    from batchgen.manifest import Manifest
    from batchgen.runs.options import RunOptions
    from batchgen.runs.workplace import World
    from batchgen.state.differences import ChangedInput as ChangedRow
    from batchgen.state.differences import Outlook

MOST_CHANGES = 1000
MOST_RENAMED = 1000
MOST_ORPHANS = 1000


def plan(path: Path, options: RunOptions, world: World, *, offline: bool = False) -> Plan:
    """Check the manifest, hold it against the state, and ask the vendor for prices and schemas.

    Raises ManifestError, MissingFileError, UsageError for a selection that names no job.
    """
    rehearsing = options.emulator or is_loopback(api_base(world.env))
    log = ProblemLog(strict=options.strict)
    with checked(path, rehearsal=rehearsing, env=world.env, problems=log) as (manifest, staging):
        folder = RunFolder(manifest.output.dir)
        if not (options.start_over or options.recover):
            # As the run would, before it says that all jobs are new.
            find_lost(Workplace(manifest, folder, options, world, "")).refuse(folder)
        with (
            state_beside(manifest, take_over=options.take_over) as (state, db),
            translated(state),
            foreseen(db, staging, state, wishes_of(options)) as outlook,
        ):
            counts = outlook.counts()
            used = [model for model, found in counts.items() if _figures(found).jobs]
            if not used:
                raise nothing_selected()
            live = LiveModels() if offline else asyncio.run(ask_about(used, options, world))
            desk = _Desk(manifest, outlook, db, options, live, log.warnings)
            return desk.plan(counts, folder, offline=offline)


def wishes_of(options: RunOptions) -> Wishes:
    return Wishes(options.selection, options.on_changed, options.retry_failed, options.limit)


@contextmanager
def state_beside(
    manifest: Manifest, *, take_over: bool = False
) -> Iterator[tuple[Path, sqlite3.Connection]]:
    """The state as it is; before the first run an empty one, elsewhere: nothing is written here."""
    folder = RunFolder(manifest.output.dir)
    if folder.state.exists():
        with closing(open_for_reading(folder.state)) as db, translated(folder.state):
            if not take_over:
                refuse_other_manifest(db, manifest)
            yield folder.state, db
        return
    with tempfile.TemporaryDirectory(prefix="batchgen-") as elsewhere:
        path = Path(elsewhere) / "state.db"
        with closing(open_for_writing(path)) as db:
            yield path, db


def nothing_selected() -> UsageError:
    return UsageError(
        "no job of the manifest is selected",
        next_step="check --job, --model, --tag, --state and --cause",
    )


@dataclass(frozen=True, slots=True)
class _Desk:
    """Everything that a plan is made from."""

    manifest: Manifest
    outlook: Outlook
    db: sqlite3.Connection
    options: RunOptions
    live: LiveModels
    warnings: tuple[Problem, ...]

    def plan(self, counts: Mapping[str, PlanCounts], folder: RunFolder, *, offline: bool) -> Plan:
        lanes = {model: self._lane(model, found.to_do) for model, found in counts.items()}
        models = {
            model: ModelPlan(
                _figures(found), self._cost(model, found.to_do), lane_seconds(lanes[model])
            )
            for model, found in counts.items()
        }
        policy = engine_policy(self.manifest.policy, self.options)
        return Plan(
            name=self.manifest.name,
            folder=folder.root,
            models=models,
            money=money(self.db),
            budget=policy.budget,
            throttled={
                model: lane.interval
                for model, lane in lanes.items()
                if lane.throttled and lane.interval > policy.lane(model).interval
            },
            seconds=run_seconds(lanes.values(), policy.concurrency, policy.interval),
            on_changed=self.options.on_changed,
            # Each is another walk through all jobs: not where the figures say that it is in vain.
            changed=self._changed() if any(one.changed for one in counts.values()) else (),
            renamed=self._renamed() if any(one.renamed for one in counts.values()) else (),
            orphans=self._orphans() if any(one.orphaned for one in counts.values()) else (),
            live=self.live,
            outdated=LiveRules(self.live, self.manifest.policy).judged(self.outlook.due_bodies),
            warnings=self.warnings,
            offline=offline,
            rehearsal=self.options.emulator or is_rehearsal(self.db),
        )

    def _lane(self, model: str, jobs: int) -> LaneWork:
        limits = engine_policy(self.manifest.policy, self.options).lane(model)
        seconds = expected_seconds(self.db, model)
        pace = throttled_pace(self.db, model) if jobs else None
        interval = max(limits.interval, pace or 0.0)
        return LaneWork(model, jobs, seconds, limits.limit, interval, throttled=pace is not None)

    def _cost(self, model: str, jobs: int) -> Cost:
        if not jobs:
            return Cost()
        sources = price_sources(self.db, model, self.manifest.policy, self.live)
        if not sources.by_second:
            return cost_of([Alike("{}", jobs)], sources)
        return cost_of([Alike(*one) for one in self.outlook.due_by_frames(model)], sources)

    def _changed(self) -> tuple[ChangedInput, ...]:
        rows = self.outlook.changed(MOST_CHANGES)
        return tuple(ChangedInput(row.id, row.state, _changes(row)) for row in rows)

    def _renamed(self) -> tuple[Renamed, ...]:
        rows = self.outlook.renamed(MOST_RENAMED)
        return tuple(Renamed(row.before, row.now, row.state) for row in rows)

    def _orphans(self) -> tuple[Orphan, ...]:
        return tuple(Orphan(*row) for row in self.outlook.orphans(MOST_ORPHANS))


def _figures(found: PlanCounts) -> Figures:
    selected = (
        found.pending,
        found.in_flight,
        found.done,
        found.failed,
        found.unknown,
        found.blocked,
        found.cancelled,
        found.lost,
    )
    return Figures(
        jobs=sum(selected),
        new=found.new,
        changed=found.changed,
        renamed=found.renamed,
        to_do=found.to_do,
        waiting=found.waiting,
        in_flight=found.in_flight,
        done=found.done,
        failed=found.failed,
        unknown=found.unknown,
        blocked=found.blocked,
        cancelled=found.cancelled,
        lost=found.lost,
        asked_again=found.asked_again,
        orphaned=found.orphaned,
    )


def _changes(row: ChangedRow) -> tuple[FieldChange, ...]:
    changes = input_changes(row.body_before, row.body_now)
    if row.model_before == row.model_now:
        return changes
    return (FieldChange("model", f'"{row.model_before}"', f'"{row.model_now}"'), *changes)
