"""The results of a finished run: where the run put them, or moved into a bucket."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from batchgen.state.database import open_for_writing
from batchgen.state.files import results_after
from batchgen.state.meta import Meta, set_meta
from batchgen.state.queries import Selection
from batchgen.storage.buckets import BucketResults
from batchgen.storage.locations import BucketLocation, FolderLocation, Location
from batchgen.storage.stamps import ObjectFacts
from tests.shell import Shell
from tests.storage.s3_server import S3Server

PREFIX = "night/7"


@dataclass(frozen=True)
class Stored:
    """A run of `shell`, and its results as someone without batchgen would work on them."""

    shell: Shell
    location: Location
    s3: S3Server | None = None

    def content(self, path: str) -> bytes:
        if self.s3 is None:
            return self._file(path).read_bytes()
        content: bytes = self.s3.client().get_object(**self._key(path))["Body"].read()
        return content

    def replace(self, path: str, content: bytes) -> None:
        if self.s3 is None:
            self._file(path).write_bytes(content)
        else:
            self.s3.client().put_object(**self._key(path), Body=content)

    def spoil(self, path: str) -> None:
        """Change a bit, not the size."""
        content = bytearray(self.content(path))
        content[-20] ^= 1
        self.replace(path, bytes(content))

    def remove(self, path: str) -> None:
        if self.s3 is None:
            self._file(path).unlink()
        else:
            self.s3.client().delete_object(**self._key(path))

    def names(self) -> list[str]:
        if self.s3 is None:
            return [f"files/{name}" for name in self.shell.files()]
        bucket = self._key("")["Bucket"]
        return [
            name.removeprefix(f"{PREFIX}/") for name in self.s3.keys(bucket) if "/files/" in name
        ]

    def _file(self, path: str) -> Path:
        assert isinstance(self.location, FolderLocation)
        return self.location.root / path

    def _key(self, path: str) -> dict[str, str]:
        assert isinstance(self.location, BucketLocation)
        bucket = self.location.url.removeprefix("s3://").split("/", 1)[0]
        return {"Bucket": bucket, "Key": f"{PREFIX}/{path}"}


def in_folder(shell: Shell) -> Stored:
    return Stored(shell, FolderLocation(shell.folder / "out"))


def moved_to_bucket(shell: Shell, s3: S3Server, bucket: str, manifest: str = "m.yaml") -> Stored:
    """Make of a run with its results in a folder one with its results in a bucket."""
    location = BucketLocation(f"s3://{bucket}/{PREFIX}")
    out = shell.folder / "out"
    with patch.dict(os.environ, s3.env):
        results = BucketResults(location)
        with closing(open_for_writing(out / "state.db")) as db:
            for file in results_after(db, Selection(), 0, 1_000_000):
                facts = ObjectFacts(file.bytes, file.sha256, file.media_type, "r")
                results.publish(out / file.path, file.path, facts)
            set_meta(db, Meta.RESULTS, location.url)
    shutil.rmtree(out / "files")
    path = shell.folder / manifest
    document = json.loads(path.read_text("utf-8"))
    document["output"] = {**document["output"], "dir": location.url, "state": "out"}
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    s3.calls.clear()
    return Stored(shell.having(**s3.env), location, s3)
