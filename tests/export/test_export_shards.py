"""Tar shards: limits, names, and bytes that do not depend on when and where."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from batchgen.errors import UsageError
from batchgen.export.options import ExportOptions, Format
from tests.export.export_world import World, job


def members(path: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        return tar.getmembers()


def test_no_shard_is_larger_than_asked_for(world: World, tmp_path: Path) -> None:
    world.export(tmp_path / "wds", "webdataset", shard_bytes=16_000)
    shards = sorted((tmp_path / "wds").glob("*.tar"))
    assert len(shards) > 2
    assert all(shard.stat().st_size <= 16_000 for shard in shards)
    # Each is as full as can be: the first sample of the next one would not have fitted.
    size = shards[0].stat().st_size
    first_of_next = sum(512 + -(-one.size // 512) * 512 for one in members(shards[1])[:2])
    assert size + first_of_next > 16_000


def test_a_result_larger_than_a_shard_has_one_of_its_own(world: World, tmp_path: Path) -> None:
    world.export(tmp_path / "wds", "webdataset", shard_bytes=10)
    shards = sorted((tmp_path / "wds").glob("*.tar"))
    assert [len(members(shard)) for shard in shards] == [2] * len(world.results())
    assert shards[0].name == "train-000000.tar"


def test_a_shard_has_so_many_results_at_most(world: World, tmp_path: Path) -> None:
    world.export(tmp_path / "wds", "webdataset", shard_rows=5)
    shards = sorted((tmp_path / "wds").glob("*.tar"))
    assert [len(members(shard)) // 2 for shard in shards] == [5, 5, 3]


def test_members_have_no_time_and_no_owner(world: World, tmp_path: Path) -> None:
    world.export(tmp_path / "wds", "webdataset")
    for one in members(tmp_path / "wds/train-000000.tar"):
        assert (one.mtime, one.uid, one.gid, one.uname, one.gname, one.mode) == (
            *(0, 0, 0, "", ""),
            0o644,
        )


def test_dots_in_names_make_neither_extensions_nor_doubles(empty: World, tmp_path: Path) -> None:
    empty.merge([job(name) for name in ("a.b", "a%2Eb", "a", "sub.dir/a.b")])
    for name in ("a.b", "a%2Eb", "a", "sub.dir/a.b"):
        empty.finish(name)
    empty.export(tmp_path / "wds", "webdataset")
    names = [one.name for one in members(tmp_path / "wds/train-000000.tar")]
    assert names[::2] == ["a%2Eb.png", "a%252Eb.png", "a.png", "sub.dir/a%2Eb.png"]
    assert names[1::2] == ["a%2Eb.json", "a%252Eb.json", "a.json", "sub.dir/a%2Eb.json"]


def test_a_name_longer_than_a_tar_header_still_counts(empty: World, tmp_path: Path) -> None:
    names = ["/".join([letter * 90, "é" * 40]) for letter in "abcdef"]
    empty.merge([job(f"j{n}", name=name) for n, name in enumerate(names)])
    for number in range(len(names)):
        empty.finish(f"j{number}")
    empty.export(tmp_path / "wds", "webdataset", shard_bytes=20_000)
    shards = sorted((tmp_path / "wds").glob("*.tar"))
    assert all(shard.stat().st_size <= 20_000 for shard in shards)
    assert [one.name for shard in shards for one in members(shard)][::2] == [
        f"{name}.png" for name in names
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"to": Format.HF, "shard_rows": 5},
        {"to": Format.JSONL, "shard_bytes": 5},
        {"to": Format.WEBDATASET, "embed": True},
        {"to": Format.PARQUET, "copy": True},
    ],
)
def test_an_option_of_another_format_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="no effect here"):
        ExportOptions(**options)  # type: ignore[arg-type]
