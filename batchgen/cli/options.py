"""Options that several verbs have, in the order in which --help shows them."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from batchgen.cli.completion import (
    MANIFESTS,
    complete_causes,
    complete_files,
    complete_jobs,
    complete_tags,
    complete_words,
)
from batchgen.cluster.address import parse_address
from batchgen.errors import InputError, UsageError
from batchgen.jobs import JobState, model_alias
from batchgen.manifest.tuning import parse_concurrency
from batchgen.manifest.units import parse_duration, parse_moment, parse_rate
from batchgen.state.causes import KEY_DIGITS
from batchgen.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batchgen.runs.options import RunOptions

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def all_of(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Stack options in the order in which --help shows them."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def read_by(
    parse: Callable[[str], T],
) -> Callable[[click.Context, click.Parameter, str | None], T | None]:
    """Make a callback for click. It raises UsageError, which names the option."""

    def read(_context: click.Context, option: click.Parameter, text: str | None) -> T | None:
        try:
            return None if text is None else parse(text)
        except InputError as exc:
            raise UsageError(exc.what, where=option.opts[0], next_step=exc.next_step) from exc

    return read


MANIFEST = click.argument(
    "manifest", type=click.Path(path_type=Path), shell_complete=complete_files(*MANIFESTS)
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
QUIET = click.option("--quiet", "-q", is_flag=True, help="Show no progress and no summary.")
EMULATOR = click.option(
    "--emulator", is_flag=True, help="Rehearse on this machine: no token, no money."
)
RAY = click.option(
    "--ray",
    metavar="[HOST:PORT]",
    callback=read_by(parse_address),
    help="Process files on the Ray cluster at this address; without one, on a cluster of this"
    " machine's cores.",
)
STRICT = click.option("--strict", is_flag=True, help="Treat warnings as errors.")
PORT = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    default=0,
    help="The port; 0, the default, takes a free one.",
)
OPEN = click.option("--open", "show", is_flag=True, help="Open the page in a browser.")

# Which jobs.

CAUSE = re.compile(rf"!?[0-9a-f]{{{KEY_DIGITS}}}")


def read_causes(
    _context: click.Context, _option: click.Parameter, keys: tuple[str, ...]
) -> tuple[str, ...]:
    """Check that each key may be a cause. Raises UsageError for one that no report shows."""
    for key in keys:
        if not CAUSE.fullmatch(key):
            raise UsageError(
                f"'{key}' is not a cause",
                where="--cause",
                next_step="batchgen status MANIFEST shows causes, each with its key",
            )
    return keys


def read_states(
    _context: click.Context, _option: click.Parameter, globs: tuple[str, ...]
) -> tuple[str, ...]:
    """Check that each glob matches a state. Raises UsageError for one that matches none."""
    if globs:
        from batchgen.state.selection import JUDGED, NAMES

        for glob in globs:
            name = glob.removeprefix("!")
            if name not in JUDGED and not any(fnmatchcase(state, name) for state in JobState):
                raise UsageError(
                    f"there is no state '{name}'",
                    where="--state",
                    next_step=did_you_mean(name, NAMES),
                )
    return globs


def state_names() -> Iterable[str]:
    from batchgen.state.selection import NAMES

    return NAMES


def models_and_short_names() -> list[str]:
    from batchgen.models.catalog import model_ids
    from batchgen.models.own_models import SCHEMAS, own_ids

    known = {*model_ids(), *own_ids(Path(SCHEMAS))}
    return sorted({name for model in known for name in (model, model_alias(model))})


SELECTION = (
    click.option(
        "--job",
        "jobs",
        multiple=True,
        metavar="GLOB",
        shell_complete=complete_jobs(),
        help="Only jobs with these ids; !GLOB excludes.",
    ),
    click.option(
        "--model",
        "models",
        multiple=True,
        metavar="GLOB",
        shell_complete=complete_words(models_and_short_names),
        help="Only these models, by id or short name (t2i, edit, i2v); !GLOB excludes.",
    ),
    click.option(
        "--tag",
        "tags",
        multiple=True,
        metavar="GLOB",
        shell_complete=complete_tags(),
        help="Only jobs with these tags; !GLOB excludes.",
    ),
    click.option(
        "--state",
        "states",
        multiple=True,
        metavar="GLOB",
        callback=read_states,
        shell_complete=complete_words(state_names),
        help="Only jobs in these states, or kept or rejected ones; !GLOB excludes.",
    ),
)
ONLY_JOBS = SELECTION[0]
JOBS = (
    *SELECTION,
    click.option(
        "--cause",
        "causes",
        multiple=True,
        metavar="KEY",
        callback=read_causes,
        shell_complete=complete_causes(),
        help="Only jobs that failed with this cause, as `status` shows it; !KEY excludes.",
    ),
)
"""Options that choose among all jobs; SELECTION also chooses among results."""

# How a run goes.

BUDGET = click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    metavar="USD",
    help="Submit nothing that would exceed this total of all runs; overrides the manifest.",
)
LIMIT = click.option("--limit", type=click.IntRange(1), metavar="N", help="Start at most N jobs.")
REUSE = click.option(
    "--reuse/--no-reuse",
    default=None,
    help="Take results that other runs on this machine have; overrides the manifest.",
)
LIMITS = (
    click.option(
        "--concurrency",
        metavar="auto|N",
        callback=read_by(parse_concurrency),
        help="Keep at most N requests in flight, or as many as the vendor works on; overrides the"
        " manifest.",
    ),
    click.option(
        "--rate",
        metavar="N/min",
        callback=read_by(parse_rate),
        help="Submit at most this often; overrides the manifest.",
    ),
    click.option(
        "--account",
        type=click.Choice(["own", "shared"]),
        help="shared: concurrency and rate hold for all runs of the account on this machine that"
        " share them; overrides the manifest.",
    ),
    LIMIT,
    BUDGET,
    REUSE,
    click.option(
        "--start-at",
        metavar="22:00",
        callback=read_by(parse_moment),
        help="Submit nothing before this time of day, or date and time; overrides the manifest.",
    ),
    click.option(
        "--max-duration",
        metavar="8h",
        callback=read_by(parse_duration),
        help="Stop submitting after this long, and finish what is paid for; overrides the"
        " manifest.",
    ),
    click.option(
        "--stop-at",
        metavar="07:00",
        callback=read_by(parse_moment),
        help="Stop submitting at this time of day, or date and time, and finish what is paid for;"
        " overrides the manifest.",
    ),
    click.option(
        "--changed",
        type=click.Choice(["rerun", "keep"]),
        help="For jobs whose input changed after they were paid for: pay again, or keep the old"
        " input.",
    ),
    click.option(
        "--latency",
        type=click.FloatRange(0),
        metavar="SECONDS",
        help="With --emulator: how many seconds a request takes.",
    ),
)
ACCEPT_COPY = click.option("--accept-copy", is_flag=True, help="Continue with a copied state file.")
OWNERSHIP = (
    ACCEPT_COPY,
    click.option(
        "--recover",
        is_flag=True,
        help="If the state is missing: follow the requests that run.log names, and pay for"
        " none of them.",
    ),
    click.option(
        "--start-over",
        is_flag=True,
        help="If the state is missing: pay for all jobs again, and move what is in the folder"
        " to earlier-N.",
    ),
    click.option(
        "--take-over",
        is_flag=True,
        help="Take over a folder that another manifest was last run in.",
    ),
)
AT_THE_END = (
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
    """Build the run's options. Raises UsageError for two that exclude each other."""
    from batchgen.runs.options import RunOptions
    from batchgen.state.queries import Selection
    from batchgen.state.reconcile import OnChanged

    if latency is not None and not others["emulator"]:
        raise UsageError("--latency is for the emulator: add --emulator")
    return RunOptions(
        on_changed=OnChanged(changed) if changed else OnChanged.REFUSE,
        emulator_latency=latency,
        selection=Selection(jobs, models, tags, states, causes),
        **others,
    )
