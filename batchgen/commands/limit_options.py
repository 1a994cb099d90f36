"""Options whose values are read as the manifest reads its keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

from batchgen.errors import InputError, UsageError
from batchgen.manifest import parse_duration, parse_rate, parse_stop_at

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


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
