"""The live page of results in a bucket, over real HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.night_world import small_night
from tests.shell import Shell
from tests.storage.s3_server import SECRET, S3Server
from tests.storage.stored import Stored, moved_to_bucket
from tests.watch.watch_world import Run, called, change, watching

CLIP = "originals/13/clip%20%231.mp4"
BOAT = "originals/1/harbour-dawn-ink.png"


@pytest.fixture
def night(tmp_path: Path, s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Stored:
    shell = Shell(tmp_path)
    shell.manifest(1)
    small_night(tmp_path / "out")
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    return moved_to_bucket(shell, s3, bucket)


@pytest.fixture(params=["from memory", "through"])
def root(night: Stored, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "through":
        monkeypatch.setattr("batchgen.watch.originals.LARGEST_KEPT", 0)
    return night.shell.folder / "out"


async def test_originals_come_whole_and_in_ranges(root: Path, night: Stored) -> None:
    clip = night.content("files/clip #1.mp4")
    async with watching(root, Run(results=night.location)) as page:
        status, body, headers = await page.get(CLIP)
        assert (status, headers["Content-Type"], body) == (200, "video/mp4", clip)
        tag = headers["Etag"]
        for asked, first, last in (
            ("bytes=100-199", 100, 199),
            ("bytes=0-", 0, len(clip) - 1),
            ("bytes=-50", len(clip) - 50, len(clip) - 1),
        ):
            status, body, headers = await page.get(CLIP, Range=asked)
            assert (status, body) == (206, clip[first : last + 1])
            assert headers["Content-Range"] == f"bytes {first}-{last}/{len(clip)}"
        assert (await page.get(CLIP, Range=f"bytes={len(clip)}-"))[0] == 416
        assert (await page.get(CLIP, Range="bytes=x"))[0] == 416
        newer = {"Range": "bytes=0-9", "If-Range": '"another"'}
        assert (await page.get(CLIP, **newer))[1] == clip
        status, body, headers = await page.get(CLIP, **{"If-None-Match": tag})
        assert (status, body, headers["Etag"]) == (304, b"", tag)


async def test_a_picture_is_read_once_and_a_range_reads_no_more_than_it(
    root: Path, night: Stored, s3: S3Server
) -> None:
    async with watching(root, Run(results=night.location)) as page:
        for _ in range(3):
            assert (await page.get(BOAT))[0] == 200
    reads = [path for method, path in s3.calls if path.endswith(".png")]
    assert len(reads) in {1, 3}


async def test_previews_are_made_of_objects(root: Path, night: Stored) -> None:
    async with watching(root, Run(results=night.location)) as page:
        row = called("take", await page.text("data/jobs-0.js"))["rows"][0]
        name = row[14][0][1]
        status, body, _ = await page.get(f"thumbs/{name[:2]}/{name}.webp?file=1")
        assert (status, body[8:12]) == (200, b"WEBP")


@pytest.mark.parametrize(("status", "why"), [(403, "HTTP 403"), (503, "HTTP 503")])
async def test_a_bucket_that_refuses_is_said_and_named_without_secrets(
    root: Path, night: Stored, s3: S3Server, status: int, why: str
) -> None:
    s3.refuse = lambda _method, path: status if "/files/" in path else None
    async with watching(root, Run(results=night.location)) as page:
        found, body, _ = await page.get(BOAT)
        assert found == 503
        assert why in body.decode()
        assert SECRET not in body.decode()
        row = called("take", await page.text("data/jobs-0.js"))["rows"][0]
        name = row[14][0][1]
        assert (await page.get(f"thumbs/{name[:2]}/{name}.webp?file=1"))[0] == 503
        s3.refuse = lambda _method, _path: None
        assert (await page.get(BOAT))[0] == 200
        assert (await page.get(f"thumbs/{name[:2]}/{name}.webp?file=1"))[0] == 200


async def test_what_is_gone_or_replaced_is_not_found(root: Path, night: Stored) -> None:
    night.remove("files/harbour-dawn-ink.png")
    night.replace("files/clip #1.mp4", b"another")
    async with watching(root, Run(results=night.location)) as page:
        assert (await page.get(BOAT))[0] == 404
        assert (await page.get(CLIP))[0] == 404
        change(root, "UPDATE file SET path = 'run.json' WHERE id = 1")
        assert (await page.get("originals/1/run.json"))[0] == 404
