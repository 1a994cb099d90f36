"""What there is to do in a run, found in one transaction before its first request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batchgen.engine.policy import MOST_RESUBMITS
from batchgen.errors import UsageError
from batchgen.jobs import JobState
from batchgen.manifest.policy import OnUnknown
from batchgen.manifest.units import start_moment
from batchgen.runs.decisions import settle
from batchgen.runs.options import effective_policy
from batchgen.state import manual_actions, queries
from batchgen.state.meta import Meta, get_meta, set_meta
from batchgen.state.reuse import count_reused
from batchgen.state.selection import note_down, note_first
from batchgen.text import command_line

if TYPE_CHECKING:
    from batchgen.manifest.header import Manifest
    from batchgen.runs.folder import RunFolder
    from batchgen.runs.options import RunOptions
    from batchgen.state.database import Connection
    from batchgen.state.queries import Selection
    from batchgen.state.records import Counts, Money


@dataclass(frozen=True, slots=True)
class Workload:
    """What there is to do. `models` have pending jobs; `in_flight` and `to_fetch` count jobs.

    `priced` are all models that may get a submit before the run ends; `cancels` are jobs whose
    requests a person wants to cancel. Submits begin at `begins_at`, in epoch seconds. `reusing` of
    `to_fetch` come from other runs.
    """

    selection: Selection
    models: tuple[str, ...]
    priced: tuple[str, ...]
    in_flight: int
    to_fetch: int
    counts: Counts
    money: Money
    cancels: tuple[int, ...]
    begins_at: float | None = None
    reusing: int = 0

    @property
    def is_collecting(self) -> bool:
        """Whether something is paid for already; no trouble with other jobs may hold it up."""
        return bool(self.in_flight or self.to_fetch > self.reusing)

    @property
    def is_idle(self) -> bool:
        return not (self.models or self.in_flight or self.to_fetch)


def take_stock(
    db: Connection,
    folder: RunFolder,
    manifest: Manifest,
    options: RunOptions,
    at: float,
) -> Workload:
    """Settle what a dead run left, apply the decisions, and find out what there is to do.

    Raises UsageError for a selection that names no job at all.
    """
    set_meta(db, Meta.NAME, manifest.name)
    settle(db, folder, at)
    selection = note_down(db, options.selection)
    if not (queries.select_any(db, selection) or _goes_on(db, options.selection)):
        raise UsageError(
            "no job of the manifest is selected",
            next_step="check --job, --model, --tag, --state and --cause"
            f"; {command_line('plan', manifest.path, emulator=options.emulator)} shows jobs",
        )
    if manifest.policy.on_unknown is OnUnknown.RESUBMIT:
        manual_actions.resubmit_all(db, MOST_RESUBMITS, at)
    again = None
    if options.retry_failed:
        again = manual_actions.may_go_again(rejected=options.selection.asks_for_rejected)
    if options.limit is not None:
        # Before the retry: a plain run tomorrow must not pay for jobs beyond today's limit.
        selection = note_first(db, selection, options.limit, again)
    if again is not None:
        manual_actions.retry_selected(db, selection, again)
    # Last, since a selection by state, and a retry, use the states that people see.
    manual_actions.reopen(db)
    return replace(_look(db, selection), begins_at=_begins_at(db, manifest, options, at))


def take_stock_again(db: Connection, before: Workload) -> Workload:
    """Once jobs have taken results of other runs."""
    return replace(_look(db, before.selection), begins_at=before.begins_at)


def _begins_at(db: Connection, manifest: Manifest, options: RunOptions, at: float) -> float | None:
    """When submits begin. It is stored, so the same command continues at once after a crash."""
    policy = effective_policy(manifest.policy, options)
    start_at = policy.start_at
    if start_at is None:
        return None
    words, _, moment = (get_meta(db, Meta.START_AT) or "").rpartition(" ")
    begun = float(moment) if words == str(start_at) else None
    start = start_moment(start_at, policy.stop_at, at, begun)
    if start is not None:
        set_meta(db, Meta.START_AT, f"{start_at} {start}")
    return start


def _goes_on(db: Connection, selection: Selection) -> bool:
    """Whether this may be the same command again, whose jobs are now under way."""
    found = queries.totals(queries.counts(db))
    under_way = (JobState.QUEUED, JobState.RUNNING, JobState.FETCHING)
    return selection.is_fleeting and any(found.get(state) for state in under_way)


def _look(db: Connection, selection: Selection) -> Workload:
    models = tuple(queries.pending_models(db, selection))
    counts = queries.counts(db)
    totals = queries.totals(counts)
    return Workload(
        selection,
        models,
        tuple(queries.visible_models(db)),
        totals.get(JobState.QUEUED, 0) + totals.get(JobState.RUNNING, 0),
        totals.get(JobState.FETCHING, 0),
        counts,
        queries.money(db),
        tuple(queries.cancels_due(db)),
        reusing=count_reused(db, JobState.FETCHING),
    )
