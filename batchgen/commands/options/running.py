"""How a run is to go, as options."""

from __future__ import annotations

from typing import Any

import click

from batchgen.commands.options.common import read_by
from batchgen.errors import UsageError
from batchgen.manifest import parse_duration, parse_rate, parse_stop_at
from batchgen.runs.options import RunOptions
from batchgen.state.queries import Selection
from batchgen.state.reconcile import OnChanged

RATE = click.option(
    "--rate",
    metavar="N/min",
    callback=read_by(parse_rate),
    help="Submit at most this often; overrides the manifest.",
)
BUDGET = click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    metavar="USD",
    help="Submit nothing that would exceed this total of all runs; overrides the manifest.",
)
STOPPING = (
    click.option(
        "--start-at",
        metavar="22:00",
        callback=read_by(parse_stop_at),
        help="Submit nothing before this time of day, or date and time; overrides the manifest.",
    ),
    click.option(
        "--max-duration",
        metavar="8h",
        callback=read_by(parse_duration),
        help="Stop submitting after this long, and finish what is paid; overrides the manifest.",
    ),
    click.option(
        "--stop-at",
        metavar="07:00",
        callback=read_by(parse_stop_at),
        help="Stop submitting at this time of day, or date and time, and finish what is paid;"
        " overrides the manifest.",
    ),
)
LIMIT = click.option("--limit", type=click.IntRange(1), metavar="N", help="Start at most N jobs.")
LIMITS = (
    click.option(
        "--concurrency",
        type=click.IntRange(1, 1000),
        metavar="N",
        help="Keep at most N requests in flight; overrides the manifest.",
    ),
    RATE,
    LIMIT,
    BUDGET,
    *STOPPING,
    click.option(
        "--changed",
        type=click.Choice([OnChanged.RERUN.value, OnChanged.KEEP.value]),
        help="For jobs whose input changed after they were paid: pay again, or keep the old input.",
    ),
    click.option(
        "--latency",
        type=click.FloatRange(0),
        metavar="SECONDS",
        help="With --emulator: how long a request takes.",
    ),
)
WORDS = (
    click.option(
        "--notify",
        multiple=True,
        metavar="URL",
        help="Send a message at the end, a pause and the first failure: ntfy://TOPIC,"
        " mailto://…; overrides the manifest.",
    ),
    click.option(
        "--on-done",
        metavar="COMMAND",
        help="Run this in the shell when the run ends, however it ends; it gets"
        " BATCHGEN_* variables.",
    ),
)


def run_options(
    changed: str | None,
    latency: float | None,
    jobs: tuple[str, ...],
    models: tuple[str, ...],
    tags: tuple[str, ...],
    states: tuple[str, ...],
    causes: tuple[str, ...],
    **others: Any,
) -> RunOptions:
    """What was asked for. Raises UsageError where two options do not go together."""
    if latency is not None and not others["emulator"]:
        raise UsageError("--latency is the emulator's: give --emulator as well")
    return RunOptions(
        on_changed=OnChanged(changed) if changed else OnChanged.REFUSE,
        emulator_latency=latency,
        selection=Selection(jobs, models, tags, states, causes),
        **others,
    )
