"""`batchgen validate`: every problem of every manifest, at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.commands.console import plural, print_json, say
from batchgen.errors import ExitCode, ManifestError
from batchgen.manifest.problems import ProblemLog
from batchgen.runs.prepare import checked_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from batchgen.errors import Problem
    from batchgen.jobs import JsonValue


def validate(paths: Sequence[Path], *, as_json: bool, strict: bool = False) -> int:
    """Check manifests; exit 65 where one has a problem. Raises MissingFileError."""
    reports = [_check(path, ProblemLog(strict=strict), quiet=as_json) for path in paths]
    sound = all(report["valid"] for report in reports)
    if as_json:
        print_json({"valid": sound, "manifests": list(reports)})
    return ExitCode.DONE if sound else ExitCode.BAD_INPUT


def _check(path: Path, log: ProblemLog, *, quiet: bool) -> dict[str, JsonValue]:
    try:
        with checked_manifest(path, to_judge=True, problems=log) as (_, staging):
            counts = staging.counts()
    except ManifestError as exc:
        if not quiet:
            say_problems(exc)
        return {
            "file": str(path),
            "valid": False,
            "problems": [problem.to_json() for problem in exc.problems],
            "total": exc.total,
            "warnings": [warning.to_json() for warning in exc.warnings],
        }
    jobs = sum(counts.values())
    warnings = log.warnings
    if not quiet:
        say_warnings(warnings)
        models = plural(len(counts), "model")
        found = f" · {plural(len(warnings), 'warning')}" if warnings else ""
        say(f"{path}: sound · {plural(jobs, 'job')} for {models}{found}")
    return {
        "file": str(path),
        "valid": True,
        "jobs": jobs,
        "problems": [],
        "total": 0,
        "warnings": [warning.to_json() for warning in warnings],
    }


def say_problems(error: ManifestError) -> None:
    """Show every problem that was kept, the warnings among them, and how many there are in all."""
    for problem in sorted((*error.problems, *error.warnings), key=lambda one: one.place):
        say(str(problem), to_stderr=True)
    more = error.total - len(error.problems)
    say(f"batchgen: {error.what}" + (f" ({more} not shown)" if more else ""), to_stderr=True)


def say_warnings(warnings: Iterable[Problem]) -> None:
    for warning in warnings:
        say(str(warning), to_stderr=True)
