"""The cache of what is known of the user's own files."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from batchgen.input_files import LocalFile, Unusable
from batchgen.state.local_file_cache import AT_ONCE, NAME, LocalFileCache

OLD = 1_700_000_000


class Reader:
    """Counts what is read; a file's content is its hash."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, path: Path) -> LocalFile | Unusable:
        self.read.append(path.name)
        if not path.exists():
            return Unusable("there is no such file")
        text = path.read_text()
        return LocalFile(text, "image/png", len(text), 96, 64)

    def of(self, folder: Path | None, *paths: Path) -> list[LocalFile | Unusable]:
        with closing(LocalFileCache(folder, self)) as cache:
            return [cache(path) for path in paths]


def old(path: Path, text: str = "a") -> Path:
    path.write_text(text)
    os.utime(path, (OLD, OLD))
    return path


def test_an_unchanged_file_is_read_once(tmp_path: Path) -> None:
    reader, path = Reader(), old(tmp_path / "a.png")
    found = [reader.of(tmp_path / "cache", path) for _ in range(3)]
    assert found == [[LocalFile("a", "image/png", 1, 96, 64)]] * 3
    assert reader.read == ["a.png"]
    assert (tmp_path / "cache" / NAME).stat().st_mode & 0o777 == 0o600


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    reader, path = Reader(), old(tmp_path / "a.png")
    reader.of(tmp_path, path)
    old(path, "bb")
    reader.of(tmp_path, path)
    os.utime(path, (OLD, OLD + 1))
    reader.of(tmp_path, path)
    old(tmp_path / "other", "cc").replace(path)
    os.utime(path, (OLD, OLD + 1))
    found = reader.of(tmp_path, path)
    assert len(reader.read) == 4
    assert found == [LocalFile("cc", "image/png", 2, 96, 64)]


def test_a_file_that_changed_just_now_is_not_remembered(tmp_path: Path) -> None:
    reader, path = Reader(), tmp_path / "a.png"
    path.write_text("a")
    reader.of(tmp_path, path)
    path.write_text("b")
    assert reader.of(tmp_path, path) == [LocalFile("b", "image/png", 1, 96, 64)]
    future = time.time() + 1000
    os.utime(path, (future, future))
    reader.of(tmp_path, path)
    reader.of(tmp_path, path)
    assert len(reader.read) == 4


def test_a_file_that_changes_while_it_is_read_is_not_remembered(tmp_path: Path) -> None:
    path, reads = old(tmp_path / "a.png"), []

    def changing(one: Path) -> LocalFile:
        reads.append(one)
        old(one, "changed" * len(reads))
        return LocalFile("a", "image/png", 1)

    with closing(LocalFileCache(tmp_path, changing)) as cache:
        cache(path)
    with closing(LocalFileCache(tmp_path, changing)) as cache:
        cache(path)
    assert len(reads) == 2


def test_what_cannot_be_used_is_not_remembered(tmp_path: Path) -> None:
    reader = Reader()
    for _ in range(2):
        assert reader.of(tmp_path, tmp_path / "none.png") == [Unusable("there is no such file")]
    assert len(reader.read) == 2


def test_without_a_cache_folder_every_file_is_read(tmp_path: Path) -> None:
    reader, path = Reader(), old(tmp_path / "a.png")
    (tmp_path / "file").touch()
    for folder in (None, tmp_path / "file" / "cache"):
        reader.of(folder, path)
        reader.of(folder, path)
    assert len(reader.read) == 4


@pytest.mark.parametrize("content", [b"not a database", b"SQLite format 3\0" + bytes(200)])
def test_a_damaged_cache_is_made_anew(tmp_path: Path, content: bytes) -> None:
    reader, path = Reader(), old(tmp_path / "a.png")
    (tmp_path / NAME).write_bytes(content)
    for _ in range(2):
        assert reader.of(tmp_path, path) == [LocalFile("a", "image/png", 1, 96, 64)]
    assert reader.read == ["a.png"]


@pytest.mark.parametrize("version", [1, 99])
def test_a_cache_of_another_kind_is_made_anew(tmp_path: Path, version: int) -> None:
    reader, path = Reader(), old(tmp_path / "a.png")
    with closing(sqlite3.connect(tmp_path / NAME)) as db:
        db.execute("CREATE TABLE other (a)")
        db.execute(f"PRAGMA user_version = {version}")
    for _ in range(2):
        reader.of(tmp_path, path)
    assert reader.read == ["a.png"]


def test_a_locked_cache_is_gone_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchgen.state.local_file_cache._WAIT", 0.0)
    reader, path = Reader(), old(tmp_path / "a.png")
    reader.of(tmp_path, path)
    with closing(sqlite3.connect(tmp_path / NAME, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        assert reader.of(tmp_path, path) == [LocalFile("a", "image/png", 1, 96, 64)]
    assert len(reader.read) == 2
    reader.of(tmp_path, path)
    assert len(reader.read) == 2


def test_many_files_are_remembered_in_groups(tmp_path: Path) -> None:
    paths = [old(tmp_path / f"{number}.png") for number in range(AT_ONCE + 5)]
    first, second = Reader(), Reader()
    first.of(tmp_path, *paths)
    second.of(tmp_path, *paths)
    assert (len(first.read), second.read) == (len(paths), [])


def test_any_name_of_a_file_is_remembered(tmp_path: Path) -> None:
    reader, path = Reader(), old(tmp_path / os.fsdecode(b"b\xffat.png"))
    for _ in range(2):
        reader.of(tmp_path, path)
    assert len(reader.read) == 1
