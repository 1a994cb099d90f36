"""What is found out about a whole manifest before the state hears of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from batchgen.jobs import Job, content_id
from batchgen.state.records import Duplicate, MissingNeed, NeedCycle, Origin
from batchgen.state.staging import Staging, open_staging
from tests.state.state_world import job


@contextmanager
def staged(jobs: Iterable[Job]) -> Iterator[Staging]:
    with open_staging() as staging:
        for one in jobs:
            staging.add(one)
        staging.finish()
        yield staging


def at(line: int) -> Origin:
    return Origin("boats.yaml", line)


def test_a_second_job_of_one_id_is_told_with_both_places() -> None:
    """Row 1."""
    jobs = [job("boat", line=7), job("clip", line=9), job("boat", line=12), job("boat", line=15)]
    with staged(jobs) as staging:
        assert staging.duplicates(9) == [
            Duplicate("boat", at(7), at(12), has_own_id=True),
            Duplicate("boat", at(7), at(15), has_own_id=True),
        ]
        assert len(staging.duplicates(1)) == 1


def test_two_jobs_without_an_id_are_twins_of_content() -> None:
    one = job("?", line=3)
    twin = replace(one, id=content_id(one.model, one.body))
    with staged([twin, replace(twin, line=5)]) as staging:
        assert staging.duplicates(9) == [Duplicate(twin.id, at(3), at(5), has_own_id=False)]


def test_a_need_that_names_no_job_is_told_with_the_nearest_that_is_one() -> None:
    jobs = [
        job("still-dawn", line=2),
        job("clip", line=4, needs=("still-dwan", "still-dawn")),
        job("poster", line=6, needs=("zzz",)),
    ]
    with staged(jobs) as staging:
        assert staging.missing_needs(9) == [
            MissingNeed("clip", "still-dwan", at(4), "still-dawn"),
            MissingNeed("poster", "zzz", at(6), None),
        ]
        assert len(staging.missing_needs(1)) == 1


def test_jobs_that_need_each_other_are_a_cycle_and_what_hangs_on_it_is_none() -> None:
    jobs = [
        job("free", line=1),
        job("after", line=2, needs=("b",)),
        job("c", line=3, needs=("a", "free")),
        job("a", line=4, needs=("b",)),
        job("b", line=5, needs=("c",)),
        job("self", line=6, needs=("self",)),
        job("lost", line=7, needs=("absent",)),
    ]
    with staged(jobs) as staging:
        assert staging.need_cycles(9) == [
            NeedCycle(("c", "a", "b"), at(3)),
            NeedCycle(("self",), at(6)),
        ]
        assert len(staging.need_cycles(1)) == 1


def test_a_chain_as_long_as_a_night_is_no_cycle_until_it_bites_its_tail() -> None:
    def chain(last: tuple[str, ...]) -> Iterator[Job]:
        yield job("j0", needs=last)
        for number in range(1, 3000):
            yield job(f"j{number}", needs=(f"j{number - 1}",))

    with staged(chain(())) as staging:
        assert staging.need_cycles(9) == []
    with staged(chain(("j2999",))) as staging:
        (cycle,) = staging.need_cycles(9)
        assert len(cycle.job_ids) == 3000


graphs = st.lists(
    st.sets(st.integers(0, 7), max_size=3).map(lambda needs: tuple(f"j{n}" for n in sorted(needs))),
    min_size=8,
    max_size=8,
)


@given(graphs)
def test_cycles_are_found_exactly_where_some_job_could_never_begin(
    graph: list[tuple[str, ...]],
) -> None:
    needs = {f"j{number}": set(wanted) for number, wanted in enumerate(graph)}
    left = dict(needs)
    while free := [one for one, wanted in left.items() if not wanted & left.keys()]:
        for one in free:
            del left[one]
    with staged(job(one, needs=tuple(wanted)) for one, wanted in needs.items()) as staging:
        found = staging.need_cycles(99)
    assert bool(found) == bool(left)
    for cycle in found:
        ring = (*cycle.job_ids, cycle.job_ids[0])
        assert all(b in needs[a] for a, b in pairwise(ring))
        assert len(set(cycle.job_ids)) == len(cycle.job_ids)
