"""What the schema itself forbids, whatever the code above it does."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import fields

import pytest

from batchgen.downloads.outcomes import VerifiedFile
from batchgen.state.file_names import claim_file_names
from batchgen.state.records import STAGED, VERIFIED, Attempt, FileRow, JobRow, KnownImage
from batchgen.state.staging import open_staging
from tests.state.state_world import State

ATTEMPT = "INSERT INTO attempt (job, number, body_sha256, submitted_at) VALUES (?, ?, 'h', 1)"


def test_a_job_cannot_have_two_open_attempts(state: State) -> None:
    state.submit("boat", "r1")
    with pytest.raises(sqlite3.IntegrityError, match=r"attempt\.job"):
        state.db.execute(ATTEMPT, (state.seq("boat"), 2))


def test_one_request_cannot_belong_to_two_jobs(state: State) -> None:
    """Row 36."""
    state.submit("boat", "r1")
    state.begin("clip")
    with pytest.raises(sqlite3.IntegrityError, match=r"attempt\.request_id"):
        state.db.execute(
            "UPDATE attempt SET request_id = 'r1', accepted_at = 1 WHERE job = ?",
            (state.seq("clip"),),
        )


def test_an_attempt_number_is_never_used_again(state: State) -> None:
    state.submit("boat", "r1")
    assert state.fail("boat")
    with pytest.raises(sqlite3.IntegrityError):
        state.db.execute(ATTEMPT, (state.seq("boat"), 1))


def test_a_job_with_attempts_cannot_be_deleted(state: State) -> None:
    state.submit("boat", "r1")
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        state.db.execute("DELETE FROM job WHERE id = 'boat'")


@pytest.mark.parametrize(
    "nonsense",
    [
        "UPDATE job SET state = 'sleeping'",
        "UPDATE attempt SET outcome = 'succeeded'",
        "UPDATE attempt SET outcome = 'vanished', ended_at = 1",
        "UPDATE attempt SET accepted_at = NULL",
        "UPDATE attempt SET price = 'cheap'",
        "UPDATE file SET verified_at = 1",
        "UPDATE file SET sha256 = 'x'",
        "UPDATE job SET name_key = 'same'",
    ],
)
def test_half_a_truth_is_refused(state: State, nonsense: str) -> None:
    state.submit("boat", "r1")
    assert state.deliver("boat")
    state.submit("clip", "r2")
    with pytest.raises(sqlite3.IntegrityError):
        state.db.execute(nonsense)


def test_two_files_cannot_have_names_that_some_disk_takes_for_one(state: State) -> None:
    """Row 47."""
    state.submit("boat", "r1")
    state.submit("clip", "r2")
    assert state.deliver("boat")
    (claim,) = claim_file_names(state.db, state.seq("clip"), 1, 1)
    assert claim == ("clip", "clip")
    with pytest.raises(sqlite3.IntegrityError, match=r"file\.name_key"):
        state.db.execute(
            "INSERT INTO file (job, attempt, position, url, name, name_key)"
            " VALUES (?, 1, 1, 'u', 'BOAT', 'boat')",
            (state.seq("clip"),),
        )


@pytest.mark.parametrize(
    ("table", "record", "beside"),
    [
        ("job", JobRow, {"name_key", "cause"}),
        ("file", FileRow, {"name_key"}),
        ("attempt", Attempt, {"body_sha256", "answer", "result", "reused_key", "uploading"}),
        ("image", KnownImage, set()),
    ],
)
def test_the_record_of_a_table_has_its_columns(
    state: State, table: str, record: type, beside: set[str]
) -> None:
    columns = {row[1] for row in state.db.execute(f"PRAGMA table_info({table})")}
    assert {field.name for field in fields(record)} - {"files"} == columns - beside


def test_what_comes_from_the_manifest_is_kept_as_the_state_keeps_it(state: State) -> None:
    """Compared across two kinds of column, equal values may differ, and no index is used."""
    kinds = {row[1]: row[2] for row in state.db.execute("PRAGMA table_info(job)")}
    with open_staging() as staging, closing(sqlite3.connect(staging.path)) as db:
        staged = {row[1]: row[2] for row in db.execute("PRAGMA table_info(job)")}
    assert staged.keys() - {"file", "line"} == {"seq", *STAGED}
    assert {name: staged[name] for name in STAGED} == {name: kinds[name] for name in STAGED}


def test_what_a_download_finds_out_has_a_column_of_that_name() -> None:
    assert set(VERIFIED) == {field.name for field in fields(VerifiedFile)}
