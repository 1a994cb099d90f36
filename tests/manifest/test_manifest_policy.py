"""Rates and durations."""

from __future__ import annotations

import pytest

from batchgen.errors import InputError
from batchgen.manifest.units import parse_duration, parse_rate


@pytest.mark.parametrize(
    ("text", "interval"), [("60/min", 1.0), ("2/s", 0.5), ("1000/h", 3.6), (" 10 / day ", 8640.0)]
)
def test_a_rate_is_a_count_in_a_time(text: str, interval: float) -> None:
    assert parse_rate(text).interval == interval


@pytest.mark.parametrize(
    "text", ["", "60", "0/s", "-1/s", "1.5/s", "60/week", "/s", "9999999999/s"]
)
def test_other_rates_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="a rate looks like 60/min, 2/s or 1000/h"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("15m", 900.0),
        ("15min", 900.0),
        ("1h30m", 5400.0),
        ("2d", 172800.0),
        ("1.5s", 1.5),
        ("45", 45.0),
        (45, 45.0),
        (0.5, 0.5),
        ("1h 5s", 3605.0),
    ],
)
def test_a_duration_is_given_in_seconds(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "x", "0s", "-5", -5, 0, "1m1h", "32d", "9" * 50, float("nan"), float("inf")]
)
def test_other_durations_are_refused(text: str | float) -> None:
    with pytest.raises(InputError, match="a duration looks like 90s, 15m or 1h30m, up to 31d"):
        parse_duration(text)
