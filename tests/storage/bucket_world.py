"""A user whose results go to a bucket: a real S3 server, and the emulator over HTTP."""

from __future__ import annotations

import hashlib
import json
import signal
from dataclasses import dataclass
from typing import Any

import pytest

from tests.shell import T2I, Emulator, Shell
from tests.storage.s3_server import S3Server
from tests.uploads.test_uploads_bucket_runs import secrets_in

HAS_KILL = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
PREFIX = "night/7"
MANY = "example/poster-2/text-to-image"
"""Makes several pictures."""


@dataclass
class Bucket:
    """A user whose results go to `s3://NAME/night/7`, and what is there."""

    user: Shell
    emulator: Emulator
    s3: S3Server
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}/{PREFIX}"

    def manifest(self, count: int = 4, **output: Any) -> None:
        jobs = [{"id": f"job-{n}", "input": {"prompt": f"{n}"}} for n in range(count)]
        output = {"dir": self.url, "state": "out", **output}
        self.user.manifest(jobs, defaults={"model": T2I}, output=output)

    def keys(self) -> list[str]:
        return [key.removeprefix(f"{PREFIX}/") for key in self.s3.keys(self.name)]

    def read(self, path: str) -> bytes:
        found = self.s3.client().get_object(Bucket=self.name, Key=f"{PREFIX}/{path}")
        content: bytes = found["Body"].read()
        return content

    def results(self) -> list[str]:
        return [key for key in self.keys() if key.startswith("files/")]

    def check(self, count: int) -> None:
        """Every job is done and paid once, and every object has the bytes that were served."""
        charges = self.emulator.charges()
        assert [one["status"] for one in charges] == ["succeeded"] * count
        assert set(self.user.states().values()) == {"done"}
        rows = [json.loads(line) for line in self.read("metadata.jsonl").splitlines()]
        assert sorted(row["file_name"] for row in rows) == self.results()
        assert len({row["id"] for row in rows}) == count
        for row in rows:
            content = self.read(row["file_name"])
            assert hashlib.sha256(content).hexdigest() == row["sha256"]
        left = [path.name for path in (self.user.folder / "out/files").rglob("*") if path.is_file()]
        assert left == []
        assert secrets_in(self.user.folder) == []


def is_result(method: str, path: str) -> bool:
    return method in {"PUT", "POST"} and "/files/" in path
