"""The result's files, cost and place in the queue, from a body that may hold anything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OUTPUT_KEYS = ("image", "images", "video", "videos")
LONGEST_URL = 8192
_FARTHEST_PLACE = 10**9


def output_urls(output: object) -> tuple[str, ...]:
    """Find the http(s) addresses in `output`, without repeats.

    The documented keys come in an order of our own: asked twice, the vendor may order them
    differently, and the second file must not become the first. Only where they hold nothing are
    other keys searched: a paid result may stand under a key that nobody documented.
    """
    if isinstance(output, dict):
        named = tuple(dict.fromkeys(_addresses(output.get(key) for key in OUTPUT_KEYS)))
        if named:
            return named
    return tuple(dict.fromkeys(_addresses([output])))


def _addresses(values: Iterable[object]) -> Iterator[str]:
    # A stack, not recursion: a body may be nested deeper than Python's calls may be.
    stack = list(values)[::-1]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            if _is_address(value):
                yield value
        elif isinstance(value, dict):
            stack.extend(list(value.values())[::-1])
        elif isinstance(value, list):
            stack.extend(value[::-1])


def _is_address(text: str) -> bool:
    return (
        text[:8].lower().startswith(("https://", "http://"))
        and len(text) <= LONGEST_URL
        and text.isprintable()
        and " " not in text
    )


def usd(value: object) -> float | None:
    """Read a finite number of dollars, not negative; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        amount = float(value)
    except OverflowError:
        return None
    return amount if math.isfinite(amount) and amount >= 0 else None


def queue_place(value: object) -> int | None:
    """Read a place in the queue, from 0; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:20])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= _FARTHEST_PLACE else None
