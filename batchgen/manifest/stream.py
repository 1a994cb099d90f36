"""The jobs of a manifest, checked, as a stream."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from batchgen.jobs import RejectedJob
from batchgen.manifest.items import build_item, refused
from batchgen.manifest.job_builder import JobBuilder
from batchgen.manifest.parsing.document import read_jobs
from batchgen.manifest.parsing.source import UnreadableYamlError
from batchgen.manifest.problems import Reporter
from batchgen.manifest.sweeps import Sweep

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from batchgen.jobs import Job
    from batchgen.manifest.header import Manifest
    from batchgen.manifest.items import Item
    from batchgen.manifest.job_builder import Refuse
    from batchgen.manifest.problems import ProblemLog
    from batchgen.manifest.scope import Part
    from batchgen.manifest.sweeps import Cell

AT_A_TIME = 32
"""Cells that go through one step before the next step begins. Measured a fifth faster than one by
one, most likely because the CPU's caches hold one step but not all of them. Fewer gain less; more
gain nothing and keep more long rows in memory.
"""


def checked_jobs(
    manifest: Manifest, problems: ProblemLog, refuse: Refuse = lambda _: None
) -> Iterator[Job]:
    """Yield the valid jobs and log the problems of the others; few jobs are in memory at a time.

    Checks across jobs (duplicate ids, missing dependencies) are left to the caller: `refuse` is
    called with what is known of each invalid job. Send nothing before the stream has ended and the
    log is empty.

    Raises MissingFileError, StorageError.
    """
    for part in manifest.parts:
        if part.has_jobs:
            yield from _jobs_of(part, manifest, Reporter(part.path, problems), refuse)
    if problems.has_unread:
        refuse(RejectedJob("", is_stem=True))


def _jobs_of(part: Part, manifest: Manifest, reporter: Reporter, refuse: Refuse) -> Iterator[Job]:
    try:
        for node, is_valid in read_jobs(part.path, reporter.at):
            item = build_item(node, part, reporter) if is_valid else None
            if item is None:
                refuse(refused(node, reporter.path))
            else:
                yield from _cells_as_jobs(item, manifest, reporter, refuse)
    except UnreadableYamlError as exc:
        reporter.unreadable(exc)


def _cells_as_jobs(
    item: Item, manifest: Manifest, reporter: Reporter, refuse: Refuse
) -> Iterator[Job]:
    before = reporter.log.total
    sweep = Sweep(item, reporter)
    builder = JobBuilder(item, manifest, reporter, refuse, sweep)
    cells = sweep.cells()
    while not builder.item_is_wrong and (some := list(islice(cells, AT_A_TIME))):
        yield from list(_build_jobs(some, builder))
    builder.report_if_all_skipped()
    if builder.item_is_wrong or (item.is_sweep and reporter.log.total > before):
        refuse(refused(item.node, reporter.path))


def _build_jobs(cells: Iterable[Cell], builder: JobBuilder) -> Iterator[Job]:
    for cell in cells:
        job = builder.build(cell)
        if job is not None:
            yield job
        elif builder.item_is_wrong:
            return
