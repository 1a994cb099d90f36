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
from batchgen.watch.picking import Approval, Pick, parse_words, resolve
from batchgen.watch.ports import Said, Word
from tests.report.night_world import small_night


def test_picks_and_approvals_are_read() -> None:
    words = [
        {"word": "keep", "file": 3},
        {"word": "", "file": 4},
        {"word": "approve", "job": "a", "attempt": 2},
    ]
    assert parse_words({"words": words}) == [
        Pick(Word.KEEP, 3),
        Pick(Word.NEITHER, 4),
        Approval("a", 2),
    ]


@pytest.mark.parametrize(
    "word",
    [
        None,
        {},
        {"word": "keep"},
        {"word": "keep", "file": "3"},
        {"word": "keep", "file": True},
        {"word": "keep", "file": 0},
        {"word": "keep", "file": 2**63},
        {"word": "burn", "file": 3},
        {"word": ["keep"], "file": 3},
        {"word": "approve", "file": 3},
        {"word": "approve", "job": 3, "attempt": 1},
        {"word": "approve", "job": "\ud800", "attempt": 1},
        {"word": "approve", "job": "a", "attempt": None},
    ],
)
def test_anything_else_is_refused(word: Any) -> None:
    with pytest.raises(UsageError, match="no picks"):
        parse_words({"words": [word]})


@pytest.mark.parametrize("document", [None, [], {}, {"words": None}, {"words": 3}])
def test_no_words_are_refused(document: Any) -> None:
    with pytest.raises(UsageError, match="no picks"):
        parse_words(document)


@pytest.mark.parametrize("count", [0, 10_001])
def test_neither_none_nor_too_many_are_taken_at_once(count: int) -> None:
    with pytest.raises(UsageError, match="1 to 10000 picks"):
        parse_words({"words": [{"word": "keep", "file": 1}] * count})


def test_a_rejected_result_is_not_approved_by_a_key(tmp_path: Path) -> None:
    small_night(tmp_path)
    words = [Approval("harbour-dawn-ink", 1), Approval("harbour-dawn-oil", 1)]
    with closing(open_for_writing(tmp_path / "state.db")) as db:
        (seq,) = db.execute("SELECT seq FROM job WHERE id = 'harbour-dawn-ink'").fetchone()
        pick(db, seq, None, Judged.REJECT)
        said, objections = resolve(db, words)
        assert said == [Said(Word.APPROVE, "harbour-dawn-oil", 1, None)]
        assert objections == ["harbour-dawn-ink is rejected: keep it first, then approve it"]
        pick(db, seq, None, Judged.KEEP)
        assert len(resolve(db, words)[0]) == 2


def test_a_file_is_named_by_its_job_attempt_and_position(tmp_path: Path) -> None:
    small_night(tmp_path)
    with reading(tmp_path / "state.db") as db:
        said, objections = resolve(db, [Pick(Word.KEEP, 1), Pick(Word.REJECT, 999)])
    assert said == [Said(Word.KEEP, "harbour-dawn-ink", 1, 1)]
    assert objections == ["file 999 is not there any more"]
