"""Numbers of a run in words, for terminals and messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.state.records import Money


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
