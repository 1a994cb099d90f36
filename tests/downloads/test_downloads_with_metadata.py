"""A download whose file gets metadata: what is left on the disk, also when something fails."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import av
import pytest
from PIL import Image

from batchgen.downloads import part
from batchgen.downloads.allowed_hosts import AllowedHosts
from batchgen.downloads.containers import CannotEmbedError, Edit
from batchgen.downloads.embedding import Provenance
from batchgen.downloads.fetch import Downloader, open_downloader
from batchgen.downloads.outcomes import DownloadSettings, Fetched, FetchOutcome, Interrupted, Target
from batchgen.errors import DiskFullError
from tests.downloads.test_downloads_fetch import Site, broken_off, ranged, serving

SETTINGS = DownloadSettings(AllowedHosts.of(loopback=True), block_bytes=64 * 1024)
FOX = Provenance("fox", "t2i", "a red fox, Füchslein", 7)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as served:
        yield served


@pytest.fixture
async def downloader() -> AsyncIterator[Downloader]:
    async with open_downloader(SETTINGS) as opened:
        yield opened


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path / "files", "fox", FOX)


def content_of(outcome: FetchOutcome, target: Target) -> bytes:
    """The bytes that are on the disk, which are those of the outcome; and nothing else is."""
    assert isinstance(outcome, Fetched)
    path = target.folder.parent / outcome.file.path
    assert [*target.folder.iterdir()] == [path]
    content = path.read_bytes()
    assert outcome.file.sha256 == hashlib.sha256(content).hexdigest()
    assert outcome.file.bytes == len(content)
    return content


@pytest.mark.parametrize("name", ["png", "jpg", "webp", "mp4", "fast.mp4"])
async def test_the_hash_is_that_of_the_file_with_its_metadata(
    site: Site, downloader: Downloader, target: Target, media: dict[str, bytes], name: str
) -> None:
    site.body(media[name])
    outcome = await downloader.fetch(site.url, target)
    assert isinstance(outcome, Fetched)
    assert outcome.not_embedded is None
    content = content_of(outcome, target)
    assert content != media[name]
    # Again, as a repair does.
    assert content_of(await downloader.fetch(site.url, target), target) == content


async def test_a_large_file_that_was_continued_has_the_same_bytes(
    site: Site, downloader: Downloader, target: Target, large_png: bytes
) -> None:
    site.answer = ranged(large_png, '"a"')
    whole = content_of(await downloader.fetch(site.url, target), target)
    (target.folder / "fox.png").unlink()
    site.answer = broken_off(large_png[:300_000], len(large_png), '"a"')
    assert isinstance(await downloader.fetch(site.url, target), Interrupted)
    site.answer = ranged(large_png, '"a"')
    assert content_of(await downloader.fetch(site.url, target), target) == whole
    with Image.open(target.folder / "fox.png") as opened:
        assert json.loads(opened.text["Comment"])["prompt"] == FOX.prompt  # type: ignore[attr-defined] # of a PNG


async def test_a_video_has_its_comment(
    site: Site, downloader: Downloader, target: Target, media: dict[str, bytes]
) -> None:
    site.body(media["fast.mp4"])
    content_of(await downloader.fetch(site.url, target), target)
    with av.open(str(target.folder / "fox.mp4")) as container:
        assert json.loads(container.metadata["comment"]) == FOX.known


@pytest.mark.parametrize("name", ["gif", "mov", "webm"])
async def test_a_file_that_takes_none_is_kept_as_it_is(
    site: Site, downloader: Downloader, target: Target, media: dict[str, bytes], name: str
) -> None:
    site.body(media[name])
    outcome = await downloader.fetch(site.url, target)
    assert content_of(outcome, target) == media[name]
    assert isinstance(outcome, Fetched)
    assert "files take none" in str(outcome.not_embedded)


async def test_without_provenance_the_bytes_are_the_vendors(
    site: Site, downloader: Downloader, target: Target, media: dict[str, bytes]
) -> None:
    site.body(media["png"])
    plain = replace(target, provenance=None)
    assert content_of(await downloader.fetch(site.url, plain), plain) == media["png"]


@pytest.mark.parametrize(
    "edits",
    [
        [Edit(20, 40, b"")],  # no longer decodes
        [Edit(0, 10**9, b"GIF89a")],
    ],
)
async def test_whatever_goes_wrong_the_paid_bytes_are_kept(
    site: Site,
    downloader: Downloader,
    target: Target,
    media: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    edits: list[Edit],
) -> None:
    monkeypatch.setattr(part, "find_edits", lambda *_: edits)
    site.body(media["png"])
    outcome = await downloader.fetch(site.url, target)
    assert content_of(outcome, target) == media["png"]
    assert isinstance(outcome, Fetched)
    assert outcome.not_embedded


async def test_a_full_disk_leaves_no_half_file_and_the_next_attempt_is_whole(
    site: Site,
    downloader: Downloader,
    target: Target,
    large_png: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    site.answer = ranged(large_png, '"a"')
    monkeypatch.setattr(part, "splice", full)
    with pytest.raises(DiskFullError):
        await downloader.fetch(site.url, target)
    assert not (target.folder / "fox.png").exists()
    assert (target.folder / "fox.part").read_bytes() == large_png
    monkeypatch.undo()
    content_of(await downloader.fetch(site.url, target), target)
    # What was there already was not downloaded again.
    assert site.sent("Range") == [None, f"bytes={len(large_png) - 1}-"]


async def test_what_a_killed_process_left_is_not_in_the_way(
    site: Site, downloader: Downloader, target: Target, media: dict[str, bytes]
) -> None:
    site.body(media["png"])
    whole = content_of(await downloader.fetch(site.url, target), target)
    (target.folder / "fox.png").rename(target.folder / "fox.part")
    (target.folder / "fox.part.new").write_bytes(b"half")
    assert content_of(await downloader.fetch(site.url, target), target) == whole


async def test_the_bytes_with_metadata_are_those_that_are_synced(
    site: Site, tmp_path: Path, media: dict[str, bytes]
) -> None:
    synced: list[int] = []

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)
        os.fsync(descriptor)

    site.body(media["png"])
    target = Target(tmp_path / "files", "fox", FOX)
    async with open_downloader(SETTINGS, fsync=fsync) as downloader:
        content = content_of(await downloader.fetch(site.url, target), target)
    assert len(content) in synced
    assert len(media["png"]) not in synced


async def test_a_reason_is_a_sentence_for_people(
    site: Site,
    downloader: Downloader,
    target: Target,
    media: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise CannotEmbedError("it has metadata of its own")

    monkeypatch.setattr(part, "find_edits", refuse)
    site.body(media["jpg"])
    outcome = await downloader.fetch(site.url, target)
    assert isinstance(outcome, Fetched)
    assert outcome.not_embedded == "it has metadata of its own"
