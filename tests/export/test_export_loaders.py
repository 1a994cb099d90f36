"""Each export is read back by the usual loader, and compared with the state."""

from __future__ import annotations

import gc
import json
import warnings
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from batchgen.errors import UsageError
from batchgen.export.splits import parse_splits, split_of
from tests.export.export_world import I2V, World, by_id, job, known, sha256
from tests.state.state_world import T2I

SPLITS = parse_splits("train=0.5,validation=0.2,test=0.3")
NAMES = ("train", "validation", "test")


@pytest.fixture(scope="module")
def datasets() -> Any:
    import datasets  # type: ignore[import-untyped] # noqa: PLC0415 - it takes two seconds

    datasets.disable_progress_bars()
    return datasets


@pytest.fixture(scope="module")
def webdataset() -> Any:
    import webdataset  # type: ignore[import-untyped] # noqa: PLC0415 - as above

    return webdataset


def loaded(datasets: Any, folder: Path, tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows of all splits, by the dataset's card; files as they are, not decoded."""
    found = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    undecoded = {"image": datasets.Image(decode=False), "video": datasets.Video(decode=False)}
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, split in found.items():
        for column, feature in undecoded.items():
            if column in split.column_names:
                split = split.cast_column(column, feature)  # noqa: PLW2901 - the same rows
        rows[name] = list(split)
    return rows


def content_of(held: dict[str, Any]) -> bytes:
    return bytes(held["bytes"]) if held["bytes"] is not None else Path(held["path"]).read_bytes()


def assert_rows_are_the_states(world: World, rows: dict[str, list[dict[str, Any]]]) -> None:
    found = by_id(row for split in rows.values() for row in split)
    expected = world.results()
    assert len(found) == len(expected)
    for result in expected:
        row = found[result.job_id, result.position]
        told = {name: row[name] for name in known(result) if name in row}
        # In tables a column has one type.
        told["axes"] = json.loads(row["axes"])
        assert told == {name: value for name, value in known(result).items() if name in told}
        assert json.loads(row["input"]) == json.loads(result.body)
    for split, held in rows.items():
        assert {split_of(row["id"], SPLITS) for row in held} == {split}


def test_datasets_loads_the_image_folder_as_the_state_has_it(
    world: World, tmp_path: Path, datasets: Any
) -> None:
    world.export(tmp_path / "hf", "hf", splits=SPLITS)
    rows = loaded(datasets, tmp_path / "hf", tmp_path)
    assert tuple(rows) == NAMES
    assert_rows_are_the_states(world, rows)
    for split in rows.values():
        for row in split:
            assert sha256(content_of(row["image"])) == row["sha256"]


def test_the_image_folder_loads_without_its_card_too(
    world: World, tmp_path: Path, datasets: Any
) -> None:
    world.export(tmp_path / "hf", "hf", splits=SPLITS)
    found = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "hf"), cache_dir=str(tmp_path / "cache")
    )
    assert {name: len(split) for name, split in found.items()} == {
        name: sum(split_of(one.job_id, SPLITS) == name for one in world.results()) for name in NAMES
    }
    assert found["train"][0]["image"].size == (32, 24)


SPLIT_WORDS = (
    "photo of a cat",
    "photo of a train",
    "train/fox",
    "test/owl",
    "a/Val/b.dev",
    "test",
    "test~",
    "Testing 1",
    "eval",
    "evaluation2",
    "training-day",
)


@pytest.mark.parametrize(
    ("folder", "shares"),
    [
        ("test", "train=1"),
        ("train/a-val", "train=0.5,test=0.5"),
        ("ds", "one=0.4,validation=0.6"),
    ],
)
def test_names_that_contain_a_splits_name_stay_in_their_own_split(
    empty: World, tmp_path: Path, datasets: Any, folder: str, shares: str
) -> None:
    jobs = [job(f"j{n}", f"p{n}", name=name) for n, name in enumerate(SPLIT_WORDS)]
    empty.merge(jobs)
    for one in jobs:
        empty.finish(one.id)
    splits = parse_splits(shares)
    target = tmp_path / folder
    empty.export(target, "hf", splits=splits)
    wanted: dict[str, set[tuple[str, str]]] = {}
    for n, one in enumerate(jobs):
        wanted.setdefault(split_of(one.id, splits), set()).add((one.id, f"p{n}"))
    cache = str(tmp_path / "cache")
    by_card = datasets.load_dataset(str(target), cache_dir=cache)
    bare = datasets.load_dataset("imagefolder", data_dir=str(target), cache_dir=cache)
    for found in (by_card, bare):
        if found is bare and "one" in wanted:
            # Without the card nobody knows a split of that name.
            continue
        rows = {
            name: set(zip(held["id"], held["prompt"], strict=True)) for name, held in found.items()
        }
        assert rows == wanted


@pytest.mark.parametrize("name", ["ds[1]", "d::s", "what?"])
def test_a_folder_that_no_loader_finds_is_refused(world: World, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="loaders of datasets do not find a folder"):
        world.export(tmp_path / name, "hf")


def test_pictures_and_clips_are_two_datasets_that_load(
    world: World, tmp_path: Path, datasets: Any
) -> None:
    clips = [job(f"clip-{n}", f"pan {n}", model=I2V, input={"seed": n}) for n in range(3)]
    listed = [job("boat-1", "boat 1", input={"seed": 1}, tags=("hero", "sea"))]
    world.merge([*listed, *clips])
    for clip in clips:
        world.finish(clip.id)
    world.export(tmp_path / "hf", "hf")
    (pictures,) = loaded(datasets, tmp_path / "hf/images", tmp_path).values()
    (videos,) = loaded(datasets, tmp_path / "hf/videos", tmp_path).values()
    assert [row["id"] for row in pictures] == ["boat-1"]
    expected = {one.job_id: one for one in world.results() if one.model == I2V}
    assert len(videos) == 3
    for row in videos:
        result = expected[row["id"]]
        assert row["seconds"] == result.seconds
        assert row["seed"] == json.loads(result.body)["seed"]
        assert sha256(content_of(row["video"])) == result.sha256


def test_a_seed_that_one_split_has_nowhere_does_not_stop_the_loader(
    empty: World, tmp_path: Path, datasets: Any
) -> None:
    jobs = [job(f"j{n}") for n in range(12)]
    seeded = next(one.id for one in jobs if split_of(one.id, SPLITS) == "train")
    jobs = [job(one.id, input={"seed": 5}) if one.id == seeded else one for one in jobs]
    empty.merge(jobs)
    for one in jobs:
        empty.finish(one.id)
    empty.export(tmp_path / "hf", "hf", splits=SPLITS)
    rows = loaded(datasets, tmp_path / "hf", tmp_path)
    assert_rows_are_the_states(empty, rows)
    assert json.loads(by_id(rows["train"])[seeded, 1]["input"])["seed"] == 5


def samples(webdataset: Any, folder: Path, split: str) -> list[dict[str, Any]]:
    urls = sorted(str(path) for path in folder.glob(f"{split}-*.tar"))
    with warnings.catch_warnings():
        # The loader leaves its files to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        found = list(webdataset.WebDataset(urls, shardshuffle=False))
        gc.collect()
    return found


def test_webdataset_reads_every_file_with_its_json(
    world: World, tmp_path: Path, webdataset: Any
) -> None:
    world.export(tmp_path / "wds", "webdataset", splits=SPLITS, shard_rows=3)
    found = {}
    for split in NAMES:
        for sample in samples(webdataset, tmp_path / "wds", split):
            told = json.loads(sample["json"])
            assert split_of(told["id"], SPLITS) == split
            assert told["file_name"] == f"{sample['__key__']}.png"
            assert sha256(sample["png"]) == told["sha256"]
            found[told["id"], told["position"]] = told
    assert len(found) == len(world.results())
    for result in world.results():
        told = found[result.job_id, result.position]
        wanted = {**known(result), "pick": result.pick or "", "tags": result.tags}
        wanted["axes"] = result.axes
        # Some file of the world has no seed, and one no cost; none has a length.
        for name in ("seed", "cost", "seconds", "frames"):
            assert name not in told
            del wanted[name]
        assert {name: told[name] for name in wanted} == wanted
        assert told["input"] == result.body


def test_datasets_reads_the_tar_shards(world: World, tmp_path: Path, datasets: Any) -> None:
    world.export(tmp_path / "wds", "webdataset", splits=SPLITS)
    rows = loaded(datasets, tmp_path / "wds", tmp_path)
    told = by_id(row["json"] for split in rows.values() for row in split)
    assert len(told) == len(world.results())
    for result in world.results():
        assert told[result.job_id, result.position]["sha256"] == result.sha256


def undecoded(datasets: Any, split: Any, column: str) -> list[dict[str, Any]]:
    feature = (datasets.Video if column == "mp4" else datasets.Image)(decode=False)
    return list(split.cast_column(column, feature))


def test_datasets_reads_every_shard_although_the_first_rows_lack_what_others_have(
    empty: World, tmp_path: Path, datasets: Any
) -> None:
    """The loader takes the first five rows for what all are: none of them has a seed or a tag."""
    jobs = [
        job(
            f"j{n}",
            f"p{n}",
            input={"seed": n} if n > 8 else {},
            tags=("a",) if n > 6 else (),
            axes=f'{{"h":{n}}}' if n > 9 else "{}",
        )
        for n in range(20)
    ]
    empty.merge(jobs)
    for one in jobs:
        empty.finish(one.id, cost=None if one.id == "j17" else 0.03)
    empty.export(tmp_path / "wds", "webdataset", splits=SPLITS, shard_rows=3)
    cache = str(tmp_path / "cache")
    for found in (
        datasets.load_dataset(str(tmp_path / "wds"), cache_dir=cache),
        datasets.load_dataset("webdataset", data_dir=str(tmp_path / "wds"), cache_dir=cache),
    ):
        rows = [row for split in found.values() for row in undecoded(datasets, split, "png")]
        assert {row["json"]["id"] for row in rows} == {one.id for one in jobs}
        assert all(value is not None for row in rows for value in row["json"].values())
        assert all(sha256(row["png"]["bytes"]) == row["json"]["sha256"] for row in rows)
        assert {row["json"]["id"]: json.loads(row["json"]["input"]) for row in rows} == {
            one.id: json.loads(one.body) for one in jobs
        }


def test_shards_of_several_kinds_of_files_are_a_dataset_each(
    empty: World, tmp_path: Path, datasets: Any
) -> None:
    jobs = [job(f"j{n}", f"p{n}", model=I2V if n % 3 == 0 else T2I) for n in range(9)]
    empty.merge(jobs)
    for one in jobs:
        empty.finish(one.id)
    target = tmp_path / "wds"
    exported = empty.export(target, "webdataset", shard_rows=2)
    assert exported.parts == ("mp4", "png")
    cache = str(tmp_path / "cache")
    for kind, model in (("mp4", I2V), ("png", T2I)):
        wanted = {one.job_id: one.sha256 for one in empty.results() if one.model == model}
        for found in (
            datasets.load_dataset(str(target), kind, cache_dir=cache),
            datasets.load_dataset(str(target / kind), cache_dir=cache),
            datasets.load_dataset("webdataset", data_dir=str(target / kind), cache_dir=cache),
        ):
            rows = undecoded(datasets, found["train"], kind)
            assert {row["json"]["id"]: sha256(row[kind]["bytes"]) for row in rows} == wanted
            assert all(value is not None for row in rows for value in row["json"].values())


@pytest.mark.parametrize("embed", [False, True])
def test_pyarrow_reads_the_tables_as_the_state_has_them(
    world: World, tmp_path: Path, *, embed: bool
) -> None:
    world.export(tmp_path / "pq", "parquet", splits=SPLITS, embed=embed, shard_rows=4)
    rows = {}
    for split in NAMES:
        paths = sorted((tmp_path / "pq").glob(f"{split}-*.parquet"))
        rows[split] = [row for path in paths for row in pq.read_table(path).to_pylist()]
    assert_rows_are_the_states(world, rows)
    for row in (row for split in rows.values() for row in split):
        assert (world.folder.root / row["file_name"]).is_file()
        assert ("image" in row) is embed
        if embed:
            assert sha256(row["image"]["bytes"]) == row["sha256"]


def test_datasets_shows_embedded_pictures_as_pictures(
    world: World, tmp_path: Path, datasets: Any
) -> None:
    world.export(tmp_path / "pq", "parquet", splits=SPLITS, embed=True)
    found = datasets.load_dataset(str(tmp_path / "pq"), cache_dir=str(tmp_path / "cache"))
    assert found["train"].features["image"] == datasets.Image()
    assert found["train"][0]["image"].size == (32, 24)
    assert_rows_are_the_states(world, loaded(datasets, tmp_path / "pq", tmp_path))


def test_the_lines_are_the_states_and_name_the_runs_files(world: World, tmp_path: Path) -> None:
    world.export(tmp_path / "jl", "jsonl", splits=SPLITS)
    rows = {
        split: [
            json.loads(line)
            for line in (tmp_path / f"jl/{split}.jsonl").read_text("utf-8").split("\n")
            if line
        ]
        for split in NAMES
    }
    for row in (row for split in rows.values() for row in split):
        assert sha256((world.folder.root / row["file_name"]).read_bytes()) == row["sha256"]
        row["input"], row["axes"] = json.dumps(row["input"]), json.dumps(row["axes"])
    assert_rows_are_the_states(world, rows)


def test_a_list_longer_than_the_loaders_block_keeps_its_types(
    empty: World, tmp_path: Path, datasets: Any
) -> None:
    """`datasets` reads blocks of a third of a megabyte: here a whole one has no seed."""
    jobs = [job(f"j{n}", "x" * 4000, input={} if n % 500 else {"seed": n}) for n in range(600)]
    empty.merge(jobs)
    for one in jobs:
        empty.finish(one.id)
    empty.export(tmp_path / "hf", "hf")
    (rows,) = loaded(datasets, tmp_path / "hf", tmp_path).values()
    assert [row["seed"] for row in rows] == [None if n % 500 else n for n in range(600)]
