"""Exports whose files and shards are made by workers, which know only what they are sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from batchgen.errors import MissingFileError, StorageError
from batchgen.processes import R, T, map_in_processes
from tests.export.export_world import WORK, World, tree
from tests.export.test_export_again import FORMATS, SPLITS, limits
from tests.export.test_export_to_buckets import Sets, embedding, sets

__all__ = ["sets"]


@pytest.mark.parametrize("to", FORMATS)
def test_workers_make_the_same_dataset(world: World, tmp_path: Path, to: str) -> None:
    options = {"splits": SPLITS, **limits(to), **embedding(to)}
    first = world.export(tmp_path / "here", to, **options)
    assert world.export_by(map_in_processes, tmp_path / "there", to, **options) == first
    assert tree(tmp_path / "there") == tree(tmp_path / "here")
    again = world.export_by(map_in_processes, tmp_path / "there", to, **options)
    assert (again.made, again.kept) == (0, first.made)


@pytest.mark.parametrize("to", ["hf", "webdataset"])
def test_workers_put_a_dataset_of_a_bucket_into_a_bucket(
    world: World, sets: Sets, tmp_path: Path, to: str
) -> None:
    world.export(tmp_path / "here", to)
    sets.take(world)
    world.export_by(map_in_processes, sets.target, to)
    assert sets.tree() == tree(tmp_path / "here")
    assert list((world.folder.root / "exports").rglob("*.part")) == []


@pytest.mark.parametrize("to", ["hf", "webdataset"])
def test_a_damaged_result_ends_the_export_as_without_workers(
    world: World, tmp_path: Path, to: str
) -> None:
    damaged = world.folder.root / world.results()[2].path
    damaged.write_bytes(b"no picture")
    with pytest.raises(StorageError, match="not the content"):
        world.export_by(map_in_processes, tmp_path / "d", to)
    damaged.unlink()
    with pytest.raises(MissingFileError):
        world.export_by(map_in_processes, tmp_path / "d", to)
    names = [path.name for path in (tmp_path / "d").rglob("*") if path.is_file()]
    assert not [name for name in names if name == damaged.name or name.endswith(".tar")]


def all_lost(_work: Callable[[T], R], items: Iterable[T], lost: Callable[[T], R], /) -> Iterator[R]:
    return map(lost, items)


@pytest.mark.parametrize("to", ["hf", "webdataset"])
def test_a_file_that_kills_its_workers_is_named(world: World, tmp_path: Path, to: str) -> None:
    with pytest.raises(StorageError, match="kills the worker") as caught:
        world.export_by(all_lost, tmp_path / "d", to)
    assert caught.value.where


def test_what_a_dead_worker_left_is_removed(world: World, tmp_path: Path) -> None:
    def leaving(
        work: Callable[[T], R], items: Iterable[T], lost: Callable[[T], R], /
    ) -> Iterator[R]:
        (tmp_path / "d" / WORK / "batchgen-1.part").touch()
        return map_in_processes(work, items, lost)

    world.export_by(leaving, tmp_path / "d", "hf")
    assert list((tmp_path / "d").rglob("*.part")) == []
