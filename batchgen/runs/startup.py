"""Before a run: the manifest checked, the lock taken, the state brought up to the manifest."""

from __future__ import annotations

import codecs
import os
import sys
from contextlib import ExitStack, closing
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from batchgen.errors import InputError, MissingFileError, SchemaVersionError
from batchgen.fs import unwritable_name
from batchgen.manifest.policy import FullCheck
from batchgen.manifest.problems import ProblemLog
from batchgen.manifest.stream import checked_jobs
from batchgen.runcomfy.base import api_base, is_loopback
from batchgen.runcomfy.token import find_token
from batchgen.runs.context import RunContext
from batchgen.runs.decisions import runner_lock, settle
from batchgen.runs.fingerprint import fingerprint_of
from batchgen.runs.folder import PATIENCE, RunFolder, this_process
from batchgen.runs.ingest import CHECKED_AT_ONCE, StreamingIngest
from batchgen.runs.journal import catch_up
from batchgen.runs.lost_state import (
    Traces,
    find_lost,
    keep_old_log,
    recover,
    set_aside,
)
from batchgen.runs.ownership import (
    claim_file,
    claim_for_manifest,
    claim_for_provider,
    claim_results,
    run_id,
)
from batchgen.runs.prepare import (
    check_together,
    read_with_environment,
    reading_files,
    reconcile,
)
from batchgen.runs.result_bucket import (
    claim_prefix,
    refuse_occupied,
    refuse_results_of_another,
)
from batchgen.state.database import (
    checkpoint,
    open_for_writing,
    reading,
    transaction,
    translated,
)
from batchgen.state.file_names import names_to_come
from batchgen.state.meta import Meta, get_meta, set_meta
from batchgen.state.queries import Selection, select_any
from batchgen.state.selection import note_attempted
from batchgen.state.staging import open_staging

if TYPE_CHECKING:
    from pathlib import Path

    from batchgen.input_files import LookAt
    from batchgen.manifest.header import Manifest
    from batchgen.runs.context import World
    from batchgen.runs.fingerprint import Fingerprint
    from batchgen.runs.options import RunOptions
    from batchgen.state.database import Connection
    from batchgen.state.staging import Staging


@dataclass(frozen=True, slots=True)
class StartedRun:
    """What a run works with. `ingest` reads the remaining jobs of a huge first run.

    `problems` has the warnings, if the jobs had to be read.
    """

    context: RunContext
    db: Connection
    ingest: StreamingIngest | None
    problems: ProblemLog


@dataclass(frozen=True, slots=True)
class _Reader:
    """A manifest whose jobs may have to be read. `fingerprint` identifies what they are made from.

    `found` are the problems in its header; `look` reads the user's own files.
    """

    manifest: Manifest
    options: RunOptions
    folder: RunFolder
    fingerprint: Fingerprint
    found: ProblemLog
    look: LookAt

    def is_known_to(self, db: Connection) -> bool:
        with translated(self.folder.state):
            return self.fingerprint.is_of(get_meta(db, Meta.INPUTS))

    def stage(self, briefly: ExitStack, *, first: bool) -> _Staged:
        """Read and check the jobs: all of them, except in a huge `first` run.

        The staging area exists as long as `briefly`. Raises ManifestError with every problem.
        """
        staging = briefly.enter_context(open_staging())
        problems = deepcopy(self.found)
        jobs = self.fingerprint.of(checked_jobs(self.manifest, problems, staging.refuse, self.look))
        at_once = CHECKED_AT_ONCE if first and self._may_begin_early() else None
        for job in islice(jobs, at_once):
            staging.add(job)
        early = at_once is not None and len(staging) == at_once
        if early and (problems or not staging.is_self_contained()):
            # All problems are reported at once, and a needed job may come further down.
            early = False
            for job in jobs:
                staging.add(job)
        catalog = self.manifest.catalog
        check_together(staging, catalog, problems)
        ingest = StreamingIngest(jobs, catalog, problems, self.fingerprint) if early else None
        return _Staged(staging, ingest, problems)

    def _may_begin_early(self) -> bool:
        """Not with a selection, a limit or `--strict`, which must see all jobs first.

        Nor with `--recover`: jobs would be paid for again before their requests are recovered.
        """
        options = self.options
        picks = options.selection != Selection() or options.limit is not None
        picks = picks or options.strict or options.recover
        return self.manifest.policy.full_check is FullCheck.AUTO and not picks


@dataclass(frozen=True, slots=True)
class _Staged:
    jobs: Staging
    ingest: StreamingIngest | None
    problems: ProblemLog


def start_up(path: Path, options: RunOptions, world: World, held: ExitStack) -> StartedRun:
    """Check everything, then take the lock and open the state, which `held` closes at the end.

    Raises the tree's errors; if the manifest is wrong, nothing has been made or changed.
    """
    base = "" if options.emulator else api_base(world.env)
    rehearsing = options.emulator or is_loopback(base)
    problems = ProblemLog(strict=options.strict)
    manifest = read_with_environment(path, world.env, rehearsal=rehearsing, problems=problems)
    context = RunContext(manifest, RunFolder(manifest.output.dir), options, world, base)
    # The jobs of a huge first run are read while it goes on.
    look = held.enter_context(reading_files())
    reader = _Reader(manifest, options, context.folder, fingerprint_of(manifest), problems, look)
    with ExitStack() as briefly:
        staged = None
        if options.strict or not _is_unchanged(reader):
            staged = reader.stage(briefly, first=_is_first(context.folder))
        db, traces = _open_state(context, held)
        ingest = None
        problems = ProblemLog() if staged is None else staged.problems
        # Another run may have changed the state before the lock was taken.
        if not reader.is_known_to(db):
            if staged is None or (staged.ingest is not None and _has_jobs(db, context.folder)):
                staged = reader.stage(briefly, first=False)
            problems = staged.problems
            with translated(context.folder.state):
                note_attempted(db, options.selection)
            ingest = _take_up(db, reader, staged)
        _refuse_unwritable_names(context, db)
        if traces:
            _recover(context, db, traces)
        if traces.reused and options.reuse is None:
            # Without it, what had cost nothing would be paid for.
            context = replace(context, options=replace(options, reuse=True))
    with translated(context.folder.state):
        catch_up(context.folder.metadata, db)
    return StartedRun(context, db, ingest, problems)


def _open_state(context: RunContext, held: ExitStack) -> tuple[Connection, Traces]:
    folder, options, world = context.folder, context.options, context.world
    if not options.emulator and _is_first(folder):
        # Nothing can be done without a token: say so before a folder is made.
        find_token(world.env, world.home)
    if not folder.root.exists():
        # And no folder may be made where a disk should be mounted.
        _refuse_lost_state(context)
    folder.create()
    held.enter_context(runner_lock(folder, PATIENCE))
    traces = _refuse_lost_state(context)
    db = held.enter_context(closing(open_for_writing(folder.state)))
    with translated(folder.state):
        set_meta(db, Meta.RUNNER, this_process())
        run_id(db, world.dice)
        claim_file(db, folder, context.manifest.path, options)
        claim_for_provider(db, context.provider, folder)
        claim_results(db, context.results, folder)
        claim_for_manifest(db, context.manifest, options)
        # The recovery log and decisions name jobs by earlier ids: today's manifest may rename them.
        with transaction(db):
            settle(db, folder, world.now())
        checkpoint(db)
    claim_prefix(context, db)
    return db, traces


def _refuse_lost_state(context: RunContext) -> Traces:
    """Raise LostStateError if requests may be paid for that the state does not know of.

    Not with `start_over`, which moves the folder's contents out of the way, nor with `recover`,
    which uses the traces.
    """
    folder, options = context.folder, context.options
    lost = find_lost(context, asks_bucket=True)
    if options.start_over and lost:
        refuse_occupied(context)
        if lost.traces or lost.has_state:
            set_aside(folder)
            folder.create()
        return Traces()
    if options.recover and lost.traces.has_requests and not options.emulator:
        keep_old_log(folder)
        return lost.traces
    if lost.traces.files:
        refuse_results_of_another(context)
    lost.refuse(folder)
    return lost.traces


def _refuse_unwritable_names(context: RunContext, db: Connection) -> None:
    """Raise InputError before anything is paid for; a UTF-8 locale can write every name."""
    if codecs.lookup(sys.getfilesystemencoding()).name == "utf-8":
        return
    with translated(context.folder.state):
        for job, name in names_to_come(db):
            try:
                os.fsencode(name)
            except UnicodeEncodeError as exc:
                error = unwritable_name(name)
                raise InputError(
                    f"job {job}: {error.what}; nothing was sent",
                    where=str(context.folder.files / name),
                    next_step=error.next_step,
                ) from exc


def _recover(context: RunContext, db: Connection, traces: Traces) -> None:
    with translated(context.folder.state):
        left = recover(db, context.folder, traces, context.world.now())
    for request_id, job in left.items():
        sys.stderr.write(f"not recovered: request {request_id}, since job {job} is not pending\n")


def _is_first(folder: RunFolder) -> bool:
    return not folder.state.exists()


def _has_jobs(db: Connection, folder: RunFolder) -> bool:
    """Whether the state has jobs: then it must be compared with the whole manifest, not a part."""
    with translated(folder.state):
        return select_any(db, Selection())


def _is_unchanged(reader: _Reader) -> bool:
    """Whether the state was reconciled with exactly these inputs: its jobs were checked then."""
    if _is_first(reader.folder):
        return False
    try:
        with reading(reader.folder.state) as db:
            return reader.is_known_to(db)
    except (MissingFileError, SchemaVersionError):
        # A run died before its first commit, or opening the file for writing will refuse it.
        return False


def _take_up(db: Connection, reader: _Reader, staged: _Staged) -> StreamingIngest | None:
    state = reader.folder.state
    with translated(state):
        # First: a crash in the middle must not leave new jobs under an old fingerprint.
        set_meta(db, Meta.INPUTS, "")
    difference = reconcile(db, staged.jobs, state, reader.options)
    if staged.ingest is None and not difference.changed:
        # Otherwise, the next run must ask for the missing decision again.
        with translated(state):
            set_meta(db, Meta.INPUTS, reader.fingerprint.text())
    return staged.ingest
