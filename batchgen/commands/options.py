"""The options that several commands share, in the order in which --help shows them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

import click

from batchgen.check.kinds import LOOK_BITS, MEANINGS, Kind
from batchgen.check.kinds import Asked as CheckAsked
from batchgen.errors import InputError, UsageError
from batchgen.export.asking import Asked, Format, parse_shard_size
from batchgen.export.splits import ONE_SPLIT, Split, parse_splits
from batchgen.jobs import JobState
from batchgen.manifest import parse_duration, parse_rate, parse_stop_at
from batchgen.models.nearest import did_you_mean
from batchgen.runs.options import RunOptions
from batchgen.state.causes import KEY_DIGITS
from batchgen.state.merge import OnChanged
from batchgen.state.queries import Selection
from batchgen.state.results import Picked
from batchgen.state.selection import JUDGED, NAMES

CAUSE = re.compile(rf"!?[0-9a-f]{{{KEY_DIGITS}}}")

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


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


def read_causes(
    _context: click.Context, _option: click.Parameter, keys: tuple[str, ...]
) -> tuple[str, ...]:
    """Pass on what may be a cause. Raises UsageError for what no report shows."""
    for key in keys:
        if not CAUSE.fullmatch(key):
            raise UsageError(
                f"'{key}' is no cause",
                where="--cause",
                next_step="batchgen report MANIFEST shows causes, with the command for each",
            )
    return keys


def read_states(
    _context: click.Context, _option: click.Parameter, globs: tuple[str, ...]
) -> tuple[str, ...]:
    """Pass on what names a state at all. Raises UsageError for a typing error."""
    for glob in globs:
        name = glob.removeprefix("!")
        if name not in JUDGED and not any(fnmatchcase(state, name) for state in JobState):
            raise UsageError(
                f"there is no state '{name}'",
                where="--state",
                next_step=did_you_mean(name, NAMES),
            )
    return globs


def read_kinds(
    _context: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> frozenset[Kind]:
    """Kinds of flaws, with commas between them. Raises UsageError for one that there is not."""
    names = [name.strip() for text in texts for name in text.split(",")]
    for name in names:
        if name not in set(Kind):
            raise UsageError(
                f"there is no kind of flaw '{name}'",
                where=option.opts[0],
                next_step=did_you_mean(name, list(Kind)),
            )
    return frozenset(map(Kind, names))


def read_finite(_context: click.Context, option: click.Parameter, number: float) -> float:
    """Pass on a number. Raises UsageError for `nan`, which no range leaves out."""
    if not math.isfinite(number):
        raise UsageError(f"'{number}' is no number to compare with", where=option.opts[0])
    return number


def _kinds(flag: str, name: str, text: str) -> Callable[[F], F]:
    return click.option(flag, name, multiple=True, metavar="KIND,…", callback=read_kinds, help=text)


DEFAULTS = CheckAsked()

RATE = click.option(
    "--rate",
    metavar="N/min",
    callback=read_by(parse_rate),
    help="At most so many submits; wins over the manifest.",
)
STOPPING = (
    click.option(
        "--max-duration",
        metavar="8h",
        callback=read_by(parse_duration),
        help="Submit no more after so long, finish what is paid; wins over the manifest.",
    ),
    click.option(
        "--stop-at",
        metavar="07:00",
        callback=read_by(parse_stop_at),
        help="Submit no more after this time of day, or date and time; wins over the manifest.",
    ),
)
MANIFEST = click.argument("manifest", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
QUIET = click.option("--quiet", "-q", is_flag=True, help="No progress, no closing words.")
EMULATOR = click.option(
    "--emulator", is_flag=True, help="Rehearse on this machine: no token, no money."
)
OFFLINE = click.option("--offline", is_flag=True, help="Ask the vendor for no price and no schema.")
ACCEPT_COPY = click.option("--accept-copy", is_flag=True, help="Go on with a copied state file.")
SELECTION = (
    click.option(
        "--job", "jobs", multiple=True, metavar="GLOB", help="Only jobs with such ids; !GLOB: not."
    ),
    click.option(
        "--model",
        "models",
        multiple=True,
        metavar="GLOB",
        help="Only such models, by id or short name (t2i, edit, i2v); !GLOB: not.",
    ),
    click.option(
        "--tag", "tags", multiple=True, metavar="GLOB", help="Only jobs with such tags; !GLOB: not."
    ),
    click.option(
        "--state",
        "states",
        multiple=True,
        metavar="GLOB",
        callback=read_states,
        help="Only jobs in such states, or kept or rejected ones; !GLOB: not.",
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
        help="Only jobs that failed by such a cause, as the report names it; !KEY: not.",
    ),
)
"""What chooses among all jobs; SELECTION chooses among results, too."""
LIMITS = (
    click.option(
        "--concurrency",
        type=click.IntRange(1, 1000),
        metavar="N",
        help="At most N requests in flight; wins over the manifest.",
    ),
    RATE,
    click.option("--limit", type=click.IntRange(1), metavar="N", help="Begin at most N jobs."),
    *STOPPING,
    click.option(
        "--changed",
        type=click.Choice([OnChanged.RERUN.value, OnChanged.KEEP.value]),
        help="Jobs whose input changed after they were paid: pay again, or keep the old input.",
    ),
    click.option(
        "--latency",
        type=click.FloatRange(0),
        metavar="SECONDS",
        help="With --emulator: how long a request takes.",
    ),
)
EXPORT = (
    click.option(
        "--to",
        type=click.Choice([format_.value for format_ in Format]),
        required=True,
        help="hf: image and video folders; webdataset: tar shards; or tables of what is known.",
    ),
    click.option(
        "--split",
        "splits",
        metavar="NAME=SHARE,…",
        callback=read_by(parse_splits),
        help="E.g. train=0.9,validation=0.05,test=0.05, by a hash of the job's id.",
    ),
    click.option(
        "--shard-size",
        "shard_bytes",
        metavar="1GB",
        callback=read_by(parse_shard_size),
        help="webdataset, parquet: bytes of a shard at most; default 1GB.",
    ),
    click.option(
        "--shard-count",
        "shard_rows",
        type=click.IntRange(1),
        metavar="N",
        help="webdataset, parquet: results in a shard at most; default 10,000.",
    ),
    click.option("--bytes", "embed", is_flag=True, help="parquet: with the files themselves."),
    click.option("--copy", is_flag=True, help="hf: copy the files, never hard-link them."),
    click.option(
        "--kept", "only", flag_value=Picked.KEPT.value, help="Only results that were kept."
    ),
    click.option(
        "--with-rejected",
        "only",
        flag_value=Picked.ALL.value,
        help="Rejected results too, which are left out else.",
    ),
)
KINDS = "\b\nKIND is one of\n" + "\n".join(
    f"  {kind.value:<15} {meaning}" for kind, meaning in MEANINGS.items()
)
"""For --help. The backspace keeps click from filling the lines."""
CHECK = (
    _kinds("--only", "only", "Look for these kinds alone; may be given again."),
    _kinds("--skip", "skip", "Do not look for these kinds."),
    _kinds("--reject", "rejected", "Also reject results of these kinds, save those you keep."),
    click.option(
        "--distance",
        type=click.IntRange(0, LOOK_BITS // 4),
        default=DEFAULTS.distance,
        metavar="N",
        help="near_duplicate: at most N bits of 256 differ; 0 finds the closest copies only,"
        f" more finds more, also what only resembles. Default {DEFAULTS.distance}.",
    ),
    click.option(
        "--blank",
        type=click.FloatRange(0.5, 1),
        default=DEFAULTS.blank,
        callback=read_finite,
        metavar="F",
        help="near_blank: at least this share of the picture has one colour."
        f" Default {DEFAULTS.blank}.",
    ),
)

WORDS = (
    click.option(
        "--notify",
        multiple=True,
        metavar="URL",
        help="Send a word at the end, a pause and the first failure: ntfy://TOPIC, mailto://…;"
        " wins over the manifest.",
    ),
    click.option(
        "--on-done",
        metavar="COMMAND",
        help="Run this in the shell when the run has ended, however; see BATCHGEN_* there.",
    ),
)


def all_of(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Stack options in the order in which --help shows them."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


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


def export_asked(
    to: str,
    splits: tuple[Split, ...] | None,
    only: str | None,
    jobs: tuple[str, ...],
    models: tuple[str, ...],
    tags: tuple[str, ...],
    states: tuple[str, ...],
    **others: Any,
) -> Asked:
    """What was asked for. Raises UsageError where two options do not go together."""
    selection = Selection(jobs, models, tags, states)
    # Who asks for rejected jobs wants their files.
    default = Picked.ALL if selection.asks_for_rejected else Picked.NOT_REJECTED
    picked = Picked(only) if only else default
    return Asked(Format(to), selection, splits or ONE_SPLIT, only=picked, **others)


def check_asked(
    only: frozenset[Kind], skip: frozenset[Kind], rejected: frozenset[Kind], **others: Any
) -> CheckAsked:
    """What was asked for. Raises UsageError where the kinds contradict each other."""
    kinds = (only or frozenset(Kind)) - skip
    if not kinds:
        raise UsageError("every kind is left out: nothing is to be looked for")
    if Kind.UNREADABLE in rejected:
        raise UsageError(
            "unreadable cannot be rejected: to make such a result again would cost",
            where="--reject",
            next_step="batchgen repair MANIFEST fetches it again, and that is free",
        )
    if missed := [kind.value for kind in Kind if kind in rejected - kinds]:
        raise UsageError(
            f"{', '.join(missed)} cannot be rejected, since it is not looked for",
            next_step="leave it out of --skip, or name it in --only",
        )
    return CheckAsked(kinds, rejected, **others)
