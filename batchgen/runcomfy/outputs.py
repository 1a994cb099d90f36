"""The result's files, cost and place in the queue, from a body that may hold anything."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OUTPUT_KEYS = ("image", "images", "video", "videos")
LONGEST_URL = 8192
_FARTHEST_PLACE = 10**9
MOST_USD = 1000.0
"""The dearest request that is believed: hundreds of times what a model of the vendor costs. A
larger number is another unit or a server in trouble, and one of it would end every budget."""
_LONGEST_COST = 40
_COST = re.compile(
    r"(?:USD\s*|\$\s*)?(?P<amount>\d+(?:\.\d*)?|\.\d+)(?:\s*(?:USD|\$))?", re.IGNORECASE | re.ASCII
)


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
    """Read dollars, a number or a text such as "0.05" or "$0.05"; None for what is no cost."""
    if isinstance(value, str) and len(value) <= _LONGEST_COST:
        match = _COST.fullmatch(value.strip())
        value = float(match["amount"]) if match else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        amount = float(value)
    except OverflowError:
        return None
    return amount if 0 <= amount <= MOST_USD else None


def queue_place(value: object) -> int | None:
    """Read a place in the queue, from 0; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:20])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= _FARTHEST_PLACE else None
