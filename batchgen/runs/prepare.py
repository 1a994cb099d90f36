"""What only all jobs together show: an id that stands twice, a need that is not there, a circle.

From a manifest to checked jobs in the state; nothing is sent before everything is checked.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.errors import ChangedJobsError, InputError, Problem, Spot, TokenError
from batchgen.manifest.header import read_manifest
from batchgen.manifest.problems import KEPT, SKIPPED, ProblemLog
from batchgen.manifest.stream import checked_jobs
from batchgen.models.catalog import find_model
from batchgen.references import references_in
from batchgen.runcomfy.token import SHORTEST_SECRET, TOKEN_VARIABLES, read_login, token_file
from batchgen.state.reconcile import OnChanged, merge
from batchgen.state.staging import open_staging

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from batchgen.jobs import Job
    from batchgen.manifest.header import Manifest
    from batchgen.runs.options import RunOptions
    from batchgen.state.database import Connection
    from batchgen.state.reconcile import Difference
    from batchgen.state.records import Duplicate, MissingNeed, NeedCycle, Origin
    from batchgen.state.staged_checks import NeededModel
    from batchgen.state.staging import Staging


SHOWN_OF_CIRCLE = 6


def report_cross_job_problems(staging: Staging, problems: ProblemLog) -> None:
    """Log it, beside what is wrong with single jobs; what jobs of a sweep have alike is one."""
    for twice in staging.duplicates(KEPT):
        _report(problems, _duplicate(twice), twice.sweep, "twice")
    has_skipped = any(one.message.startswith(SKIPPED) for one in problems.warnings)
    for missing in staging.missing_needs(KEPT):
        _report(problems, _missing(missing, has_skipped=has_skipped), missing.sweep, "missing")
    for cycle in staging.need_cycles(KEPT):
        problems.add(_cycle(cycle))
    for needed in staging.needed_models():
        for problem in wrong_media_kinds(needed):
            _report(problems, problem, needed.sweep, "kind")


def _report(problems: ProblemLog, problem: Problem, sweep: str, kind: str) -> None:
    if not sweep:
        problems.add(problem)
        return
    spot = Spot(words=str(problem.job_id))
    key = (problem.file, sweep, kind)
    problems.add_alike(problem, spot, common=problem, noun="jobs", key=key)


def duplicate_id(job: Job) -> Problem:
    """For a job that comes when the others are in the state already."""
    message = f"duplicate id '{job.id}': a job above has it"
    return Problem(job.file, job.line, 1, message, "every job needs an id of its own", job.id)


def missing_above(job: Job, needed: str) -> Problem:
    """As above: a huge first run reads its jobs while it goes on, so it cannot look ahead."""
    message = f"it needs '{needed}', which does not stand above it"
    hint = "put that one first, or set run.full_check: always, to have everything read first"
    return Problem(job.file, job.line, 1, message, hint, job.id)


def _duplicate(found: Duplicate) -> Problem:
    places = _places(found.first, found.again)
    if found.has_own_id:
        message = f"duplicate id '{found.id}': {places}"
        hint = (
            "every job needs an id of its own; in a sweep, put a variable into it that differs,"
            " such as an axis or a column: id: 'x-{{ hour }}'"
        )
    else:
        message = f"two jobs without an id are equal: {places}"
        hint = "give each an id to get both, or remove one"
    return _problem(found.again, message, hint, found.id)


def _places(first: Origin, again: Origin) -> str:
    if first == again:
        return f"line {again.line} creates it twice"
    if first.file == again.file:
        return f"lines {first.line} and {again.line}"
    return f"{first.file}:{first.line} and {again.file}:{again.line}"


def _missing(found: MissingNeed, *, has_skipped: bool) -> Problem:
    hint = f"did you mean '{found.nearest}'?" if found.nearest else "write the id of a job"
    if has_skipped and found.sweep:
        hint = "if its row was skipped, leave that row out here as well, by 'where'; else: " + hint
    message = f"it needs '{found.needs}', and no job has this id"
    return _problem(found.origin, message, hint, found.job_id)


def _cycle(found: NeedCycle) -> Problem:
    ids = [
        *found.job_ids[:SHOWN_OF_CIRCLE],
        *(["…"] if len(found.job_ids) > SHOWN_OF_CIRCLE else []),
    ]
    circle = " → ".join([*ids, found.job_ids[0]])
    message = f"these jobs need each other in a circle: {circle}"
    return _problem(found.origin, message, "remove one of these needs", found.job_ids[0])


_OTHER_KIND = {
    "image": "inputs take pictures: need a job that makes one",
    "video": "write .image instead of .video",
}


def wrong_media_kinds(found: NeededModel) -> list[Problem]:
    """References to a video of what makes pictures, or the reverse."""
    model = find_model(found.needed_model)
    makes = model.makes.value if model is not None else None
    words = {"image": "an image", "video": "a video"}
    return [
        _problem(
            found.origin,
            f"'{found.needed}' makes {words[str(makes)]}, not {words[one.kind]}",
            _OTHER_KIND[one.kind],
            found.job_id,
        )
        for one in references_in(found.body)
        if one.job_id == found.needed and makes is not None and one.kind != makes
    ]


def _problem(origin: Origin, message: str, hint: str, job_id: str) -> Problem:
    return Problem(origin.file, origin.line, 1, message, hint, job_id)


SHOWN_CHANGES = 10


@dataclass(frozen=True, slots=True)
class AllowedEnvironment:
    """`env` is what templates may read; `withheld` says of the other variables why not.

    Without an `env`, templates that read it are not checked.
    """

    env: Mapping[str, str] | None
    withheld: Mapping[str, str]


UNREAD_ENVIRONMENT = AllowedEnvironment(None, {})


def allowed_environment(env: Mapping[str, str]) -> AllowedEnvironment:
    """Keep the token from templates: it goes to the API and nowhere else."""
    secrets = tuple(_secrets(env))
    withheld = {
        name: "holds the token"
        for name, value in env.items()
        if any(secret in value for secret in secrets)
    }
    # Also those that are not set: the answer must not be to set them.
    withheld |= dict.fromkeys(TOKEN_VARIABLES, "is the token")
    return AllowedEnvironment(
        {name: value for name, value in env.items() if name not in withheld}, withheld
    )


def _secrets(env: Mapping[str, str]) -> Iterator[str]:
    """Every token in reach; one too short to be a secret would withhold everything."""
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
    """Raise InputError: a manifest is read more than once, and again by the next run."""
    try:
        is_pipe = not stat.S_ISREG(kind := path.stat().st_mode) and not stat.S_ISDIR(kind)
    except (OSError, ValueError):
        return  # who opens it says what is wrong
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
    """Check a whole manifest; its jobs wait in the staging area while the block lasts.

    `to_judge`: nothing more is wanted of them. Warnings are found in `problems`.

    Raises ManifestError with every problem, MissingFileError.
    """
    problems = ProblemLog() if problems is None else problems
    refuse_pipe(path)
    offer = allowed_environment(env)
    manifest = read_manifest(
        path, problems, rehearsal=rehearsal, env=offer.env, withheld=offer.withheld
    )
    with open_staging(to_judge=to_judge) as staging:
        if manifest is not None:
            for job in checked_jobs(manifest, problems, staging.refuse):
                staging.add(job)
        check_together(staging, problems)
        assert manifest is not None, "a manifest that cannot be read has a problem"
        yield manifest, staging


def check_together(staging: Staging, problems: ProblemLog) -> None:
    """Look at the staged jobs together. Raises ManifestError with every problem."""
    staging.finish()
    report_cross_job_problems(staging, problems)
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
    """Bring the state up to the manifest. Raises ChangedJobsError where a person must decide."""
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
    return f"{len(found.changed)} {noun} another input than the one that was submitted: {shown}"


def _renamed(found: Difference) -> str:
    if not found.renamed:
        return ""
    noun = "job has" if len(found.renamed) == 1 else "jobs have"
    shown = _first([f"{job.before} is now called {job.now}" for job in found.renamed])
    return f"{len(found.renamed)} {noun} another id, with the same input: {shown}"


def _first(words: list[str]) -> str:
    more = f" and {len(words) - SHOWN_CHANGES} more" if len(words) > SHOWN_CHANGES else ""
    return f"{', '.join(words[:SHOWN_CHANGES])}{more}"


def _ways_out(found: Difference) -> str:
    if not found.changed:
        return "--changed keep goes on under the new ids, --changed rerun pays for them again"
    ids = ", and goes on under the new ids" if found.renamed else ""
    return (
        f"--changed keep leaves them as they are{ids}, --changed rerun pays for them again,"
        " or give the new input a new id"
    )
