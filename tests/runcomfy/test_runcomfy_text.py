"""Foreign text is safe to show (row 75)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.text import plain_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("prompt too long", "prompt too long"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;your title\x07done", "done"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jgone", "gone"),
        ("two\r\nlines\tand a tab", "two lines and a tab"),
        ("a\x00b\x7fc", "a b c"),
        ("right\u202eto left", "right to left"),
        ("lone \ud800 half", "lone half"),
        ("Zu groß: 801 Zeichen 画像", "Zu groß: 801 Zeichen 画像"),
    ],
)
def test_row_75_escape_sequences_and_control_characters_are_removed(text: str, shown: str) -> None:
    assert plain_text(text) == shown


def test_a_long_text_is_cut_with_a_mark() -> None:
    assert plain_text("x" * 1000, 10) == "xxxxxxxxx…"


@given(st.text(), st.integers(min_value=1, max_value=50))
def test_any_text_becomes_one_printable_line_within_its_limit(text: str, limit: int) -> None:
    shown = plain_text(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    shown.encode()
