"""`size: 2048x2048`, a form that a keyboard has for the schema's own key and value."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from batchgen.jobs import JsonObject, JsonValue

SIZE_KEY = "width×height"  # noqa: RUF001 - the vendor's own spelling, with U+00D7
SHORT_KEY = "size"


def short_sizes(choices: Iterable[str]) -> dict[str, str]:
    """Short → full value, where exactly one full value begins so: `2048x2048` → `2048x2048(1:1)`.

    A full value whose beginning is shared stands for itself.
    """
    full = list(choices)
    beginnings = Counter(map(short_size, full))
    return {(short_size(one) if beginnings[short_size(one)] == 1 else one): one for one in full}


def short_size(full: str) -> str:
    return full.partition("(")[0]


def with_full_size(given: JsonObject, sizes: Mapping[str, str]) -> dict[str, JsonValue]:
    """Use the schema's own key and value; a value that is no size stays as it is."""
    expanded = dict(given)
    if SHORT_KEY in expanded:
        expanded[SIZE_KEY] = expanded.pop(SHORT_KEY)
    value = expanded.get(SIZE_KEY)
    if isinstance(value, str):
        expanded[SIZE_KEY] = sizes.get(value, value)
    return expanded
