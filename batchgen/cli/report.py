"""`batchgen report`: a page of the results, made from the state."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchgen.cli.console import print_text
from batchgen.cli.options import MANIFEST, OPEN, RAY
from batchgen.concurrency import unwind_on_signals
from batchgen.text import command_line, format_duration, plural

if TYPE_CHECKING:
    from batchgen.report.making import Made
    from batchgen.runs.folder import RunFolder


@click.command()
@MANIFEST
@OPEN
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the report goes; by default, report/ in the run's folder.",
)
@RAY
@unwind_on_signals()
def report(manifest: Path, show: bool, out: Path | None, ray: str | None) -> int:
    """Make a page of the results, the failures and how the run went.

    It only reads the state, so it works during a run, too; a second report makes only what is new.
    """
    from batchgen.cli.browser import open_in_browser

    began = time.monotonic()
    made = _make(manifest, out, ray)
    print_text(_line(made, manifest, time.monotonic() - began))
    if show and not open_in_browser(made.page.absolute().as_uri()):
        print_text("no browser could be opened; open the page yourself", to_stderr=True)
    return 0


def _make(path: Path, out: Path | None, ray: str | None) -> Made:
    """Raises ManifestError, MissingFileError before the first run, OutputError, StorageError."""
    from batchgen.cli.progress import progress_bar
    from batchgen.processes import map_in_processes
    from batchgen.report.making import Subject, make_report
    from batchgen.report.page import RunCommands
    from batchgen.runs.context import open_run
    from batchgen.runs.workers import shared_folders, workers

    with open_run(path) as run, progress_bar(None, "thumbnails") as bar:

        def on_thumbnail(number: int, total: int) -> None:
            bar.total = total
            bar.update(number - bar.n)

        shell = RunCommands(str(path), rehearsal=run.is_rehearsal)
        subject = Subject(run.manifest.name, run.results, shell, time.time())
        target = _target(run.folder, out)
        # The report's own folder may not exist yet.
        above = next(one for one in target.absolute().parents if one.is_dir())
        seen = (*shared_folders(run.results), above)
        with workers(ray, os.environ, map_in_processes, *seen) as hands:
            return make_report(run.db, subject, target, on_thumbnail, hands)


def _target(folder: RunFolder, out: Path | None) -> Path:
    from batchgen.storage.locations import parse_folder

    if out is None:
        return folder.root / "report"
    parse_folder(str(out))
    # A link that the user names is the user's choice; one in the run's folder may not be.
    return out.resolve() if out.is_symlink() else out


def _line(made: Made, path: Path, seconds: float) -> str:
    files = f"{plural(made.files, 'file')}, {plural(made.new, 'new thumbnail')}"
    lines = [f"{made.page} · {plural(made.jobs, 'job')}, {files} · {format_duration(seconds)}"]
    if made.without:
        shows = f"{command_line('verify', path)} shows why"
        lines.append(f"  {plural(made.without, 'file')} could not be read: {shows}")
    return "\n".join(lines)
