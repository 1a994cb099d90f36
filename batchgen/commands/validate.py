"""`batchgen validate`: every problem of every manifest, at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.commands.console import plural, print_json, say
from batchgen.errors import ExitCode, ManifestError
from batchgen.runs.prepare import checked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from batchgen.errors import Problem
    from batchgen.jobs import JsonValue


def validate(paths: Sequence[Path], *, as_json: bool) -> int:
    """Check manifests; exit 65 where one has a problem. Raises MissingFileError."""
    reports = [_check(path, quiet=as_json) for path in paths]
    sound = all(report["valid"] for report in reports)
    if as_json:
        print_json({"valid": sound, "manifests": list(reports)})
    return ExitCode.DONE if sound else ExitCode.BAD_INPUT


def _check(path: Path, *, quiet: bool) -> dict[str, JsonValue]:
    try:
        with checked(path, to_judge=True) as (_, staging):
            counts = staging.counts()
    except ManifestError as exc:
        if not quiet:
            say_problems(exc)
        found: list[JsonValue] = [_to_json(problem) for problem in exc.problems]
        return {"file": str(path), "valid": False, "problems": found, "total": exc.total}
    jobs = sum(counts.values())
    if not quiet:
        models = plural(len(counts), "model")
        say(f"{path}: sound · {plural(jobs, 'job')} for {models}")
    return {"file": str(path), "valid": True, "jobs": jobs, "problems": [], "total": 0}


def say_problems(error: ManifestError) -> None:
    """Show every problem that was kept, and how many there are in all."""
    for problem in error.problems:
        say(str(problem), to_stderr=True)
    more = error.total - len(error.problems)
    say(f"batchgen: {error.what}" + (f" ({more} not shown)" if more else ""), to_stderr=True)


def _to_json(problem: Problem) -> dict[str, JsonValue]:
    return {
        "line": problem.line,
        "column": problem.column,
        "job": problem.job_id,
        "message": problem.message,
        "hint": problem.hint,
    }
