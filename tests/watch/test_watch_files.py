"""Files over real HTTP: results by their key alone, previews made when they are asked for."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from batchgen.processes import ProcessPool
from batchgen.report.thumbnails import ThumbnailTask
from tests.report.night_world import make
from tests.watch.watch_world import called, change, watching


async def test_originals_come_by_their_key_and_in_ranges(root: Path) -> None:
    async with watching(root) as page:
        status, body, headers = await page.get("originals/1/harbour-dawn-ink.png")
        assert (status, headers["Content-Type"]) == (200, "image/png")
        assert body == (root / "files/harbour-dawn-ink.png").read_bytes()
        clip = (root / "files/clip #1.mp4").read_bytes()
        path = "originals/13/clip%20%231.mp4"
        status, body, headers = await page.get(path, Range="bytes=100-199")
        assert (status, headers["Content-Type"]) == (206, "video/mp4")
        assert body == clip[100:200]
        assert headers["Content-Range"] == f"bytes 100-199/{len(clip)}"


@pytest.mark.parametrize(
    "path",
    [
        "originals/999/harbour-dawn-ink.png",
        "originals/1/state.db",
        "originals/1/..%2f..%2fstate.db",
        "originals/0/x",
        "originals/99999999999999999999/x",
        "assets/..%2fpage.py",
        "assets/page.py",
        "data/jobs--1.js",
        "data/jobs-99999999.js",
        "thumbs/aa/bb.webp?file=1",
        "thumbs/..%2f..%2fstate.db?file=1",
        "thumbs/aa/bb.webp",
        "state.db",
    ],
)
async def test_nothing_else_can_be_asked_for(root: Path, path: str) -> None:
    async with watching(root) as page:
        assert (await page.get(path))[0] == 404


async def test_a_state_cannot_lead_out_of_its_folder(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (root / "files/link.png").symlink_to(tmp_path / "secret.png")
    (root / "linked").symlink_to(tmp_path)
    (root / "files/page.html").write_text("<script>")
    paths = ["../secret.png", str(tmp_path / "secret.png"), "files/link.png", "linked/secret.png"]
    async with watching(root) as page:
        for path in paths:
            change(root, f"UPDATE file SET path = '{path}' WHERE id = 1")
            assert (await page.get(f"originals/1/{path.rsplit('/', 1)[1]}"))[0] == 404
        page_html = "UPDATE file SET path = 'files/page.html', media_type = 'text/html'"
        change(root, f"{page_html} WHERE id = 1")
        assert (await page.get("originals/1/page.html"))[0] == 404


async def test_previews_are_made_once_and_a_later_report_takes_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = []
    call = ProcessPool.call

    def counted(
        self: ProcessPool, work: Callable[[ThumbnailTask], str | None], item: ThumbnailTask
    ) -> str | None:
        submitted.append(item.target)
        return call(self, work, item)

    monkeypatch.setattr(ProcessPool, "call", counted)
    async with watching(root) as page:
        chunk = await page.text("data/jobs-0.js")
        rows = json.loads(chunk.removeprefix("batchgen.take(").removesuffix(");\n"))["rows"]
        files = [file for row in rows for file in row[14]]
        names = [f"thumbs/{file[1][:2]}/{file[1]}.webp?file={file[7]}" for file in files]
        answers = await asyncio.gather(*(page.get(name) for name in names * 2))
        assert {status for status, _, _ in answers} == {200}
        assert all(body[8:12] == b"WEBP" for _, body, _ in answers)
        assert "immutable" in answers[0][2]["Cache-Control"]
        assert (await page.get(names[0]))[0] == 200
    assert len(submitted) == len(set(submitted)) == 13
    made = make(root)
    assert (made.new, made.files) == (0, 13)


async def test_a_file_without_a_preview_is_said_to_have_none(root: Path) -> None:
    (root / "files/harbour-dawn-ink.png").write_bytes(b"no picture")
    async with watching(root) as page:
        chunk = await page.text("data/jobs-0.js")
        row = json.loads(chunk.removeprefix("batchgen.take(").removesuffix(");\n"))["rows"][0]
        name = row[14][0][1]
        status, body, _ = await page.get(f"thumbs/{name[:2]}/{name}.webp?file=1")
        assert (status, body) == (404, b"there is no preview: the file could not be read")


async def test_a_folder_of_somebody_else_keeps_its_files(root: Path) -> None:
    (root / "report").mkdir()
    (root / "report/mine.txt").write_text("mine")
    async with watching(root) as page:
        chunk = await page.text("data/jobs-0.js")
        row = json.loads(chunk.removeprefix("batchgen.take(").removesuffix(");\n"))["rows"][0]
        name = row[14][0][1]
        assert (await page.get(f"thumbs/{name[:2]}/{name}.webp?file=1"))[0] == 200
    assert [path.name for path in (root / "report").iterdir()] == ["mine.txt"]


async def test_a_preview_that_cannot_be_written_may_be_asked_for_again(root: Path) -> None:
    async with watching(root) as page:
        row = called("take", await page.text("data/jobs-0.js"))["rows"][0]
        name = row[14][0][1]
        path = f"thumbs/{name[:2]}/{name}.webp?file=1"
        assert (await page.get(path))[0] == 200
        shutil.rmtree(root / "report/thumbs")
        (root / "report/thumbs").write_text("in the way")
        status, body, _ = await page.get(path)
        assert status == 503
        assert "the preview cannot be written" in body.decode()
        (root / "report/thumbs").unlink()
        assert (await page.get(path))[0] == 200


async def test_a_name_with_braces_is_a_name(root: Path) -> None:
    name = "{curly} #1.png"
    shutil.copy(root / "files/harbour-dawn-ink.png", root / "files" / name)
    change(root, f"UPDATE file SET path = 'files/{name}' WHERE id = 1")
    async with watching(root) as page:
        assert (await page.get(f"originals/1/{quote(name)}"))[0] == 200


@pytest.mark.parametrize("name", ["state.db", "state.db-wal", "state.db-shm", "STATE.db-copy"])
async def test_the_state_is_never_given_whatever_it_says_itself(root: Path, name: str) -> None:
    """Who opens and closes it drops the locks that this process has on it."""
    (root / "STATE.db-copy").write_bytes(b"as a file system without case has it")
    async with watching(root) as page:
        change(root, f"UPDATE file SET path = '{name}' WHERE id = 1")
        assert (root / name).exists()
        assert (await page.get(f"originals/1/{name}"))[0] == 404
