"""Which rows of a data file a sweep takes: `where`, then `offset`, then `limit`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from batchgen.manifest.rows.row import BadRow
from batchgen.models.nearest import did_you_mean
from batchgen.models.wording import InputProblem, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from batchgen.jobs import JsonValue
    from batchgen.manifest.rows.row import Row, Rows

MOST_KEYS = 1000
"""Keys of JSON Lines that are remembered, to name one that is near to a wrong one."""

_SPELLINGS = {"true": ("true", "True", "TRUE"), "false": ("false", "False", "FALSE")}


def where_problems(
    columns: Sequence[str] | None, where: Mapping[str, JsonValue]
) -> list[InputProblem]:
    """Find keys that are no column; in JSON Lines, without columns, `Chosen.problems` does.

    Paths begin in `where`.
    """
    known = where if columns is None else columns
    return [_no_column(key, known) for key in where if key not in known]


class Chosen:
    """Yields the chosen rows, and every bad row on the way: nobody knows what it would have been.

    `count` rows were chosen so far; `matching` counts those that `offset` passed over as well.
    """

    def __init__(
        self,
        rows: Rows,
        where: Mapping[str, JsonValue] | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> None:
        wanted = where or {}
        self.matching = 0
        self._rows = rows
        self._tests = [(key, _accepted(value)) for key, value in wanted.items()]
        self._offset, self._limit = offset, limit
        self._unseen = set(wanted)
        self._keys: dict[str, None] = {}

    @property
    def count(self) -> int:
        return max(0, self.matching - self._offset)

    def __iter__(self) -> Iterator[Row | BadRow]:
        if self._limit == 0:
            return
        last = None if self._limit is None else self._offset + self._limit
        for row in self._rows:
            if isinstance(row, BadRow):
                yield row
                continue
            if self._tests and not self._takes(row.values):
                continue
            self.matching += 1
            if self.matching > self._offset:
                yield row
            if self.matching == last:
                return

    def problems(self) -> list[InputProblem]:
        """Find keys of `where` that no row had; ask after the last row. Paths begin in `where`.

        Where no row could be read, nothing is known about the keys.
        """
        return [_no_column(key, self._keys) for key in sorted(self._unseen) if self._keys]

    def _takes(self, values: Mapping[str, JsonValue]) -> bool:
        if self._unseen:
            self._unseen.difference_update(values)
            if len(self._keys) < MOST_KEYS:
                self._keys.update(dict.fromkeys(values))
        for key, accepted in self._tests:
            value = values.get(key)
            if (value if type(value) is str else _text(value)) not in accepted:
                return False
        return True


def _no_column(key: str, known: Iterable[str]) -> InputProblem:
    message = f"where names {shown(key)}, which is no column of the data file"
    return InputProblem((key,), message, did_you_mean(key, known), at_key=True)


def _accepted(wanted: JsonValue) -> frozenset[str]:
    """List the texts of the values that `where` means; a list means one of its items."""
    values = wanted if isinstance(wanted, list) else [wanted]
    return frozenset(text for value in values for text in _spellings(value))


def _spellings(value: JsonValue) -> Sequence[str]:
    text = _text(value)
    if text is None:
        return ()
    if isinstance(value, bool):
        return _SPELLINGS[text]
    if isinstance(value, int | float) and math.isfinite(value) and value == int(value):
        return (text, str(int(value)), f"{int(value)}.0")
    return (text,)


def _text(value: JsonValue) -> str | None:
    """Write a value as a CSV has it; nothing at all is an empty field there."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | int | float) else None
