"""What becomes of results: compared, mended, checked, exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from batchgen.commands.options.checking import CHECK, KINDS, check_asked
from batchgen.commands.options.common import ACCEPT_COPY, EMULATOR, JSON, MANIFEST, all_of
from batchgen.commands.options.exporting import EXPORT, export_asked
from batchgen.commands.options.selecting import ONLY_JOBS, SELECTION
from batchgen.runs.options import RunOptions
from batchgen.state.queries import Selection


@click.command()
@MANIFEST
@ONLY_JOBS
@click.option("--quick", is_flag=True, help="Compare only sizes; read no files.")
@JSON
def verify(manifest: Path, jobs: tuple[str, ...], quick: bool, as_json: bool) -> int:
    """Compare the files on disk with the state.

    It changes nothing, and works during a run, too. Exit code 0: all files are sound; 1: something
    is wrong.
    """
    from batchgen.commands.verify import verify as command  # noqa: PLC0415 - a verb loads its own only

    return command(manifest, Selection(jobs), quick=quick, as_json=as_json)


@click.command()
@MANIFEST
@all_of(EMULATOR, ONLY_JOBS, ACCEPT_COPY)
def repair(manifest: Path, jobs: tuple[str, ...], **asked: Any) -> int:
    """Download missing and damaged files again; never pays.

    Exit code 0: all files are sound now; 1: some could not be downloaded.
    """
    from batchgen.commands.repair import repair as command  # noqa: PLC0415 - as above

    return command(manifest, RunOptions(selection=Selection(jobs), **asked))


@click.command(epilog=KINDS)
@MANIFEST
@all_of(*CHECK, *SELECTION)
@click.option("--dry-run", is_flag=True, help="Show what is found, and leave the state as it is.")
@JSON
def check(
    manifest: Path,
    jobs: tuple[str, ...],
    models: tuple[str, ...],
    tags: tuple[str, ...],
    states: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    **asked: Any,
) -> int:
    """Find blank, damaged, wrong or duplicate results.

    Looks at the results of done jobs, also while a run goes on, and writes what it finds to the
    state. A second check looks only at new results. Exit code 0: nothing found; 1: flaws found.
    """
    from batchgen.commands.check import check as command  # noqa: PLC0415 - as above

    selection = Selection(jobs, models, tags, states)
    return command(manifest, selection, check_asked(**asked), dry_run=dry_run, as_json=as_json)


@click.command()
@MANIFEST
@click.argument("folder", metavar="DEST", type=click.Path(path_type=Path))
@all_of(*EXPORT, *SELECTION, JSON)
def export(manifest: Path, folder: Path, as_json: bool, **asked: Any) -> int:
    """Make a dataset of the results, in the folder DEST.

    Takes the results of done jobs, unless --state says otherwise. Run the same command again to
    continue an interrupted export, or to add what is new.
    """
    from batchgen.commands.export import export as command  # noqa: PLC0415 - as above

    return command(manifest, folder, export_asked(**asked), as_json=as_json)
