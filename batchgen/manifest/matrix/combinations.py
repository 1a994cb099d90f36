"""All combinations of some axes, with `include` and `exclude` as in GitHub's strategy.matrix.

Excluding comes first. Each include then joins the combinations whose own values it contradicts
nowhere; one that fits no combination becomes a cell of its own.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from batchgen.manifest.matrix.parts import EXCLUDE, INCLUDE, axes_in, entries_in, same_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from batchgen.jobs import JsonValue

Picks: TypeAlias = tuple[int, ...]
"""For each axis the place of the chosen value."""


class Cell(NamedTuple):
    """One combination. `number`, from 1, is its place before anything was excluded."""

    values: Mapping[str, JsonValue]
    number: int


class Matrix:
    """A matrix in which `matrix_problems` finds nothing."""

    def __init__(self, matrix: Mapping[str, JsonValue]) -> None:
        self._axes = axes_in(matrix)
        self._includes = entries_in(matrix, INCLUDE)
        self._joining = _Lookup(self._axes, self._includes)
        self._leaving = _Lookup(self._axes, entries_in(matrix, EXCLUDE))
        # The product of no axes is one empty combination, which every include would join.
        self._size = math.prod(map(len, self._axes.values())) if self._axes else 0

    @property
    def width(self) -> int:
        """The highest number that a cell can have, whatever is excluded or joined."""
        return self._size + len(self._includes)

    def cells(self) -> Iterator[Cell]:
        """Yield the combinations, the last axis quickest, then the includes that joined none."""
        joined: set[int] = set()
        for number, picks in enumerate(self._product(), start=1):
            if self._leaving.fitting(picks):
                continue
            values = {
                axis: choices[pick]
                for (axis, choices), pick in zip(self._axes.items(), picks, strict=True)
            }
            # In their order: a later include may replace what an earlier one added.
            for entry in self._joining.fitting(picks):
                values.update(self._includes[entry])
                joined.add(entry)
            yield Cell(values, number)
        for entry, own in enumerate(self._includes):
            if entry not in joined:
                yield Cell(own, self._size + 1 + entry)

    def _product(self) -> Iterable[Picks]:
        return product(*(range(len(one)) for one in self._axes.values())) if self._axes else ()


def axes_of(matrix: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """Name what its cells differ in: the axes; with includes only, all that these have.

    Sorted, since the keys of YAML have no order: writing them in another one renames no job.
    """
    names = axes_in(matrix).keys()
    return tuple(sorted(names or {key for entry in entries_in(matrix, INCLUDE) for key in entry}))


def are_told_apart(matrix: Mapping[str, JsonValue], names: Collection[str]) -> bool:
    """Whether no two combinations have the same values under these names."""
    axes = axes_in(matrix)
    if axes and not matrix.keys() & {INCLUDE, EXCLUDE}:
        return all(len(choices) == 1 for axis, choices in axes.items() if axis not in names)
    seen: set[tuple[str | None, ...]] = set()
    for cell in Matrix(matrix).cells():
        key = tuple(same_key(cell.values[name]) if name in cell.values else None for name in names)
        if key in seen:
            return False
        seen.add(key)
    return True


class _Lookup:
    """Finds the entries that agree with a combination, without trying each of them."""

    def __init__(
        self,
        axes: Mapping[str, Sequence[JsonValue]],
        entries: Iterable[Mapping[str, JsonValue]],
    ) -> None:
        places = [
            {same_key(value): place for place, value in enumerate(choices)}
            for choices in axes.values()
        ]
        self._tables: dict[tuple[int, ...], dict[Picks, list[int]]] = {}
        for entry, values in enumerate(entries):
            named = tuple(number for number, axis in enumerate(axes) if axis in values)
            keys = (same_key(values[axis]) for axis in axes if axis in values)
            picks = [places[number].get(key) for number, key in zip(named, keys, strict=True)]
            known = tuple(pick for pick in picks if pick is not None)
            if len(known) == len(picks):
                self._tables.setdefault(named, {}).setdefault(known, []).append(entry)

    def fitting(self, picks: Picks) -> list[int]:
        found: list[int] = []
        for named, table in self._tables.items():
            found += table.get(tuple(picks[number] for number in named), ())
        return sorted(found)
