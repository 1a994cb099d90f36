"""What a person decides about jobs and their results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from batchgen.commands.options.common import EMULATOR, JSON, MANIFEST, all_of
from batchgen.commands.options.completing import complete_jobs
from batchgen.commands.options.selecting import JOBS, SELECTION
from batchgen.runs.options import RunOptions
from batchgen.state.causes import TO_APPROVE, UNDECIDED, WITH_RESULT
from batchgen.state.queries import Selection

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@MANIFEST
@all_of(EMULATOR, *JOBS)
def cancel(manifest: Path, emulator: bool, **selected: Any) -> int:
    """Cancel jobs, sent or not.

    Jobs that were not sent are cancelled at once; the vendor is asked to cancel the others.
    """
    from batchgen.commands.cancel import cancel_selected  # noqa: PLC0415 - a verb loads its own only

    return cancel_selected(manifest, RunOptions(emulator=emulator, selection=Selection(**selected)))


@click.command()
@MANIFEST
@click.argument("names", metavar="[JOB]...", nargs=-1, shell_complete=complete_jobs(UNDECIDED))
@click.option("--all", "every", is_flag=True, help="Every unknown job; not with --adopt.")
@click.option("--adopt", metavar="REQUEST_ID", help="It was accepted, with this request id.")
@click.option("--resubmit", is_flag=True, help="Submit it again, although it may be charged twice.")
@click.option("--write-off", is_flag=True, help="Give it up: it counts as failed and spent.")
@all_of(*JOBS)
def resolve(manifest: Path, names: tuple[str, ...], **asked: Any) -> int:
    """Decide about submits whose outcome is unknown.

    The page Generations on runcomfy.com shows whether a request was accepted, and its id; no API
    call does.

    JOB is the id of an unknown job, or a glob for several; the other options narrow them down. By
    its exact id, JOB may also be a job that is lost, or that failed while its request was still
    open (timeout, no_files): then --resubmit asks the vendor first, and pays only if the request
    has ended without files.
    """
    from batchgen.commands.resolve import resolve_asked as command  # noqa: PLC0415 - as above

    names_of = ("jobs", "models", "tags", "states", "causes")
    selection = Selection(*(asked.pop(option) for option in names_of))
    return command(manifest, names, selection, **asked)


@click.command()
@MANIFEST
@click.argument("names", metavar="[JOB]...", nargs=-1, shell_complete=complete_jobs(TO_APPROVE))
@click.option("--all", "every", is_flag=True, help="Every job that waits for approval.")
def approve(manifest: Path, names: tuple[str, ...], every: bool) -> int:
    """Approve results, so that jobs waiting for them can start.

    JOB is the id of a job behind a gate, or a glob for several. Without JOB, lists the results that
    wait for approval, with their files.
    """
    from batchgen.commands.approve import approve as command  # noqa: PLC0415 - as above

    return command(manifest, names, every=every)


@click.command()
@MANIFEST
@click.argument("names", metavar="[JOB]...", nargs=-1, shell_complete=complete_jobs(WITH_RESULT))
@click.option("--keep", is_flag=True, help="Keep them.")
@click.option(
    "--reject",
    is_flag=True,
    help="Reject them; `batchgen retry MANIFEST --state rejected` makes them again.",
)
@click.option("--unpick", is_flag=True, help="Take back an earlier pick.")
@click.option(
    "--file",
    "position",
    type=click.IntRange(1),
    metavar="N",
    help="Pick only the Nth file of results with several files.",
)
@all_of(*SELECTION, JSON)
def pick(manifest: Path, names: tuple[str, ...], position: int | None, **asked: Any) -> int:
    """Keep or reject results.

    JOB is the id of a job with a result, or a glob for several. `batchgen watch` does the same in
    the browser.
    """
    from batchgen.commands.pick import pick_asked as command  # noqa: PLC0415 - as above

    chosen = [asked.pop(option) for option in ("jobs", "models", "tags", "states")]
    return command(manifest, names, Selection(*chosen), position, **asked)
