"""Opening the state file: made soundly, refused clearly."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from batchgen.errors import (
    BatchgenError,
    DamagedStateError,
    DiskFullError,
    ExitCode,
    MissingFileError,
    OpenFilesError,
    OutputError,
    SchemaVersionError,
    StorageError,
)
from batchgen.state import database, queries, transitions
from batchgen.state.database import (
    open_for_reading,
    open_for_writing,
    reading,
    schema_version,
    translate,
    translated,
)
from batchgen.state.meta import Meta, get_meta
from batchgen.state.report_queries import reported_jobs
from tests.state.state_world import State


def make(path: Path, script: str) -> bytes:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(script)
    return path.read_bytes()


def test_a_commit_is_flushed_to_the_disk_before_it_returns(state: State) -> None:
    """Row 59."""
    assert state.one("PRAGMA journal_mode") == "wal"
    assert state.one("PRAGMA synchronous") == 2
    assert state.one("PRAGMA foreign_keys") == 1


def test_only_its_owner_reads_the_state_and_what_stands_beside_it(state: State) -> None:
    files = list(state.path.parent.glob("state.db*"))
    assert {file.name for file in files} == {"state.db", "state.db-wal", "state.db-shm"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_what_was_written_is_there_at_the_next_opening(state: State) -> None:
    state.submit("boat", "r1")
    state.db.close()
    with closing(open_for_writing(state.path)) as db:
        assert db.execute("SELECT id, state FROM job ORDER BY seq").fetchall() == [
            ("boat", "queued"),
            ("clip", "pending"),
        ]


def test_an_empty_file_of_a_crashed_start_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.touch()
    with closing(open_for_writing(path)) as db:
        assert db.execute("SELECT count(*) FROM job").fetchone() == (0,)


@pytest.mark.parametrize("version", [schema_version() - 1, schema_version() + 1])
@pytest.mark.parametrize("opener", [open_for_writing, open_for_reading])
def test_any_other_version_is_refused_with_a_way_out(
    state: State, opener: object, version: int
) -> None:
    assert callable(opener)
    state.db.execute(f"PRAGMA user_version = {version}")
    state.db.close()
    before = state.path.read_bytes()
    with pytest.raises(SchemaVersionError, match=f"has version {version};") as e:
        opener(state.path)
    assert e.value.exit_code is ExitCode.CANNOT_WRITE
    assert e.value.where == str(state.path)
    assert "another output.dir" in str(e.value.next_step)
    assert state.path.read_bytes() == before


@pytest.mark.parametrize("opener", [open_for_writing, open_for_reading])
def test_a_database_of_another_program_is_refused_untouched(tmp_path: Path, opener: object) -> None:
    assert callable(opener)
    path = tmp_path / "state.db"
    before = make(path, "CREATE TABLE theirs (x); PRAGMA application_id = 99")
    with pytest.raises(SchemaVersionError, match="not a state file of batchgen"):
        opener(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("opener", [open_for_writing, open_for_reading])
def test_a_file_that_is_no_database_is_called_damaged(tmp_path: Path, opener: object) -> None:
    """Row 55."""
    assert callable(opener)
    path = tmp_path / "state.db"
    path.write_bytes(b"half a photograph" * 999)
    with pytest.raises(DamagedStateError, match="damaged") as caught:
        opener(path)
    assert "restore it from a backup" in str(caught.value)
    assert caught.value.exit_code is ExitCode.IO_ERROR


def test_a_page_of_noise_is_noticed(state: State) -> None:
    """Row 55."""
    state.merge([])
    state.db.close()
    content = bytearray(state.path.read_bytes())
    content[100:4096] = b"\xff" * 3996
    state.path.write_bytes(content)
    with pytest.raises(DamagedStateError):
        open_for_writing(state.path)


def test_a_folder_that_is_none_cannot_be_written(tmp_path: Path) -> None:
    """Row 53."""
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written") as caught:
        open_for_writing(tmp_path / "file" / "state.db")
    assert "output.dir" in str(caught.value)


def test_reading_what_was_never_run_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="batchgen run"):
        open_for_reading(tmp_path / "state.db")
    assert list(tmp_path.iterdir()) == []


def test_what_goes_wrong_while_a_state_is_read_is_an_error_of_ours(state: State) -> None:
    with pytest.raises(StorageError, match="no such table"), reading(state.path) as reader:
        reader.execute("SELECT 1 FROM absent")
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        reader.execute("SELECT 1")


def test_a_reader_sees_a_snapshot_and_cannot_write(state: State) -> None:
    """Row 64."""
    state.db.execute("BEGIN IMMEDIATE")
    state.begin("boat")
    with reading(state.path) as reader:
        assert reader.execute("SELECT state FROM job WHERE id = 'boat'").fetchone() == ("pending",)
        state.db.execute("COMMIT")
        assert reader.execute("SELECT state FROM job WHERE id = 'boat'").fetchone() == (
            "submitting",
        )
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM job")


def failure(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("words of SQLite")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, DiskFullError),
        (sqlite3.SQLITE_CORRUPT, DamagedStateError),
        (sqlite3.SQLITE_NOTADB, DamagedStateError),
        (sqlite3.SQLITE_CANTOPEN, OutputError),
        (sqlite3.SQLITE_IOERR_LOCK, OutputError),
        (sqlite3.SQLITE_IOERR_SHMMAP, OutputError),
        (sqlite3.SQLITE_PROTOCOL, StorageError),
        (sqlite3.SQLITE_READONLY, OutputError),
        (sqlite3.SQLITE_PERM, OutputError),
        (sqlite3.SQLITE_IOERR, StorageError),
        (sqlite3.SQLITE_IOERR | (4 << 8), StorageError),  # SQLITE_IOERR_FSYNC
        (sqlite3.SQLITE_BUSY, StorageError),
        (sqlite3.SQLITE_CONSTRAINT, StorageError),
    ],
)
def test_each_failure_of_sqlite_has_its_place_in_the_tree(
    tmp_path: Path, code: int, kind: type[BatchgenError]
) -> None:
    error = translate(failure(code), tmp_path / "state.db")
    assert type(error) is kind
    assert str(tmp_path / "state.db") in str(error)


def test_too_many_open_files_are_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite says only that it cannot open the file."""
    monkeypatch.setattr(database, "is_out_of_descriptors", lambda: True)
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    found = database.translate(error, Path("state.db"))
    assert isinstance(found, OpenFilesError)
    assert "ulimit -n 4096" in str(found)


def test_the_cause_stays_visible(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError) as caught, translated(tmp_path):
        raise failure(sqlite3.SQLITE_FULL)
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE job SET body = CAST(x'22C3' AS TEXT)",
        "PRAGMA ignore_check_constraints = ON; UPDATE job SET state = 'dofe'",
        "UPDATE attempt SET request_id = CAST(x'C5' AS TEXT)",
        "INSERT INTO meta VALUES ('decisions_read', '1x')",
    ],
)
def test_a_flipped_bit_in_a_row_is_damage_and_no_bug(state: State, damage: str) -> None:
    transitions.begin_attempt(state.db, state.seq("boat"), "h", None, 1.0)
    transitions.accepted(state.db, state.seq("boat"), 1, "r1", "raw", 1.0)
    state.db.executescript(damage)

    def read() -> None:
        with translated(state.path):
            list(queries.job_statuses(state.db))
            list(reported_jobs(state.db, 0, 10))
            int(get_meta(state.db, Meta.DECISIONS_READ) or 0)

    with pytest.raises(DamagedStateError, match="the state file is damaged"):
        read()


def test_a_flipped_bit_in_the_schema_is_damage_and_no_bug(tmp_path: Path) -> None:
    """SQLite's own message is no UTF-8 then."""
    path = tmp_path / "state.db"
    open_for_writing(path).close()
    data = path.read_bytes()
    path.write_bytes(data.replace(b"CREATE TABLE need", b"CREATE T\xc2BLE need"))
    for opening in (open_for_reading, open_for_writing):
        with pytest.raises(DamagedStateError):
            opening(path).close()
