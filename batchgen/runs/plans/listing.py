"""The jobs of a manifest one by one: what each would send; with a state, what became of it."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from batchgen.errors import UsageError
from batchgen.manifest import ProblemLog
from batchgen.models.nearest import nearest
from batchgen.runcomfy.base import api_base, is_loopback
from batchgen.runs.fingerprint import fingerprint_of
from batchgen.runs.folder import RunFolder
from batchgen.runs.intake import INPUTS
from batchgen.runs.options import RunOptions
from batchgen.runs.plans.planning import nothing_selected, state_beside, wishes_of
from batchgen.runs.prepare import checked, read_for_jobs
from batchgen.state.database import translated
from batchgen.state.differences import foreseen
from batchgen.state.listing import (
    any_selected,
    foreseen_jobs,
    gone_jobs,
    known_jobs,
    remembered_jobs,
    some_ids,
)
from batchgen.state.queries import Selection, get_meta
from batchgen.state.selection import names_only

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from batchgen.errors import Problem
    from batchgen.runs.workplace import World
    from batchgen.state.differences import Outlook
    from batchgen.state.listing import KnownJob, ListedJob


@dataclass(frozen=True, slots=True)
class Listing:
    """`jobs` are read while they are asked for: a million need no more memory than ten.

    `warnings` are about the manifest, where it had to be read.
    """

    name: str
    folder: RunFolder
    jobs: Iterator[tuple[ListedJob, KnownJob | None]]
    warnings: tuple[Problem, ...] = ()


@contextmanager
def planned_jobs(path: Path, options: RunOptions, world: World) -> Iterator[Listing]:
    """What a run would find: every selected job, or with a limit those that it would begin.

    Nobody is asked, and nothing is written. Raises as `planning.plan` does.
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
    """Jobs by their ids, or globs, with their attempts. Raises UsageError for one that is nobody's.

    Where the state was made from just this manifest, the manifest's jobs are not read again.
    """
    rehearsal = emulator or is_loopback(api_base(world.env))
    manifest = read_for_jobs(path, world.env, rehearsal=rehearsal)
    folder = RunFolder(manifest.output.dir)
    with state_beside(manifest) as (state, db), translated(state):
        selection = Selection(jobs=names_only(db, names))
        if fingerprint_of(manifest).is_of(get_meta(db, INPUTS)):
            _look_up(db, names, "main.job")
            with closing(remembered_jobs(db, selection.where())) as jobs:
                yield Listing(manifest.name, folder, _with_history(db, jobs))
            return
    options = RunOptions(emulator=emulator, selection=selection)
    with _held_against_state(path, options, world) as (listing, outlook):
        _look_up(outlook.db, names, "incoming.job", "main.job")
        with closing(foreseen_jobs(outlook)) as here, closing(gone_jobs(outlook)) as gone:
            yield replace(listing, jobs=_with_history(outlook.db, chain(here, gone)))


@contextmanager
def _held_against_state(
    path: Path, options: RunOptions, world: World
) -> Iterator[tuple[Listing, Outlook]]:
    rehearsal = options.emulator or is_loopback(api_base(world.env))
    log = ProblemLog(strict=options.strict)
    with checked(path, rehearsal=rehearsal, env=world.env, problems=log) as (manifest, staging):
        folder = RunFolder(manifest.output.dir)
        with (
            state_beside(manifest, take_over=options.take_over) as (state, db),
            translated(state),
            foreseen(db, staging, state, wishes_of(options)) as outlook,
        ):
            yield Listing(manifest.name, folder, iter(()), log.warnings), outlook


def _look_up(db: sqlite3.Connection, names: Sequence[str], *tables: str) -> None:
    for name in names:
        selection = Selection(jobs=names_only(db, (name,)))
        if not any_selected(db, selection, tables):
            close = nearest(name, some_ids(db, tables[0]))
            hint = f"did you mean '{close}'?" if close else "batchgen plan MANIFEST --jobs has all"
            raise UsageError(f"no job is called '{name}'", next_step=hint)


def _with_history(
    db: sqlite3.Connection, jobs: Iterable[ListedJob]
) -> Iterator[tuple[ListedJob, KnownJob | None]]:
    for job in jobs:
        known = None if job.seq is None else known_jobs(db, ("seq = ?", (job.seq,)))
        yield job, next(known, None) if known else None
