"""Attempts become figures of a night, and figures become coordinates."""

from __future__ import annotations

from datetime import UTC
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.report.night import BINS, Moments, Night, Period, in_flight, merge_spans, night_of
from batchgen.report.plots import LEFT, RIGHT, WIDTH, latency_ranges, time_plots
from batchgen.state.report_queries import AttemptTimes

HOUR = 3600.0
EVENING = 1_760_000_400.0  # 09:00 UTC
T2I = "bytedance/dreamina-4-0/text-to-image"


def sent(at: float, took: float, outcome: str | None = "succeeded") -> AttemptTimes:
    end = None if outcome is None else at + took
    came = at + took if outcome == "succeeded" else None
    return AttemptTimes(T2I, at, at, end, outcome, 0.5 if came else None, came)


def night_with(*attempts: AttemptTimes) -> Night:
    ordered = sorted(attempts, key=lambda one: one.submitted_at)
    night = night_of(lambda: ordered)
    assert night is not None
    return night


def two_evenings() -> Night:
    first = [sent(EVENING + 10 * n, 100.0) for n in range(90)]
    second = [sent(EVENING + 10 * HOUR, 50.0), sent(EVENING + 10 * HOUR, 50.0, "failed")]
    throttled = [sent(EVENING + 10 * HOUR + 10, 1.0, "throttled")]
    return night_with(*first, *second, *throttled)


def test_nothing_sent_is_no_night() -> None:
    assert night_of(list) is None


def test_the_hours_between_two_evenings_are_cut_out() -> None:
    night = two_evenings()
    assert [one.begin for one in night.periods] == [EVENING, EVENING + 10 * HOUR]
    assert night.seconds == pytest.approx(990 + 50)
    plots = time_plots(night, 100, UTC)
    assert [cut.label for cut in plots.cuts] == ["10 h later"]
    assert plots.ticks[0].label == "09:00"
    assert all(LEFT <= tick.at <= WIDTH - RIGHT for tick in plots.ticks)


def test_every_ending_is_counted_once_and_all_money_is_in_the_last_bin() -> None:
    night = two_evenings()
    assert (sum(night.done), sum(night.failed), sum(night.throttled)) == (91, 1, 1)
    assert night.spent[-1] == pytest.approx(91 * 0.5)
    assert list(night.spent) == sorted(night.spent)


def test_failed_and_throttled_of_one_moment_do_not_hide_each_other() -> None:
    night = night_with(sent(EVENING, 10, "failed"), sent(EVENING, 10, "throttled"))
    plots = time_plots(night, 100, UTC)
    (failed,), (throttled,) = plots.failed, plots.throttled
    assert throttled.y >= failed.y + failed.height
    assert failed.title.endswith("1 failed")


def test_an_open_attempt_is_in_flight_until_the_last_thing_that_happened() -> None:
    night = night_with(sent(EVENING, 0, None), sent(EVENING, 100))
    assert night.in_flight == pytest.approx((2.0,) * BINS)


def test_latency_has_a_median_quantiles_and_extremes() -> None:
    night = night_with(*(sent(EVENING, float(took)) for took in range(1, 101)))
    (one,) = night.latencies
    assert (one.requests, one.fastest, one.median, one.slowest) == (100, 1, 50, 100)
    (shown,) = latency_ranges(night.latencies, 200)
    assert (shown.alias, shown.median, shown.thin) == ("t2i", 100.0, (2.0, 200.0))


@given(
    st.lists(
        st.tuples(st.floats(0, 5000), st.floats(0, 5000)).map(lambda two: (min(two), max(two))),
        min_size=1,
        max_size=30,
    )
)
def test_the_area_under_the_line_is_the_time_spent_in_flight(
    flights: list[tuple[float, float]],
) -> None:
    edges = [5000 * number / 50 for number in range(51)]
    begun, landed = Moments(edges), Moments(edges)
    for begin, end in flights:
        begun.add(begin)
        landed.add(end)
    area = sum(in_flight(begun, landed, edges)) * 100
    assert area == pytest.approx(sum(end - begin for begin, end in flights), abs=0.01)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e4)), max_size=40))
def test_stretches_hold_every_span_and_do_not_meet(spans: list[tuple[float, float]]) -> None:
    both = [(begin, begin + took) for begin, took in spans]
    found = merge_spans(sorted(both))
    assert all(any(s.begin <= b and e <= s.end for s in found) for b, e in both)
    assert all(one.end < two.begin for one, two in pairwise(found))
    assert all(isinstance(one, Period) for one in found)
