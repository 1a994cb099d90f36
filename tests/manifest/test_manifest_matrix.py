"""Sweeps over axes: the combinations, their names, and what is refused."""

from __future__ import annotations

from itertools import islice, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.manifest.matrix import Matrix, axis_names, matrix_problems, suffix

Values = dict[str, Any]


def values_of(matrix: Values) -> list[Values]:
    return [dict(cell.values) for cell in Matrix(matrix).combinations()]


def numbers_of(matrix: Values) -> list[int]:
    return [cell.number for cell in Matrix(matrix).combinations()]


def problems(matrix: Values) -> list[tuple[Any, ...]]:
    return [(*one.path, one.message) for one in matrix_problems(matrix)]


def hints(matrix: Values) -> list[str | None]:
    return [one.hint for one in matrix_problems(matrix)]


def test_the_last_axis_changes_fastest() -> None:
    assert values_of({"version": [10, 12], "os": ["linux", "mac"]}) == [
        {"version": 10, "os": "linux"},
        {"version": 10, "os": "mac"},
        {"version": 12, "os": "linux"},
        {"version": 12, "os": "mac"},
    ]


def test_includes_work_as_in_the_example_of_github() -> None:
    matrix: Values = {
        "fruit": ["apple", "pear"],
        "animal": ["cat", "dog"],
        "include": [
            {"color": "green"},
            {"color": "pink", "animal": "cat"},
            {"fruit": "apple", "shape": "circle"},
            {"fruit": "banana"},
            {"fruit": "banana", "animal": "cat"},
        ],
    }
    assert matrix_problems(matrix) == []
    assert values_of(matrix) == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]


def test_an_exclude_removes_all_that_has_its_values_and_renumbers_nothing() -> None:
    axes: Values = {"os": ["mac", "win"], "version": [12, 14, 16], "env": ["test", "live"]}
    excludes = [{"os": "mac", "version": 12, "env": "live"}, {"os": "win", "version": 16}]
    whole = {cell.number: cell.values for cell in Matrix(axes).combinations()}
    left = {
        cell.number: cell.values for cell in Matrix(axes | {"exclude": excludes}).combinations()
    }
    assert whole.keys() - left.keys() == {2, 11, 12}
    assert all(whole[number] == values for number, values in left.items())


def test_an_include_brings_back_an_excluded_combination_after_the_others() -> None:
    matrix: Values = {
        "hour": ["dawn", "dusk"],
        "exclude": [{"hour": "dawn"}],
        "include": [{"hour": "dusk", "light": "low"}, {"hour": "dawn", "light": "cold"}],
    }
    assert values_of(matrix) == [
        {"hour": "dusk", "light": "low"},
        {"hour": "dawn", "light": "cold"},
    ]
    # The number of an include does not depend on whether earlier ones were added.
    assert numbers_of(matrix) == [2, 4]
    assert Matrix(matrix).width == 4


def test_includes_alone_are_cells_and_their_keys_the_axes() -> None:
    matrix: Values = {"include": [{"hour": "dawn"}, {"hour": "dusk", "light": "low"}]}
    assert values_of(matrix) == matrix["include"]
    assert axis_names(matrix) == ("hour", "light")
    assert axis_names({"hour": ["dawn"], **matrix}) == ("hour",)


def test_a_number_is_not_the_text_that_looks_like_it() -> None:
    matrix: Values = {"n": [1, "1", True, 1.0], "exclude": [{"n": "1"}, {"n": True}]}
    assert matrix_problems(matrix) == []
    assert values_of(matrix) == [{"n": 1}, {"n": 1.0}]


def test_the_first_cell_of_ten_million_comes_at_once() -> None:
    matrix: Values = {"a": list(range(10_000)), "b": list(range(1000))}
    assert matrix_problems(matrix) == []
    assert Matrix(matrix).width == 10_000_000
    first = [dict(cell.values) for cell in islice(Matrix(matrix).combinations(), 2)]
    assert first == [{"a": 0, "b": 0}, {"a": 0, "b": 1}]


CHOICES = st.lists(st.sampled_from([1, 2, "x", True, None]), min_size=1, max_size=3, unique_by=repr)
AXES = st.dictionaries(st.sampled_from("abc"), CHOICES, min_size=1, max_size=3)
ENTRIES = st.lists(
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from([1, 2, "x", True, None]), min_size=1),
    max_size=4,
)


@given(AXES, ENTRIES, ENTRIES)
def test_cells_are_those_of_the_published_rules(
    axes: Values, includes: list[Values], excludes: list[Values]
) -> None:
    excludes = [entry for entry in excludes if "d" not in entry or len(entry) > 1]
    excludes = [{key: value for key, value in entry.items() if key in axes} for entry in excludes]
    excludes = [entry for entry in excludes if entry]
    given_matrix: Values = {**axes, "include": includes, "exclude": excludes}
    assert values_of(given_matrix) == by_the_rules(axes, includes, excludes)


def by_the_rules(axes: Values, includes: list[Values], excludes: list[Values]) -> list[Values]:
    """The rules, implemented literally and without regard to speed."""
    original = [dict(zip(axes, picks, strict=True)) for picks in product(*axes.values())]
    original = [one for one in original if not any(agrees(entry, one) for entry in excludes)]
    grown, own = [dict(one) for one in original], []
    for entry in includes:
        fits = [number for number, one in enumerate(original) if not overwrites(entry, one)]
        for number in fits:
            grown[number].update(entry)
        own += [] if fits else [entry]
    return grown + own


def agrees(entry: Values, combination: Values) -> bool:
    return all(repr(combination[key]) == repr(value) for key, value in entry.items())


def overwrites(entry: Values, combination: Values) -> bool:
    shared = entry.keys() & combination.keys()
    return any(repr(entry[key]) != repr(combination[key]) for key in shared)


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("dawn", "dawn"),
        ("v1.0_b-2", "v1.0_b-2"),
        (7, "7"),
        (-1, "-1"),
        (0.5, "0.5"),
        (True, "true"),
        (None, "null"),
        ({"id": "fox", "prompt": "a red fox"}, "fox"),
        ({"name": 3, "id": None}, "3"),
        ("A red fox in tall grass", "a-red-fox-in-d71a38"),
        ("Crème brûlée", "creme-brulee-2d9184"),
        ("霧の港", "ca7b80"),
        ("", "12ae32"),
        ("x" * 25, "xxxxxxxxxxxxxxxx-4533c7"),
        ([1, 2], "49a64717"),
        ({"prompt": "a"}, "732acbb3"),
        (10**30, "1000000000000000-fa72d4"),
    ],
)
def test_a_cell_is_called_by_its_value_for_ever(value: Any, word: str) -> None:
    assert suffix(["axis"], {"axis": value}) == word


def test_names_join_in_the_order_of_the_axes_and_a_repeat_adds_its_number() -> None:
    values: Values = {"hour": "dawn", "n": 2, "other": "x"}
    assert suffix(["n", "hour", "absent"], values) == "2-dawn"
    assert suffix(["n", "hour"], values, 1) == "2-dawn"
    assert suffix(["n", "hour"], values, 3) == "2-dawn-3"
    assert suffix([], values) == ""


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda part: st.lists(part) | st.dictionaries(st.text(), part),
    )
)
def test_any_value_has_a_short_name_that_is_the_same_each_time(value: Any) -> None:
    word = suffix(["axis"], {"axis": value})
    assert 1 <= len(word) <= 24
    assert set(word) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert word == suffix(["axis"], {"axis": value, "more": 1})


@given(st.text(min_size=25), st.text(min_size=25))
def test_long_texts_have_names_of_their_own(one: str, other: str) -> None:
    words = {suffix(["axis"], {"axis": text}) for text in (one, other)}
    assert len(words) == (1 if one == other else 2)


@pytest.mark.parametrize(
    ("matrix", "problem", "hint"),
    [
        ({"hour": "dawn"}, ("hour", "the axis 'hour' must be a list; got 'dawn'"), "[ … ]"),
        ({"hour": []}, ("hour", "the axis 'hour' is empty: there is nothing to combine"), "remove"),
        (
            {"hour": ["dawn", "dusk", "dawn"]},
            ("hour", 2, "the axis 'hour' has 'dawn' twice: items 1 and 3"),
            "repeat: 2",
        ),
        (
            {"jobs": [1]},
            ("jobs", "'jobs' has a special meaning in templates"),
            "choose another name",
        ),
        (
            {"my-axis": [1]},
            ("my-axis", "'my-axis' cannot be the name of a variable"),
            "letters, digits and _",
        ),
        (
            {"a": [1], "include": {"a": 2}},
            ("include", "include must be a list of mappings; got a mapping"),
            "write",
        ),
        (
            {"a": [1], "exclude": [1]},
            ("exclude", 0, "item 1 of exclude must be a mapping; got 1"),
            "axis: value",
        ),
        ({"a": [1], "exclude": [{}]}, ("exclude", 0, "item 1 of exclude is empty"), "name an axis"),
        (
            {"a": [1], "include": [{"env": 1}]},
            ("include", 0, "env", "'env' has a special meaning in templates"),
            "another name",
        ),
        (
            {"hour": ["dawn"], "exclude": [{"huor": "dawn"}]},
            ("exclude", 0, "huor", "exclude names 'huor', which is not an axis of this matrix"),
            "did you mean 'hour'?",
        ),
        (
            {"hour": ["dawn", "dusk"], "exclude": [{"hour": "down"}]},
            ("exclude", 0, "hour", "this excludes nothing: the axis 'hour' has no 'down'"),
            "did you mean 'dawn'?",
        ),
        (
            {"a": [1, 2], "b": [1, 2], "exclude": [{"a": 1}, {"a": 2, "b": 1}, {"b": 2}]},
            ("exclude", "exclude leaves no combination: there is nothing to do"),
            "remove",
        ),
        ({"include": []}, ("the matrix has no axis",), "hour: [dawn, dusk]"),
        (
            {"a": list(range(4000)), "b": list(range(4000))},
            ("the matrix has 16,000,000 combinations; at most 10,000,000 are allowed",),
            "from",
        ),
    ],
)
def test_a_wrong_matrix_is_refused_at_its_place_with_a_hint(
    matrix: Values, problem: tuple[Any, ...], hint: str
) -> None:
    assert problems(matrix) == [problem]
    assert hint in (hints(matrix)[0] or "")


def test_all_problems_are_reported_at_once() -> None:
    matrix = {
        "hour": [],
        "row": [1],
        "n": [2, 2],
        "include": [7],
        "exclude": [3, {"n": 4}, {"x": 1}],
    }
    assert [path[:-1] for path in problems(matrix)] == [
        ("hour",),
        ("row",),
        ("n", 1),
        ("include", 0),
        ("exclude", 0),
        ("exclude", 1, "n"),
        ("exclude", 2, "x"),
    ]


@given(AXES, ENTRIES)
def test_everything_excluded_is_found_without_trying_everything(
    axes: Values, excludes: list[Values]
) -> None:
    known = {axis: [repr(one) for one in choices] for axis, choices in axes.items()}
    sound = [
        entry
        for entry in excludes
        if all(repr(value) in known.get(axis, ()) for axis, value in entry.items())
    ]
    left = by_the_rules(axes, [], sound)
    matrix: Values = {**axes, "exclude": sound}
    reported = any("no combination" in one.message for one in matrix_problems(matrix))
    assert reported is (not left)
