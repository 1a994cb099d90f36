"""The jobs of a manifest, checked, as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.manifest.document import read_jobs
from batchgen.manifest.report import Reporter
from batchgen.manifest.source import UnreadableYamlError
from batchgen.manifest.stages import Claim, checked, claimed, drafts, merged, named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.jobs import Job
    from batchgen.manifest.header import Manifest
    from batchgen.manifest.problems import ProblemLog


def checked_jobs(manifest: Manifest, problems: ProblemLog, claim: Claim) -> Iterator[Job]:
    """Yield the sound jobs and log what is wrong with the others; one job is in memory at a time.

    Nothing may be sent before the stream has ended and the log is empty. Raises MissingFileError,
    StorageError.
    """
    reporter = Reporter(manifest.path, problems)
    nodes = read_jobs(manifest.path, reporter.at)
    # What makes many jobs out of one stands between a job's draft and its defaults.
    found = drafts(nodes, manifest.defaults, reporter)
    whole = merged(found, manifest.defaults)
    sound = named(checked(whole, manifest, reporter), manifest, reporter)
    try:
        yield from claimed(sound, claim, reporter)
    except UnreadableYamlError as exc:
        reporter.unreadable(exc)
