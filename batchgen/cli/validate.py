"""`batchgen validate`: every problem of every manifest, at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchgen.cli.completion import MANIFESTS, complete_files
from batchgen.cli.console import print_json, print_problems, print_text, print_warnings
from batchgen.cli.options import JSON, STRICT, all_of
from batchgen.cli.unknown_models import print_offers
from batchgen.errors import ExitCode, ManifestError
from batchgen.text import plural

if TYPE_CHECKING:
    from batchgen.jobs import JsonValue
    from batchgen.manifest.problems import ProblemLog


@click.command()
@click.argument(
    "manifests",
    type=click.Path(path_type=Path),
    nargs=-1,
    required=True,
    shell_complete=complete_files(*MANIFESTS),
)
@all_of(STRICT, JSON)
def validate(manifests: tuple[Path, ...], strict: bool, as_json: bool) -> int:
    """Show every problem in manifests; nothing is sent."""
    from batchgen.manifest.problems import ProblemLog

    reports = [_check(path, ProblemLog(strict=strict), quiet=as_json) for path in manifests]
    sound = all(report["valid"] for report in reports)
    if as_json:
        print_json({"valid": sound, "manifests": list(reports)})
    return ExitCode.DONE if sound else ExitCode.BAD_INPUT


def _check(path: Path, log: ProblemLog, *, quiet: bool) -> dict[str, JsonValue]:
    from batchgen.runs.prepare import checked_manifest

    try:
        with checked_manifest(path, to_judge=True, problems=log) as (_, staging):
            counts = staging.counts()
    except ManifestError as exc:
        if not quiet:
            print_problems(exc)
            print_offers(exc)
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
        print_warnings(warnings)
        models = plural(len(counts), "model")
        found = f" · {plural(len(warnings), 'warning')}" if warnings else ""
        print_text(f"{path}: valid · {plural(jobs, 'job')} for {models}{found}")
    return {
        "file": str(path),
        "valid": True,
        "jobs": jobs,
        "problems": [],
        "total": 0,
        "warnings": [warning.to_json() for warning in warnings],
    }
