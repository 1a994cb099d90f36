"""Exports from a bucket and into one, against a real S3 server."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from batchgen.errors import (
    BatchgenError,
    BucketError,
    BucketUnavailableError,
    LockedError,
    MissingFileError,
    StorageError,
    UsageError,
)
from batchgen.export.bucket_target import BucketDestination
from batchgen.export.folder import opened_journal
from batchgen.export.splits import parse_splits
from batchgen.state.reviews import Pick, pick
from batchgen.storage.locations import BucketLocation
from tests.export.export_world import WORK, World, tree
from tests.export.test_export_again import DIES_AFTER, FORMATS, SPLITS, limits
from tests.runs.run_world import in_a_process
from tests.storage.s3_server import SECRET, S3Server

PREFIX = "sets/boats"


@dataclass
class Sets:
    """A bucket of datasets."""

    s3: S3Server
    bucket: str

    @property
    def target(self) -> BucketLocation:
        return BucketLocation(f"s3://{self.bucket}/{PREFIX}")

    def tree(self) -> dict[str, bytes]:
        """The dataset as `tree` reads it of a folder."""
        keys = self.s3.keys(self.bucket)
        names = [key.removeprefix(f"{PREFIX}/") for key in keys if key.startswith(PREFIX)]
        return {name: self.get(name) for name in names if not name.startswith(WORK)}

    def get(self, name: str) -> bytes:
        found = self.s3.client().get_object(Bucket=self.bucket, Key=f"{PREFIX}/{name}")
        content: bytes = found["Body"].read()
        return content

    def put(self, name: str, content: bytes) -> None:
        self.s3.client().put_object(Bucket=self.bucket, Key=f"{PREFIX}/{name}", Body=content)

    def sent(self) -> list[str]:
        """The dataset's objects that were sent since this was asked last."""
        found = [name.removeprefix(f"{PREFIX}/") for name in self.s3.uploads(self.bucket)]
        self.s3.calls.clear()
        return sorted(name for name in found if not name.startswith(WORK))

    def take(self, world: World) -> None:
        """Move the results of a run into this bucket."""
        world.moved_to = BucketLocation(f"s3://{self.bucket}/night")
        for result in world.results():
            path = world.folder.root / result.path
            key = f"night/{result.path}"
            self.s3.client().put_object(Bucket=self.bucket, Key=key, Body=path.read_bytes())
        shutil.rmtree(world.folder.files)
        self.s3.calls.clear()


@pytest.fixture
def sets(s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Sets:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    return Sets(s3, bucket)


def embedding(to: str) -> dict[str, bool]:
    return {"embed": True} if to == "parquet" else {}


@pytest.mark.parametrize("to", FORMATS)
def test_a_bucket_gets_what_a_folder_gets_and_nothing_twice(
    world: World, sets: Sets, tmp_path: Path, to: str
) -> None:
    options = {"splits": SPLITS, **limits(to), **embedding(to)}
    world.export(tmp_path / "d", to, **options)
    first = world.export(sets.target, to, **options)
    assert sets.tree() == tree(tmp_path / "d")
    assert len(sets.sent()) == first.made == len(sets.tree())
    again = world.export(sets.target, to, **options)
    assert (sets.sent(), again.made, again.kept) == ([], 0, first.made)
    assert list((world.folder.root / "exports").rglob("*.part")) == []


@pytest.mark.parametrize("to", FORMATS)
def test_results_of_a_bucket_are_exported_as_those_of_a_folder(
    world: World, sets: Sets, tmp_path: Path, to: str
) -> None:
    world.export(tmp_path / "d", to, **embedding(to))
    sets.take(world)
    world.export(tmp_path / "from", to, **embedding(to))
    assert tree(tmp_path / "from") == tree(tmp_path / "d")
    reads = [path for method, path in sets.s3.calls if "/night/" in path]
    assert len(reads) == len(set(reads))


def test_from_bucket_to_bucket(world: World, sets: Sets, tmp_path: Path) -> None:
    world.export(tmp_path / "d", "webdataset")
    sets.take(world)
    world.export(sets.target, "webdataset")
    assert sets.tree() == tree(tmp_path / "d")


def test_only_what_changed_is_sent_and_what_is_gone_is_removed(world: World, sets: Sets) -> None:
    world.export(sets.target, "hf")
    sets.sent()
    world.finish("later")
    pick(world.db, world.seq("boat-1"), 1, Pick.REJECT)
    done = world.export(sets.target, "hf")
    assert sets.sent() == ["train/later.png", "train/metadata.jsonl"]
    assert done.removed == 1
    assert "train/boat-1.png" not in sets.tree()


def test_an_export_whose_journal_is_lost_is_found_again(world: World, sets: Sets) -> None:
    first = world.export(sets.target, "hf")
    shutil.rmtree(world.folder.root / "exports")
    sets.sent()
    again = world.export(sets.target, "hf")
    assert (sets.sent(), again.kept) == ([], first.made)


def test_an_object_that_is_gone_is_sent_again(world: World, sets: Sets) -> None:
    world.export(sets.target, "hf")
    sets.s3.client().delete_object(Bucket=sets.bucket, Key=f"{PREFIX}/train/boat-3.png")
    sets.sent()
    world.export(sets.target, "hf")
    assert sets.sent() == ["train/boat-3.png"]


def test_a_card_that_was_edited_is_kept(world: World, sets: Sets) -> None:
    world.export(sets.target, "jsonl")
    sets.put("README.md", b"my own words")
    world.export(sets.target, "jsonl")
    assert sets.get("README.md") == b"my own words"


@pytest.mark.parametrize("last", [1, 6, 12])
def test_an_export_that_is_killed_is_continued(
    world: World, sets: Sets, tmp_path: Path, last: int
) -> None:
    words = (world.folder.root, sets.target, "hf", last)
    env = {**sets.s3.env, "PYTHONPATH": os.pathsep.join(sys.path)}
    with in_a_process(DIES_AFTER, *words, **env) as one:
        one.communicate()
    assert one.returncode == 9
    world.export(sets.target, "hf", splits=parse_splits("train=0.7,test=0.3"))
    world.export(tmp_path / "whole", "hf", splits=SPLITS)
    assert sets.tree() == tree(tmp_path / "whole")


def test_half_uploads_of_an_export_that_died_are_removed(world: World, sets: Sets) -> None:
    client = sets.s3.client()
    for key in (f"{PREFIX}/train-000000.tar", "elsewhere/train-000000.tar"):
        client.create_multipart_upload(Bucket=sets.bucket, Key=key)
    world.export(sets.target, "webdataset")
    left = client.list_multipart_uploads(Bucket=sets.bucket)["Uploads"]
    assert [one["Key"] for one in left] == ["elsewhere/train-000000.tar"]


def test_a_foreign_place_is_refused_and_left_as_it_is(world: World, sets: Sets) -> None:
    sets.put("theirs.txt", b"foreign")
    with pytest.raises(UsageError, match="there are objects that batchgen did not export"):
        world.export(sets.target, "hf")
    assert sets.sent() == ["theirs.txt"]
    assert sets.tree() == {"theirs.txt": b"foreign"}


def test_an_export_of_another_run_is_not_overwritten(world: World, sets: Sets) -> None:
    world.export(sets.target, "hf")
    marker = json.loads(sets.get(f"{WORK}/export.json"))
    sets.put(f"{WORK}/export.json", json.dumps({**marker, "origin": "another"}).encode())
    with pytest.raises(UsageError, match="an export of another run"):
        world.export(sets.target, "hf")


def test_other_options_are_refused(world: World, sets: Sets) -> None:
    world.export(sets.target, "hf")
    with pytest.raises(UsageError, match="--to was hf, now jsonl"):
        world.export(sets.target, "jsonl")


def test_the_results_themselves_are_no_place_for_a_dataset(world: World, sets: Sets) -> None:
    sets.take(world)
    for place in ("night/files/set", "night/files"):
        with pytest.raises(UsageError, match="where the run keeps its files"):
            world.export(BucketLocation(f"s3://{sets.bucket}/{place}"), "hf")
    with pytest.raises(UsageError, match="did not export"):
        world.export(BucketLocation(f"s3://{sets.bucket}/night"), "hf")


def test_one_export_at_a_time(world: World, sets: Sets) -> None:
    world.export(sets.target, "hf")
    journal = BucketDestination(sets.target, world.folder.root).journal
    with (
        opened_journal(journal),
        pytest.raises(LockedError, match="another export is running"),
    ):
        world.export(sets.target, "hf")


@pytest.mark.parametrize(("status", "kind"), [(403, BucketError), (503, BucketUnavailableError)])
@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_bucket_that_refuses_ends_the_export_and_it_continues(
    world: World,
    sets: Sets,
    tmp_path: Path,
    status: int,
    kind: type[BatchgenError],
    to: str,
    method: str,
) -> None:
    world.export(tmp_path / "whole", to)
    sets.take(world)
    sets.s3.refuse = lambda verb, path: status if verb == method else None
    with pytest.raises(kind) as raised:
        world.export(sets.target, to)
    assert f"HTTP {status}" in str(raised.value)
    assert SECRET not in str(raised.value)
    sets.s3.refuse = lambda _method, _path: None
    world.export(sets.target, to)
    assert sets.tree() == tree(tmp_path / "whole")


@pytest.mark.parametrize("to", ["hf", "webdataset", "parquet"])
def test_a_result_that_is_altered_or_missing_is_not_exported(
    world: World, sets: Sets, tmp_path: Path, to: str
) -> None:
    sets.take(world)
    client, key = sets.s3.client(), {"Bucket": sets.bucket, "Key": "night/files/boat-3.png"}
    sound = client.get_object(**key)["Body"].read()
    client.put_object(**key, Body=sound[:-1] + b"?")
    with pytest.raises(StorageError, match="boat-3 is not the content"):
        world.export(tmp_path / "d", to, **embedding(to))
    client.delete_object(**key)
    with pytest.raises(MissingFileError, match="the result of boat-3 is missing"):
        world.export(tmp_path / "d", to, **embedding(to))
