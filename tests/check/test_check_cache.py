"""The cache of earlier checks: private, and rebuilt whatever happens to it."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from batchgen.check.cache import open_cache
from batchgen.check.measures import Measure
from batchgen.storage.stamps import Stamp

STAMP = Stamp(10, "18446744073709551611-1700000000123456789")
MEASURES = [
    Measure(12, 0.25, None, (bytes(range(32)),)),
    Measure(0, 1.0, 3, (bytes(32), bytes(range(32)))),
    Measure(256, 0.0, None, ()),
    Measure(trouble="the PNG does not decode"),
]


@pytest.mark.parametrize("measure", MEASURES)
def test_what_was_kept_comes_back_as_it_was(tmp_path: Path, measure: Measure) -> None:
    with open_cache(tmp_path / "measures.db") as cache:
        cache.add_measure("aa", Measure())
        cache.add_measure("aa", measure)
        cache.add_file("files/a.png", "aa", STAMP)
    with open_cache(tmp_path / "measures.db") as cache:
        assert cache.measure("aa") == measure
        assert cache.measure("bb") is None
        assert cache.is_unchanged("files/a.png", "aa", STAMP)
        assert not cache.is_unchanged("files/a.png", "bb", STAMP)
        assert not cache.is_unchanged("files/a.png", "aa", Stamp(10, "18446744073709551611-1"))


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "measures.db"
    with open_cache(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["measures.db"]


def torn(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4096] + bytes(len(content) - 4096))


def of_another_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no database": lambda path: path.write_bytes(b"once upon a time" * 999),
    "empty": lambda path: path.write_bytes(b""),
    "torn": torn,
    "of another version": of_another_version,
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_foreign_cache_is_rebuilt(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "measures.db"
    with open_cache(path) as cache:
        cache.add_measure("aa", MEASURES[0])
    DAMAGES[damage](path)
    with open_cache(path) as cache:
        assert cache.measure("aa") is None
        cache.add_measure("bb", MEASURES[1])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with open_cache(path) as cache:
        assert cache.measure("bb") == MEASURES[1]


def test_two_checks_at_once_share_it(tmp_path: Path) -> None:
    with open_cache(tmp_path / "m.db") as one, open_cache(tmp_path / "m.db") as other:
        one.add_measure("aa", MEASURES[0])
        other.add_measure("bb", MEASURES[1])
        assert one.measure("bb") == MEASURES[1]


def open_at_once(path: str) -> bool:
    with open_cache(Path(path)) as cache:
        cache.add_measure(str(os.getpid()), MEASURES[0])
        return cache.measure(str(os.getpid())) == MEASURES[0]


def test_first_checks_at_once_make_one(tmp_path: Path) -> None:
    """Each begins with an empty file, or with none, and takes nobody else's away."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(4, mp_context=context) as pool:
        for number in range(12):
            path = str(tmp_path / f"{number}.db")
            assert all(pool.map(open_at_once, [path] * 8))
            with closing(sqlite3.connect(path)) as db:
                assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
                (kept,) = db.execute("SELECT count(*) FROM measure").fetchone()
                assert kept >= 1


def test_an_empty_file_is_no_damage(tmp_path: Path) -> None:
    """Another check may have made it a moment ago, and hold it open."""
    path = tmp_path / "measures.db"
    with path.open("wb") as held:
        with open_cache(path) as cache:
            cache.add_measure("aa", MEASURES[0])
        assert os.fstat(held.fileno()).st_nlink == 1


def test_where_it_cannot_be_written_it_lasts_as_long_as_the_check(tmp_path: Path) -> None:
    (tmp_path / "measures.db").mkdir()
    with open_cache(tmp_path / "measures.db") as cache:
        cache.add_measure("aa", MEASURES[0])
        assert cache.measure("aa") == MEASURES[0]
    with open_cache(tmp_path / "measures.db") as cache:
        assert cache.measure("aa") is None
