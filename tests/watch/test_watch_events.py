"""The place that a page says it has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.watch.events import Place, parse_place


@given(st.from_regex(r"[0-9a-f]{12}", fullmatch=True), st.integers(0, 999_999_999))
def test_a_place_is_read_as_it_was_written(instance: str, moment: int) -> None:
    assert parse_place(str(Place(instance, moment))) == Place(instance, moment)


@pytest.mark.parametrize(
    "text", ["", "abc", "abc-", "-", "abc--1", "abc-1.5", "abc-9999999999", "a-²"]
)
def test_what_no_page_of_ours_says_is_no_place(text: str) -> None:
    assert parse_place(text) is None
