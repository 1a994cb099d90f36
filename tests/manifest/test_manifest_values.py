"""YAML values and their places."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from batchgen.manifest.parsing.composer import Composer
from batchgen.manifest.parsing.events import YamlEvents
from batchgen.manifest.parsing.nodes import Node, Place, place_of


def compose(text: str) -> tuple[Node, list[str]]:
    found: list[str] = []

    def report(place: Place, message: str, _: str | None = None) -> None:
        found.append(f"{place.line}:{place.column} {message}")

    reader = Composer(YamlEvents(io.BytesIO(text.encode())), report)
    reader.next_event()
    reader.next_event()
    return reader.compose(), found


def value_of(text: str) -> Any:
    node, found = compose(text)
    assert not found
    return node.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        ("~", None),
        ("", None),
        ("Null", None),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("nUll", "nUll"),
        ("12:30", "12:30"),
        ("2026-11-21", "2026-11-21"),
        ("1_000", "1_000"),
        ("2048x2048", "2048x2048"),
        ("0", 0),
        ("-12", -12),
        ("+7", 7),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1e-3", 0.001),
        ("1.", 1.0),
        (".5", 0.5),
        ("-1.5E+2", -150.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        (".", "."),
        ("-", "-"),
        ("1.2.3", "1.2.3"),
        ("+", "+"),
        ("0b1", "0b1"),
        ("=", "="),
        ("'true'", "true"),
        ('"12"', "12"),
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("!!int 12", 12),
        ("!!float 1", 1.0),
        ("!!bool true", True),
        ("!!null ~", None),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_scalars_are_those_of_the_core_schema(text: str, value: object) -> None:
    read_value = value_of(f"a: {text}" if text != "-" else "['-']")
    found = read_value["a"] if isinstance(read_value, dict) else read_value[0]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_is_a_number_to_yaml() -> None:
    assert math.isnan(value_of("a: .NaN")["a"])


core_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False)
    | st.text("abc äé😀'\"#:-,[]{}&*!|>%@` \n", max_size=30)
)


documents = st.recursive(
    core_scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcdefg", min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(documents)
def test_what_yaml_writes_is_read_back_the_same(value: object) -> None:
    text = yaml.safe_dump({"a": value}, allow_unicode=True)
    assert value_of(text) == yaml.safe_load(text) == {"a": value}


def test_places_are_exact_to_the_column() -> None:
    node, _ = compose('a:\n  - "é😀": [1, {k: v}]\n    b: |\n      text\nc: d\n')
    assert place_of(node, ("a", 0, "é😀")) == (2, 11)
    assert place_of(node, ("a", 0, "é😀"), at_key=True) == (2, 5)
    assert place_of(node, ("a", 0, "é😀", 1, "k")) == (2, 19)
    assert place_of(node, ("a", 0, "b")) == (3, 8)
    assert place_of(node, ("c",)) == (5, 4)


def test_the_place_of_a_missing_key_is_the_key_that_should_hold_it() -> None:
    node, _ = compose("job:\n  input:\n    scale: 1\n")
    assert place_of(node, ("job", "input", "prompt")) == (2, 3)
    assert place_of(node, ("nothing",)) == (1, 1)


def test_aliases_and_merge_keys_are_followed() -> None:
    text = "x: &a {p: 1, q: 2}\ny: &b {q: 3, r: 4}\nz: {<<: [*a, *b], p: 0}\nw: *a\n<<: *b\n"
    value = value_of(text)
    assert value["z"] == {"p": 0, "q": 2, "r": 4}
    assert value["w"] == {"p": 1, "q": 2}
    assert (value["q"], value["r"]) == (3, 4)


def test_a_merged_value_has_the_place_where_it_is_written() -> None:
    node, _ = compose("x: &a {p: 1}\ny: {<<: *a}\n")
    assert place_of(node, ("y", "p")) == (1, 11)


def test_an_anchor_may_be_defined_again() -> None:
    assert value_of("[&a 1, *a, &a 2, *a]") == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3", "3:1 duplicate key 'a': lines 1 and 3"),
        ("{a: {<<: {}, <<: {}}}", "1:14 duplicate key '<<': lines 1 and 1"),
        ("a: !foo x", "1:4 the tag !foo is not supported"),
        (
            "a: !!python/object/apply:os.system ['x']",
            "1:4 the tag !!python/object/apply:os.system is not supported",
        ),
        ("a: !!binary eA==", "1:4 the tag !!binary is not supported"),
        ("a: !!set {x}", "1:4 the tag !!set is not supported"),
        ("a: !!int x", "1:4 this does not fit its tag !!int"),
        ("a: !!int true", "1:4 this does not fit its tag !!int"),
        ("a: &x [*x]", "1:8 *x is inside its own anchor &x"),
        ("a: *x", "1:4 *x has no anchor &x"),
        ("? [a]\n: b", "1:3 a key must be plain text"),
        ("a: {<<: 3}", "1:9 '<<' merges only mappings"),
        ('a: "\\0"', "1:4 a NUL character is escaped in this text"),
        ("a: " + "9" * 1001, "1:4 this number has 1001 characters"),
        ("a: " + "1" * 1001 + ".5", "1:4 this number has 1003 characters"),
    ],
)
def test_what_can_be_read_past_is_reported_at_its_place(text: str, problem: str) -> None:
    """Row 7."""
    _, found = compose(text)
    assert found[0] == problem
