"""Jobs that are taken up while the first ones of their manifest are under way."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.fs import name_key, safe_name
from batchgen.jobs import Job
from batchgen.state.appending import Unfit, append_jobs
from batchgen.state.database import transaction
from batchgen.state.file_names import unique_name
from batchgen.state.records import Origin
from batchgen.state.staged_checks import NeededModel
from tests.state.state_world import T2I, State, job, open_state


def test_later_jobs_come_behind_the_first_and_wait_for_what_they_need(tmp_path: Path) -> None:
    with open_state(tmp_path, job("a"), job("b", needs=("a",))) as state:
        state.finish("a", "r1")
        later = [job("c", name="A", needs=("b",), gate=True), job("d", needs=("a", "c"))]
        assert append_jobs(state.db, later) == []
        waiting = dict(state.db.execute("SELECT id, waiting FROM job ORDER BY seq"))
        assert waiting == {"a": 0, "b": 0, "c": 1, "d": 1}
        assert len({name.casefold() for name in state.names().values()}) == 4


def test_an_id_that_the_state_has_is_told_and_its_job_never_touched(tmp_path: Path) -> None:
    with open_state(tmp_path, job("a"), job("b")) as state:
        twin = job("a", "another", line=7, needs=("b",))
        assert append_jobs(state.db, [twin, job("c", line=8)]) == [Unfit(twin)]
        assert state.one("SELECT body FROM job WHERE id = 'a'") == job("a").body
        assert state.one("SELECT count(*) FROM need") == 0
        assert state.one("SELECT count(*) FROM job") == 3


def test_a_need_that_stands_below_is_told_and_its_job_left_out(tmp_path: Path) -> None:
    with open_state(tmp_path, job("a")) as state:
        early = job("b", needs=("c",))
        assert append_jobs(state.db, [early, job("c")]) == [Unfit(early, "c")]
        assert [row[0] for row in state.db.execute("SELECT id FROM job ORDER BY seq")] == ["a", "c"]


def test_a_need_that_is_objected_to_is_told_and_its_job_left_out(tmp_path: Path) -> None:
    with open_state(tmp_path, job("a")) as state:
        (unfit,) = append_jobs(state.db, [job("b", needs=("a",)), job("c")], lambda _: True)
        assert unfit.unlike is not None
        assert (unfit.job.id, unfit.unlike.needed, unfit.missing) == ("b", "a", None)
        assert [row[0] for row in state.db.execute("SELECT id FROM job ORDER BY seq")] == ["a", "c"]


IDS = tuple("abcdefgh")
NAMES = ("a", "A", "é", "e\u0301", "con", "b", "b-x", *(unique_name("a", one) for one in "abc"))
some_jobs = st.lists(
    st.builds(
        lambda job_id, name, needs, model, priority: job(
            job_id, model=model, name=name, needs=tuple(dict.fromkeys(needs)), priority=priority
        ),
        st.sampled_from(IDS),
        st.sampled_from(NAMES),
        st.lists(st.sampled_from(IDS), max_size=2),
        st.sampled_from([T2I, "e/d"]),
        st.integers(0, 1),
    ),
    max_size=8,
)


def one_by_one(state: State, jobs: Sequence[Job], objects: Callable[[NeededModel], bool]) -> object:
    """What `append_jobs` means, asked for each job in turn."""
    return [unfit for one in jobs for unfit in added_alone(state, one, objects)]


def added_alone(
    state: State, one: Job, objects: Callable[[NeededModel], bool]
) -> Iterable[tuple[str, str | None, str | None]]:
    db = state.db
    if db.execute("SELECT 1 FROM job WHERE id = ?", (one.id,)).fetchone():
        return [(one.id, None, None)]
    needed = []
    for need in one.needs:
        row = db.execute("SELECT seq, model FROM job WHERE id = ?", (need,)).fetchone()
        if row is None:
            return [(one.id, need, None)]
        if objects(NeededModel(one.id, one.body, Origin(one.file, one.line), need, row[1])):
            return [(one.id, None, need)]
        needed.append(row[0])
    name = safe_name(one.name)
    while is_taken(state, name_key(name)):
        name = unique_name(name, one.id)
    (seq,) = db.execute(
        "INSERT INTO job (id, model, body, name, name_key, tags, priority)"
        " VALUES (?, ?, ?, ?, ?, '[]', ?) RETURNING seq",
        (one.id, one.model, one.body, name, name_key(name), one.priority),
    ).fetchone()
    db.executemany("INSERT INTO need VALUES (?, ?)", [(seq, one) for one in needed])
    return []


def is_taken(state: State, key: str) -> bool:
    query = "SELECT 1 FROM job WHERE name_key = ?1 UNION ALL SELECT 1 FROM file WHERE name_key = ?1"
    return state.db.execute(query, (key,)).fetchone() is not None


@settings(max_examples=60, deadline=None)
@given(known=some_jobs, pages=st.lists(some_jobs, max_size=3), failed=st.sets(st.sampled_from(IDS)))
def test_a_page_of_jobs_is_added_as_one_by_one(
    known: list[Job], pages: list[list[Job]], failed: set[str]
) -> None:
    def objects(one: NeededModel) -> bool:
        return one.needed_model == "e/d" and one.needed in "ab"

    def outcome(add: Callable[[State, list[Job]], object]) -> object:
        first = list({one.id: one for one in known if not one.needs}.values())
        with tempfile.TemporaryDirectory() as folder, open_state(Path(folder), *first) as state:
            for one in failed:
                state.db.execute("UPDATE job SET state = 'failed' WHERE id = ?", (one,))
            with transaction(state.db):
                unfit = [add(state, page) for page in pages]
            jobs = state.db.execute("SELECT * FROM job ORDER BY seq").fetchall()
            return unfit, jobs, state.db.execute("SELECT * FROM need").fetchall()

    def by_page(state: State, page: list[Job]) -> object:
        found = append_jobs(state.db, page, objects)
        return [(one.job.id, one.missing, one.unlike and one.unlike.needed) for one in found]

    assert outcome(by_page) == outcome(lambda state, page: one_by_one(state, page, objects))
