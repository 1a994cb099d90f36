"""From a manifest to checked jobs in the state. Nothing is sent before everything is checked."""

from __future__ import annotations

import os
import stat
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from batchgen.errors import ChangedJobsError, InputError, TokenError
from batchgen.manifest.header import read_manifest
from batchgen.manifest.problems import ProblemLog
from batchgen.models.catalog import bundled
from batchgen.runcomfy.token import SHORTEST_SECRET, TOKEN_VARIABLES, read_login, token_file
from batchgen.runs.cross_job_checks import report_cross_job_problems
from batchgen.state.local_file_cache import LocalFileCache
from batchgen.state.reconcile import OnChanged, merge
from batchgen.state.staging import open_staging

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from batchgen.input_files import LocalFile, LookAt, Unusable
    from batchgen.manifest.header import Manifest
    from batchgen.models.catalog import Catalog
    from batchgen.runs.options import RunOptions
    from batchgen.state.database import Connection
    from batchgen.state.reconcile import Difference
    from batchgen.state.staging import Staging


SHOWN_CHANGES = 10


@dataclass(frozen=True, slots=True)
class AllowedEnvironment:
    """`env` is what templates may read; `withheld` gives the reasons for the other variables.

    Without an `env`, templates that read it are not checked.
    """

    env: Mapping[str, str] | None
    withheld: Mapping[str, str]


UNREAD_ENVIRONMENT = AllowedEnvironment(None, {})


def allowed_environment(env: Mapping[str, str]) -> AllowedEnvironment:
    """Hide the token from templates: it goes to the API and nowhere else."""
    secrets = tuple(_secrets(env))
    withheld = {
        name: "holds the token"
        for name, value in env.items()
        if any(secret in value for secret in secrets)
    }
    # Also unset ones: a problem must not advise setting them.
    withheld |= dict.fromkeys(TOKEN_VARIABLES, "is the token")
    return AllowedEnvironment(
        {name: value for name, value in env.items() if name not in withheld}, withheld
    )


def _secrets(env: Mapping[str, str]) -> Iterator[str]:
    """Every known token, except one so short that it would withhold everything."""
    found = [env.get(name, "").strip() for name in TOKEN_VARIABLES]
    if home := env.get("HOME"):
        # A broken login is reported where the token is needed.
        with suppress(TokenError):
            found.append(read_login(token_file(env, Path(home))) or "")
    return (one for one in found if len(one) >= SHORTEST_SECRET)


def read_header(path: Path) -> Manifest:
    """The manifest without its jobs. Raises ManifestError, MissingFileError."""
    return _read(path, ProblemLog(), rehearsal=False, offer=UNREAD_ENVIRONMENT)


def read_with_environment(
    path: Path,
    env: Mapping[str, str],
    *,
    rehearsal: bool,
    problems: ProblemLog | None = None,
) -> Manifest:
    """The manifest without its jobs, ready to read them. Raises ManifestError, MissingFileError."""
    return _read(
        path,
        ProblemLog() if problems is None else problems,
        rehearsal=rehearsal,
        offer=allowed_environment(env),
    )


def refuse_pipe(path: Path) -> None:
    """Raise InputError for a pipe: a manifest is read more than once, and by the next run."""
    try:
        is_pipe = not stat.S_ISREG(kind := path.stat().st_mode) and not stat.S_ISDIR(kind)
    except (OSError, ValueError):
        return  # opening it reports what is wrong
    if is_pipe:
        raise InputError(
            "this is a pipe or a device, and a manifest is read again whenever the run continues",
            where=str(path),
            next_step="write it into a file first: … > manifest.yaml",
        )


@contextmanager
def checked_manifest(
    path: Path,
    *,
    rehearsal: bool = False,
    env: Mapping[str, str] = os.environ,
    to_judge: bool = False,
    problems: ProblemLog | None = None,
) -> Iterator[tuple[Manifest, Staging]]:
    """Check a whole manifest; its jobs stay in the staging area while the block lasts.

    `to_judge`: the jobs are only checked. Warnings are added to `problems`.

    Raises ManifestError with every problem, MissingFileError.
    """
    # Imported here because most commands read the header alone.
    from batchgen.manifest.stream import checked_jobs  # noqa: PLC0415 - see above

    problems = ProblemLog() if problems is None else problems
    refuse_pipe(path)
    offer = allowed_environment(env)
    manifest = read_manifest(
        path,
        problems,
        rehearsal=rehearsal,
        env=offer.env,
        withheld=offer.withheld,
        jobs_follow=True,
    )
    with open_staging(to_judge=to_judge) as staging:
        if manifest is not None:
            with reading_files() as look:
                for job in checked_jobs(manifest, problems, staging.refuse, look):
                    staging.add(job)
        check_together(staging, bundled() if manifest is None else manifest.catalog, problems)
        assert manifest is not None, "a manifest that cannot be read has a problem"
        yield manifest, staging


@contextmanager
def reading_files() -> Iterator[LookAt]:
    """Reads the user's own files that inputs name; an unchanged file is not read again."""
    with closing(LocalFileCache(_user_cache(), _look_at)) as cache:
        yield cache


def _look_at(path: Path) -> LocalFile | Unusable:
    # Imported here because most manifests name no files, and imagesize is slow to load.
    from batchgen.uploads.local_files import look_at  # noqa: PLC0415 - see above

    return look_at(path)


def _user_cache() -> Path | None:
    """The user's cache folder; None for a user who has none."""
    try:
        path = platformdirs.user_cache_path("batchgen", appauthor=False)
    except RuntimeError:
        return None
    # Older versions give a path below "~" instead.
    return path if path.is_absolute() else None


def check_together(staging: Staging, catalog: Catalog, problems: ProblemLog) -> None:
    """Check the staged jobs together. Raises ManifestError with every problem."""
    staging.finish()
    report_cross_job_problems(staging, catalog, problems)
    problems.raise_if_any()


def _read(
    path: Path, problems: ProblemLog, *, rehearsal: bool, offer: AllowedEnvironment
) -> Manifest:
    refuse_pipe(path)
    manifest = read_manifest(
        path, problems, rehearsal=rehearsal, env=offer.env, withheld=offer.withheld
    )
    problems.raise_if_any()
    assert manifest is not None, "a manifest that cannot be read has a problem"
    return manifest


def reconcile(db: Connection, staging: Staging, state: Path, options: RunOptions) -> Difference:
    """Bring the state up to the manifest. Raises ChangedJobsError if a person must decide."""
    difference = merge(db, staging, state, options.on_changed, options.selection)
    if difference.asks_a_person and options.on_changed is OnChanged.REFUSE:
        raise changed_jobs_error(difference, state)
    return difference


def changed_jobs_error(found: Difference, state: Path) -> ChangedJobsError:
    sentences = [sentence for sentence in (_changed(found), _renamed(found)) if sentence]
    return ChangedJobsError(
        f"{'; '.join(sentences)}; nothing was sent",
        where=str(state),
        next_step=_ways_out(found),
    )


def _changed(found: Difference) -> str:
    if not found.changed:
        return ""
    noun = "job has" if len(found.changed) == 1 else "jobs have"
    shown = _first([f"{job.id} ({job.state})" for job in found.changed])
    return f"{len(found.changed)} {noun} a different input from the one submitted: {shown}"


def _renamed(found: Difference) -> str:
    if not found.renamed:
        return ""
    noun = "job has" if len(found.renamed) == 1 else "jobs have"
    shown = _first([f"{job.before} is now called {job.now}" for job in found.renamed])
    return f"{len(found.renamed)} {noun} a different id, with the same input: {shown}"


def _first(words: list[str]) -> str:
    more = f" and {len(words) - SHOWN_CHANGES} more" if len(words) > SHOWN_CHANGES else ""
    return f"{', '.join(words[:SHOWN_CHANGES])}{more}"


def _ways_out(found: Difference) -> str:
    if not found.changed:
        return "--changed keep continues under the new ids; --changed rerun pays for them again"
    ids = ", and continues under the new ids" if found.renamed else ""
    return (
        f"--changed keep leaves them as they are{ids}; --changed rerun pays for them again;"
        " or give the new input a new id"
    )
