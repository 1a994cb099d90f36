"""Jobs that are taken up while the first ones of their manifest are under way."""

from __future__ import annotations

from pathlib import Path

from batchgen.state.staging import Unfit, append_jobs
from tests.state.state_world import job, open_state


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
