"""The matrix of a sweep: its axes, their combinations, its mistakes, the suffixes of ids.

`include` and `exclude` work as in GitHub's strategy.matrix: excluding comes first. Each include is
then added to the combinations whose axis values it does not contradict; if there are none, it is a
separate combination. Mistakes are found without expanding the combinations.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from batchgen.models.messages import InputProblem, format_value
from batchgen.text import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Collection

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
    """Text that is equal only for equal values: 1, 1.0, true and "1" differ."""
    # Unlike canonical_json it accepts NaN, which is refused later, where its place is known.
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


Picks: TypeAlias = tuple[int, ...]
"""For each axis, the index of the chosen value."""


class Combination(NamedTuple):
    """`number`, from 1, is its place before anything is excluded."""

    values: Mapping[str, JsonValue]
    number: int


class Matrix:
    """A valid matrix: `matrix_problems` finds nothing in it."""

    def __init__(self, matrix: Mapping[str, JsonValue]) -> None:
        self._axes = axes_in(matrix)
        self._includes = entries_in(matrix, INCLUDE)
        self._included = _Lookup(self._axes, self._includes)
        self._excluded = _Lookup(self._axes, entries_in(matrix, EXCLUDE))
        # The product of no axes is one empty combination, which every include would join.
        self._size = math.prod(map(len, self._axes.values())) if self._axes else 0

    @property
    def width(self) -> int:
        """The highest number that a combination can have; excludes do not change it."""
        return self._size + len(self._includes)

    def combinations(self) -> Iterator[Combination]:
        """Yield the combinations, the last axis fastest, then the includes that fit none."""
        joined: set[int] = set()
        for number, picks in enumerate(self._product(), start=1):
            if self._excluded.fitting(picks):
                continue
            values = {
                axis: choices[pick]
                for (axis, choices), pick in zip(self._axes.items(), picks, strict=True)
            }
            # In order: a later include may replace what an earlier one added.
            for entry in self._included.fitting(picks):
                values.update(self._includes[entry])
                joined.add(entry)
            yield Combination(values, number)
        for entry, own in enumerate(self._includes):
            if entry not in joined:
                yield Combination(own, self._size + 1 + entry)

    def _product(self) -> Iterable[Picks]:
        return product(*(range(len(one)) for one in self._axes.values())) if self._axes else ()


def axis_names(matrix: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """Names of what its cells differ in: the axes or, without axes, all keys of the includes.

    Sorted, because keys of YAML have no order: reordering them must not rename jobs.
    """
    names = axes_in(matrix).keys()
    return tuple(sorted(names or {key for entry in entries_in(matrix, INCLUDE) for key in entry}))


def are_distinguished(matrix: Mapping[str, JsonValue], names: Collection[str]) -> bool:
    """Whether no two combinations have the same values under these names."""
    axes = axes_in(matrix)
    if axes and not matrix.keys() & {INCLUDE, EXCLUDE}:
        return all(len(choices) == 1 for axis, choices in axes.items() if axis not in names)
    seen: set[tuple[str | None, ...]] = set()
    for one in Matrix(matrix).combinations():
        key = tuple(same_key(one.values[name]) if name in one.values else None for name in names)
        if key in seen:
            return False
        seen.add(key)
    return True


class _Lookup:
    """Finds the entries that fit a combination, without trying each of them."""

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


MOST_CELLS = 10_000_000
RESERVED = frozenset({"jobs", "env", "row"})
"""Names with a special meaning in every template."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_JINJA_KEYWORDS = frozenset(
    {"and", "else", "false", "if", "in", "is", "none", "not", "or", "true", "True", "False", "None"}
)


def matrix_problems(matrix: Mapping[str, JsonValue]) -> list[InputProblem]:
    """Return everything that is wrong; paths are relative to the matrix."""
    found = [*_axis_problems(matrix), *_entry_problems(matrix), *_exclude_problems(matrix)]
    return found or list(_problems_of_all(matrix))


def is_variable_name(name: str) -> bool:
    """Whether a user's variable may have this name."""
    return bool(_NAME.fullmatch(name)) and name not in _JINJA_KEYWORDS and name not in RESERVED


def _given_axes(matrix: Mapping[str, JsonValue]) -> Iterator[tuple[str, JsonValue]]:
    return ((key, value) for key, value in matrix.items() if key not in (INCLUDE, EXCLUDE))


def _axis_problems(matrix: Mapping[str, JsonValue]) -> Iterator[InputProblem]:
    for axis, choices in _given_axes(matrix):
        yield from _name_problems((axis,), axis)
        if not isinstance(choices, list):
            message = f"the axis {format_value(axis)} must be a list; got {format_value(choices)}"
            yield InputProblem((axis,), message, "write a list of one item as [ … ]")
        elif not choices:
            message = f"the axis {format_value(axis)} is empty: there is nothing to combine"
            yield InputProblem((axis,), message, "give it a value, or remove it")
        else:
            yield from _duplicates(axis, choices)


def _duplicates(axis: str, choices: Sequence[JsonValue]) -> Iterator[InputProblem]:
    first: dict[str, int] = {}
    for number, value in enumerate(choices):
        earlier = first.setdefault(same_key(value), number)
        if earlier != number:
            twice = f"the axis {format_value(axis)} has {format_value(value)} twice"
            message = f"{twice}: items {earlier + 1} and {number + 1}"
            hint = "keep one; 'repeat: 2' makes each job twice"
            yield InputProblem((axis, number), message, hint)


def _name_problems(path: tuple[str | int, ...], name: str) -> Iterator[InputProblem]:
    if name in RESERVED:
        message = f"{format_value(name)} has a special meaning in templates"
        yield InputProblem(path, message, "choose another name", at_key=True)
    elif not is_variable_name(name):
        message = f"{format_value(name)} cannot be the name of a variable"
        hint = "use letters, digits and _, and do not begin with a digit"
        yield InputProblem(path, message, hint, at_key=True)


def _entry_problems(matrix: Mapping[str, JsonValue]) -> Iterator[InputProblem]:
    for key in (INCLUDE, EXCLUDE):
        entries = matrix.get(key, [])
        if not isinstance(entries, list):
            message = f"{key} must be a list of mappings; got {format_value(entries)}"
            yield InputProblem((key,), message, f"write '{key}: [{{axis: value}}]'")
            continue
        for number, entry in enumerate(entries):
            if not isinstance(entry, Mapping):
                message = f"item {number + 1} of {key} must be a mapping; got {format_value(entry)}"
                yield InputProblem((key, number), message, "write it as 'axis: value'")
            elif not entry:
                message = f"item {number + 1} of {key} is empty"
                yield InputProblem((key, number), message, "name an axis and a value in it")
            elif key == INCLUDE:
                for name in entry:
                    yield from _name_problems((key, number, name), name)


def _exclude_problems(matrix: Mapping[str, JsonValue]) -> Iterator[InputProblem]:
    axes = dict(_given_axes(matrix))
    keys = {axis: set(map(same_key, choices)) for axis, choices in axes_in(matrix).items()}
    entries = matrix.get(EXCLUDE)
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        for axis, value in entry.items() if isinstance(entry, Mapping) else ():
            path = (EXCLUDE, number, axis)
            if axis not in axes:
                message = f"exclude names {format_value(axis)}, which is not an axis of this matrix"
                yield InputProblem(path, message, did_you_mean(axis, axes), at_key=True)
            # An axis that is empty or not a list has been reported.
            elif keys.get(axis) and same_key(value) not in keys[axis]:
                yield _excludes_nothing(path, value, axes[axis])


def _excludes_nothing(
    path: tuple[str | int, ...], value: JsonValue, choices: JsonValue
) -> InputProblem:
    message = (
        f"this excludes nothing: the axis {format_value(path[-1])} has no {format_value(value)}"
    )
    known = choices if isinstance(choices, list) else []
    texts = [one for one in known if isinstance(one, str)]
    close = nearest(value, texts) if isinstance(value, str) else None
    return InputProblem(path, message, close and f"did you mean '{close}'?")


def _problems_of_all(matrix: Mapping[str, JsonValue]) -> Iterator[InputProblem]:
    """Find problems of the matrix as a whole; its parts are valid."""
    axes, includes = axes_in(matrix), entries_in(matrix, INCLUDE)
    size = math.prod(map(len, axes.values()))
    if not axes and not includes:
        hint = "name an axis and its values: 'hour: [dawn, dusk]'"
        yield InputProblem((), "the matrix has no axis", hint)
    elif size > MOST_CELLS:
        message = f"the matrix has {size:,} combinations; at most {MOST_CELLS:,} are allowed"
        yield InputProblem((), message, "use fewer values, or a data file with 'from'")
    elif axes and not includes and _all_excluded(axes, entries_in(matrix, EXCLUDE)):
        message = "exclude leaves no combination: there is nothing to do"
        hint = "remove one of its items, or the whole job"
        yield InputProblem((EXCLUDE,), message, hint, at_key=True)


def _all_excluded(
    axes: Mapping[str, Sequence[JsonValue]], excludes: Sequence[Mapping[str, JsonValue]]
) -> bool:
    """Whether no combination is left, without trying all of them.

    If no exclude names some value of an axis, that value is enough: any exclude that matches it
    matches all values of the axis. So the product is small unless there are very many excludes.
    """
    patterns = [{axis: same_key(value) for axis, value in entry.items()} for entry in excludes]
    candidates: list[Iterable[tuple[str, str]]] = []
    for axis, choices in axes.items():
        named = {pattern[axis] for pattern in patterns if axis in pattern}
        keys = [same_key(value) for value in choices]
        free = next((key for key in keys if key not in named), None)
        candidates.append([(axis, key) for key in (keys if free is None else [free])])
    return all(
        any(pattern.items() <= frozenset(combination) for pattern in patterns)
        for combination in product(*candidates)
    )


LONGEST_SLUG = 16

_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,24}")
_NOT_WORD = re.compile(r"[^a-z0-9]+")


def suffix(axes: Sequence[str], values: Mapping[str, JsonValue], repeat: int = 1) -> str:
    """What distinguishes a cell from the others: `dawn`, `a-red-fox-3f9a1c`, `dusk-2`.

    It depends on the cell's own values alone, so that no edit of the matrix renames another cell.
    Empty for the first repeat of a cell that has none of the axes.
    """
    parts = [_label(values[axis]) for axis in axes if axis in values]
    if repeat > 1:
        parts.append(str(repeat))
    return "-".join(parts)


def _label(value: JsonValue) -> str:
    if isinstance(value, Mapping):
        names = (value[key] for key in ("id", "name") if _is_scalar(value.get(key)))
        name = next(names, None)
        return _digest(value, 8) if name is None else _label(name)
    if isinstance(value, list):
        return _digest(value, 8)
    text = value if isinstance(value, str) else json.dumps(value)
    if _PLAIN.fullmatch(text):
        return text
    return "-".join(filter(None, (_slug(text), _digest(value, 6))))


def _is_scalar(value: JsonValue) -> bool:
    return isinstance(value, str | int | float)


def _slug(text: str) -> str:
    """Keep as many whole words as fit; cut the first one if it is too long."""
    plain = unicodedata.normalize("NFKD", text[: 10 * LONGEST_SLUG])
    words = _NOT_WORD.sub(" ", plain.encode("ascii", "ignore").decode().lower()).strip()
    if len(words) <= LONGEST_SLUG:
        return words.replace(" ", "-")
    whole = words[: LONGEST_SLUG + 1].rpartition(" ")[0]
    return (whole or words[:LONGEST_SLUG]).replace(" ", "-")


def _digest(value: JsonValue, digits: int) -> str:
    # A lone surrogate is refused later, where its place is known; here it must not raise.
    text = same_key(value).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:digits]
