"""`batchgen cancel`: jobs that are no longer wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from batchgen.cli.console import print_text
from batchgen.cli.options import EMULATOR, JOBS, MANIFEST, all_of
from batchgen.text import command_line, plural

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@MANIFEST
@all_of(EMULATOR, *JOBS)
def cancel(manifest: Path, emulator: bool, **selected: Any) -> int:
    """Cancel jobs, sent or not.

    Jobs that were not sent are cancelled at once; the vendor is asked to cancel the others.
    """
    from batchgen.runs.api import cancel_jobs
    from batchgen.runs.options import RunOptions
    from batchgen.state.queries import Selection

    options = RunOptions(emulator=emulator, selection=Selection(**selected))
    found = cancel_jobs(manifest, options)
    if found.handed_over:
        print_text(f"{plural(found.handed_over, 'job')} handed to the run in progress")
        return 0
    print_text(f"{plural(found.cancelled, 'job')} cancelled")
    if found.delivering:
        command = command_line("run", manifest, emulator=emulator)
        them = "it, and it costs" if found.delivering == 1 else "them, and they cost"
        print_text(
            f"{plural(found.delivering, 'request')} could not be cancelled: the vendor is working"
            f" on {them}\n  → fetch the results with: {command}"
        )
    return 0
