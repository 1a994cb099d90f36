"""`batchgen tune`: other limits for the run that is in progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from batchgen.cli.completion import complete_words
from batchgen.cli.console import print_json, print_text
from batchgen.cli.options import JSON, MANIFEST, models_and_short_names
from batchgen.manifest.tuning import limits_line
from batchgen.text import command_line

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@MANIFEST
@click.option(
    "--concurrency",
    metavar="auto|N",
    help="Keep at most N requests in flight, or as many as the vendor works on.",
)
@click.option("--rate", metavar="N/min", help="Submit at most this often.")
@click.option("--budget", metavar="USD", help="Submit nothing that would exceed this total.")
@click.option(
    "--stop-at", metavar="07:00", help="Stop submitting at this time; at once if it is a past date."
)
@click.option(
    "--max-duration", metavar="8h", help="Stop submitting so long after the start of the run."
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="GLOB",
    shell_complete=complete_words(models_and_short_names),
    help="Change --concurrency and --rate of these models only, by id or short name.",
)
@JSON
def tune(manifest: Path, models: tuple[str, ...], as_json: bool, **asked: str | None) -> int:
    """Change the limits of the run in progress.

    The word none lifts a limit: --budget none. The changes hold until this run ends, however it
    ends: the next one begins with the limits of its manifest and flags again. Nothing that is in
    flight is cancelled.
    """
    from batchgen.runs.context import find_run
    from batchgen.runs.tuning import tune as tune_run

    values = {key: text for key, text in asked.items() if text is not None}
    limits = tune_run(find_run(manifest), values, models)
    if as_json:
        print_json({"limits": limits})
    elif limits is None:
        status = command_line("status", manifest)
        print_text(f"handed to the run in progress\n  → see what is in force: {status}")
    else:
        print_text(f"in force: {limits_line(limits)}")
    return 0
