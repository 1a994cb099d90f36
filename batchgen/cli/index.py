"""`batchgen index`: find the results of earlier runs again, for `run --reuse`."""

from __future__ import annotations

from pathlib import Path

import click

from batchgen.cli.console import print_json, print_text
from batchgen.cli.options import JSON
from batchgen.text import plural


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]…", type=click.Path(path_type=Path))
@JSON
def index(folders: tuple[Path, ...], as_json: bool) -> int:
    """Rebuild the index of finished results, which --reuse looks into.

    It reads the runs that are remembered, and all that are in the given folders or below. Runs keep
    the index up by themselves; this is for folders that were moved or came from elsewhere.
    """
    from batchgen.runs.api import rebuild_results_index

    found = rebuild_results_index(folders)
    if as_json:
        print_json(
            {
                "results": found.results,
                "runs": found.runs,
                "skipped": [{"folder": folder, "why": why} for folder, why in found.skipped],
            }
        )
        return 0
    for folder, why in found.skipped:
        print_text(f"skipped {folder}: {why}", to_stderr=True)
    print_text(f"{plural(found.results, 'result')} of {plural(found.runs, 'run')} can be reused")
    return 0
