"""`batchgen validate`: every problem of every manifest, at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchgen.cli.completion import MANIFESTS, complete_files
from batchgen.cli.console import (
    print_error,
    print_json,
    print_problems,
    print_text,
    print_warnings,
)
from batchgen.cli.options import JSON, STRICT, all_of
from batchgen.cli.unknown_models import print_offers
from batchgen.errors import BatchgenError, ExitCode, ManifestError, Problem
from batchgen.text import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """Show every problem in manifests; nothing is sent.

    Of several manifests, the highest exit code is returned.
    """
    from batchgen.manifest.problems import ProblemLog

    checked = [_check(path, ProblemLog(strict=strict), quiet=as_json) for path in manifests]
    code = max(code for code, _ in checked)
    if as_json:
        reports: list[JsonValue] = [report for _, report in checked]
        print_json({"valid": code == ExitCode.DONE, "manifests": reports})
    return code


def _check(path: Path, log: ProblemLog, *, quiet: bool) -> tuple[ExitCode, dict[str, JsonValue]]:
    from batchgen.runs.prepare import checked_manifest

    try:
        with checked_manifest(path, to_judge=True, problems=log) as (manifest, staging):
            counts = staging.counts()
    except ManifestError as exc:
        if not quiet:
            print_problems(exc)
            print_offers(exc)
        return exc.exit_code, _report(path, exc.problems, exc.total, exc.warnings)
    except BatchgenError as exc:
        # A file that is missing or cannot be read: the next manifest is checked all the same.
        if not quiet:
            print_error(exc)
        problem = Problem(exc.where or str(path), 0, 0, exc.what, exc.next_step)
        return exc.exit_code, _report(path, [problem], 1, log.warnings)
    jobs = sum(counts.values())
    warnings = log.warnings
    if not quiet:
        print_warnings(warnings)
        models = plural(len(counts), "model")
        found = f" · {plural(len(warnings), 'warning')}" if warnings else ""
        print_text(f"{path}: valid · {plural(jobs, 'job')} for {models}{found}")
        if bucket := manifest.output.bucket:
            print_text(f"  results: {bucket}; of a rehearsal: {manifest.output.dir}")
    return ExitCode.DONE, {**_report(path, [], 0, warnings), "valid": True, "jobs": jobs}


def _report(
    path: Path, problems: Sequence[Problem], total: int, warnings: Sequence[Problem]
) -> dict[str, JsonValue]:
    return {
        "file": str(path),
        "valid": False,
        "problems": [problem.to_json() for problem in problems],
        "total": total,
        "warnings": [warning.to_json() for warning in warnings],
    }
