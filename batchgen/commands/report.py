"""`batchgen report`: the state as a page to look at."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from tqdm import tqdm

from batchgen.commands.console import format_duration, plural, say
from batchgen.commands.opening import open_in_browser
from batchgen.concurrency import unwind_on_signals
from batchgen.manifest.header_checks import refuse_address
from batchgen.report.making import Subject, make_report
from batchgen.report.page import Shell
from batchgen.runs.context import open_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batchgen.report.making import Made
    from batchgen.runs.folder import RunFolder


@unwind_on_signals()
def report(
    path: Path,
    out: Path | None,
    *,
    show: bool,
    open_page: Callable[[str], bool] = open_in_browser,
) -> int:
    """Make the report and say where it is; `show` opens it in a browser.

    Raises ManifestError, MissingFileError where nothing was run, OutputError, StorageError.
    """
    began = time.monotonic()
    with open_run(path) as run:
        db, folder = run.db, run.folder
        shell = Shell(str(path), rehearsal=run.is_rehearsal)
        subject = Subject(run.manifest.name, folder.root, shell, time.time())
        made = _with_progress(lambda heard: make_report(db, subject, _place(folder, out), heard))
    say(_line(made, time.monotonic() - began))
    if show and not open_page(made.page.absolute().as_uri()):
        say("no browser could be opened; open the page by hand", to_stderr=True)
    return 0


def _place(folder: RunFolder, out: Path | None) -> Path:
    if out is None:
        return folder.root / "report"
    refuse_address(str(out))
    # A link that the user names is the user's own; one that stands in the run's folder may not be.
    return out.resolve() if out.is_symlink() else out


def _with_progress(make: Callable[[Callable[[int, int], None]], Made]) -> Made:
    with tqdm(desc="thumbnails", unit=" files", file=sys.stderr, disable=None, leave=False) as bar:

        def heard(number: int, total: int) -> None:
            bar.total = total
            bar.update(number - bar.n)

        return make(heard)


def _line(made: Made, seconds: float) -> str:
    files = f"{plural(made.files, 'file')}, {plural(made.new, 'new thumbnail')}"
    lines = [f"{made.page} · {plural(made.jobs, 'job')}, {files} · {format_duration(seconds)}"]
    if made.without:
        lines.append(
            f"  {plural(made.without, 'file')} could not be read: batchgen verify says why"
        )
    return "\n".join(lines)
