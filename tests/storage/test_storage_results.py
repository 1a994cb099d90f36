"""Results in a folder and in a bucket: the same promises, against a real S3 server."""

from __future__ import annotations

import errno
import hashlib
import tempfile
import time
from pathlib import Path

import pytest

from batchgen.errors import (
    BucketError,
    BucketUnavailableError,
    DiskFullError,
    NoBucketError,
    OutputError,
    StorageError,
)
from batchgen.storage.buckets import BucketResults
from batchgen.storage.folders import FolderResults, walk
from batchgen.storage.locations import BucketLocation, FolderLocation
from batchgen.storage.results import Results, open_results
from batchgen.storage.stamps import MOST_AT_ONCE, ObjectFacts
from tests.storage.s3_server import SECRET, SESSION, S3Server

BOAT = "files/harbour/boat.png"


@pytest.fixture
def kept(s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> BucketResults:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    return BucketResults(BucketLocation(f"s3://{bucket}/night/7"))


@pytest.fixture(params=["folder", "bucket"])
def results(request: pytest.FixtureRequest, tmp_path: Path) -> Results:
    if request.param == "bucket":
        found: BucketResults = request.getfixturevalue("kept")
        return found
    return FolderResults(FolderLocation(tmp_path / "out"))


def store(results: Results, path: str, content: bytes, tmp_path: Path) -> None:
    if isinstance(results, BucketResults):
        results.publish(part_of(tmp_path, content), path, facts_of(content))
        return
    assert isinstance(results.location, FolderLocation)
    final = results.location.root / path
    final.parent.mkdir(parents=True, exist_ok=True)
    final.write_bytes(content)


def part_of(tmp_path: Path, content: bytes) -> Path:
    part = tmp_path / "a.part"
    part.write_bytes(content)
    return part


def facts_of(content: bytes, request: str = "r-1") -> ObjectFacts:
    return ObjectFacts(len(content), hashlib.sha256(content).hexdigest(), "image/png", request)


def read(results: Results, path: str) -> bytes:
    with results.open(path) as file:
        return file.read()


def test_what_was_stored_is_read_listed_and_removed(results: Results, tmp_path: Path) -> None:
    assert list(results.names()) == []
    assert results.stamp(BOAT) is None
    store(results, BOAT, b"a boat", tmp_path)
    store(results, "files/b.png", b"another", tmp_path)
    assert sorted(results.names()) == ["files/b.png", BOAT]
    with results.open(BOAT) as file:
        assert file.read(2) == b"a "
        file.seek(0)
        assert file.read() == b"a boat"
    stamp = results.stamp(BOAT)
    assert stamp is not None
    assert stamp.bytes == 6
    assert stamp == results.stamp(BOAT)
    results.remove(BOAT)
    results.remove(BOAT)
    with pytest.raises(FileNotFoundError):
        results.open(BOAT)
    assert list(results.names()) == ["files/b.png"]


def test_another_content_has_another_stamp(results: Results, tmp_path: Path) -> None:
    store(results, BOAT, b"a boat", tmp_path)
    before = results.stamp(BOAT)
    results.remove(BOAT)
    store(results, BOAT, b"a ship", tmp_path)
    assert results.stamp(BOAT) != before


def test_a_damaged_file_is_moved_aside_and_none_is_overwritten(
    results: Results, tmp_path: Path
) -> None:
    assert results.move_aside(BOAT) is None
    for content in (b"first", b"second"):
        store(results, BOAT, content, tmp_path)
        assert results.move_aside(BOAT) is not None
    assert results.stamp(BOAT) is None
    assert read(results, f"{BOAT}.damaged-1") == b"first"
    assert read(results, f"{BOAT}.damaged-2") == b"second"


def test_a_link_in_a_folder_is_not_followed(tmp_path: Path) -> None:
    results = FolderResults(FolderLocation(tmp_path / "out"))
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/a.png").write_bytes(b"not ours")
    (tmp_path / "out/files").mkdir(parents=True)
    (tmp_path / "out/files/sub").symlink_to(tmp_path / "secret")
    with pytest.raises(OutputError, match="symbolic link"):
        results.open("files/sub/a.png")
    with pytest.raises(OutputError, match="symbolic link"):
        results.stamp("files/sub/a.png")


def test_walking_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "out" / "sub").mkdir(parents=True)
    (tmp_path / "secret").touch()
    (tmp_path / "out" / "away").symlink_to(tmp_path)
    assert [path.name for path in walk(tmp_path / "out")] == ["away"]


def test_results_are_opened_once_in_a_process(tmp_path: Path) -> None:
    location = FolderLocation(tmp_path)
    assert open_results(location) is open_results(FolderLocation(tmp_path))


@pytest.mark.parametrize("size", [0, 1, MOST_AT_ONCE, MOST_AT_ONCE + 1])
def test_an_object_has_all_bytes_and_its_checksum(
    kept: BucketResults, s3: S3Server, bucket: str, tmp_path: Path, size: int
) -> None:
    content = bytes(size)
    kept.publish(part_of(tmp_path, content), BOAT, facts_of(content))
    assert read(kept, BOAT) == content
    assert kept.facts(BOAT) == facts_of(content)
    head = s3.client().head_object(Bucket=bucket, Key=f"night/7/{BOAT}")
    assert head["ContentType"] == "image/png"
    assert head["Metadata"]["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("size", [6, MOST_AT_ONCE + 1])
def test_an_object_that_is_there_already_is_not_sent_again(
    kept: BucketResults, s3: S3Server, tmp_path: Path, size: int
) -> None:
    content = bytes(size)
    kept.publish(part_of(tmp_path, content), BOAT, facts_of(content))
    version = kept.stamp(BOAT)
    kept.publish(part_of(tmp_path, content), BOAT, facts_of(content))
    assert kept.stamp(BOAT) == version
    posts = [path for method, path in s3.calls if method == "POST"]
    assert len(posts) in {0, 2}, "begun and completed once"


@pytest.mark.parametrize("size", [6, MOST_AT_ONCE + 1])
def test_a_foreign_object_is_never_overwritten(
    kept: BucketResults, tmp_path: Path, size: int
) -> None:
    foreign, ours = bytes(size), b"x" * size
    kept.publish(part_of(tmp_path, foreign), BOAT, facts_of(foreign, "another"))
    with pytest.raises(OutputError, match="another object has the name") as raised:
        kept.publish(part_of(tmp_path, ours), BOAT, facts_of(ours))
    assert raised.value.where == kept.location.of(BOAT)
    assert read(kept, BOAT) == foreign


def test_an_unrecorded_try_of_the_same_request_is_replaced(
    kept: BucketResults, tmp_path: Path
) -> None:
    kept.publish(part_of(tmp_path, b"before"), BOAT, facts_of(b"before"))
    kept.publish(part_of(tmp_path, b"afterwards"), BOAT, facts_of(b"afterwards"))
    assert read(kept, BOAT) == b"afterwards"


def test_half_uploads_of_the_run_are_removed_and_those_beside_it_stay(
    kept: BucketResults, s3: S3Server, bucket: str
) -> None:
    client = s3.client()
    ours = ("night/7/files/a.png", "night/7/metadata.jsonl")
    others = ("night/7/again/files/a.png", "night/8/files/a.png")
    for key in (*ours, *others):
        client.create_multipart_upload(Bucket=bucket, Key=key)
    for below in ("files/", "metadata.jsonl"):
        assert kept.remove_half_uploads(0.0, below) == 0
        assert kept.remove_half_uploads(time.time() + 60, below) == 1
    left = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert sorted(one["Key"] for one in left) == sorted(others)


def test_a_bucket_is_claimed_once(kept: BucketResults) -> None:
    assert kept.put_text("run.json", "mine", only_new=True)
    assert not kept.put_text("run.json", "theirs", only_new=True)
    assert read(kept, "run.json") == b"mine"
    assert kept.put_text("metadata.jsonl", "1")
    assert kept.put_text("metadata.jsonl", "2")
    assert read(kept, "metadata.jsonl") == b"2"


@pytest.mark.parametrize(
    ("status", "kind"), [(403, BucketError), (503, BucketUnavailableError), (400, BucketError)]
)
def test_every_failure_is_one_of_ours_and_names_no_secret(
    kept: BucketResults,
    s3: S3Server,
    tmp_path: Path,
    status: int,
    kind: type[Exception],
) -> None:
    s3.refuse = lambda _method, _path: status
    part = part_of(tmp_path, b"a boat")
    for work in (
        lambda: kept.publish(part, BOAT, facts_of(b"a boat")),
        lambda: kept.open(BOAT),
        lambda: kept.stamp(BOAT),
        lambda: kept.facts(BOAT),
        lambda: list(kept.names()),
        lambda: kept.move_aside(BOAT),
        lambda: kept.remove(BOAT),
        lambda: kept.put_text("a", "b"),
    ):
        with pytest.raises(kind) as raised:
            work()
        text = f"{raised.value} {raised.value.__cause__}"
        assert SECRET not in text
        assert SESSION not in text
        assert raised.value.__suppress_context__


@pytest.mark.parametrize("size", [6, MOST_AT_ONCE + 1])
def test_a_bucket_that_is_gone_is_no_failure_of_the_disk(
    kept: BucketResults, s3: S3Server, bucket: str, tmp_path: Path, size: int
) -> None:
    s3.client().delete_bucket(Bucket=bucket)
    part = part_of(tmp_path, bytes(size))
    with pytest.raises(NoBucketError) as raised:
        kept.publish(part, BOAT, facts_of(bytes(size)))
    assert "<Error>" not in str(raised.value)
    with pytest.raises(NoBucketError):
        kept.put_lines(part, "metadata.jsonl")


def test_a_part_that_is_gone_is_no_failure_of_the_bucket(
    kept: BucketResults, tmp_path: Path
) -> None:
    for size in (6, MOST_AT_ONCE + 1):
        with pytest.raises((OutputError, StorageError), match=r"b\.part"):
            kept.publish(tmp_path / "b.part", BOAT, facts_of(bytes(size)))


class FullDisk(tempfile.SpooledTemporaryFile[bytes]):
    """Takes what goes into its buffer, and is full when that is written."""

    def seek(self, *_: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        super().close()
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_temporary_disk_is_no_missing_result(
    kept: BucketResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.publish(part_of(tmp_path, b"a boat"), BOAT, facts_of(b"a boat"))
    monkeypatch.setattr("batchgen.storage.buckets.tempfile.SpooledTemporaryFile", FullDisk)
    with pytest.raises(DiskFullError):
        kept.open(BOAT)


@pytest.mark.parametrize("prefix", ["ü p", "100%", "a%20b", "a+b~c"])
@pytest.mark.parametrize("name", ["a b", "ü", "u\u0308", "a%20b", "a#b?", "a+b&c=d", "日本", "😀"])
def test_a_key_is_exactly_what_is_shown(
    kept: BucketResults, s3: S3Server, bucket: str, tmp_path: Path, prefix: str, name: str
) -> None:
    results = BucketResults(BucketLocation(f"s3://{bucket}/{prefix}"))
    path = f"files/{name}.png"
    results.publish(part_of(tmp_path, b"a boat"), path, facts_of(b"a boat"))
    assert f"s3://{bucket}/{s3.keys(bucket)[0]}" == results.location.of(path)
    assert list(results.names()) == [path]
    assert read(results, path) == b"a boat"


@pytest.mark.parametrize("most", [MOST_AT_ONCE, 1])
def test_of_a_growing_file_only_whole_lines_are_stored(
    kept: BucketResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("batchgen.storage.buckets.MOST_AT_ONCE", most)
    monkeypatch.setattr("batchgen.storage.buckets.MIB", 8)
    file = tmp_path / "metadata.jsonl"
    for text, whole in (("", ""), ("one\na long second line\ntorn", "one\na long second line\n")):
        file.write_text(text)
        kept.put_lines(file, "metadata.jsonl")
        assert read(kept, "metadata.jsonl").decode() == whole
