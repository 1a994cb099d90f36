"""Which jobs a command is about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchgen.errors import UsageError
from batchgen.jobs import JobState
from batchgen.state.causes import cause_key
from batchgen.state.conditions import TROUBLED, VISIBLE
from batchgen.state.queries import Selection, failures, select_jobs
from batchgen.state.staging import open_staging
from tests.state.state_world import EDIT, T2I, State, job, open_state

JOBS = (
    job("a-1", tags=("hero", "a[1]")),
    job("a-2", model=EDIT),
    job("b-1", tags=("hero", "draft")),
    job("b[1]", model=EDIT, tags=("a1",)),
)
EVERY = [one.id for one in JOBS]


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    """`a-1` is queued, `b-1` cancelled, the others are pending."""
    folder: Path = tmp_path_factory.mktemp("state")
    with open_state(folder, *JOBS) as state:
        state.submit("a-1", "r1")
        state.db.execute("UPDATE job SET state = 'cancelled' WHERE id = 'b-1'")
        yield state


def chosen(state: State, selection: Selection) -> list[str]:
    return [row[1] for row in select_jobs(state.db, selection, tuple(JobState))]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(jobs=("!a-*",)), ["b-1", "b[1]"]),
        (Selection(jobs=("a-*", "!a-2")), ["a-1"]),
        (Selection(jobs=("!b[1]",)), ["a-1", "a-2", "b-1"]),
        (Selection(jobs=("!absent",)), EVERY),
        (Selection(models=("edit",)), ["a-2", "b[1]"]),
        (Selection(models=("!t2i",)), ["a-2", "b[1]"]),
        (Selection(models=("t?i",)), ["a-1", "b-1"]),
        (Selection(models=(T2I, "!*/edit")), ["a-1", "b-1"]),
        (Selection(tags=("her*",)), ["a-1", "b-1"]),
        (Selection(tags=("hero", "!dr*")), ["a-1"]),
        (Selection(tags=("!hero",)), ["a-2", "b[1]"]),
        (Selection(tags=("a[1]",)), ["a-1", "b[1]"]),
        (Selection(states=("pending",)), ["a-2", "b[1]"]),
        (Selection(states=("!pending",)), ["a-1", "b-1"]),
        (Selection(states=("*ed", "!cancelled")), ["a-1"]),
        (Selection(states=("asleep",)), []),
        (Selection(states=("!asleep",)), EVERY),
        (Selection(states=("pending",), models=("edit",), jobs=("!b*",)), ["a-2"]),
    ],
)
def test_names_are_globs_and_an_exclamation_mark_leaves_out(
    four: State, selection: Selection, expected: list[str]
) -> None:
    assert chosen(four, selection) == expected


names = st.lists(
    st.sampled_from(["a-1", "a-*", "*1*", "b[1]", "b?1?", "absent", "*"]), max_size=3
).map(tuple)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(positive=names, negative=names)
def test_a_negative_name_leaves_out_just_what_the_name_alone_would_choose(
    four: State, positive: tuple[str, ...], negative: tuple[str, ...]
) -> None:
    both = Selection(jobs=(*positive, *(f"!{name}" for name in negative)))
    kept = set(chosen(four, Selection(jobs=positive)))
    left_out = set(chosen(four, Selection(jobs=negative))) if negative else set()
    assert set(chosen(four, both)) == kept - left_out


def test_causes_choose_the_jobs_that_failed_for_them(tmp_path: Path) -> None:
    """Also where only negative ones are given."""
    with open_state(tmp_path, *(job(name) for name in "abcd")) as state:
        for name, error in (("a", "no: 1"), ("b", "no: 2"), ("c", "never")):
            state.db.execute(
                "UPDATE job SET state = 'failed', error_code = 'x', error = ? WHERE id = ?",
                (error, name),
            )
        no, never = (cause_key("a", "failed", "x", words) for words in ("no: 1", "never"))
        wanted = {(no,): "ab", (never,): "c", (f"!{no}",): "cd", (no, never): "abc"}
        for keys, ids in wanted.items():
            assert chosen(state, Selection(causes=keys)) == list(ids)
        both = Selection(jobs=("b", "c"), causes=(no,))
        assert chosen(state, both) == ["b"]


Rounds: TypeAlias = list[dict[str, tuple[str, str | None, str | None, bool]]]

FAILURES = st.dictionaries(
    st.sampled_from(["a-1", "a-2", "b-1", "b[1]"]),
    st.tuples(
        st.sampled_from(["failed", "cancelled", "unknown", "blocked", "pending", "done"]),
        st.sampled_from([None, "policy", "timeout"]),
        st.sampled_from([None, "no: 1", "no: 2", "never a-1"]),
        st.booleans(),
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rounds=st.lists(FAILURES, min_size=1, max_size=3), negative=st.booleans())
def test_the_cause_that_is_kept_is_the_one_that_the_message_gives(
    four: State, rounds: Rounds, negative: bool
) -> None:
    """Compared with reading every message anew, after any changes."""
    four.db.execute("BEGIN")
    try:
        compare_causes(four, rounds, negative=negative)
    finally:
        four.db.execute("ROLLBACK")


def compare_causes(four: State, rounds: Rounds, *, negative: bool) -> None:
    for failed in rounds:
        for job_id, found in failed.items():
            four.db.execute(
                "UPDATE job SET state = ?, error_code = ?, error = ?, listed = ? WHERE id = ?",
                (*found, job_id),
            )
        four.db.execute("UPDATE job SET id = 'b-2' WHERE id = 'b-1'")
        rows = four.db.execute(
            f"SELECT id, cause_key(id, state, error_code, error), {TROUBLED} AND {VISIBLE}"
            " FROM job ORDER BY seq"
        ).fetchall()
        for wanted in {key for _, key, _ in rows}:
            of_cause = [job_id for job_id, key, shown in rows if shown and key == wanted]
            others = [job_id for job_id, _, _ in rows if job_id not in of_cause]
            expected = others if negative else of_cause
            key = f"!{wanted}" if negative else wanted
            assert chosen(four, Selection(causes=(key,))) == expected
        four.db.execute("UPDATE job SET id = 'b-1' WHERE id = 'b-2'")
        counted = four.db.execute(
            "SELECT cause_key(id, state, error_code, error), count(*) FROM job"
            f" WHERE {VISIBLE} AND error_code IS NOT NULL AND state != 'done'"
            " GROUP BY 1 ORDER BY 1"
        ).fetchall()
        assert failures_by_cause(four) == counted


def failures_by_cause(state: State) -> list[tuple[str, int]]:
    return sorted((one.key, one.jobs) for one in failures(state.db, 99).causes)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Selection(jobs=("a-1", "!")),
        lambda: Selection(models=("!",)),
        lambda: Selection(tags=("!",)),
        lambda: Selection(states=("!",)),
    ],
)
def test_an_exclamation_mark_alone_is_a_mistake(wrong: Callable[[], Selection]) -> None:
    with pytest.raises(UsageError, match="excludes nothing"):
        wrong()


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), {T2I: 2, EDIT: 2}),
        (Selection(jobs=("b[1]",)), {EDIT: 1}),
        (Selection(models=("edit",), tags=("!a1",)), {EDIT: 1}),
        (Selection(states=("pending",)), {T2I: 2, EDIT: 2}),
        (Selection(states=("done",)), {}),
    ],
)
def test_staged_jobs_are_chosen_by_the_same_words_and_are_all_pending(
    selection: Selection, expected: dict[str, int]
) -> None:
    with open_staging() as staging:
        for one in JOBS:
            staging.add(one)
        staging.finish()
        assert staging.counts(selection) == expected
