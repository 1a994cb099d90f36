"""A run in words, for terminals and messages."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING, TextIO

from batchgen.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.state.records import Money


USUAL_COLUMNS = 80


def counts_line(counts: Mapping[JobState, int]) -> str:
    """Say `6 done, 1 failed, 1 unknown`; states without jobs are left out."""
    order = (JobState.DONE, *(state for state in JobState if state is not JobState.DONE))
    parts = [f"{counts[state]} {state.value}" for state in order if counts.get(state)]
    return ", ".join(parts) or "no jobs"


def money_line(money: Money) -> str:
    """Say `1.50 USD spent, 0.30 USD reserved, 0.10 USD unknown, + 2 without a known price`."""
    parts = [f"{money.spent:.2f} USD spent"]
    if money.reserved:
        parts.append(f"{money.reserved:.2f} USD reserved")
    if money.unknown:
        parts.append(f"{money.unknown:.2f} USD unknown (counted as spent)")
    if money.unpriced:
        parts.append(f"+ {money.unpriced} without a known price")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Say `8.2 s`, `3 min 05 s`, `2 h 07 min`."""
    if round(seconds, 1) < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004 - an hour
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def terminal_columns(stream: TextIO) -> int | None:
    """How wide the terminal is that the stream writes to; None where it is none."""
    if not stream.isatty():
        return None
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    # A terminal that does not know its width says 0.
    return columns or USUAL_COLUMNS


def wrapped(text: str, stream: TextIO, indent: str = "", below: str | None = None) -> list[str]:
    """Break a text between words to the width of a terminal; elsewhere it is one line.

    `below` indents all lines but the first; without it, blanks as wide as `indent`.
    """
    columns = terminal_columns(stream)
    if columns is None:
        return [f"{indent}{text}"]
    return textwrap.wrap(
        text,
        columns,
        initial_indent=indent,
        subsequent_indent=" " * len(indent) if below is None else below,
        break_long_words=False,
        break_on_hyphens=False,
    )
