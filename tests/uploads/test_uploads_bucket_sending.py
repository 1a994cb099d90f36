"""Own files on their way into a bucket: each content once, and only what is sound."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from batchgen.errors import BucketError
from batchgen.input_files import file_url
from batchgen.models.catalog import bundled
from batchgen.processes import ProcessPool
from batchgen.uploads import bucket_sending
from batchgen.uploads.bucket_sending import CHECK_KEY, BucketSender
from batchgen.uploads.outcomes import CannotSendError, NotNowError
from tests.shell import EDIT, VIDEO

MODELS = bundled().models
SECRET = "?signature=secret"


class MemoryBucket:
    """`calls` are what it is asked for; each takes a turn of the loop."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.calls: list[str] = []
        self.trouble: Exception | None = None
        self.is_hanging = False
        self.called = asyncio.Event()
        self.busy = self.most_busy = 0

    async def has(self, key: str, size: int) -> bool:
        await self._call("has")
        return len(self.objects.get(key, b"")) == size

    async def put(self, key: str, content: bytes, media_type: str) -> None:
        self.busy += 1
        self.most_busy = max(self.busy, self.most_busy)
        try:
            await self._call("put")
        finally:
            self.busy -= 1
        self.objects[key] = content
        self.types[key] = media_type

    async def url(self, key: str, seconds: float) -> str:
        await self._call("url")
        return f"https://bucket.example/pictures/{key}{SECRET}{self.calls.count('url')}"

    async def _call(self, name: str) -> None:
        self.calls.append(name)
        self.called.set()
        if self.is_hanging:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(0)
        if self.trouble is not None:
            raise self.trouble


class Desk:
    """A folder, a bucket and a sender between them."""

    def __init__(self, folder: Path, processes: ProcessPool) -> None:
        self.folder = folder
        self.processes = processes
        self.bucket = MemoryBucket()
        self.sender = self.next_run()

    def next_run(self, *, fit: bool = False) -> BucketSender:
        self.sender = BucketSender(
            self.bucket,
            self.folder,
            self.processes,
            fit=fit,
            url_seconds=60,
        )
        return self.sender

    def picture(self, name: str, size: tuple[int, int] = (640, 480), colour: str = "teal") -> str:
        file = io.BytesIO()
        Image.new("RGB", size, colour).save(file, "PNG")
        (self.folder / name).write_bytes(file.getvalue())
        return file_url(hashlib.sha256(file.getvalue()).hexdigest(), name)

    async def sent(self, *urls: str, model: str = EDIT) -> list[str]:
        body = json.dumps({"prompt": "x", "image_urls": list(urls)})
        text, share = await self.sender.body_for(MODELS[model], body)
        share.release()
        found: list[str] = json.loads(text)["image_urls"]
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with ProcessPool(1) as processes:
        yield Desk(tmp_path, processes)


async def test_files_are_named_by_their_content_and_urls_are_signed_anew(desk: Desk) -> None:
    url = desk.picture("a.png")
    first, second = [(await desk.sent(url))[0] for _ in range(2)]
    sha256 = hashlib.sha256((desk.folder / "a.png").read_bytes()).hexdigest()
    assert first == f"https://bucket.example/pictures/{sha256}.png{SECRET}1"
    assert second == f"https://bucket.example/pictures/{sha256}.png{SECRET}2"
    assert desk.bucket.types == {f"{sha256}.png": "image/png"}
    assert desk.bucket.calls == ["has", "put", "url", "url"]


async def test_jobs_at_once_with_one_content_upload_it_once(desk: Desk) -> None:
    urls = [desk.picture("a.png"), desk.picture("b.png")]
    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(desk.sent(urls[number % 2]))
        group.create_task(desk.sent(urls[0], model=VIDEO))
    assert desk.bucket.calls.count("put") == 1
    assert desk.bucket.calls.count("url") == 13


async def test_at_most_four_files_are_uploaded_at_once(desk: Desk) -> None:
    urls = [desk.picture(f"{side}.png", (side, 400)) for side in range(400, 420)]
    async with asyncio.TaskGroup() as group:
        for url in urls:
            group.create_task(desk.sent(url))
    assert len(desk.bucket.objects) == 20
    assert 1 <= desk.bucket.most_busy <= 4


async def test_the_next_run_asks_the_bucket_and_uploads_only_what_is_not_there(desk: Desk) -> None:
    url = desk.picture("a.png")
    await desk.sent(url)
    desk.next_run()
    await desk.sent(url)
    assert desk.bucket.calls.count("put") == 1
    desk.bucket.objects.clear()
    desk.next_run()
    await desk.sent(url)
    assert desk.bucket.calls.count("put") == 2


async def test_only_so_many_keys_are_remembered(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_sending, "MOST_KNOWN", 2)
    urls = [desk.picture(f"{side}.png", (side, 400)) for side in (400, 401, 402)]
    for url in urls:
        await desk.sent(url)
    desk.bucket.calls.clear()
    await desk.sent(urls[2])
    await desk.sent(urls[0])
    assert desk.bucket.calls == ["url", "has", "url"]
    assert len(desk.sender._known) == 2
    assert not desk.sender._locks


async def test_an_object_that_was_deleted_in_a_long_run_is_put_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = desk.picture("a.png")
    await desk.sent(url)
    desk.bucket.objects.clear()
    await desk.sent(url)
    assert not desk.bucket.objects
    monkeypatch.setattr("batchgen.uploads.bucket_sending.KNOWN_FOR", 0.0)
    await desk.sent(url)
    assert len(desk.bucket.objects) == 1


async def test_what_changed_or_is_damaged_or_missing_is_not_uploaded(desk: Desk) -> None:
    changed, missing = desk.picture("changed.png"), desk.picture("missing.png")
    desk.picture("changed.png", colour="red")
    (desk.folder / "missing.png").unlink()
    half = (desk.folder / "changed.png").read_bytes()[:-80]
    (desk.folder / "half.png").write_bytes(half)
    damaged = file_url(hashlib.sha256(half).hexdigest(), "half.png")
    for url, words in ((changed, "has changed"), (missing, "missing"), (damaged, "half.png")):
        with pytest.raises(CannotSendError, match=words):
            await desk.sent(url)
    assert desk.bucket.calls == []


async def test_a_copy_that_fits_has_a_key_of_its_own_and_is_made_once(desk: Desk) -> None:
    url = desk.picture("wide.png", (4100, 1500))
    with pytest.raises(CannotSendError, match="4096"):
        await desk.sent(url)
    desk.next_run(fit=True)
    await desk.sent(url)
    await desk.sent(url)
    ((key, content),) = desk.bucket.objects.items()
    assert key.startswith(hashlib.sha256(content).hexdigest())
    assert max(Image.open(io.BytesIO(content)).size) <= 4096
    assert (desk.folder / "wide.png").read_bytes() != content
    assert desk.bucket.calls.count("has") == 1


async def test_trouble_leaves_nothing_behind_and_the_next_try_goes_on(desk: Desk) -> None:
    url = desk.picture("a.png")
    desk.bucket.trouble = NotNowError("busy")
    with pytest.raises(NotNowError):
        await desk.sent(url)
    desk.bucket.trouble = None
    await desk.sent(url)
    assert len(desk.bucket.objects) == 1
    assert desk.sender._budget.free == bucket_sending.BYTES_AT_ONCE


async def test_a_cancelled_upload_gives_everything_back(desk: Desk) -> None:
    url = desk.picture("a.png")
    task = asyncio.create_task(desk.sent(url))
    desk.bucket.is_hanging = True
    await desk.bucket.called.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    desk.bucket.is_hanging = False
    await desk.sent(url)
    assert desk.sender._budget.free == bucket_sending.BYTES_AT_ONCE


async def test_the_check_refuses_what_will_not_pass_and_lets_trouble_wait(desk: Desk) -> None:
    await desk.sender.check()
    assert list(desk.bucket.objects) == [CHECK_KEY]
    desk.bucket.trouble = NotNowError("busy")
    await desk.sender.check()
    desk.bucket.trouble = BucketError("no", where="s3://b")
    with pytest.raises(BucketError):
        await desk.sender.check()
