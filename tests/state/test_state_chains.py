"""Jobs that need others: they wait, are blocked and set going again, whoever moves what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchgen.jobs import JobState
from batchgen.state import files, manual_actions, queries, transitions
from batchgen.state.files import saved_files
from batchgen.state.queries import Selection
from batchgen.state.reconcile import OnChanged
from tests.state.state_world import T2I, State, job, open_state, picture

S = JobState
CHAIN = (
    job("still", gate=True),
    job("edit", needs=("still",)),
    job("clip", needs=("edit",)),
    job("music"),
)


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[State]:
    with open_state(tmp_path, *CHAIN) as state:
        yield state


def due(state: State) -> list[str]:
    return [one.id for one in queries.due_page(state.db, T2I, Selection(), None, 99)]


def reason(state: State, job_id: str) -> str:
    return str(state.one("SELECT error FROM job WHERE id = ?", job_id))


def approve(state: State, job_id: str) -> str | None:
    return manual_actions.approve(state.db, state.seq(job_id), 1.0)


def test_a_job_is_due_once_what_it_needs_is_done_and_approved(chain: State) -> None:
    assert due(chain) == ["still", "music"]
    assert queries.pending_job(chain.db, chain.seq("edit")) is None
    chain.finish("still", "r1")
    assert due(chain) == ["music"]
    assert approve(chain, "still") is None
    assert due(chain) == ["edit", "music"]
    chain.finish("edit", "r2")
    assert due(chain) == ["clip", "music"]


def test_what_waits_cannot_be_begun(chain: State) -> None:
    assert transitions.begin_attempt(chain.db, chain.seq("edit"), "h", None, 1.0) is None
    assert chain.state("edit") is S.PENDING


def test_the_last_file_tells_whether_it_released_a_job(chain: State) -> None:
    def arrives(job_id: str, request_id: str) -> bool:
        assert chain.deliver(job_id, chain.submit(job_id, request_id))
        todo = files.files_to_fetch(chain.db, chain.seq(job_id))
        assert todo is not None
        return files.verified(chain.db, todo.files[0].id, picture(job_id), 1.0).released

    assert not arrives("still", "r1")  # its gate is shut
    approve(chain, "still")
    assert arrives("edit", "r2")
    assert not arrives("clip", "r3")


def test_only_a_done_job_with_a_gate_is_approved_and_only_once(chain: State) -> None:
    assert approve(chain, "still") == (
        "job still is pending, not done: there is nothing to approve yet"
    )
    assert approve(chain, "music") == "job music has no gate: nothing waits for its approval"
    chain.finish("still", "r1")
    assert approve(chain, "still") is None
    assert approve(chain, "still") == "job still is approved already"


def test_an_approval_is_for_one_result(chain: State) -> None:
    chain.finish("still", "r1")
    approve(chain, "still")
    chain.merge([job("still", "another", gate=True), *CHAIN[1:]], OnChanged.RERUN)
    assert due(chain) == ["still", "music"]
    number = chain.submit("still", "r2")
    chain.deliver("still", number)
    chain.save_all("still")
    assert due(chain) == ["music"]


def test_a_failure_blocks_all_that_hangs_on_it_and_a_retry_sets_it_going(chain: State) -> None:
    chain.submit("still", "r1")
    chain.fail("still")
    assert [chain.state(one) for one in ("edit", "clip", "music")] == [
        S.BLOCKED,
        S.BLOCKED,
        S.PENDING,
    ]
    assert reason(chain, "edit") == "it needs still, which is failed"
    assert reason(chain, "clip") == "it needs edit, which is blocked"
    assert manual_actions.retry(chain.db, chain.seq("still")) is S.PENDING
    assert [chain.state(one) for one in ("edit", "clip")] == [S.PENDING, S.PENDING]
    assert chain.one("SELECT error FROM job WHERE id = 'clip'") is None


def test_a_job_with_another_failed_need_stays_blocked(tmp_path: Path) -> None:
    jobs = [job("a"), job("b"), job("ab", needs=("a", "b")), job("end", needs=("ab",))]
    with open_state(tmp_path, *jobs) as state:
        for one in ("a", "b"):
            transitions.reject(state.db, state.seq(one), "bad_input", "words")
        manual_actions.retry(state.db, state.seq("a"))
        assert (state.state("ab"), state.state("end")) == (S.BLOCKED, S.BLOCKED)
        manual_actions.retry(state.db, state.seq("b"))
        assert (state.state("ab"), state.state("end")) == (S.PENDING, S.PENDING)


def test_a_retry_of_a_job_whose_need_failed_meanwhile_is_blocked(chain: State) -> None:
    manual_actions.cancel(chain.db, chain.seq("edit"))
    manual_actions.cancel(chain.db, chain.seq("still"))
    assert manual_actions.retry(chain.db, chain.seq("edit")) is S.BLOCKED
    assert chain.state("clip") is S.BLOCKED
    assert (
        manual_actions.retry_selected(
            chain.db, Selection(states=("cancelled",)), manual_actions.may_go_again()
        )
        == 1
    )
    assert [chain.state(one.id) for one in CHAIN] == [S.PENDING] * 4


def test_a_blocked_job_can_be_cancelled_and_stays_so(chain: State) -> None:
    transitions.reject(chain.db, chain.seq("still"), "bad_input", "words")
    assert manual_actions.cancel(chain.db, chain.seq("edit"))
    manual_actions.retry(chain.db, chain.seq("still"))
    assert (chain.state("edit"), chain.state("clip")) == (S.CANCELLED, S.BLOCKED)


def test_a_refused_model_and_a_retry_of_all_end_where_they_began(chain: State) -> None:
    transitions.refuse_model(chain.db, T2I, "422", "words")
    assert due(chain) == []
    assert manual_actions.retry_selected(chain.db, Selection(), manual_actions.may_go_again()) >= 1
    assert [chain.state(one.id) for one in CHAIN] == [S.PENDING] * 4


def test_a_need_that_leaves_the_manifest_releases_and_a_new_one_holds(chain: State) -> None:
    transitions.reject(chain.db, chain.seq("still"), "bad_input", "words")
    chain.merge([CHAIN[0], job("edit"), job("clip", needs=("edit",)), CHAIN[3]])
    assert due(chain) == ["edit", "music"]
    chain.merge([*CHAIN[:3], job("music", needs=("still", "clip"))])
    assert due(chain) == []
    assert [chain.state(one) for one in ("edit", "clip", "music")] == [S.BLOCKED] * 3


def test_a_gate_that_comes_or_goes_with_the_manifest_counts_at_once(chain: State) -> None:
    chain.finish("still", "r1")
    chain.merge([job("still"), *CHAIN[1:]])
    assert due(chain) == ["edit", "music"]
    chain.merge(CHAIN)
    assert due(chain) == ["music"]


def test_a_needed_job_that_was_never_sent_may_change_its_name(chain: State) -> None:
    chain.merge([job("still", name="first", gate=True), *CHAIN[1:]])
    assert chain.state("edit") is S.PENDING
    assert set(due(chain)) == {"still", "music"}


def test_the_files_of_what_a_job_needs_come_in_the_vendors_order(chain: State) -> None:
    chain.finish("still", "r1", count=2)
    approve(chain, "still")
    found = queries.needed_files(chain.db, chain.seq("edit"))
    assert [(one.job_id, one.request_id, one.position) for one in found] == [
        ("still", "r1", 1),
        ("still", "r1", 2),
    ]
    transitions.refresh_url(chain.db, found[1].id, "https://x.runcomfy.net/new.png")
    assert [one.url for one in queries.needed_files(chain.db, chain.seq("edit"))] == [
        "https://x.runcomfy.net/still-1.png",
        "https://x.runcomfy.net/new.png",
    ]
    assert queries.needed_files(chain.db, chain.seq("clip")) == ()


def test_what_was_sent_is_kept_with_its_attempt_where_it_is_not_the_jobs_own(chain: State) -> None:
    sent = '{"prompt":"with a real URL"}'
    assert transitions.begin_attempt(chain.db, chain.seq("music"), "h", None, 1.0, sent) == 1
    chain.accept("music", "r1")
    chain.deliver("music")
    (saved,) = chain.save_all("music")
    assert saved.body == sent
    chain.merge([*CHAIN[:3], job("music", "louder", model="another/model")], OnChanged.RERUN)
    (kept,) = saved_files(chain.db)
    assert (kept.body, kept.model) == (sent, T2I)


def test_a_chain_of_any_depth_is_blocked_and_released_in_one_step(tmp_path: Path) -> None:
    depth = 5_000
    links = (job(f"j{n}", needs=(f"j{n - 1}",) if n else ()) for n in range(depth))
    with open_state(tmp_path, *links) as state:
        transitions.reject(state.db, 1, "bad_input", "words")
        assert state.one("SELECT count(*) FROM job WHERE state = 'blocked'") == depth - 1
        manual_actions.retry(state.db, 1)
        assert state.one("SELECT count(*) FROM job WHERE state = 'pending'") == depth


def test_due_jobs_come_by_priority_then_in_order_without_those_held_back(tmp_path: Path) -> None:
    jobs = [
        job("a", sweep="x"),
        job("b", priority=5, sweep="y"),
        job("c", priority=-1),
        job("d", priority=5, sweep="x"),
        job("e"),
    ]
    with open_state(tmp_path, *jobs) as state:
        found: list[str] = []
        after = None
        while page := queries.due_page(state.db, T2I, Selection(), after, 2):
            found += [one.id for one in page]
            after = page[-1].due_key
        assert found == ["b", "d", "a", "e", "c"]
        held = queries.due_page(state.db, T2I, Selection(), None, 9, frozenset({"x"}))
        assert [one.id for one in held] == ["b", "e", "c"]
        first = queries.first_due(state.db, T2I, "x", Selection(), 1)
        assert [(one.id, one.priority, one.sweep) for one in first] == [("d", 5, "x")]
        assert queries.unproven_sweeps(state.db) == {(T2I, "x"), (T2I, "y"), (T2I, "")}
        state.finish("a", "r1")
        assert queries.unproven_sweeps(state.db) == {(T2I, "y"), (T2I, "")}


def test_what_others_need_goes_first_among_equals(tmp_path: Path) -> None:
    jobs = [
        job("first", priority=1),
        job("a"),
        job("still"),
        job("b"),
        job("other-still"),
        job("last", priority=-1),
        job("clip", needs=("still", "other-still"), priority=9),
    ]
    with open_state(tmp_path, *jobs) as state:
        found: list[str] = []
        after = None
        while page := queries.due_page(state.db, T2I, Selection(), after, 1):
            found += [one.id for one in page]
            after = page[-1].due_key
        assert found == ["first", "still", "other-still", "a", "b", "last"]


def test_what_nobody_needs_any_more_goes_in_the_manifests_order(tmp_path: Path) -> None:
    jobs = [job("a"), job("still"), job("other-still")]
    clips = [job("clip", needs=("still", "other-still")), job("twin", needs=("still",))]
    with open_state(tmp_path, *jobs, *clips) as state:
        assert due(state) == ["still", "other-still", "a"]
        state.merge([*jobs, job("clip"), clips[1]])
        assert due(state) == ["still", "a", "other-still", "clip"]
        state.merge([*jobs, job("clip"), job("twin")])
        assert due(state) == ["a", "still", "other-still", "clip", "twin"]


def test_pages_of_due_jobs_are_read_in_the_order_of_their_index(tmp_path: Path) -> None:
    with open_state(tmp_path, job("a")) as state:
        asked: list[str] = []
        state.db.set_trace_callback(asked.append)
        queries.due_page(state.db, T2I, Selection(), (0, True, 5), 9)
        state.db.set_trace_callback(None)
        for query in asked:
            plan = state.db.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
            assert "USING INDEX job_due" in str(plan)
            assert "TEMP B-TREE" not in str(plan)
        assert len(asked) == 3


def test_many_failed_needs_of_one_job_are_retried_in_no_more_than_a_look_each(
    tmp_path: Path,
) -> None:
    many = 2_000
    needs = tuple(f"n{number:04}" for number in range(many))
    jobs = [*(job(one) for one in needs), job("all", needs=needs)]
    with open_state(tmp_path, *jobs) as state:
        state.db.execute("UPDATE job SET state = 'failed', error_code = 'x' WHERE id != 'all'")
        assert state.state("all") is S.BLOCKED
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        # SQLite calls this after so many of its own steps, however busy the computer is.
        state.db.set_progress_handler(count, 10_000)
        manual_actions.retry_selected(state.db, Selection(), manual_actions.may_go_again())
        state.db.set_progress_handler(None, 0)
        assert state.state("all") is S.PENDING
        assert steps < many / 4


@pytest.mark.parametrize(("sha256", "kept"), [("ab" * 32, True), ("cd" * 32, False)])
def test_a_file_that_comes_back_with_another_content_is_approved_anew(
    chain: State, sha256: str, kept: bool
) -> None:
    chain.finish("still", "r1")
    approve(chain, "still")
    (known,) = files.results_after(chain.db, Selection(("still",)), 0, 9)
    assert files.fetch_again(chain.db, known)
    assert "edit" not in due(chain)
    files.verified(chain.db, known.id, picture("still", sha256), 2.0)
    assert chain.state("still") is S.DONE
    assert ("edit" in due(chain)) is kept
