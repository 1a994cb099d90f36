"""Gathers what the judge reads: the vendor's ledger and bytes, and all of the user's folder."""

from __future__ import annotations

import hashlib
import json
import re
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kills.judge import Charge, Evidence
from tests.kills.memory import read_memory
from tests.kills.plan import Plan
from tests.shell import Emulator
from tests.storage.s3_server import KEY_ID, SECRET, SESSION, S3Server

RUN_LEAVES = frozenset(
    {
        "metadata.jsonl",
        "state.db",
        "state.db-wal",
        "state.db-shm",
        "run.log",
        "decisions.jsonl",
        "run.lock",
        "receipts.jsonl",
    }
)
"""What the manual says a run leaves, besides the folder `files`, with the log of SQLite."""

REMEMBERED = ("runs", "results.db", "results.db-shm", "results.db-wal")
"""What the user's state folder keeps: the output folder of each manifest, and where results are."""

SECONDS_TO_ANSWER = 60
MOST_EARLY = 10
"""Results without output that the emulator may give before the whole one."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """A prefix in a bucket, and what is there for who looks without batchgen."""

    s3: S3Server
    bucket: str
    prefix: str = "night/7"

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def contents(self) -> dict[str, bytes]:
        """By the path below the prefix."""
        client, found = self.s3.client(), {}
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            for one in page.get("Contents", ()):
                body = client.get_object(Bucket=self.bucket, Key=one["Key"])["Body"]
                found[one["Key"].removeprefix(f"{self.prefix}/")] = body.read()
        return found

    def half_uploads(self) -> list[str]:
        found = self.s3.client().list_multipart_uploads(Bucket=self.bucket)
        return [one["Key"] for one in found.get("Uploads", ())]


@dataclass(frozen=True, slots=True)
class Found:
    """Where results go: their hashes by path, their list, and what belongs to nobody."""

    disk: dict[str, str] = field(default_factory=dict)
    metadata: tuple[tuple[str, str], ...] = ()
    strays: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """Where to look: the vendor, the user's folder, what the run is told to write to in it.

    With a `shelf`, results are in a bucket.
    """

    emulator: Emulator
    home: Path
    manifest: str
    token: str
    shelf: Shelf | None = None

    @property
    def out(self) -> Path:
        return self.home / "out"


def gather(scene: Scene, plan: Plan, allowed: Counter[str], said: dict[str, int]) -> Evidence:
    """Look at everything. The faults must be disarmed, and no process at work."""
    ledger = scene.emulator.ledger()
    found = on_disk(scene.out) if scene.shelf is None else in_bucket(scene.out, scene.shelf)
    secrets = (scene.token, *((KEY_ID, SECRET, SESSION) if scene.shelf else ()))
    return Evidence(
        jobs=frozenset(job["id"] for job in plan.jobs),
        charges=tuple(charges(scene, plan, ledger["charges"])),
        memory=read_memory(scene.out),
        approved=allowed,
        disk=found.disk,
        metadata=found.metadata,
        strays=(*strays(scene), *found.strays),
        token_in=tuple(place for one in secrets for place in holding(scene.home, one.encode())),
        token_leaks=ledger["token_leaks"],
        needs=plan.needs,
        gated=plan.gated,
        said=said,
    )


def charges(scene: Scene, plan: Plan, lines: list[dict[str, Any]]) -> Iterator[Charge]:
    job_of = plan.job_of_prompt
    for line in lines:
        request_id, status = line["request_id"], line["status"]
        served = served_files(scene, request_id) if status == "succeeded" else ()
        job = job_of[line["input"]["prompt"]]
        images = tuple(line["input"].get("image_urls", ()))
        yield Charge(request_id, job, status, tuple(served), images)


def served_files(scene: Scene, request_id: str) -> Iterator[str]:
    """Hash what the vendor serves for a request; its API, not the state, says where."""
    url = f"{scene.emulator.base}/requests/{request_id}/result"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {scene.token}"})
    document: dict[str, Any] = {}
    for _ in range(MOST_EARLY):
        # Of a request whose success came early, and that no run has asked for so often.
        with urllib.request.urlopen(request, timeout=SECONDS_TO_ANSWER) as answer:
            document = json.load(answer)
        if "output" in document:
            break
    for one in files_in(document["output"]):
        # urllib reads data: URIs, too.
        with urllib.request.urlopen(one, timeout=SECONDS_TO_ANSWER) as answer:
            yield hashlib.sha256(answer.read()).hexdigest()


def files_in(output: Any) -> Iterator[str]:
    """Find the result's files in an output of any shape: not its thumbnail, nor its page."""
    match output:
        case dict():
            for value in output.values():
                yield from files_in(value)
        case list():
            for value in output:
                yield from files_in(value)
        case str() if output.startswith("data:") or re.search(r"/files/[^/]+/\d+\.", output):
            yield output


def results(out: Path) -> Iterator[Path]:
    return (path for path in (out / "files").rglob("*") if path.is_file())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def on_disk(out: Path) -> Found:
    disk = {str(path.relative_to(out)): sha256(path) for path in results(out)}
    return Found(disk, tuple(metadata(out / "metadata.jsonl")))


def in_bucket(out: Path, shelf: Shelf) -> Found:
    contents = shelf.contents()
    text = contents.pop("metadata.jsonl", b"").decode()
    claim = contents.pop("run.json", None)
    hashes = {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
    left = [f"{path.name} on this machine" for path in results(out)]
    left += [f"half an upload of {key}" for key in shelf.half_uploads()]
    left += [] if claim else ["a prefix without its claim"]
    return Found(hashes, tuple(rows(text)), tuple(left))


def metadata(path: Path) -> Iterator[tuple[str, str]]:
    """Nothing where no run came to its end: the judge says so, and a broken round would not."""
    if path.exists():
        yield from rows(path.read_text("utf-8"))


def rows(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        row = json.loads(line)
        yield row["file_name"], row["sha256"]


def strays(scene: Scene) -> Iterator[str]:
    """Whatever lies in the user's folder and is neither the manifest nor what a run leaves."""
    for path in scene.home.rglob("*"):
        if path.is_dir() or path == scene.home / scene.manifest:
            continue
        remembered = (scene.home / ".local/state/batchgen" / name for name in REMEMBERED)
        own = (scene.home / "photos", scene.home / ".cache/batchgen")
        if any(map(path.is_relative_to, (scene.out / "files", *own, *remembered))):
            continue
        if path.parent != scene.out or path.name not in RUN_LEAVES:
            yield str(path.relative_to(scene.home))


def holding(home: Path, secret: bytes) -> Iterator[str]:
    for path in home.rglob("*"):
        if path.is_file() and secret in path.read_bytes():
            yield str(path.relative_to(home))
