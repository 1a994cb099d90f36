"""What the state tells: counts, pages, money, and every job with its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchgen.jobs import JobState
from batchgen.state import queries, transitions
from batchgen.state.database import reading
from batchgen.state.meta import Meta, get_meta, set_meta
from batchgen.state.queries import Selection
from batchgen.state.selection import note_down, note_first
from tests.state.state_world import EDIT, T2I, State, job, open_state

S = JobState


@pytest.fixture
def five(tmp_path: Path) -> Iterator[State]:
    jobs = (
        job("a-1", tags=("hero",)),
        job("a-2", model=EDIT),
        job("b-1", tags=("hero", "draft")),
        job("b-2"),
        job("c[1]", model=EDIT, tags=("dr",)),
    )
    with open_state(tmp_path, *jobs) as opened:
        yield opened


def ids(state: State, selection: Selection) -> list[str]:
    return [row[1] for row in queries.select_jobs(state.db, selection, tuple(JobState))]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), ["a-1", "a-2", "b-1", "b-2", "c[1]"]),
        (Selection(jobs=("a-*",)), ["a-1", "a-2"]),
        (Selection(jobs=("a-1", "b-?")), ["a-1", "b-1", "b-2"]),
        # An exact id wins over what it would mean as a glob, which is a job c1.
        (Selection(jobs=("c[1]",)), ["c[1]"]),
        (Selection(models=("*/edit",)), ["a-2", "c[1]"]),
        (Selection(tags=("draft",)), ["b-1"]),
        (Selection(tags=("hero", "dr")), ["a-1", "b-1", "c[1]"]),
        (Selection(jobs=("b-*",), tags=("hero",)), ["b-1"]),
        (Selection(jobs=("A-*",)), []),
        (Selection(tags=("%",)), []),
    ],
)
def test_a_selection_names_jobs_by_glob_model_and_tag(
    five: State, selection: Selection, expected: list[str]
) -> None:
    assert ids(five, selection) == expected


def test_pending_jobs_come_in_pages_in_the_order_of_the_manifest(five: State) -> None:
    first = queries.due_page(five.db, T2I, Selection(), None, 2)
    assert [one.id for one in first] == ["a-1", "b-1"]
    assert first[0].body == '{"prompt":"a boat"}'
    second = queries.due_page(five.db, T2I, Selection(), first[-1].due_key, 2)
    assert [one.id for one in second] == ["b-2"]
    assert queries.due_page(five.db, T2I, Selection(), second[-1].due_key, 2) == []


def test_what_is_not_pending_or_not_listed_is_on_no_page(five: State) -> None:
    five.begin("a-1")
    five.begin("b-1")
    transitions.turn_back(five.db, five.seq("b-1"), 1, "not_sent", "why", 1.0)
    five.merge([job("a-1", tags=("hero",)), job("b-2")])
    assert [one.id for one in queries.due_page(five.db, T2I, Selection(), None, 9)] == ["b-2"]
    assert queries.pending_models(five.db) == [T2I]
    assert queries.pending_job(five.db, five.seq("b-1")) is None
    assert queries.pending_job(five.db, five.seq("a-1")) is None


def test_models_come_in_the_order_in_which_the_manifest_names_them(five: State) -> None:
    assert queries.pending_models(five.db) == [T2I, EDIT]
    five.begin("a-1")
    assert queries.pending_models(five.db) == [EDIT, T2I]


def first(state: State, selection: Selection, count: int) -> list[str]:
    noted = note_first(state.db, selection, count)
    return [row[1] for row in queries.select_jobs(state.db, noted, (JobState.PENDING,))]


@pytest.mark.parametrize("count", [1, 3, 5, 99])
def test_a_limit_takes_the_first_pending_jobs(five: State, count: int) -> None:
    assert first(five, Selection(), count) == ["a-1", "a-2", "b-1", "b-2", "c[1]"][:count]


def test_a_limit_counts_only_what_is_selected_and_pending(five: State) -> None:
    five.begin("a-1")
    assert first(five, Selection(models=(T2I,)), 1) == ["b-1"]
    assert first(five, Selection(jobs=("a-1",)), 1) == []
    noted = note_down(five.db, Selection(states=("pending",)))
    assert first(five, noted, 2) == ["a-2", "b-1"]


def test_a_limit_takes_due_jobs_before_waiting_ones_and_urgent_ones_first(tmp_path: Path) -> None:
    jobs = [job("a"), job("b", needs=("a",), priority=9), job("c"), job("d", priority=1)]
    with open_state(tmp_path, *jobs) as state:
        assert first(state, Selection(), 1) == ["d"]
        assert first(state, Selection(), 3) == ["a", "c", "d"]
        assert len(first(state, Selection(), 9)) == 4


def test_counts_are_by_model_and_state_and_totals_in_the_order_for_people(five: State) -> None:
    five.finish("a-2", "r1")
    five.begin("b-1")
    counts = queries.counts(five.db)
    assert counts == {T2I: {S.PENDING: 2, S.SUBMITTING: 1}, EDIT: {S.PENDING: 1, S.DONE: 1}}
    assert list(queries.totals(counts).items()) == [(S.PENDING, 3), (S.SUBMITTING, 1), (S.DONE, 1)]


def test_a_job_that_left_the_manifest_counts_while_it_may_still_cost_or_come(five: State) -> None:
    five.finish("a-1", "r1")
    five.submit("b-1", "r2")
    five.begin("b-2")
    five.hold("b-2")
    five.merge([job("a-2", model=EDIT)])
    assert queries.totals(queries.counts(five.db)) == {
        S.PENDING: 1,
        S.QUEUED: 1,
        S.UNKNOWN: 1,
    }


def test_money_counts_costs_then_prices_then_what_nobody_knows(five: State) -> None:
    five.submit("a-1", "r1", price=0.25)
    five.deliver("a-1", cost=0.2)
    five.submit("a-2", "r2", price=0.5)
    five.submit("b-1", "r3")
    five.begin("b-2", price=0.125)
    transitions.turn_back(five.db, five.seq("b-2"), 1, "throttled", "why", 1.0)
    found = queries.money(five.db)
    assert (found.spent, found.reserved, found.unpriced) == (0.2, 0.5, 1)
    assert found.committed == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("ending", "cost", "unknown"),
    [(S.FAILED, None, 0.5), (S.FAILED, 0.0, 0), (S.CANCELLED, None, 0), (S.LOST, None, 0.5)],
)
def test_an_end_without_a_cost_counts_its_price_unless_it_was_cancelled(
    five: State, ending: JobState, cost: float | None, unknown: float
) -> None:
    five.submit("a-1", "r1", price=0.5)
    end = transitions.Ending(ending, "code", "words", cost)
    transitions.ended(five.db, five.seq("a-1"), 1, end, 1.0)
    found = queries.money(five.db)
    assert (found.reserved, found.unknown) == (0, unknown)


def test_money_tells_what_is_in_flight_from_what_may_have_been_charged(five: State) -> None:
    five.submit("a-1", "r1", price=0.5)
    five.begin("a-2", price=0.25)
    five.hold("a-2")
    five.begin("b-1")
    five.hold("b-1")
    found = queries.money(five.db)
    assert (found.reserved, found.unknown, found.unpriced) == (0.5, 0.25, 1)
    assert found.committed == 0.75


def test_the_expected_time_is_not_taken_in_by_ends_that_were_seen_late(five: State) -> None:
    assert queries.expected_seconds(five.db, T2I) is None
    for number, (job_id, seconds) in enumerate((("a-1", 1.0), ("b-1", 100.0), ("b-2", 7.0))):
        five.at = 0.0
        five.submit(job_id, f"r{number}")
        five.at = seconds - 10
        five.deliver(job_id)
        five.save_all(job_id)
    assert queries.expected_seconds(five.db, T2I) == 1.0
    assert queries.expected_seconds(five.db, EDIT) is None


def test_each_job_has_its_own_files(five: State) -> None:
    five.finish("a-1", "r1", count=3)
    five.submit("b-1", "r2")
    five.fail("b-1", again=True)
    number = five.submit("b-1", "r3")
    five.deliver("b-1", number)
    five.save_all("b-1")
    five.submit("b-2", "r4")
    five.deliver("b-2", count=2)
    five.submit("c[1]", "r5")
    five.fail("c[1]")
    found = list(queries.job_statuses(five.db))
    assert [(one.id, one.state, one.attempts, one.request_id, len(one.files)) for one in found] == [
        ("a-1", S.DONE, 1, "r1", 3),
        ("a-2", S.PENDING, 0, None, 0),
        ("b-1", S.DONE, 2, "r3", 1),
        ("b-2", S.FETCHING, 1, "r4", 0),
        ("c[1]", S.FAILED, 1, "r5", 0),
    ]
    assert [file.path for file in found[0].files] == [
        "files/a-1.1.png",
        "files/a-1.2.png",
        "files/a-1.3.png",
    ]
    assert {file.job_id for file in found[0].files} == {"a-1"}
    assert (found[4].error_code, found[4].error) == ("boom", "the vendor's words")


def test_a_stream_of_jobs_is_one_snapshot_even_while_the_run_goes_on(five: State) -> None:
    """Row 64."""
    with reading(five.path) as reader:
        stream = queries.job_statuses(reader)
        first = next(stream)
        for number, job_id in enumerate(("a-1", "a-2", "b-1", "b-2", "c[1]")):
            five.finish(job_id, f"r{number}")
        assert {one.state for one in (first, *stream)} == {S.PENDING}
        assert all(one.files for one in queries.job_statuses(reader))


def test_causes_of_trouble_are_grouped_the_commonest_first(five: State) -> None:
    for number, job_id in enumerate(("a-1", "a-2")):
        five.submit(job_id, f"r{number}")
        five.fail(job_id)
    five.begin("b-1")
    five.hold("b-1")
    found = queries.failures(five.db, 5).causes
    assert [(one.state, one.code, one.jobs, one.example) for one in found] == [
        (S.FAILED, "boom", 2, "a-1"),
        (S.UNKNOWN, "no_answer", 1, "b-1"),
    ]
    first = queries.failures(five.db, 1)
    assert (len(first.causes), first.more, first.more_jobs) == (1, 1, 1)


def test_meta_remembers_the_last_value(five: State) -> None:
    assert get_meta(five.db, Meta.NAME) is None
    set_meta(five.db, Meta.NAME, "1")
    set_meta(five.db, Meta.NAME, "2")
    assert get_meta(five.db, Meta.NAME) == "2"
