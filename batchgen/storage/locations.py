"""Where results are: a folder of this machine, or a bucket; as text, and for another process."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from batchgen.errors import InputError

BUCKETS = ("s3", "gs", "az")


@dataclass(frozen=True, slots=True)
class FolderLocation:
    """Files are below `root`, at the paths that the state has: `files/boat.png`."""

    root: Path

    def __str__(self) -> str:
        return str(self.root)

    def of(self, path: str) -> str:
        """The location of one file, to be shown."""
        return str(self.root / path)

    def absolute(self) -> FolderLocation:
        return FolderLocation(self.root.absolute())


@dataclass(frozen=True, slots=True)
class BucketLocation:
    """Objects are below `url`, which ends without a slash: `s3://bucket/prefix/files/boat.png`."""

    url: str

    def __str__(self) -> str:
        return self.url

    def of(self, path: str) -> str:
        return f"{self.url}/{path}"

    def absolute(self) -> BucketLocation:
        return self


Location: TypeAlias = FolderLocation | BucketLocation

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
LONGEST_BUCKET = 700
"""Bytes. S3 takes keys of 1,024, and the name of a file has up to 240."""
_DOTS = re.compile(r"/\.{1,2}(?:/|$)")
_BUCKET = re.compile(r"(?:s3|gs|az)://[^/@:?#\s\\]+(?:/[^/@?#\s\\]+)*/?")


def parse_location(text: str) -> Location:
    """Parse `output.dir`. Raises InputError for an address that is neither."""
    found = _SCHEME.match(text)
    if found is None:
        return FolderLocation(Path(text))
    scheme = found[1].lower()
    if scheme == "file":
        return FolderLocation(_path_of(text))
    if scheme not in BUCKETS:
        raise InputError(
            f"results cannot be written to {scheme}:// addresses",
            where=text,
            next_step="name a folder, or a bucket: s3://bucket/prefix, gs://bucket/prefix or"
            " az://container/prefix",
        )
    if not _BUCKET.fullmatch(text) or _DOTS.search(text):
        raise InputError(
            "this is not the address of a bucket",
            where=_without_secrets(text),
            next_step=f"write {scheme}://bucket/prefix, without credentials, `?`, `//` or `..`; the"
            " cloud's own tools know the credentials",
        )
    if len(text.encode()) > LONGEST_BUCKET:
        raise InputError(
            f"the address of the bucket is too long: at most {LONGEST_BUCKET} bytes fit",
            where=text,
            next_step="set a shorter output.dir",
        )
    return BucketLocation(text.rstrip("/"))


def _without_secrets(text: str) -> str:
    """Leave out what may be credentials: before an @, and after a question mark."""
    return re.sub(r"//[^/]*@", "//…@", text.partition("?")[0])


def parse_folder(text: str) -> Path:
    """Parse what only a folder of this machine can be. Raises InputError for any other address."""
    found = _SCHEME.match(text)
    if found is not None and found[1].lower() in BUCKETS:
        raise InputError(
            "a folder of this machine is needed here, not a bucket",
            # Without the rest, which may have credentials.
            where=f"{found[1]}://…",
            next_step="name one",
        )
    location = parse_location(text)
    assert isinstance(location, FolderLocation)
    return location.root


def _path_of(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise InputError(
            "a file: address names a folder of this machine by its whole path",
            where=url,
            next_step="write file:///data/run-7, or the path alone",
        )
    return Path(unquote(parts.path))
