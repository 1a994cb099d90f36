"""The jobs of a manifest, checked, as a stream."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from batchgen.input_files import Unusable
from batchgen.jobs import RejectedJob
from batchgen.manifest.items import build_item, refused
from batchgen.manifest.job_builder import JobBuilder
from batchgen.manifest.literal_jobs import LiteralJobs
from batchgen.manifest.local_files import LocalFiles
from batchgen.manifest.parsing.document import read_jobs
from batchgen.manifest.parsing.source import UnreadableYamlError
from batchgen.manifest.problems import Reporter
from batchgen.manifest.sweeps import Sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from batchgen.input_files import LookAt
    from batchgen.jobs import Job
    from batchgen.manifest.header import Manifest
    from batchgen.manifest.job_builder import Refuse
    from batchgen.manifest.problems import ProblemLog
    from batchgen.manifest.scope import Part
    from batchgen.manifest.sweeps import Cell

AT_A_TIME = 32
"""Cells that go through one step before the next step begins. Measured a fifth faster than one by
one, most likely because the CPU's caches hold one step but not all of them. Fewer gain less; more
gain nothing and keep more long rows in memory.
"""


def cannot_look(_: Path) -> Unusable:
    return Unusable("files of this machine are not read here", "name its URL")


def checked_jobs(
    manifest: Manifest,
    problems: ProblemLog,
    refuse: Refuse = lambda _: None,
    look: LookAt = cannot_look,
) -> Iterator[Job]:
    """Yield the valid jobs and log the problems of the others; few jobs are in memory at a time.

    `look` reads the user's own files that inputs name.

    Checks across jobs (duplicate ids, missing dependencies) are left to the caller: `refuse` is
    called with what is known of each invalid job. Send nothing before the stream has ended and the
    log is empty.

    Raises MissingFileError, StorageError.
    """
    build = partial(JobBuilder, manifest=manifest, refuse=refuse, files=LocalFiles(manifest, look))
    for part in manifest.parts:
        if part.has_jobs:
            literal = LiteralJobs(part, manifest)
            yield from _jobs_of(part, Reporter(part.path, problems), refuse, build, literal)
    if problems.has_unread:
        refuse(RejectedJob("", is_stem=True))


def _jobs_of(
    part: Part,
    reporter: Reporter,
    refuse: Refuse,
    build: Callable[..., JobBuilder],
    literal: LiteralJobs,
) -> Iterator[Job]:
    try:
        for node, is_valid in read_jobs(part.path, reporter.at):
            if is_valid and (job := literal.job(node)) is not None:
                yield job
                continue
            item = build_item(node, part, reporter) if is_valid else None
            if item is None:
                refuse(refused(node, reporter.path))
                continue
            before, sweep = reporter.log.total, Sweep(item, reporter)
            builder = build(item, reporter=reporter, sweep=sweep)
            yield from _cells_as_jobs(sweep, builder)
            if builder.item_is_wrong or (item.is_sweep and reporter.log.total > before):
                refuse(refused(item.node, reporter.path))
    except UnreadableYamlError as exc:
        reporter.unreadable(exc)


def _cells_as_jobs(sweep: Sweep, builder: JobBuilder) -> Iterator[Job]:
    cells = sweep.cells()
    while not builder.item_is_wrong and (some := list(islice(cells, AT_A_TIME))):
        yield from list(_build_jobs(some, builder))
    builder.report_if_all_skipped()


def _build_jobs(cells: Iterable[Cell], builder: JobBuilder) -> Iterator[Job]:
    for cell in cells:
        job = builder.build(cell)
        if job is not None:
            yield job
        elif builder.item_is_wrong:
            return
