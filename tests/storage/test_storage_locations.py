from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from batchgen.errors import InputError
from batchgen.storage.locations import (
    BucketLocation,
    FolderLocation,
    parse_folder,
    parse_location,
)


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("output/boats", FolderLocation(Path("output/boats"))),
        ("/data/boats", FolderLocation(Path("/data/boats"))),
        ("C:boats", FolderLocation(Path("C:boats"))),
        ("file:///data/night%201", FolderLocation(Path("/data/night 1"))),
        ("file://localhost/data", FolderLocation(Path("/data"))),
        ("s3://bucket", BucketLocation("s3://bucket")),
        ("s3://bucket/", BucketLocation("s3://bucket")),
        ("s3://bucket/a/b/", BucketLocation("s3://bucket/a/b")),
        ("gs://bucket/a", BucketLocation("gs://bucket/a")),
        ("az://container/a", BucketLocation("az://container/a")),
    ],
)
def test_a_folder_and_a_bucket_are_told_apart(text: str, location: object) -> None:
    assert parse_location(text) == location
    assert pickle.loads(pickle.dumps(location)) == location


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://host/a", "results cannot be written to http:// addresses"),
        ("ftp://host/a", "results cannot be written to ftp:// addresses"),
        ("s3:/bucket/a", "not the address of a bucket"),
        ("s3://", "not the address of a bucket"),
        ("s3://bucket//a", "not the address of a bucket"),
        ("s3://key:secret@bucket/a", "not the address of a bucket"),
        ("s3://bucket/a/../b", "not the address of a bucket"),
        ("s3://bucket/.", "not the address of a bucket"),
        (f"s3://bucket/{'a' * 700}", "too long: at most 700 bytes"),
        ("s3://bucket/a?region=x", "not the address of a bucket"),
        ("file://server/share", "a folder of this machine by its whole path"),
    ],
)
def test_any_other_address_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_location(text)


def test_where_only_a_folder_will_do_a_bucket_is_refused() -> None:
    assert parse_folder("a/b") == Path("a/b")
    with pytest.raises(InputError, match="a folder of this machine is needed here"):
        parse_folder("s3://bucket/a")


def test_the_location_of_a_file_can_be_shown() -> None:
    assert FolderLocation(Path("out")).of("files/a.png") == "out/files/a.png"
    assert BucketLocation("s3://bucket/out").of("files/a.png") == "s3://bucket/out/files/a.png"


@pytest.mark.parametrize("text", ["s3://me:secret@bucket/x", "az://box/x?sig=secret"])
def test_credentials_in_an_address_are_refused_and_not_shown(text: str) -> None:
    with pytest.raises(InputError, match="not the address of a bucket") as raised:
        parse_location(text)
    assert "secret" not in str(raised.value)
