"""How long the work takes, as far as it was seen, and when it pays to look. Without a loop."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.engine.auto_concurrency import SPARES
from batchgen.engine.polling import (
    CHEAPEST,
    DEAREST,
    LONGEST,
    LONGEST_FIRST,
    MOST_SPARES,
    POLITE,
    PROVEN_BY,
    SHORTEST,
    PollPrice,
)
from batchgen.engine.service_times import ENOUGH, REMEMBERED, ServiceTimes


def looks(times: ServiceTimes, duration: float, price: float) -> list[float]:
    """The ages at which a request of this duration is looked at; the last one sees its end."""
    ages = [0.0]
    while ages[-1] < duration:
        ages.append(ages[-1] + max(SHORTEST, times.wait(ages[-1], price, LONGEST)))
    return ages[1:]


def learnt(durations: list[float]) -> ServiceTimes:
    times = ServiceTimes()
    for duration in durations:
        times.learn(duration, duration)
    return times


def spread_around(median: float, seed: int = 1) -> list[float]:
    dice = Random(seed)
    return [median * dice.lognormvariate(0.0, 0.35) for _ in range(REMEMBERED)]


def test_nothing_is_known_before_some_have_ended() -> None:
    assert not learnt([20.0] * (ENOUGH - 1)).known
    assert learnt([20.0] * ENOUGH).known


def test_the_mean_is_that_of_what_was_seen() -> None:
    assert learnt(spread_around(20.0)).mean == pytest.approx(21.3, rel=0.15)


def test_between_two_looks_a_place_is_idle_for_about_the_price() -> None:
    """Counted, not calculated: over many requests that end as they usually do."""
    times, dice = learnt(spread_around(20.0)), Random(2)
    late = []
    for _ in range(2000):
        duration = 20.0 * dice.lognormvariate(0.0, 0.35)
        ages = looks(times, duration, 0.3)
        late.append((ages[-1] - duration, len(ages)))
    idle = sum(one for one, _ in late) / sum(count for _, count in late)
    assert idle == pytest.approx(0.3, rel=0.25)


def test_a_dearer_poll_is_a_rarer_one() -> None:
    times = learnt(spread_around(20.0))
    counts = [len(looks(times, 20.0, price)) for price in (0.03, 0.1, 0.3, 1.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] <= 3


@given(st.floats(0.2, 3600.0), st.floats(0.0, 7200.0), st.floats(0.001, 100.0))
def test_a_look_is_neither_before_now_nor_later_than_the_longest(
    median: float, age: float, price: float
) -> None:
    wait = learnt(spread_around(median)).wait(age, price, LONGEST)
    assert 0.0 < wait <= LONGEST


@given(st.floats(0.5, 600.0))
def test_how_many_looks_a_request_takes_does_not_depend_on_its_length(median: float) -> None:
    times = learnt(spread_around(median))
    first = times.wait(0.0, CHEAPEST * times.mean, LONGEST_FIRST)
    looked = looks(times, median, CHEAPEST * times.mean)
    assert len(looked) <= 10 + median / LONGEST
    assert first > 0.2 * min(median, LONGEST_FIRST)


@given(st.floats(1.0, 1200.0), st.floats(0.5, 1200.0))
def test_any_change_of_the_time_is_learnt(once: float, now: float) -> None:
    """Also from first looks that come long after the end: by half each time."""
    times = learnt([once] * REMEMBERED)
    late = 0.0
    for _ in range(3 * REMEMBERED):
        ages = looks(times, now, CHEAPEST * times.mean)
        working = ([0.0, *ages])[-2]
        late = ages[-1] - now
        times.learn(working, ages[-1])
    assert late <= max(1.2 * SHORTEST, 0.3 * now)


def test_after_a_cold_start_the_first_look_is_soon_in_time_again() -> None:
    times = learnt([80.0] * REMEMBERED)
    lates = []
    for _ in range(10):
        ages = looks(times, 20.0, CHEAPEST * times.mean)
        lates.append(ages[-1] - 20.0)
        times.learn(([0.0, *ages])[-2], ages[-1])
    assert max(lates) <= LONGEST
    assert lates[-1] < 6.0


def test_polls_get_dearer_where_they_become_many_until_the_api_has_answered_more() -> None:
    price = PollPrice()
    for number in range(60):
        price.polled(number / 4, refused=False)
    dear = price.price(15.0, 100, 0)
    assert CHEAPEST < dear <= DEAREST
    for number in range(60, 60 + 5 * PROVEN_BY):
        price.polled(number / 4, refused=False)
    now = (60 + 5 * PROVEN_BY) / 4
    assert price.price(now, 100, 0) == CHEAPEST
    assert price.price(now, int(POLITE), 0) > CHEAPEST
    price.polled(now, refused=True)
    assert price.price(now, 100, 0) > CHEAPEST


def test_polls_are_dear_where_the_vendors_queue_has_the_next_request() -> None:
    assert PollPrice().price(0.0, 10, SPARES) == DEAREST


def test_polls_are_dearer_the_more_wait_but_not_without_end() -> None:
    price = PollPrice()
    assert price.price(0.0, 10, SPARES + 1) == 2 * DEAREST
    assert price.price(0.0, 10, 50) == MOST_SPARES * DEAREST


def test_few_spare_requests_make_no_poll_dearer() -> None:
    assert PollPrice().price(0.0, 10, 0) == CHEAPEST
