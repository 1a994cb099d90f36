"""What the judge is given is what lies in the user's folder, and a crash's log is left alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tests.kills.evidence import Scene, holding, metadata, strays
from tests.kills.memory import Memory, read_memory
from tests.shell import Emulator

SCHEMA = Path(__file__).parent.parent.parent / "batchgen/state/schema.sql"
INTENT = (
    "INSERT INTO job (seq, id, model, body, name, name_key, tags, state) VALUES"
    " (1, 'boat', 'm', '{}', 'boat', 'boat', '[]', 'submitting');"
    "INSERT INTO attempt (job, number, body_sha256, submitted_at) VALUES (1, 1, 'aa', 0);"
)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(Emulator("http://127.0.0.1:1/v1"), tmp_path, "m.yaml", "s3cr3t")


def lay(home: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_what_a_run_leaves_is_no_stray_and_all_else_is(scene: Scene) -> None:
    lay(scene.home, dict.fromkeys(("m.yaml", "out/state.db", "out/run.log", "out/files/a.png"), ""))
    assert list(strays(scene)) == []
    lay(scene.home, dict.fromkeys((".cache/x", "out/metadata.jsonl.part", "run.log"), ""))
    assert sorted(strays(scene)) == [".cache/x", "out/metadata.jsonl.part", "run.log"]


def test_the_token_is_found_wherever_it_was_written(scene: Scene) -> None:
    lay(scene.home, {"m.yaml": "jobs: []", "out/files/a.png": "xx s3cr3t xx"})
    assert list(holding(scene.home, b"s3cr3t")) == ["out/files/a.png"]


def test_what_a_run_that_came_to_no_end_left_can_be_judged(tmp_path: Path) -> None:
    path = tmp_path / "metadata.jsonl"
    assert list(metadata(path)) == []
    path.write_text('{"file_name": "files/a.png", "sha256": "aa"}\n')
    assert list(metadata(path)) == [("files/a.png", "aa")]


def test_before_the_first_tables_nothing_is_remembered(tmp_path: Path) -> None:
    assert read_memory(tmp_path) == Memory()


def test_a_state_is_read_with_its_log_and_not_a_byte_of_it_changes(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.create_function("cause_key", 4, lambda *_: "a trigger asks for it")
        db.executescript(SCHEMA.read_text("utf-8"))
        db.executescript(INTENT)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert before["state.db-wal"], "what was committed is in the log only"
        memory = read_memory(tmp_path)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        db.execute("UPDATE job SET state = 'unknown', error_code = 'no_answer'")
        told = read_memory(tmp_path)
        db.execute("UPDATE job SET error_code = 'interrupted'")
        settled = read_memory(tmp_path)
    assert memory.states == {"boat": "submitting"}
    assert memory.on_the_wire == settled.on_the_wire == {("boat", 1)}
    assert told.on_the_wire == frozenset(), "an answer that went astray is not the kill's doing"
