"""What a page sends is read strictly, and named by job, attempt and position."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchgen.errors import UsageError
from batchgen.state.database import open_for_writing, reading
from batchgen.state.reviews import Pick as Judged
from batchgen.state.reviews import pick
from batchgen.watch.picking import Approval, Pick, parse_decisions, resolve
from batchgen.watch.ports import Action, PageDecision
from tests.report.night_world import small_night


def test_picks_and_approvals_are_read() -> None:
    words = [
        {"action": "keep", "file": 3},
        {"action": "", "file": 4},
        {"action": "approve", "job": "a", "attempt": 2},
    ]
    assert parse_decisions({"decisions": words}) == [
        Pick(Action.KEEP, 3),
        Pick(Action.NEITHER, 4),
        Approval("a", 2),
    ]


@pytest.mark.parametrize(
    "word",
    [
        None,
        {},
        {"action": "keep"},
        {"action": "keep", "file": "3"},
        {"action": "keep", "file": True},
        {"action": "keep", "file": 0},
        {"action": "keep", "file": 2**63},
        {"action": "burn", "file": 3},
        {"action": ["keep"], "file": 3},
        {"action": "approve", "file": 3},
        {"action": "approve", "job": 3, "attempt": 1},
        {"action": "approve", "job": "\ud800", "attempt": 1},
        {"action": "approve", "job": "a", "attempt": None},
    ],
)
def test_anything_else_is_refused(word: Any) -> None:
    with pytest.raises(UsageError, match="not picks"):
        parse_decisions({"decisions": [word]})


@pytest.mark.parametrize("document", [None, [], {}, {"decisions": None}, {"decisions": 3}])
def test_no_words_are_refused(document: Any) -> None:
    with pytest.raises(UsageError, match="not picks"):
        parse_decisions(document)


@pytest.mark.parametrize("count", [0, 10_001])
def test_neither_none_nor_too_many_are_taken_at_once(count: int) -> None:
    with pytest.raises(UsageError, match="1 to 10000 picks"):
        parse_decisions({"decisions": [{"action": "keep", "file": 1}] * count})


def test_a_rejected_result_is_not_approved_by_a_key(tmp_path: Path) -> None:
    small_night(tmp_path)
    words = [Approval("harbour-dawn-ink", 1), Approval("harbour-dawn-oil", 1)]
    with closing(open_for_writing(tmp_path / "state.db")) as db:
        (seq,) = db.execute("SELECT seq FROM job WHERE id = 'harbour-dawn-ink'").fetchone()
        pick(db, seq, None, Judged.REJECT)
        said, objections = resolve(db, words)
        assert said == [PageDecision(Action.APPROVE, "harbour-dawn-oil", 1, None)]
        assert objections == ["harbour-dawn-ink is rejected: keep it first, then approve it"]
        pick(db, seq, None, Judged.KEEP)
        assert len(resolve(db, words)[0]) == 2


def test_a_file_is_named_by_its_job_attempt_and_position(tmp_path: Path) -> None:
    small_night(tmp_path)
    with reading(tmp_path / "state.db") as db:
        said, objections = resolve(db, [Pick(Action.KEEP, 1), Pick(Action.REJECT, 999)])
    assert said == [PageDecision(Action.KEEP, "harbour-dawn-ink", 1, 1)]
    assert objections == ["file 999 no longer exists"]
