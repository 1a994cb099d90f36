"""What a watcher compares: another number for a job once anything shown of it has changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from sqlite3 import Connection

import pytest

from batchgen.jobs import JobState
from batchgen.state.database import reading
from batchgen.state.files import result_numbered
from batchgen.state.report_queries import has_due, signatures, version
from tests.report.night_world import small_night
from tests.watch.watch_world import change


@pytest.fixture
def root(tmp_path: Path) -> Path:
    small_night(tmp_path)
    return tmp_path


@pytest.fixture
def db(root: Path) -> Iterator[Connection]:
    with reading(root / "state.db") as db:
        yield db


@pytest.mark.parametrize(
    "statement",
    [
        *(
            f"UPDATE job SET state = '{state.value}' WHERE seq = 1"
            for state in JobState
            if state is not JobState.DONE
        ),
        "UPDATE job SET listed = 0 WHERE seq = 1",
        "UPDATE job SET approved = 1 WHERE seq = 1",
        "UPDATE job SET attempts = 2 WHERE seq = 1",
        "UPDATE file SET pick = 'keep' WHERE job = 1",
        "UPDATE file SET pick = 'reject' WHERE job = 1",
        "INSERT INTO flaw VALUES ((SELECT id FROM file WHERE job = 1), 'blank', 'one colour')",
    ],
)
def test_each_change_that_is_shown_changes_one_signature(
    root: Path, db: Connection, statement: str
) -> None:
    before, was = signatures(db), version(db)
    change(root, statement)
    after = signatures(db)
    assert [seq for seq in range(len(after)) if before[seq] != after[seq]] == [1]
    assert version(db) != was


def test_a_flaw_that_is_worded_anew_or_gone_is_a_change(root: Path, db: Connection) -> None:
    seen = [signatures(db)[1]]
    for statement in (
        "INSERT INTO flaw VALUES (1, 'blank', 'one colour')",
        "UPDATE flaw SET words = 'another'",
        "INSERT INTO flaw VALUES (1, 'wrong_size', 'small')",
        "DELETE FROM flaw WHERE kind = 'blank'",
    ):
        change(root, statement)
        seen.append(signatures(db)[1])
    assert len(set(seen)) == len(seen)
    change(root, "DELETE FROM flaw")
    assert signatures(db)[1] == seen[0]


def test_nothing_is_read_but_indexes(db: Connection) -> None:
    plan = db.execute(
        "EXPLAIN QUERY PLAN SELECT seq, attempts, listed, approved FROM job"
        " INDEXED BY job_by_state WHERE state = 'done'"
    ).fetchall()
    assert [row[3] for row in plan] == ["SEARCH job USING COVERING INDEX job_by_state (state=?)"]


def test_two_states_never_look_alike(root: Path, db: Connection) -> None:
    seen = set()
    for state in JobState:
        change(root, f"UPDATE job SET state = '{state.value}' WHERE seq = 1")
        seen.add(signatures(db)[1])
    assert len(seen) == len(JobState)


def test_without_any_job_there_is_nothing_to_compare(root: Path, db: Connection) -> None:
    change(root, "PRAGMA defer_foreign_keys = ON", *(f"DELETE FROM {t}" for t in TABLES))
    assert list(signatures(db)) == [0]


TABLES = ("flaw", "file", "attempt", "need", "job")


def test_a_file_is_known_by_its_key_once_it_is_verified(root: Path, db: Connection) -> None:
    file = result_numbered(db, 1)
    assert file is not None
    assert (file.job_id, file.attempt, file.position) == ("harbour-dawn-ink", 1, 1)
    assert file.path == "files/harbour-dawn-ink.png"
    change(root, "UPDATE file SET verified_at = NULL, path = NULL, sha256 = NULL WHERE id = 1")
    assert result_numbered(db, 1) is None
    assert result_numbered(db, 999) is None


def test_something_is_due_only_if_it_waits_for_nothing(root: Path, db: Connection) -> None:
    assert not has_due(db)
    change(root, "UPDATE job SET state = 'pending', waiting = 1 WHERE id = 'late'")
    assert not has_due(db)
    change(root, "UPDATE job SET waiting = 0 WHERE id = 'late'")
    assert has_due(db)
