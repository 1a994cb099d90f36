"""How runs share a limit: never more than it, everybody in turn, nothing idle that is wanted."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchgen.state.fair_shares import Demand, Part, part_of, targets


def wanting(*wanted: int) -> dict[str, Demand]:
    return {chr(97 + turn): Demand(0, 0, one) for turn, one in enumerate(wanted)}


@pytest.mark.parametrize(
    ("limit", "wanted", "shared"),
    [
        (24, (24, 24, 24), (8, 8, 8)),
        (24, (2, 24, 24), (2, 11, 11)),
        (24, (2, 3, 24), (2, 3, 19)),
        (10, (5, 5, 5), (4, 3, 3)),
        (10, (1, 1, 1), (1, 1, 1)),
        (2, (5, 5, 5), (1, 1, 0)),
        (7, (0, 9), (0, 7)),
    ],
)
def test_who_wants_little_gets_it_and_the_others_share_the_rest(
    limit: int, wanted: tuple[int, ...], shared: tuple[int, ...]
) -> None:
    assert tuple(targets(limit, wanting(*wanted)).values()) == shared


def test_the_odd_one_stays_where_it_is() -> None:
    demands = {"a": Demand(3, 3, 9), "b": Demand(4, 4, 9), "c": Demand(3, 3, 9)}
    assert targets(10, demands) == {"a": 3, "b": 4, "c": 3}


def test_where_there_are_less_than_runs_the_one_that_waited_longest_is_next() -> None:
    demands = {"a": Demand(1, 1, 9, 20.0), "b": Demand(0, 0, 9, 10.0), "c": Demand(0, 0, 9, 5.0)}
    assert targets(1, demands) == {"a": 0, "b": 0, "c": 1}


def test_a_run_takes_only_what_is_free_and_gives_back_only_what_others_lack() -> None:
    demands = {"a": Demand(24, 20, 24), "b": Demand(0, 0, 24)}
    assert part_of("b", 24, demands) == Part(0, 0)
    assert part_of("a", 24, demands) == Part(24, 12)
    assert part_of("a", 24, {"a": Demand(24, 0, 0), "b": Demand(0, 0, 3)}) == Part(24, 21)
    assert part_of("a", 24, {"a": Demand(24, 0, 0), "b": Demand(0, 0, 0)}) == Part(24, 24)
    assert part_of("b", 24, {"a": Demand(14, 14, 24), "b": Demand(0, 0, 24)}) == Part(10, 10)


def test_what_rests_is_not_free() -> None:
    demands = {"a": Demand(2, 0, 2), "b": Demand(0, 0, 9)}
    assert part_of("b", 10, demands, resting=5) == Part(3, 3)


def test_a_lower_limit_is_given_back_though_nobody_lacks_anything() -> None:
    assert part_of("a", 4, {"a": Demand(10, 3, 10)}) == Part(10, 4)


def test_requests_of_an_earlier_run_count_though_nothing_was_reserved() -> None:
    demands = {"a": Demand(8, 8, 8), "b": Demand(0, 5, 8)}
    assert part_of("b", 8, demands) == Part(5, 0)
    assert part_of("a", 8, {**demands, "b": Demand(5, 5, 8)}) == Part(8, 3)


def test_nothing_starts_as_long_as_more_are_in_flight_than_the_limit() -> None:
    account = Account(6, {"a": Run(9, held=6, used=6, keep=6), "b": Run(9, used=6)})
    for name in ("a", "b", "a"):
        account.exchange(name)
    account.work("a", 6)
    account.exchange("a")
    account.work("a", 0)
    assert (account.runs["a"].used, account.runs["b"].used) == (0, 6)
    for _ in range(3):
        account.exchange("b")
        account.work("b", 3)
        account.exchange("a")
        account.work("a", 0)
        assert account.runs["a"].used + account.runs["b"].used <= 6
    assert (account.runs["a"].used, account.runs["b"].used) == (3, 3)


@dataclass
class Run:
    """As the engine: it lowers what it holds first, and reports that with its next exchange."""

    wants: int
    held: int = 0
    used: int = 0
    last_used: float = 0.0
    keep: int = 0

    def give_back(self) -> None:
        self.held = min(self.held, max(self.keep, self.used))


@dataclass
class Account:
    limit: int
    runs: dict[str, Run] = field(default_factory=dict)
    known: dict[str, Demand] = field(default_factory=dict)
    now: float = 0.0

    def exchange(self, name: str) -> None:
        run = self.runs[name]
        self.known[name] = Demand(run.held, run.used, run.wants, run.last_used)
        part = part_of(name, self.limit, self.known)
        run.held, run.keep = part.reserved, part.keep
        run.give_back()
        self.known[name] = Demand(part.reserved, run.used, run.wants, run.last_used)

    def work(self, name: str, ended: int) -> None:
        """Requests end, and others start in their places."""
        self.now += 1.0
        run = self.runs[name]
        run.used -= min(run.used, ended)
        run.give_back()
        if run.used < min(run.held, run.wants):
            run.used, run.last_used = min(run.held, run.wants), self.now

    def leave(self, name: str) -> None:
        del self.runs[name]
        self.known.pop(name, None)

    def settle(self) -> None:
        for _ in range(4):
            for name in self.runs:
                self.exchange(name)
                self.work(name, 0)


NAMES = st.sampled_from("abcdef")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("want"), NAMES, st.integers(0, 40)),
        st.tuples(st.just("exchange"), NAMES, st.just(0)),
        st.tuples(st.just("work"), NAMES, st.integers(0, 40)),
        st.tuples(st.just("leave"), NAMES, st.just(0)),
    ),
    max_size=80,
)


@given(st.integers(1, 30), STEPS)
def test_whoever_comes_goes_or_dies_the_sum_is_never_above_the_limit(
    limit: int, steps: list[tuple[str, str, int]]
) -> None:
    account = Account(limit)
    for step, name, number in steps:
        if step == "want":
            account.runs.setdefault(name, Run(0)).wants = number
        elif name in account.runs:
            match step:
                case "exchange":
                    account.exchange(name)
                case "leave":
                    account.leave(name)
                case _:
                    account.work(name, number)
        assert sum(one.reserved for one in account.known.values()) <= limit
        assert sum(run.used for run in account.runs.values()) <= limit
        for one, run in account.runs.items():
            known = account.known.get(one, Demand(0, 0, 0))
            assert run.used <= run.held <= known.reserved
    # Then everybody is served: all requests end, and nothing that is wanted stays idle.
    for name in account.runs:
        account.work(name, 40)
    account.settle()
    for name in account.runs:
        account.work(name, 40)
    account.settle()
    wanted = sum(run.wants for run in account.runs.values())
    assert sum(run.used for run in account.runs.values()) == min(limit, wanted)


@given(st.integers(1, 9), st.lists(st.integers(1, 40), min_size=1, max_size=6))
@example(3, [1, 1, 1, 1])
@example(5, [1, 1, 1, 1, 1, 1])
def test_nobody_starves(limit: int, wants: list[int]) -> None:
    account = Account(limit, {str(turn): Run(one) for turn, one in enumerate(wants)})
    for turn in range(4 * len(wants)):
        for name in account.runs:
            account.exchange(name)
            account.work(name, 40 if turn % 2 else 0)
    assert all(run.last_used > 0 for run in account.runs.values())
    late = {name: run.last_used for name, run in account.runs.items()}
    for _ in range(8 * len(wants)):
        for name in account.runs:
            account.exchange(name)
            account.work(name, 40)
    assert all(run.used or run.last_used > late[name] for name, run in account.runs.items())
