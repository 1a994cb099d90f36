"""`batchgen show`: all that is known about jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from batchgen.cli.completion import complete_jobs
from batchgen.cli.options import EMULATOR, JSON, MANIFEST, all_of

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@MANIFEST
@click.argument("names", metavar="JOB...", nargs=-1, required=True, shell_complete=complete_jobs())
@all_of(EMULATOR, JSON)
def show(manifest: Path, names: tuple[str, ...], emulator: bool, as_json: bool) -> int:
    """Show jobs: the exact input, and everything that happened to them.

    JOB is the id of a job, or a glob for several. Nothing is sent. Works before the first run, too.
    """
    from batchgen.cli.job_details import print_known_jobs

    return print_known_jobs(manifest, names, emulator=emulator, as_json=as_json)
