"""What there is to see: how a run stands, its page, the models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from batchgen.commands.options.common import EMULATOR, JSON, MANIFEST, all_of
from batchgen.commands.options.completing import complete_jobs, complete_words
from batchgen.commands.options.selecting import JOBS, models_and_short_names
from batchgen.errors import UsageError
from batchgen.state.queries import Selection


@click.command()
@MANIFEST
@all_of(*JOBS, JSON)
@click.option("--watch", is_flag=True, help="Keep showing it until nothing is under way.")
def status(manifest: Path, as_json: bool, watch: bool, **selected: Any) -> int:
    """Show how a run is going.

    It reads a snapshot of the state and never disturbs a run.
    """
    from batchgen.commands.status import status as show_once  # noqa: PLC0415 - a verb loads its own only
    from batchgen.commands.status import watch as keep_watching  # noqa: PLC0415 - as above

    if watch and as_json:
        raise UsageError("--watch is for people, --json for programs: give one of them")
    selection = Selection(**selected)
    if watch:
        return keep_watching(manifest, selection)
    return show_once(manifest, selection, as_json=as_json)


@click.command()
@MANIFEST
@click.argument("names", metavar="JOB...", nargs=-1, required=True, shell_complete=complete_jobs())
@all_of(EMULATOR, JSON)
def show(manifest: Path, names: tuple[str, ...], emulator: bool, as_json: bool) -> int:
    """Show jobs: the exact input, and everything that happened to them.

    JOB is the id of a job, or a glob for several. Nothing is sent. Works before the first run, too.
    """
    from batchgen.commands.show import show as command  # noqa: PLC0415 - as above

    return command(manifest, names, emulator=emulator, as_json=as_json)


@click.command()
@MANIFEST
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the report goes; by default, report/ in the run's folder.",
)
def report(manifest: Path, show: bool, out: Path | None) -> int:
    """Make a page of the results, the failures and the night.

    It only reads the state, so it works during a run, too; a second report makes only what is new.
    """
    from batchgen.commands.report import report as command  # noqa: PLC0415 - as above

    return command(manifest, out, show=show)


@click.command()
@MANIFEST
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    default=0,
    help="The port; 0, the default, takes a free one.",
)
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
def watch(manifest: Path, port: int, show: bool) -> int:
    """Serve the live page of results on this machine.

    Pictures appear as they come; k keeps, x rejects, u takes that back, a approves. The first line
    gives the address; Ctrl-C ends the page, never the run.
    """
    from batchgen.commands.watch import watch as command  # noqa: PLC0415 - as above

    return command(manifest, port=port, show=show)


@click.command()
@click.argument(
    "model",
    required=False,
    shell_complete=complete_words(models_and_short_names),
)
@JSON
def models(model: str | None, as_json: bool) -> int:
    """Show the models, or every field of one."""
    from batchgen.commands.models import list_models, show_model  # noqa: PLC0415 - as above

    return show_model(model, as_json=as_json) if model else list_models(as_json=as_json)
