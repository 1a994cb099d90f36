"""The parts of a matrix as it is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchgen.jobs import JsonValue

INCLUDE, EXCLUDE = "include", "exclude"


def axes_in(matrix: Mapping[str, JsonValue]) -> dict[str, list[JsonValue]]:
    return {
        axis: choices
        for axis, choices in matrix.items()
        if axis not in (INCLUDE, EXCLUDE) and isinstance(choices, list)
    }


def entries_in(matrix: Mapping[str, JsonValue], key: str) -> list[Mapping[str, JsonValue]]:
    """List the includes or excludes that are mappings."""
    entries = matrix.get(key)
    if not isinstance(entries, list):
        return []
    return [entry for entry in entries if isinstance(entry, Mapping)]


def same_key(value: JsonValue) -> str:
    """Text that is the same for equal values only: 1, 1.0, true and "1" differ."""
    # Unlike canonical_json it takes NaN, which the models refuse later, at its place.
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
