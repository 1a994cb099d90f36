"""Retry-After in all its spellings (row 30)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.net import LONGEST_WAIT, retry_after

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "-30"}, 0.0),
        ({"Retry-After": "99999999999"}, 300.0),
        ({"Retry-After": "inf"}, 300.0),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Sat, 21 Nov 2026 12:00:20 GMT"}, 20.0),
        ({"Retry-After": "Sat, 21 Nov 2026 12:00:20 -0000"}, 20.0),
        ({"Retry-After": "Sat, 21 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"Retry-After": "Sat, 21 Nov 2099 12:00:00 GMT"}, 300.0),
        ({"Retry-After": "Sat, 99 Nov 2026 12:00:00 GMT"}, None),
        (
            {
                "Retry-After": "Sat, 21 Nov 2020 10:00:09 GMT",
                "Date": "Sat, 21 Nov 2020 10:00:00 GMT",
            },
            9.0,
        ),
    ],
)
def test_row_30_the_wait_is_read_and_clamped(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers, NOON) == seconds


@given(st.text(), st.text())
def test_row_30_any_text_gives_a_sane_wait_or_none(when: str, date: str) -> None:
    seconds = retry_after({"Retry-After": when, "Date": date}, NOON)
    assert seconds is None or 0 <= seconds <= LONGEST_WAIT
