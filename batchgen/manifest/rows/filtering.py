"""Which rows of a data file a sweep takes: `where`, then `offset`, then `limit`.

`where` gives the wanted values, or rules for them in keywords of JSON Schema.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt
from typing import TYPE_CHECKING, Any, TypeAlias

from batchgen.manifest.rows.base import BadRow
from batchgen.models.messages import InputProblem, comma_hint, format_value
from batchgen.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from batchgen.jobs import JsonValue
    from batchgen.manifest.rows.base import Row, Rows


MOST_KEYS = 1000
"""Keys of JSON rows that are kept, to suggest one for a misspelt key."""

_NUMERAL = re.compile(r"\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*")
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "minimum": ge,
    "maximum": le,
    "exclusiveMinimum": gt,
    "exclusiveMaximum": lt,
}
_LENGTHS: Mapping[str, Callable[[Any, Any], bool]] = {"minLength": ge, "maxLength": le}

_SPELLINGS = {"true": ("true", "True", "TRUE"), "false": ("false", "False", "FALSE")}


def where_problems(rows: Rows, where: Mapping[str, JsonValue]) -> list[InputProblem]:
    """Find keys that are not columns. JSON rows have none: see `FilteredRows.problems`.

    Paths begin in `where`.
    """
    known = where if rows.columns is None else rows.columns
    return [_no_column(key, known, rows.kind) for key in where if key not in known]


_Test: TypeAlias = Callable[[Any], bool]
"""Whether a value is wanted. Raises _NoNumberError."""


class _NoNumberError(Exception):
    """A value that should be compared with a number, but is not a number."""


class FilteredRows:
    """Yields the chosen rows, and every bad row on the way, since it may be one of them.

    `count` rows have been chosen so far; `matching` includes those that `offset` skipped, and
    `seen` all valid rows.
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
        self.seen = 0
        self._rows = rows
        self._tests = [(key, _test_of(value)) for key, value in wanted.items()]
        self._offset, self._limit = offset, limit
        # With columns, `where_problems` has looked for them.
        self._unseen = set(wanted) if rows.columns is None else set()
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
            self.seen += 1
            try:
                if self._tests and not self._takes(row.values):
                    continue
            except _NoNumberError as exc:
                value = exc.args[1]
                what = f"where compares {exc.args[0]} with a number; got {format_value(value)}"
                hint = comma_hint(value) if type(value) is str else None
                yield BadRow(row.line, what, hint, file=row.file)
                continue
            self.matching += 1
            if self.matching > self._offset:
                yield row
            if self.matching == last:
                return

    def problems(self) -> list[InputProblem]:
        """Find keys of `where` that no row had; call it after the last row. Paths begin in `where`.

        If no row could be read, nothing is known about the keys.
        """
        return [
            _no_column(key, self._keys, self._rows.kind)
            for key in sorted(self._unseen)
            if self._keys
        ]

    def _takes(self, values: Mapping[str, JsonValue]) -> bool:
        if self._unseen:
            self._unseen.difference_update(values)
            if len(self._keys) < MOST_KEYS:
                self._keys.update(dict.fromkeys(values))
        for key, is_wanted in self._tests:
            try:
                if not is_wanted(values.get(key)):
                    return False
            except _NoNumberError as exc:
                raise _NoNumberError(key, values[key]) from exc
        return True


def _no_column(key: str, known: Iterable[str], kind: str) -> InputProblem:
    message = f"where names {format_value(key)}, which is not {kind}"
    return InputProblem((key,), message, did_you_mean(key, known), at_key=True)


def _test_of(wanted: JsonValue) -> _Test:
    if not isinstance(wanted, Mapping):
        return _is_among(wanted)
    tests = [_rule(keyword, limit) for keyword, limit in wanted.items()]
    return lambda value: all(test(value) for test in tests)


def _is_among(wanted: JsonValue) -> _Test:
    accepted = _accepted(wanted)
    return lambda value: (value if type(value) is str else _text(value)) in accepted


def _rule(keyword: str, limit: JsonValue) -> _Test:
    if keyword == "not":
        is_unwanted = _is_among(limit)
        return lambda value: not is_unwanted(value)
    if keyword in _LENGTHS:
        fits = _LENGTHS[keyword]
        return lambda value: fits(_length(value), limit)
    compare = _COMPARISONS[keyword]

    def is_within(value: Any) -> bool:
        number = _number(value)
        return number is not None and compare(number, limit)

    return is_within


def _length(value: JsonValue) -> int:
    """Count characters, or items of a list."""
    return len(value if isinstance(value, str | list | Mapping) else _text(value) or "")


def _number(value: JsonValue) -> int | float | None:
    """None if there is no value, which meets no limit. Raises _NoNumberError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str) and _NUMERAL.fullmatch(value):
        return float(value)
    raise _NoNumberError


def _accepted(wanted: JsonValue) -> frozenset[str]:
    """Return all texts that `wanted` matches; a list matches any of its items."""
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
    """Write a value as CSV does, where null is an empty field. None for a list or a mapping."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | int | float) else None
