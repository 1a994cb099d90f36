"""Problems between jobs: duplicate ids, missing dependencies, dependency cycles."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from batchgen.errors import Problem, Spot
from batchgen.manifest.problems import KEPT, SKIPPED
from batchgen.references import references_in

if TYPE_CHECKING:
    from batchgen.jobs import Job
    from batchgen.manifest.problems import ProblemLog
    from batchgen.models.catalog import Catalog
    from batchgen.state.records import Duplicate, MissingNeed, NeedCycle, Origin
    from batchgen.state.staged_checks import NeededModel
    from batchgen.state.staging import Staging


SHOWN_OF_CIRCLE = 6


def report_cross_job_problems(staging: Staging, catalog: Catalog, problems: ProblemLog) -> None:
    """Log problems between jobs; problems that jobs of one sweep share are logged as one."""
    for twice in staging.duplicates(KEPT):
        _report(problems, _duplicate(twice), twice.sweep, "twice")
    has_skipped = any(one.message.startswith(SKIPPED) for one in problems.warnings)
    for missing in staging.missing_needs(KEPT):
        _report(problems, _missing(missing, has_skipped=has_skipped), missing.sweep, "missing")
    for cycle in staging.need_cycles(KEPT):
        problems.add(_cycle(cycle))
    for needed in staging.needed_models():
        for problem in wrong_media_kinds(needed, catalog):
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
        hint = _hint_of_files(found.first, found.again) or (
            "every job needs an id of its own; in a sweep, put a variable into it that differs,"
            " such as an axis or a column: id: 'x-{{ hour }}'"
        )
    else:
        message = f"two jobs without an id are equal: {places}"
        hint = "give each an id to get both, or remove one"
    return _problem(found.again, message, hint, found.id)


def _hint_of_files(first: Origin, again: Origin) -> str | None:
    """How to tell two jobs apart that are named after their files."""
    if first.line or again.line or first == again:
        return None
    if PurePath(first.file).name != PurePath(again.file).name:
        return 'jobs are named after their files; put more of the name into the id: "{{ name }}"'
    return 'jobs are named after their files; put the folder into the id: "{{ folder }}-{{ name }}"'


def _places(first: Origin, again: Origin) -> str:
    if first == again:
        return f"{f'line {again.line}' if again.line else again.file} creates it twice"
    if first.file == again.file and first.line and again.line:
        return f"lines {first.line} and {again.line}"
    return f"{_place(first)} and {_place(again)}"


def _place(origin: Origin) -> str:
    return f"{origin.file}:{origin.line}" if origin.line else origin.file


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


_NAMED = {"image": "an image", "video": "a video", "audio": "a sound"}


def _hint(makes: str, kind: str) -> str:
    if kind == "image":
        return "inputs take images: need a job that makes one"
    return f"write .{makes} instead of .{kind}"


def wrong_media_kinds(found: NeededModel, catalog: Catalog) -> list[Problem]:
    """References to a video of what makes pictures, or the reverse."""
    model = catalog.find(found.needed_model)
    makes = model.makes.value if model is not None else None
    return [
        _problem(
            found.origin,
            f"'{found.needed}' makes {_NAMED[str(makes)]}, not {_NAMED[one.kind]}",
            _hint(str(makes), one.kind),
            found.job_id,
        )
        for one in references_in(found.body)
        if one.job_id == found.needed and makes is not None and one.kind != makes
    ]


def _problem(origin: Origin, message: str, hint: str, job_id: str) -> Problem:
    return Problem(origin.file, origin.line, 1, message, hint, job_id)
