"""Over real HTTP: the page, who may not ask for it, and the end."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from batchgen.errors import DamagedStateError, OutputError, SchemaVersionError
from batchgen.state.database import open_for_writing
from tests.watch.watch_world import watching


async def test_the_page_is_the_reports_and_its_rows_the_states(root: Path) -> None:
    async with watching(root) as page:
        html = await page.text()
        assert "night" in html
        assert '<script src="assets/live.js" defer>' in html
        for part in ("assets/style.css", "assets/live.js", "assets/icon.svg", "night"):
            assert await page.text(part)
        rows = await page.rows()
        assert len(rows) == 18
        assert rows["harbour-dawn-ink"] == "done"
        assert rows["lost"] == "unknown"


async def test_every_answer_forbids_what_the_page_does_not_need(root: Path) -> None:
    async with watching(root) as page:
        for path in ("", "data/head.js", "nothing", "originals/1/harbour-dawn-ink.png"):
            _, _, headers = await page.get(path)
            assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src")
            assert "connect-src 'self'" in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
        _, _, headers = await page.get("data/head.js")
        assert headers["Cache-Control"] == "no-store"


async def test_without_the_key_or_under_another_name_nothing_is_told(root: Path) -> None:
    async with watching(root) as page:
        assert (await page.get("", Host="evil.example"))[0] == 403
        assert (await page.get("data/head.js", Host="evil.example"))[0] == 403
        for path in ("/", "/data/head.js", "/wrong-key/", "/wrong-key/data/head.js", "/../"):
            async with page.http.get(page.origin + path) as answer:
                assert answer.status == 404
                assert "night" not in await answer.text()
        # Each start has another key.
        async with watching(root) as other:
            assert other.url.rsplit("/", 2)[1] != page.url.rsplit("/", 2)[1]


async def test_open_streams_do_not_hold_up_the_end(root: Path) -> None:
    loop = asyncio.get_running_loop()
    async with watching(root) as page:
        place = await page.place()
        async with page.stream(place) as one, page.stream(place) as other:
            await one.until("facts")
            await other.until("facts")
            began = loop.time()
            # Leaving the blocks from the outside in would wait for these two.
            await page.http.close()
    assert loop.time() - began < 5


async def test_a_port_that_is_taken_and_a_state_that_cannot_be_read_are_errors(
    root: Path, tmp_path: Path
) -> None:
    async with watching(root) as page:
        port = int(page.origin.rsplit(":", 1)[1])
        with pytest.raises(OutputError, match=f"port {port} of 127.0.0.1 is not available"):
            async with watching(root, port=port):
                pass
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "state.db").write_bytes(b"no state " * 1000)
    with pytest.raises(DamagedStateError):
        async with watching(broken):
            pass
    with closing(open_for_writing(root / "state.db")) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(SchemaVersionError, match="version 99"):
        async with watching(root):
            pass
