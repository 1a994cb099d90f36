"""What a run is made of: a manifest, what it would cost, the run itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from batchgen.commands.options.common import (
    EMULATOR,
    JSON,
    MANIFEST,
    OFFLINE,
    QUIET,
    STRICT,
    WHOSE,
    all_of,
    read_by,
)
from batchgen.commands.options.completing import (
    FAULTS,
    MANIFESTS,
    complete_files,
    complete_words,
)
from batchgen.commands.options.running import BUDGET, LIMIT, LIMITS, WORDS, run_options
from batchgen.commands.options.selecting import JOBS, models_and_short_names
from batchgen.manifest import Rate, parse_duration, parse_rate
from batchgen.runs.options import RunOptions
from batchgen.state.queries import Selection


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path), default="manifest.yaml")
@click.option(
    "--model",
    metavar="MODEL",
    shell_complete=complete_words(models_and_short_names),
    help="For this model: an id, or t2i, edit, i2v.",
)
@click.option(
    "--from",
    "rows",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With a job for each row of a data file: CSV, TSV, JSON, JSON Lines, Parquet, or .txt.",
)
def init(manifest: Path, model: str | None, rows: Path | None) -> int:
    """Write a commented manifest to start from."""
    from batchgen.commands.init import init as command  # noqa: PLC0415 - a verb loads its own only

    return command(manifest, model, rows)


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
    """Show every problem of manifests; nothing is sent."""
    from batchgen.commands.validate import validate as command  # noqa: PLC0415 - as above

    return command(manifests, as_json=as_json, strict=strict)


@click.command()
@MANIFEST
@all_of(EMULATOR, *JOBS, LIMIT, BUDGET, OFFLINE, STRICT)
@click.option("--jobs", "each", is_flag=True, help="List each job with the input that is sent.")
@JSON
def plan(
    manifest: Path,
    emulator: bool,
    limit: int | None,
    budget: float | None,
    offline: bool,
    strict: bool,
    each: bool,
    as_json: bool,
    **selected: Any,
) -> int:
    """Show what a run would do, cost and take; nothing is sent.

    New, changed and gone jobs are shown too. Where there is a token, prices and schemas are
    compared with the vendor's of today.
    """
    from batchgen.commands.plan import show_plan  # noqa: PLC0415 - as above

    selection = Selection(**selected)
    options = RunOptions(
        emulator=emulator, strict=strict, selection=selection, limit=limit, budget=budget
    )
    if each:
        from batchgen.commands.show import plan_jobs  # noqa: PLC0415 - as above

        return plan_jobs(manifest, options, as_json=as_json)
    return show_plan(manifest, options, offline=offline, as_json=as_json)


@click.command()
@MANIFEST
@all_of(EMULATOR, *JOBS, *LIMITS, *WHOSE, STRICT)
@click.option("--retry-failed", is_flag=True, help="Also try again what failed; this may cost.")
@click.option("--dry-run", is_flag=True, help="Show the plan, and do nothing.")
@all_of(*WORDS, QUIET, JSON)
def run(
    manifest: Path, dry_run: bool, quiet: bool, as_json: bool, on_done: str | None, **asked: Any
) -> int:
    """Start, continue or finish a run."""
    options = run_options(**asked)
    if dry_run:
        from batchgen.commands.plan import show_plan  # noqa: PLC0415 - as above

        return show_plan(manifest, options, offline=False, as_json=as_json)
    from batchgen.commands.run import run_manifest  # noqa: PLC0415 - as above

    return run_manifest(manifest, options, quiet=quiet, as_json=as_json, on_done=on_done)


@click.command()
@MANIFEST
@all_of(EMULATOR, *JOBS, *LIMITS, *WHOSE, STRICT, *WORDS, QUIET, JSON)
def retry(manifest: Path, quiet: bool, as_json: bool, on_done: str | None, **asked: Any) -> int:
    """Run again, with what failed.

    Jobs that failed or were cancelled are submitted again; this may cost. Where a request is still
    open (timeout, no_files), its result is asked for first, and the job is paid again only if it
    has ended without files; what is lost is asked for and never paid again. With
    `--state rejected` it makes results again that a person rejected, and those alone.
    """
    from batchgen.commands.run import run_manifest  # noqa: PLC0415 - as above

    options = run_options(retry_failed=True, **asked)
    return run_manifest(manifest, options, quiet=quiet, as_json=as_json, on_done=on_done)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
@click.option("--latency", type=click.FloatRange(0), help="Seconds that a request takes.")
@click.option("--state", type=click.Path(path_type=Path), help="File that remembers requests.")
@click.option("--token", help="The only token to take; without it, any.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=8,
    metavar="N",
    help="Requests of one model that are worked on at once; the others queue. Default 8.",
)
@click.option(
    "--parallel",
    "max_parallel",
    type=click.IntRange(1),
    metavar="N",
    help="Unfinished requests at most; a submit beyond is answered with 429.",
)
@click.option(
    "--rate",
    metavar="N/min",
    callback=read_by(parse_rate),
    help="Submits at most; one beyond is answered with 429 and Retry-After.",
)
@click.option(
    "--images",
    "images_per_request",
    type=click.IntRange(1, 100),
    default=1,
    metavar="N",
    help="Pictures that a request makes, unless it asks for force_single. Default 1.",
)
@click.option(
    "--url-lifetime",
    "url_ttl",
    metavar="15m",
    callback=read_by(parse_duration),
    help="How long a result's URL is good; without it, for ever.",
)
@click.option(
    "--balance",
    type=click.FloatRange(0),
    metavar="USD",
    help="What the wallet holds; submits that it does not cover are refused.",
)
@click.option(
    "--faults",
    type=click.Path(path_type=Path),
    metavar="FILE",
    shell_complete=complete_files(*FAULTS),
    help="Fail so from the start: a list of faults, in YAML or JSON.",
)
def emulator(rate: Rate | None, faults: Path | None, **asked: Any) -> int:
    """Serve the vendor's API on this machine.

    The first line says where; Ctrl-C ends it.
    """
    from batchgen.commands.emulator import emulate  # noqa: PLC0415 - as above

    return emulate(asked, rate, faults)
