"""From a manifest to checked jobs in the state; nothing is sent before everything is checked."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from batchgen.errors import ChangedJobsError
from batchgen.manifest import ProblemLog, checked_jobs, read_manifest
from batchgen.state.merge import OnChanged, merge
from batchgen.state.staging import open_staging

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.manifest import Manifest
    from batchgen.state.merge import ChangedJob, Difference
    from batchgen.state.staging import Staging

SHOWN_CHANGES = 10


def read_header(path: Path) -> Manifest:
    """The manifest without its jobs. Raises ManifestError, MissingFileError."""
    problems = ProblemLog()
    manifest = read_manifest(path, problems)
    problems.raise_if_any()
    assert manifest is not None, "a manifest that cannot be read has a problem"
    return manifest


@contextmanager
def checked(path: Path, *, rehearsal: bool = False) -> Iterator[tuple[Manifest, Staging]]:
    """Check a whole manifest; its jobs wait in the staging area while the block lasts.

    Raises ManifestError with every problem, MissingFileError.
    """
    problems = ProblemLog()
    with open_staging() as staging:
        manifest = read_manifest(path, problems, rehearsal=rehearsal)
        if manifest is not None:
            for job in checked_jobs(manifest, problems, staging.claim):
                staging.add(job)
        problems.raise_if_any()
        assert manifest is not None, "a manifest that cannot be read has a problem"
        staging.finish()
        yield manifest, staging


def take_up(
    db: sqlite3.Connection, staging: Staging, state: Path, on_changed: OnChanged
) -> Difference:
    """Bring the state up to the manifest. Raises ChangedJobsError where a person must decide."""
    difference = merge(db, staging, state, on_changed)
    if difference.changed and on_changed is OnChanged.REFUSE:
        raise changed_jobs_error(difference.changed, state)
    return difference


def changed_jobs_error(changed: tuple[ChangedJob, ...], state: Path) -> ChangedJobsError:
    shown = ", ".join(f"{job.id} ({job.state})" for job in changed[:SHOWN_CHANGES])
    more = f" and {len(changed) - SHOWN_CHANGES} more" if len(changed) > SHOWN_CHANGES else ""
    noun = "job has" if len(changed) == 1 else "jobs have"
    return ChangedJobsError(
        f"{len(changed)} {noun} another input than the one that was submitted: {shown}{more};"
        " nothing was sent",
        where=str(state),
        next_step="--changed keep leaves them as they are, --changed rerun pays for them again,"
        " or give the new input a new id",
    )
