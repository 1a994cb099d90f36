"""Rendered values become what the model's schema asks for."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.manifest.templates.typed import coerce, typed
from batchgen.models.catalog import bundled
from batchgen.models.validator import build_validator
from tests.manifest.manifest_reading import T2I, VIDEO


@pytest.mark.parametrize(
    ("kind", "given_value", "wanted"),
    [
        ("float", "0.5", 0.5),
        ("float", " 1e-3\n", 0.001),
        ("number", "121", 121),
        ("integer", "121", 121),
        ("integer", "-5", -5),
        ("integer", "121.0", 121),
        ("integer", 121.0, 121),
        ("boolean", "true", True),
        ("boolean", "False", False),
        ("string", 1920, "1920"),
        ("string", 0.5, "0.5"),
        ("string", True, "true"),
        (["integer", "null"], "5", 5),
    ],
)
def test_a_value_becomes_what_the_schema_asks_for(
    kind: Any, given_value: Any, wanted: object
) -> None:
    made = typed({"type": kind}, given_value)
    assert (made, type(made)) == (wanted, type(wanted))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("float", "half"),
        ("float", ""),
        ("float", ".nan"),
        ("float", "1" * 2000),
        ("float", True),
        ("integer", "121.5"),
        ("integer", "1e300"),
        ("integer", 121.5),
        ("integer", "true"),
        ("boolean", "1"),
        ("boolean", 1),
        ("boolean", "yes"),
        ("string", None),
        ("string", float("inf")),
        ("string", ["a"]),
        ("array", 5),
        (["integer", "string"], "5"),
        ("colour", "5"),
    ],
)
def test_ambiguous_values_are_left_to_the_validator(kind: Any, value: object) -> None:
    assert typed({"type": kind}, value) is value  # type: ignore[arg-type]


def test_one_text_becomes_a_list_where_a_list_is_wanted() -> None:
    urls = {"type": "array", "items": {"type": "string"}}
    assert typed(urls, "https://a.example/1.png") == ["https://a.example/1.png"]
    assert typed({"type": "array", "items": {"type": "integer"}}, ["1", 2, "x"]) == [1, 2, "x"]


@pytest.mark.parametrize(("value", "wanted"), [("121", 121), (241, 241), ("x", "x")])
def test_choices_give_the_type_where_the_schema_names_none(value: Any, wanted: object) -> None:
    assert typed({"enum": [121, 241]}, value) == wanted


def test_only_the_rendered_paths_are_converted() -> None:
    schema = bundled().models[VIDEO].schema
    row: dict[str, Any] = {
        "prompt": 7,
        "seed": "42",
        "frames": "121",
        "image_urls": "https://a.example/1.png",
    }
    before = deepcopy(row)
    assert coerce(schema, dict(row), [("prompt",), ("seed",), ("image_urls",)]) == {
        "prompt": "7",
        "seed": 42,
        "frames": "121",
        "image_urls": ["https://a.example/1.png"],
    }
    assert row == before


def test_a_path_into_a_list_converts_that_item_and_copies_the_list() -> None:
    schema = bundled().models[VIDEO].schema
    row: dict[str, Any] = {"image_urls": [1, 2]}
    assert coerce(schema, row, [("image_urls", 1)]) == {"image_urls": [1, "2"]}
    assert row == {"image_urls": [1, 2]}


def test_keys_that_the_schema_does_not_have_or_that_were_left_out_stay_so() -> None:
    values: dict[str, Any] = {"size": "1024x1024", "deep": {"er": 5}}
    paths = [("size",), ("scale",), ("deep", "er"), ("size", 0)]
    assert coerce(bundled().models[T2I].schema, values, paths) is values


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_VALUES = _SCALARS | st.sampled_from(["1", "0.5", "true", "7.0", "1e3"]) | st.lists(_SCALARS)
_KINDS = st.sampled_from(
    ["string", "integer", "float", "number", "boolean", "array", "object", "null"]
)
_PARTS = st.builds(lambda kind: {"type": kind}, _KINDS | st.lists(_KINDS, min_size=1, max_size=3))
_CHOICES = st.builds(lambda choices: {"enum": choices}, st.lists(_SCALARS, min_size=1, max_size=3))
_SCHEMAS = (
    _PARTS
    | _CHOICES
    | st.builds(lambda items: {"type": "array", "items": items}, _PARTS | _CHOICES)
)


@given(schema=_SCHEMAS, value=_VALUES)
def test_a_value_that_is_fit_already_is_returned_itself(schema: Any, value: Any) -> None:
    if build_validator(schema).is_valid(value):
        assert typed(schema, value) is value


@given(schema=_SCHEMAS, value=_VALUES)
def test_converting_twice_changes_nothing_more(schema: Any, value: Any) -> None:
    once = typed(schema, value)
    assert typed(schema, once) is once
