"""The jobs of a manifest, checked, as a stream."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from batchgen.jobs import RejectedJob
from batchgen.manifest.items import build_item, refused
from batchgen.manifest.job_builder import JobMaker
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
"""Cells that go through one step before the next step begins: measured a fifth faster than one by
one, most likely since a processor's caches hold one step and not all of them. Fewer gain less; more
gain nothing, and hold more long rows in memory.
"""


def checked_jobs(
    manifest: Manifest, problems: ProblemLog, refuse: Refuse = lambda _: None
) -> Iterator[Job]:
    """Yield the sound jobs and log what is wrong with the others; few jobs are in memory at a time.

    What only all of them together show, a duplicate id or a missing dependency, is
    left to the caller: `refuse` gets what is known of the jobs that are not valid.
    Nothing may be sent before the stream has ended and the log is empty.

    Raises MissingFileError, StorageError.
    """
    for part in manifest.parts:
        if part.has_jobs:
            yield from _jobs_of(part, manifest, Reporter(part.path, problems), refuse)
    if problems.has_unread:
        refuse(RejectedJob("", is_stem=True))


def _jobs_of(part: Part, manifest: Manifest, reporter: Reporter, refuse: Refuse) -> Iterator[Job]:
    try:
        for node, is_sound in read_jobs(part.path, reporter.at):
            item = build_item(node, part, reporter) if is_sound else None
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
    maker = JobMaker(item, manifest, reporter, refuse, sweep)
    cells = sweep.cells()
    while not maker.is_hopeless and (some := list(islice(cells, AT_A_TIME))):
        yield from list(_made(some, maker))
    maker.tell_if_none_is_left()
    if maker.is_hopeless or (item.is_sweep and reporter.log.total > before):
        refuse(refused(item.node, reporter.path))


def _made(cells: Iterable[Cell], maker: JobMaker) -> Iterator[Job]:
    for cell in cells:
        job = maker.make(cell)
        if job is not None:
            yield job
        elif maker.is_hopeless:
            return
