"""From a verified `.part` to an object: what is noted meanwhile, and how much is in memory."""

from __future__ import annotations

import asyncio
import pickle
import threading
from contextlib import closing
from pathlib import Path

import pytest

from batchgen.downloads import storing
from batchgen.downloads.outcomes import Fetched, NotStored, Target, VerifiedFile
from batchgen.downloads.storing import Storing
from batchgen.downloads.verified_part import parse_record, record_text
from batchgen.errors import BucketUnavailableError, OpenFilesError
from batchgen.storage.locations import BucketLocation
from batchgen.storage.stamps import MIB

BUCKET = BucketLocation("s3://pictures/night")
TARGET = Target(Path("out/files"), "sea/boat", bucket=BUCKET, request="r-1")


def verified(path: str = "files/sea/boat.png", size: int = 9) -> Fetched:
    return Fetched(VerifiedFile(path, size, "ab" * 32, "image/png", 8, 8, None, 1), "no room")


def test_what_is_noted_beside_a_part_is_read_back() -> None:
    assert parse_record(record_text(verified(), TARGET), TARGET) == verified()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"etag": "\\"1\\"", "total": 9}',
        '{"request": "r-1", "file": {}, "not_embedded": null}',
        record_text(verified("files/sea/ship.png"), TARGET),
        record_text(verified(), Target(Path("out/files"), "sea/boat", request="r-2")),
    ],
)
def test_what_is_of_another_file_or_request_counts_as_nothing(text: str) -> None:
    assert parse_record(text, TARGET) is None


def test_a_target_goes_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(TARGET)) == TARGET


async def test_objects_on_their_way_take_a_bounded_share_of_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lock, full, go_on = threading.Lock(), threading.Event(), threading.Event()
    now = most = 0

    def publish(*_: object) -> None:
        nonlocal now, most
        with lock:
            now += 16
            most = max(most, now)
            if now == 128:
                full.set()
        go_on.wait(10)
        with lock:
            now -= 16

    monkeypatch.setattr(storing, "_publish", publish)
    with closing(Storing()) as stores:
        tasks = [
            asyncio.create_task(
                stores.store(verified(size=16 * MIB), Path("a.part"), BUCKET, "r-1"), name="store"
            )
            for _ in range(20)
        ]
        assert await asyncio.to_thread(full.wait, 10)
        go_on.set()
        await asyncio.gather(*tasks)
    assert most * MIB == storing.MEMORY


@pytest.mark.parametrize(
    "error", [BucketUnavailableError("no answer"), OpenFilesError("too many files")]
)
async def test_what_may_pass_by_itself_is_no_error(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def publish(*_: object) -> None:
        raise error

    monkeypatch.setattr(storing, "_publish", publish)
    with closing(Storing()) as stores:
        outcome = await stores.store(verified(), Path("a.part"), BUCKET, "r-1")
    assert outcome == NotStored(str(error))
