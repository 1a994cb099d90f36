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
    help="Write it for this model: an id, or t2i, edit, i2v.",
)
@click.option(
    "--from",
    "rows",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Make a job of each row of a data file: CSV, TSV, JSON, JSON Lines, Parquet or .txt.",
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
    """Show every problem in manifests; nothing is sent."""
    from batchgen.commands.validate import validate as command  # noqa: PLC0415 - as above

    return command(manifests, as_json=as_json, strict=strict)


@click.command()
@MANIFEST
@all_of(EMULATOR, *JOBS, LIMIT, BUDGET, OFFLINE, STRICT)
@click.option(
    "--jobs", "each", is_flag=True, help="List each job with the input that would be sent."
)
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

    Also shows new, changed and removed jobs. With a token, compares prices and schemas with the
    vendor's of today.
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
@click.option("--retry-failed", is_flag=True, help="Also retry failed jobs; this may cost.")
@click.option("--dry-run", is_flag=True, help="Show the plan and do nothing else.")
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
    """Run again, including what failed.

    Jobs that failed or were cancelled are submitted again; this may cost. If a request is still
    open (timeout, no_files), its result is asked for first, and the job is paid again only if the
    request has ended without files. Lost requests are asked for again and never paid again. With
    `--state rejected`, only results that you rejected are made again.
    """
    from batchgen.commands.run import run_manifest  # noqa: PLC0415 - as above

    options = run_options(retry_failed=True, **asked)
    return run_manifest(manifest, options, quiet=quiet, as_json=as_json, on_done=on_done)


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    default=0,
    help="The port; 0, the default, takes a free one.",
)
@click.option(
    "--latency",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How many seconds a request takes.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A file that remembers requests.",
)
@click.option("--token", help="The only token to accept; by default, any.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=8,
    metavar="N",
    help="How many requests of one model are worked on at once; the others queue. Default 8.",
)
@click.option(
    "--parallel",
    "max_parallel",
    type=click.IntRange(1),
    metavar="N",
    help="Allow at most N unfinished requests; a submit beyond that is answered with 429.",
)
@click.option(
    "--rate",
    metavar="N/min",
    callback=read_by(parse_rate),
    help="Allow submits at most this often; one beyond that is answered with 429 and Retry-After.",
)
@click.option(
    "--images",
    "images_per_request",
    type=click.IntRange(1, 100),
    default=1,
    metavar="N",
    help="How many pictures a request makes, unless it asks for force_single. Default 1.",
)
@click.option(
    "--url-lifetime",
    "url_ttl",
    metavar="15m",
    callback=read_by(parse_duration),
    help="How long a result's URL is valid; by default, for ever.",
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
    help="Fail from the start: a list of faults in YAML or JSON, see `batchgen guide emulator`.",
)
def emulator(rate: Rate | None, faults: Path | None, **asked: Any) -> int:
    """Serve the vendor's API on this machine.

    The first line gives the address; Ctrl-C ends it.
    """
    from batchgen.commands.emulator import emulate  # noqa: PLC0415 - as above

    return emulate(asked, rate, faults)
