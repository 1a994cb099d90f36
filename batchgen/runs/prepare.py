"""From a manifest to checked jobs in the state; nothing is sent before everything is checked."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from batchgen.errors import ChangedJobsError
from batchgen.manifest import ProblemLog, checked_jobs, read_manifest
from batchgen.runcomfy.token import TOKEN_VARIABLES
from batchgen.runs.whole import report_together
from batchgen.state.merge import OnChanged, merge
from batchgen.state.staging import open_staging

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from batchgen.manifest import Manifest
    from batchgen.state.merge import ChangedJob, Difference
    from batchgen.state.staging import Staging

SHOWN_CHANGES = 10


def read_header(path: Path) -> Manifest:
    """The manifest without its jobs. Raises ManifestError, MissingFileError."""
    return _read(path, ProblemLog(), rehearsal=False, env=None)


def read_for_jobs(path: Path, env: Mapping[str, str], *, rehearsal: bool) -> Manifest:
    """The manifest without its jobs, ready to read them. Raises ManifestError, MissingFileError."""
    return _read(path, ProblemLog(), rehearsal=rehearsal, env=_without_secrets(env))


@contextmanager
def checked(
    path: Path,
    *,
    rehearsal: bool = False,
    env: Mapping[str, str] = os.environ,
    to_judge: bool = False,
) -> Iterator[tuple[Manifest, Staging]]:
    """Check a whole manifest; its jobs wait in the staging area while the block lasts.

    `to_judge`: nothing more is wanted of them.

    Raises ManifestError with every problem, MissingFileError.
    """
    problems = ProblemLog()
    manifest = read_manifest(path, problems, rehearsal=rehearsal, env=_without_secrets(env))
    with open_staging(to_judge=to_judge) as staging:
        if manifest is not None:
            for job in checked_jobs(manifest, problems):
                staging.add(job)
        finish(staging, problems)
        assert manifest is not None, "a manifest that cannot be read has a problem"
        yield manifest, staging


def finish(staging: Staging, problems: ProblemLog) -> None:
    """Look at the staged jobs together. Raises ManifestError with every problem."""
    staging.finish()
    report_together(staging, problems)
    problems.raise_if_any()


def _read(
    path: Path, problems: ProblemLog, *, rehearsal: bool, env: Mapping[str, str] | None
) -> Manifest:
    manifest = read_manifest(path, problems, rehearsal=rehearsal, env=env)
    problems.raise_if_any()
    assert manifest is not None, "a manifest that cannot be read has a problem"
    return manifest


def _without_secrets(env: Mapping[str, str]) -> dict[str, str]:
    """The token goes to the API and nowhere else: no template can name it."""
    return {name: value for name, value in env.items() if name not in TOKEN_VARIABLES}


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
