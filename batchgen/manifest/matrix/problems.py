"""What can be wrong with a matrix, found without going through its combinations."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

from batchgen.manifest.matrix.parts import EXCLUDE, INCLUDE, axes_in, entries_in, same_key
from batchgen.models.nearest import did_you_mean, nearest
from batchgen.models.wording import InputProblem, shown

if TYPE_CHECKING:
    from batchgen.jobs import JsonValue

MOST_CELLS = 10_000_000
RESERVED = frozenset({"jobs", "env", "row"})
"""Names that mean something else in every template."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_JINJA_WORDS = frozenset(
    {"and", "else", "false", "if", "in", "is", "none", "not", "or", "true", "True", "False", "None"}
)


def matrix_problems(matrix: Mapping[str, JsonValue]) -> list[InputProblem]:
    """List everything that is wrong; paths begin in the matrix."""
    found = [*_axis_problems(matrix), *_entry_problems(matrix), *_exclude_problems(matrix)]
    return found or list(_problems_of_all(matrix))


def is_variable_name(name: str) -> bool:
    """Say whether `{{ name }}` can mean a variable of the user's."""
    return bool(_NAME.fullmatch(name)) and name not in _JINJA_WORDS and name not in RESERVED


def _given_axes(matrix: Mapping[str, JsonValue]) -> Iterator[tuple[str, JsonValue]]:
    return ((key, value) for key, value in matrix.items() if key not in (INCLUDE, EXCLUDE))


def _axis_problems(matrix: Mapping[str, JsonValue]) -> Iterator[InputProblem]:
    for axis, choices in _given_axes(matrix):
        yield from _name_problems((axis,), axis)
        if not isinstance(choices, list):
            message = f"the axis {shown(axis)} must be a list; got {shown(choices)}"
            yield InputProblem((axis,), message, "a list of one is written [ … ]")
        elif not choices:
            message = f"the axis {shown(axis)} is empty: there is nothing to combine"
            yield InputProblem((axis,), message, "give it a value, or remove it")
        else:
            yield from _twins(axis, choices)


def _twins(axis: str, choices: Sequence[JsonValue]) -> Iterator[InputProblem]:
    first: dict[str, int] = {}
    for number, value in enumerate(choices):
        earlier = first.setdefault(same_key(value), number)
        if earlier != number:
            message = f"the axis {shown(axis)} has {shown(value)} twice: items {earlier + 1}"
            hint = "keep one; 'repeat: 2' makes each job twice"
            yield InputProblem((axis, number), f"{message} and {number + 1}", hint)


def _name_problems(path: tuple[str | int, ...], name: str) -> Iterator[InputProblem]:
    if name in RESERVED:
        message = f"{shown(name)} has a meaning of its own in templates"
        yield InputProblem(path, message, "choose another name", at_key=True)
    elif not is_variable_name(name):
        message = f"{shown(name)} cannot be the name of a variable"
        hint = "use letters, digits and _, and begin with no digit"
        yield InputProblem(path, message, hint, at_key=True)


def _entry_problems(matrix: Mapping[str, JsonValue]) -> Iterator[InputProblem]:
    for key in (INCLUDE, EXCLUDE):
        entries = matrix.get(key, [])
        if not isinstance(entries, list):
            message = f"{key} must be a list of mappings; got {shown(entries)}"
            yield InputProblem((key,), message, f"write '{key}: [{{axis: value}}]'")
            continue
        for number, entry in enumerate(entries):
            if not isinstance(entry, Mapping):
                message = f"item {number + 1} of {key} must be a mapping; got {shown(entry)}"
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
                message = f"exclude names {shown(axis)}, which is no axis of this matrix"
                yield InputProblem(path, message, did_you_mean(axis, axes), at_key=True)
            # An axis that is no list, or empty, is told already.
            elif keys.get(axis) and same_key(value) not in keys[axis]:
                yield _excludes_nothing(path, value, axes[axis])


def _excludes_nothing(
    path: tuple[str | int, ...], value: JsonValue, choices: JsonValue
) -> InputProblem:
    message = f"this excludes nothing: the axis {shown(path[-1])} has no {shown(value)}"
    known = choices if isinstance(choices, list) else []
    texts = [one for one in known if isinstance(one, str)]
    close = nearest(value, texts) if isinstance(value, str) else None
    return InputProblem(path, message, close and f"did you mean '{close}'?")


def _problems_of_all(matrix: Mapping[str, JsonValue]) -> Iterator[InputProblem]:
    """Find what is wrong with a matrix of sound parts."""
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
        hint = "remove an item of it, or the whole job"
        yield InputProblem((EXCLUDE,), message, hint, at_key=True)


def _all_excluded(
    axes: Mapping[str, Sequence[JsonValue]], excludes: Sequence[Mapping[str, JsonValue]]
) -> bool:
    """Look only where a combination is least likely to be excluded.

    An axis with a value that no exclude names needs no other value: whatever hits that one, hits
    all of them. So the product is small unless the excludes themselves are very many.
    """
    patterns = [{axis: same_key(value) for axis, value in entry.items()} for entry in excludes]
    telling: list[Iterable[tuple[str, str]]] = []
    for axis, choices in axes.items():
        named = {pattern[axis] for pattern in patterns if axis in pattern}
        keys = [same_key(value) for value in choices]
        free = next((key for key in keys if key not in named), None)
        telling.append([(axis, key) for key in (keys if free is None else [free])])
    return all(
        any(pattern.items() <= frozenset(combination) for pattern in patterns)
        for combination in product(*telling)
    )
