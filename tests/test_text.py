"""Formats of text in messages."""

from __future__ import annotations

import pytest

from batchgen.text import format_duration, format_setting


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (8.24, "8.2 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min 00 s"),
        (60, "1 min 00 s"),
        (185.4, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7620, "2 h 07 min"),
    ],
)
def test_a_duration_is_shown_in_the_units_that_matter(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1.5, "1.5 s"),
        (90, "1 min 30 s"),
        (5400, "1 h 30 min"),
        (28_800, "8 h"),
        (86_401, "24 h 1 s"),
    ],
)
def test_a_duration_that_was_set_is_shown_as_it_was_set(seconds: float, words: str) -> None:
    assert format_setting(seconds) == words
