"""What a check looks for, as options."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from batchgen.check.kinds import HASH_BITS, MEANINGS, Kind
from batchgen.check.kinds import CheckOptions as CheckAsked
from batchgen.commands.options.completing import complete_words
from batchgen.errors import UsageError
from batchgen.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchgen.commands.options.common import F


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
    return click.option(
        flag,
        name,
        multiple=True,
        metavar="KIND,…",
        callback=read_kinds,
        shell_complete=complete_words(lambda: Kind, listed=True),
        help=text,
    )


DEFAULTS = CheckAsked()
KINDS = "\b\nKIND is one of\n" + "\n".join(
    f"  {kind.value:<15} {meaning}" for kind, meaning in MEANINGS.items()
)
"""For --help. The backspace keeps click from filling the lines."""
CHECK = (
    _kinds("--only", "only", "Look only for these kinds; may be given several times."),
    _kinds("--skip", "skip", "Do not look for these kinds; may be given several times."),
    _kinds("--reject", "rejected", "Also reject results of these kinds, except those you keep."),
    click.option(
        "--distance",
        type=click.IntRange(0, HASH_BITS // 4),
        default=DEFAULTS.distance,
        metavar="N",
        help="near_duplicate: at most N of 256 bits differ; 0 finds only the closest copies,"
        f" more also finds what merely looks alike. Default {DEFAULTS.distance}.",
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
