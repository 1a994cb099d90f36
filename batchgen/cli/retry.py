"""`batchgen retry`: run again, including what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from batchgen.cli.options import MANIFEST, all_of, run_options
from batchgen.cli.run import HOW_TO_RUN, PRINTED, run_manifest

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@MANIFEST
@all_of(*HOW_TO_RUN, *PRINTED)
def retry(manifest: Path, quiet: bool, as_json: bool, on_done: str | None, **asked: Any) -> int:
    """Run again, including what failed.

    Jobs that failed or were cancelled are submitted again; this may cost. If a request is still
    open (timeout, no_files), its result is asked for first, and the job is paid for again only if
    the request has ended without files. Lost requests are asked for again, for free. With
    `--state rejected`, only results that you rejected are made again.
    """
    options = run_options(retry_failed=True, **asked)
    return run_manifest(manifest, options, quiet=quiet, as_json=as_json, on_done=on_done)
