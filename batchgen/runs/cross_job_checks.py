"""Problems between jobs: duplicate ids, missing dependencies, dependency cycles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.errors import Problem, Spot
from batchgen.manifest.problems import KEPT, SKIPPED
from batchgen.models.catalog import find_model
from batchgen.references import references_in

if TYPE_CHECKING:
    from batchgen.jobs import Job
    from batchgen.manifest.problems import ProblemLog
    from batchgen.state.records import Duplicate, MissingNeed, NeedCycle, Origin
    from batchgen.state.staged_checks import NeededModel
    from batchgen.state.staging import Staging


SHOWN_OF_CIRCLE = 6


def report_cross_job_problems(staging: Staging, problems: ProblemLog) -> None:
    """Log problems between jobs; problems that jobs of one sweep share are logged as one."""
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
    spot = Spot(label=str(problem.job_id))
    key = (problem.file, sweep, kind)
    problems.add_alike(problem, spot, common=problem, noun="jobs", key=key)


def duplicate_id(job: Job) -> Problem:
    """Check a job that is read when the others are already in the state."""
    message = f"duplicate id '{job.id}': a job above has it"
    return Problem(job.file, job.line, 1, message, "every job needs an id of its own", job.id)


def missing_above(job: Job, needed: str) -> Problem:
    """As above. A huge first run reads its jobs while it goes on, so it cannot look ahead."""
    message = f"it needs '{needed}', which is not above it"
    hint = "put that one first, or set run.full_check: always, which reads everything first"
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
        hint = "if its row was skipped, leave it out here, too, with 'where'; otherwise: " + hint
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
    "image": "inputs take images: need a job that makes one",
    "video": "write .image instead of .video",
}


def wrong_media_kinds(found: NeededModel) -> list[Problem]:
    """References to a video of a job that makes pictures, or the reverse."""
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
