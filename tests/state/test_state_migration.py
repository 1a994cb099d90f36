"""A state file of an older version: brought up to date by the writer, left alone by readers."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from batchgen.errors import BatchgenError
from batchgen.state.database import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    open_for_reading,
    open_for_writing,
)
from batchgen.state.queries import counts, get_meta, money
from batchgen.state.reconcile import OnChanged, merge
from batchgen.state.staging import open_staging
from tests.state.state_world import T2I, job

SCHEMAS = {
    version: Path(__file__).with_name(f"schema_{version}.sql").read_text("utf-8")
    for version in range(1, SCHEMA_VERSION)
}

Shape = dict[tuple[str, str], object]


@pytest.fixture(params=SCHEMAS)
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def old(tmp_path: Path, version: int) -> Path:
    """A file of an older version with one job done and one pending."""
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            f"{SCHEMAS[version]} PRAGMA application_id = {APPLICATION_ID};"
            f"PRAGMA user_version = {version}; INSERT INTO meta VALUES ('inputs', 'seen');"
            f"INSERT INTO job (id, model, body, name, name_key, tags, state, attempts) VALUES"
            f" ('boat', '{T2I}', '{{\"prompt\":\"a boat\"}}', 'boat', 'boat', '[]', 'done', 1),"
            f" ('clip', '{T2I}', '{{\"prompt\":\"a boat\"}}', 'clip', 'clip', '[]', 'pending', 0);"
            "INSERT INTO attempt (job, number, body_sha256, price, submitted_at, request_id,"
            " accepted_at, cost, ended_at, outcome)"
            " VALUES (1, 1, 'h', 0.5, 1, 'r1', 2, 0.25, 3, 'succeeded');"
        )
    return path


def shape(db: sqlite3.Connection) -> Shape:
    """Tables with their columns, indexes and triggers, whatever words made them."""
    found: Shape = {}
    for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_schema").fetchall():
        if kind == "table":
            found[kind, name] = (
                db.execute(f"PRAGMA table_xinfo({name})").fetchall(),
                db.execute(f"PRAGMA foreign_key_list({name})").fetchall(),
                db.execute(f"SELECT wr, strict FROM pragma_table_list('{name}')").fetchall(),
                sql.count("CHECK"),
            )
        else:
            found[kind, name] = sql
    return found


def test_a_file_that_was_brought_up_to_date_is_like_a_new_one(old: Path, tmp_path: Path) -> None:
    with (
        closing(open_for_writing(old)) as migrated,
        closing(open_for_writing(tmp_path / "new.db")) as new,
    ):
        assert shape(migrated) == shape(new)
        assert migrated.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_what_was_known_is_known_and_the_run_goes_on(old: Path) -> None:
    with closing(open_for_writing(old)) as db, open_staging() as staging:
        assert counts(db) == {T2I: {"done": 1, "pending": 1}}
        assert money(db).spent == 0.25
        staging.add(job("boat"))
        staging.add(job("clip", needs=("boat",)))
        staging.finish()
        assert merge(db, staging, old, OnChanged.REFUSE).changed == ()
        assert db.execute("SELECT waiting FROM job ORDER BY seq").fetchall() == [(0,), (0,)]


def test_a_reader_sees_it_as_it_will_be_and_leaves_the_older_file_alone(
    old: Path, tmp_path: Path
) -> None:
    before = old.read_bytes()
    with (
        closing(open_for_reading(old)) as read,
        closing(open_for_writing(tmp_path / "new.db")) as new,
    ):
        assert shape(read) == shape(new)
        assert counts(read) == {T2I: {"done": 1, "pending": 1}}
    assert old.read_bytes() == before
    assert [one.name for one in tmp_path.glob("state.db*")] == ["state.db"]


@pytest.mark.parametrize("version", [1, 2])
def test_an_unchanged_manifest_is_read_once_more_for_what_is_new(old: Path) -> None:
    with closing(open_for_writing(old)) as db:
        assert get_meta(db, "inputs") is None


@pytest.mark.parametrize("version", [1, 2])
def test_a_migration_that_fails_leaves_the_older_file(old: Path, version: int) -> None:
    with closing(sqlite3.connect(old)) as db:
        db.execute("CREATE TABLE flaw (theirs)")
    with pytest.raises(BatchgenError, match="already exists"):
        open_for_writing(old)
    with closing(sqlite3.connect(old)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (version,)
        assert "axes" not in [row[1] for row in db.execute("PRAGMA table_info(job)")]
