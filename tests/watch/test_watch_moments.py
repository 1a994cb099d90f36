"""Two looks are compared; each change has a moment, and whoever was away is told the changes."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from batchgen.watch.watching import STRETCH, Moments, changes

LOOKS = st.lists(st.lists(st.integers(0, 3), max_size=8), min_size=1, max_size=12)


def signatures(*values: int) -> array[int]:
    return array("Q", values)


def test_what_differs_is_found_across_stretches_and_at_the_end() -> None:
    before = array("Q", range(3 * STRETCH))
    after = array("Q", before)
    for seq in (0, STRETCH - 1, STRETCH, 3 * STRETCH - 1):
        after[seq] += 1
    after.append(7)
    assert changes(before, after) == [0, STRETCH - 1, STRETCH, 3 * STRETCH - 1, 3 * STRETCH]
    assert changes(after, before) == changes(before, after)
    assert changes(before, before) == []


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_changes_are_those_of_a_plain_comparison(one: list[int], other: list[int]) -> None:
    size = max(len(one), len(other))
    filled = [rows + [0] * (size - len(rows)) for rows in (one, other)]
    expected = [seq for seq in range(size) if filled[0][seq] != filled[1][seq]]
    assert changes(signatures(*one), signatures(*other)) == expected


@given(LOOKS)
def test_whoever_was_away_is_told_each_job_that_changed_since_and_no_other(
    looks: list[list[int]],
) -> None:
    moments = Moments()
    seen: dict[int, list[int]] = {}
    for look in looks:
        moments.look(signatures(*look))
        seen[moments.moment] = look
    last = looks[-1]
    for moment, look in seen.items():
        told = moments.since(moment)
        # A job that changed back is told too; one that differs is never left out.
        assert set(changes(signatures(*look), signatures(*last))) <= set(told)
    assert moments.since(moments.moment) == []


def test_a_look_that_shows_nothing_new_is_no_moment() -> None:
    moments = Moments()
    assert moments.look(signatures(0, 5, 5))
    assert not moments.look(signatures(0, 5, 5))
    assert moments.moment == 1
    assert moments.look(signatures(0, 5, 6))
    assert moments.since(1) == [2]


def test_an_empty_state_is_a_moment_too() -> None:
    moments = Moments()
    assert moments.look(signatures(0))
    assert (moments.moment, moments.last, moments.since(0)) == (1, 0, [])
