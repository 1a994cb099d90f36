"""Limiters, turns, polling, back-off, breakers, budget: arithmetic, without a loop."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.engine import polling
from batchgen.engine.backoff import delay
from batchgen.engine.budget import Budget
from batchgen.engine.ceilings import FIRST_PROBE, USUAL, FoundCeiling, Ramp
from batchgen.engine.fair_scheduling import Head, Start, Wait, next_turn
from batchgen.engine.health import OutageBreaker, ThrottleBreaker, UnknownBreaker
from batchgen.engine.limits import LEAD, LONGEST_SHUT, RateLimiter, claim_sending, take
from batchgen.engine.polling import next_poll


def test_starts_are_never_closer_than_the_interval_and_idle_time_earns_no_burst() -> None:
    """Row 61."""
    limiter = RateLimiter(100, interval=2.0)
    now, starts = 0.0, []
    for now in (0.0, 5000.0, 5000.0, 5000.0):
        opens_at = limiter.opens_at(now)
        assert opens_at is not None
        limiter.enter(opens_at)
        starts.append(opens_at)
    assert starts == [0.0, 5000.0, 5002.0, 5004.0]


def test_a_full_limiter_does_not_open_until_a_place_is_free() -> None:
    limiter = RateLimiter(2)
    limiter.enter(0.0)
    limiter.enter(0.0)
    assert limiter.opens_at(10.0) is None
    limiter.leave()
    assert limiter.opens_at(10.0) == 10.0


def throttled(ceiling: FoundCeiling, vendors: int, until: float, now: float = 0.0) -> list[float]:
    """Fill it up all the time under a vendor's limit; the times of the 429s. No end is late."""
    refusals, in_flight = list[float](), 0
    while now < until:
        if in_flight >= int(min(64.0, ceiling.value)):
            in_flight -= 1
        elif in_flight < vendors:
            in_flight += 1
            ceiling.accepted(in_flight, now)
        else:
            refusals.append(now)
            ceiling.refused(in_flight, now)
            in_flight -= 1
        now += 0.1
    return refusals


def test_a_429_makes_what_was_in_flight_the_ceiling() -> None:
    limiter = RateLimiter(16)
    for _ in range(8):
        limiter.enter(0.0)
        limiter.accept(0.0)
    limiter.enter(0.0)
    limiter.refuse(0.0, 0.0)
    assert limiter.ceiling == 8


def test_what_is_accepted_after_a_429_that_was_quicker_counts_as_well() -> None:
    ceiling = FoundCeiling()
    for accepted in range(1, 6):
        ceiling.accepted(accepted, 0.0)
    ceiling.refused(5, 0.0)
    for accepted in (6, 7, 8):
        ceiling.accepted(accepted, 0.1)
    assert ceiling.value == 8


def test_one_429_takes_half_at_most() -> None:
    """It may come for the rate, when hardly anything is in flight."""
    ceiling = FoundCeiling()
    ceiling.refused(0, 0.0)
    assert ceiling.value == inf
    ceiling.accepted(32, 0.0)
    ceiling.refused(1, 0.0)
    assert ceiling.value == 16
    ceiling.refused(1, 0.0)
    assert ceiling.value == 8


def test_above_a_found_ceiling_one_more_is_tried_ever_more_seldom() -> None:
    refusals = throttled(ceiling := FoundCeiling(), 8, 28_800.0)
    assert ceiling.value == 8
    gaps = [later - earlier for earlier, later in pairwise(refusals)]
    assert gaps[0] == pytest.approx(FIRST_PROBE, abs=1.0)
    assert gaps[-1] == pytest.approx(USUAL[1], abs=1.0)
    assert all(later >= earlier - 1.0 for earlier, later in pairwise(gaps))
    assert len(refusals) < 60


def test_a_retry_after_makes_tries_more_seldom() -> None:
    ceiling = FoundCeiling()
    ceiling.accepted(8, 0.0)
    ceiling.refused(8, 0.0, asked=30.0)
    ceiling.accepted(8, 299.0)
    assert ceiling.value == 8
    ceiling.accepted(8, 300.0)
    assert ceiling.value == 9


@given(st.integers(2, 40), st.floats(0.0, 600.0))
def test_a_limit_that_fell_and_rose_again_is_found_again(before: int, fell_for: float) -> None:
    ceiling = FoundCeiling()
    throttled(ceiling, before, 100.0)
    low = max(1, before // 4)
    throttled(ceiling, low, 100.0 + fell_for, 100.0)
    back = 100.0 + fell_for
    # After so long at most there is a try, and what had worked before follows within seconds.
    throttled(ceiling, before, back + 2 * fell_for + 4 * FIRST_PROBE + 30.0, back)
    assert ceiling.value >= 0.9 * before


@given(
    st.lists(st.tuples(st.sampled_from(("accept", "refuse", "end", "pass")), st.floats(0.0, 40.0)))
)
def test_a_found_ceiling_is_never_below_one_nor_stuck(steps: list[tuple[str, float]]) -> None:
    ceiling, in_flight, now = FoundCeiling(), 0, 0.0
    for step, passed in steps:
        match step:
            case "accept" if in_flight < ceiling.value:
                in_flight += 1
                ceiling.accepted(in_flight, now)
            case "refuse":
                before = ceiling.value
                ceiling.refused(in_flight, now)
                assert ceiling.value == before or ceiling.value >= max(1, in_flight)
            case "end":
                in_flight = max(0, in_flight - 1)
            case _:
                now += passed
        assert ceiling.value >= 1


def test_a_limiter_never_closes_for_good() -> None:
    limiter = RateLimiter(3)
    for _ in range(10):
        limiter.refuse(0.0, 0.0)
    assert limiter.ceiling >= 1
    assert limiter.opens_at(0.0) == 0.0


def test_until_the_vendor_takes_so_many_only_half_as_many_more_are_sent() -> None:
    limiter, rounds = RateLimiter(64, ramp=Ramp()), list[int]()
    while limiter.opens_at(0.0) == 0.0:
        sent = []
        while limiter.opens_at(0.0) == 0.0:
            sent.append(take((limiter,), 0.0))
        for permit in sent:
            permit.accept(0.0)
        rounds.append(len(sent))
    assert rounds == [8, 4, 6, 9, 13, 20, 4]


def test_submits_that_are_answered_slowly_hold_no_others_back_for_long() -> None:
    limiter = RateLimiter(64, ramp=Ramp())
    for _ in range(8):
        take((limiter,), 1.0)
    assert limiter.opens_at(2.0) == 6.0
    assert limiter.opens_at(6.0) == 6.0


def test_a_permit_that_is_over_is_not_accepted_any_more() -> None:
    limiter = RateLimiter(2, ramp=Ramp())
    permit = take((limiter,), 0.0)
    permit.give_back()
    permit.accept(1.0)
    assert (limiter.in_flight, limiter.accepted) == (0, 0)


def test_a_model_with_nothing_in_flight_tries_the_place_that_another_one_frees() -> None:
    """Otherwise the other model would take each place while this one waits."""
    limiter = RateLimiter(8)
    limiter.back_off(10.0, 60.0)
    limiter.place_freed(10.2)
    assert limiter.opens_at(10.2) == 11.0
    limiter.shut(10.0, 30.0)
    assert limiter.opens_at(11.0) == 40.0


def test_no_server_shuts_a_limiter_for_longer_than_five_minutes() -> None:
    limiter = RateLimiter(1)
    limiter.shut(0.0, 1e9)
    limiter.shut(0.0, 1.0)
    assert limiter.opens_at(0.0) == LONGEST_SHUT


async def test_a_permit_is_given_back_to_every_limiter_however_the_block_ends() -> None:
    limiters = (RateLimiter(1), RateLimiter(2))

    async def work() -> None:
        async with take(limiters, 0.0):
            assert [limiter.in_flight for limiter in limiters] == [1, 1]
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        await work()
    assert [limiter.in_flight for limiter in limiters] == [0, 0]


LIMITS = st.lists(st.tuples(st.integers(1, 5), st.floats(0, 3)), min_size=1, max_size=5)


@given(LIMITS, st.integers(1, 8))
def test_every_model_with_work_gets_its_turn(
    limits: list[tuple[int, float]], concurrency: int
) -> None:
    """Requests take one second: no model waits longer than a round of the slowest."""
    limiters = [RateLimiter(limit, interval) for limit, interval in limits]
    overall, now, last = RateLimiter(concurrency), 0.0, -1
    started: list[list[float]] = [[] for _ in limiters]
    running: list[tuple[float, int]] = []
    for _ in range(400):
        turn = next_turn([Head(limiter) for limiter in limiters], overall, now, last)
        if isinstance(turn, Start):
            last = turn.index
            take((limiters[last], overall), now)
            started[last].append(now)
            running.append((now + 1.0, last))
            continue
        assert running or turn.until is not None
        now = min([end for end, _ in running] + ([] if turn.until is None else [turn.until]))
        for end, model in [one for one in running if one[0] <= now]:
            running.remove((end, model))
            limiters[model].leave()
            overall.leave()
    longest_round = max([1.0, *(interval for _, interval in limits)]) * len(limits)
    for times in started:
        assert times
        waits = [later - sooner for sooner, later in zip(times, [*times[1:], now], strict=True)]
        assert max(waits) <= longest_round + 1e-6


@given(LIMITS, st.integers(1, 8))
def test_no_job_waits_while_a_model_is_open(limits: list[tuple[int, float]], limit: int) -> None:
    limiters = [RateLimiter(*model) for model in limits]
    overall = RateLimiter(limit)
    for _ in range(30):
        turn = next_turn([Head(limiter) for limiter in limiters], overall, 0.0, -1)
        if isinstance(turn, Wait):
            full = overall.opens_at(0.0) is None
            assert full or all(limiter.opens_at(0.0) != 0.0 for limiter in limiters)
            return
        take((limiters[turn.index], overall), 0.0)


@given(st.data(), st.integers(1, 8))
def test_no_model_starts_while_an_open_one_has_a_smaller_share(
    data: st.DataObject, concurrency: int
) -> None:
    """So one with nothing in flight waits for one start of each other model at most."""
    count = data.draw(st.integers(2, 5))
    limiters = [RateLimiter(data.draw(st.integers(1, 9))) for _ in range(count)]
    overall, last, running = RateLimiter(concurrency), -1, list[int]()
    passed_over = [0] * count
    for _ in range(60):
        turn = next_turn([Head(limiter) for limiter in limiters], overall, 0.0, last)
        if isinstance(turn, Wait):
            ended = running.pop(data.draw(st.integers(0, len(running) - 1)))
            limiters[ended].leave()
            overall.leave()
            continue
        last = turn.index
        is_open = [limiter for limiter in limiters if limiter.opens_at(0.0) is not None]
        assert limiters[last].share == min(limiter.share for limiter in is_open)
        for index, limiter in enumerate(limiters):
            passed_over[index] = 0 if index == last or limiter.in_flight else passed_over[index] + 1
        assert max(passed_over) < count
        take((limiters[last], overall), 0.0)
        running.append(last)


def test_a_slow_model_neither_hogs_nor_starves() -> None:
    """Six places; a quick request is over in one second and a slow one in 30."""
    limiters, overall = [RateLimiter(6), RateLimiter(6)], RateLimiter(6)
    running, last, served = list[tuple[float, int]](), -1, [0, 0]
    for now in range(300):
        for end, index in [one for one in running if one[0] <= now]:
            running.remove((end, index))
            limiters[index].leave()
            overall.leave()
        heads = [Head(limiter) for limiter in limiters]
        while isinstance(turn := next_turn(heads, overall, float(now), last), Start):
            last = turn.index
            take((limiters[last], overall), float(now))
            served[last] += 1
            running.append((now + (1.0, 30.0)[last], last))
        assert [limiter.in_flight for limiter in limiters] == [3, 3]
    assert served == [900, 30]


def test_a_model_without_work_is_passed_over() -> None:
    limits = [None, Head(RateLimiter(1)), None]
    assert next_turn(limits, RateLimiter(4), 0.0, 0) == Start(1)
    assert next_turn([None, None], RateLimiter(4), 0.0, 0) == Wait(None)


def test_a_closed_model_waits_for_its_own_limiter_only() -> None:
    shut, overall = RateLimiter(1), RateLimiter(4)
    shut.shut(0.0, 30.0)
    assert next_turn([Head(shut), Head(RateLimiter(1))], overall, 0.0, 1) == Start(1)
    assert next_turn([Head(shut)], overall, 0.0, 0) == Wait(30.0)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=6), st.data())
def test_the_highest_open_priority_goes_first_and_equals_take_turns(
    limits: list[tuple[int, bool]], data: st.DataObject
) -> None:
    last = data.draw(st.integers(-1, len(limits) - 1))
    heads = [
        Head(RateLimiter(1, in_flight=0 if is_open else 1), priority)
        for priority, is_open in limits
    ]
    turn = next_turn(heads, RateLimiter(9), 0.0, last)
    highest = max((priority for priority, is_open in limits if is_open), default=None)
    if highest is None:
        assert turn == Wait(None)
        return
    equals = [index for index, model in enumerate(limits) if model == (highest, True)]
    after = [index for index in equals if index > last]
    assert turn == Start((after or equals)[0])


@given(st.floats(0, 1e6), st.none() | st.floats(0, 1e5), st.integers())
def test_a_poll_is_never_sooner_than_the_shortest_nor_later_than_a_minute(
    age: float, expected: float | None, seed: int
) -> None:
    wait = next_poll(age, expected, Random(seed))
    assert polling.SHORTEST <= wait <= polling.LONGEST_FIRST


def polls_of(duration: float, expected: float | None) -> tuple[int, float]:
    """How many polls until a request of this duration is seen ended, and how late that is."""
    dice, age, count = Random(1), 0.0, 0
    while age < duration:
        age += next_poll(age, expected, dice)
        count += 1
    return count, age - duration


def test_the_first_poll_comes_near_the_expected_end() -> None:
    assert next_poll(0.0, 40.0, Random(1)) == pytest.approx(36.0)
    assert polls_of(40.0, 40.0)[0] <= 3


@pytest.mark.parametrize(
    ("duration", "most"), [(0.1, 1), (1.0, 4), (10.0, 10), (60.0, 15), (600.0, 52), (3600.0, 255)]
)
def test_a_request_of_any_length_is_found_out_with_a_bounded_number_of_polls(
    duration: float, most: int
) -> None:
    count, late = polls_of(duration, None)
    assert count <= most
    assert late <= max(0.3, min(0.6 * duration, 1.1 * polling.LONGEST))


@given(st.floats(1.0, 3600.0))
def test_a_known_duration_costs_few_polls_and_little_time(duration: float) -> None:
    count, late = polls_of(duration, duration)
    assert count <= 4 + duration / polling.LONGEST_FIRST + duration / 120
    assert late <= max(0.5, 0.15 * duration)


@given(st.integers(1, 10_000), st.integers())
def test_back_off_grows_to_its_cap_and_half_of_it_is_chance(failures: int, seed: int) -> None:
    full = min(60.0, 2.0 ** min(failures - 1, 30))
    assert full / 2 <= delay(failures, Random(seed)) <= full


def test_five_unknown_outcomes_trip_only_within_a_minute() -> None:
    slow, fast = UnknownBreaker(), UnknownBreaker()
    assert not any(slow.trips(16.0 * number) for number in range(40))
    assert [fast.trips(10.0 * number) for number in range(5)] == [False] * 4 + [True]


def test_429_upon_429_trips_after_a_long_time_and_one_accepted_request_starts_it_anew() -> None:
    throttles = ThrottleBreaker()
    assert not any(throttles.trips(at) for at in range(0, 900, 10))
    throttles.reset()
    assert not any(throttles.trips(at) for at in range(900, 1800, 10))
    assert throttles.trips(1800)


def test_a_few_429_far_apart_do_not_trip() -> None:
    """Each was waited for as the vendor asked, and nothing says that the next is one more."""
    throttles = ThrottleBreaker()
    assert [throttles.trips(at) for at in (0, 300, 600, 900, 1200)] == [False] * 4 + [True]


def test_an_outage_trips_soon_before_the_first_contact_and_late_after_it() -> None:
    fresh, known = OutageBreaker(), OutageBreaker()
    assert [fresh.trips(at) for at in (0, 1, 3, 7, 15)] == [False] * 4 + [True]
    known.contact()
    assert not any(known.trips(at) for at in range(0, 900, 60))
    assert known.trips(900)
    known.contact()
    assert not known.trips(2000)


def end(budget: Budget, step: str, seq: int, cost: float) -> None:
    match step:
        case "settle":
            budget.settle(seq, cost)
        case "release":
            budget.release(seq)
        case _:
            budget.hold(seq)


@dataclass(frozen=True)
class Asked:
    """A request, as far as its price goes."""

    seq: int
    model: str = "model"
    body: str = "{}"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "release", "hold"]),
        st.integers(0, 5),
        st.floats(0, 1),
    )
)


@given(STEPS, st.floats(0, 5))
def test_what_is_committed_never_passes_the_limit(
    steps: list[tuple[str, int, float]], limit: float
) -> None:
    """The vendor charges at most the price."""
    budget, open_prices, spent = Budget(limit), dict[int, float](), 0.0
    for step, seq, share in steps:
        if step == "reserve" and seq not in open_prices and budget.reserve(Asked(seq), share):
            open_prices[seq] = share
        elif step != "reserve" and seq in open_prices:
            price = open_prices.pop(seq)
            spent += {"settle": price * share, "release": 0.0, "hold": price}[step]
            end(budget, step, seq, price * share)
        assert budget.committed <= limit + 1e-4
        assert budget.committed == pytest.approx(spent + sum(open_prices.values()))
    assert budget._reserved == open_prices


def test_an_unknown_cost_leaves_the_price_committed() -> None:
    budget = Budget(1.0)
    assert budget.reserve(Asked(1), 0.6)
    budget.settle(1, None)
    assert not budget.reserve(Asked(2), 0.6)
    assert budget.committed == 0.6


def test_an_unknown_price_does_not_fit_into_any_budget() -> None:
    assert not Budget(100.0).reserve(Asked(1), None)
    assert Budget(None).reserve(Asked(1), None)


def test_a_limit_that_comes_later_counts_what_is_in_flight_once() -> None:
    budget = Budget(None)
    for seq in (1, 2, 3):
        assert budget.reserve(Asked(seq), None)
    budget.settle(1, 0.3)
    budget.limit_to(1.0, lambda *_: 0.3)
    assert budget.committed == pytest.approx(0.9)
    assert not budget.reserve(Asked(4), 0.3)
    budget.limit_to(2.0, lambda *_: 0.3)
    assert budget.committed == pytest.approx(0.9)
    budget.settle(2, 0.1)
    budget.release(3)
    assert budget.committed == pytest.approx(0.4)


def test_posts_keep_their_distance_whatever_the_commits_before_them_took() -> None:
    model, overall = RateLimiter(8, 1.0), RateLimiter(8)
    permit = take((model, overall), 10.0)
    assert [claim_sending(permit, now) for now in (10.3, 11.0, 11.1, 20.0)] == [
        10.3,
        11.3,
        12.3,
        20.0,
    ]


def test_after_a_slow_commit_the_next_start_is_late_too() -> None:
    limiter = RateLimiter(8, 1.0)
    claim_sending(take((limiter,), 10.0), 15.0)
    assert limiter.opens_at(15.0) == pytest.approx(16.0 - LEAD)
