"""What happens to the state is told to the pages that are open, over real HTTP."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from batchgen.errors import StorageError
from batchgen.jobs import JsonValue
from batchgen.report.night import Night, night_of
from batchgen.state.database import open_for_writing
from batchgen.state.report_queries import AttemptTimes, signatures
from batchgen.watch import events as events_room
from batchgen.watch import reader
from batchgen.watch import watching as looking
from batchgen.watch.events import rows_document
from batchgen.watch.ports import Outcome
from tests.report.night_world import attempt, done, not_done, picture, small_night
from tests.shell import PATIENCE
from tests.watch.watch_world import Run, change, states, watching


async def test_what_another_process_changes_arrives(root: Path) -> None:
    async with watching(root) as page, page.stream(await page.place()) as events:
        facts = await events.until("facts")
        assert "<b>13</b> done" in facts["line"]
        change(root, "UPDATE job SET state = 'cancelled' WHERE id = 'late'")
        rows = await events.until("rows")
        assert states(rows) == {"late": "cancelled"}
        facts = await events.until("facts")
        assert "<b>1</b> cancelled" in facts["line"]
        assert [cause["state"] for cause in facts["head"]["causes"]].count("cancelled") == 1


async def test_picks_and_flaws_of_others_arrive_and_a_job_that_left_is_gone(root: Path) -> None:
    async with watching(root) as page, page.stream(await page.place()) as events:
        change(root, "UPDATE file SET pick = 'keep' WHERE id = 1")
        (row,) = (await events.until("rows"))["rows"]
        assert row[14][0][9] == "keep"
        change(root, "INSERT INTO flaw VALUES (2, 'blank', 'all of one colour')")
        rows = await events.until("rows")
        assert [rows["texts"][place] for place in rows["rows"][0][14][0][10]] == [
            "blank",
            "all of one colour",
        ]
        change(root, "UPDATE job SET listed = 0 WHERE id = 'bad-0'")
        rows = await events.until("rows")
        assert (len(rows["gone"]), rows["rows"]) == (1, [])


async def test_a_page_that_comes_back_is_told_what_it_missed_and_nothing_else(root: Path) -> None:
    async with watching(root) as page, page.stream("x-1") as anew:
        assert (await anew.next())[0] == "reload"
        place = await page.place()
        async with page.stream(place) as other:
            await other.until("facts")
            change(root, "UPDATE job SET state = 'cancelled' WHERE id = 'late'")
            await other.until("rows")
            change(root, "UPDATE job SET state = 'lost' WHERE id = 'bad-1'")
            await other.until("rows")
            reached = other.last_id
        async with page.stream(place) as events:
            assert states(await events.until("rows")) == {"late": "cancelled", "bad-1": "lost"}
            assert events.last_id == reached
        # As a browser does by itself; the header is newer than the address.
        async with page.stream(place, **{"Last-Event-ID": reached}) as events:
            assert (await events.next())[0] == "facts"


async def test_a_manifest_that_was_read_anew_and_another_state_begin_anew(root: Path) -> None:
    change(root, "INSERT INTO meta VALUES ('inputs', 'one')")
    async with watching(root) as page:
        for statement in ("UPDATE meta SET value = 'two' WHERE key = 'inputs'", ""):
            async with page.stream(await page.place()) as events:
                await events.until("facts")
                if statement:
                    change(root, statement)
                else:
                    shutil.copy(root / "state.db", root / "copy.db")
                    (root / "copy.db").replace(root / "state.db")
                assert await events.until("reload") == {}
                assert await events.next() == ("", None)


async def test_before_the_first_run_the_page_waits_and_then_comes_alive(tmp_path: Path) -> None:
    root = tmp_path / "out"
    async with watching(root) as page:
        async with page.stream(await page.place()) as events:
            facts = await events.until("facts")
            assert facts["waiting"] is True
            assert facts["goesOn"] == "batchgen run night.yaml"
            small_night(root)
            await events.until("reload")
        assert len(await page.rows()) == 18


async def test_a_state_that_is_damaged_later_is_told_and_watched_on(root: Path) -> None:
    async with watching(root) as page, page.stream(await page.place()) as events:
        assert (await events.until("facts"))["trouble"] is None
        sound = (root / "state.db").read_bytes()
        (root / "broken.db").write_bytes(b"no state " * 1000)
        (root / "broken.db").replace(root / "state.db")
        facts = await events.until("facts")
        assert "the state file is damaged" in facts["trouble"]
        assert (await page.get("data/jobs-0.js"))[0] == 503
        (root / "state.db").write_bytes(sound)
        await events.until("reload")


async def test_a_runner_at_work_and_what_goes_on_without_one_are_told(root: Path) -> None:
    change(root, "UPDATE job SET state = 'pending' WHERE id = 'late'")
    run = Run(at_work=True)
    async with watching(root, run) as page, page.stream(await page.place()) as events:
        assert (await events.until("facts"))["atWork"] is True
        run.at_work = False
        facts = await events.until("facts")
        assert (facts["atWork"], facts["goesOn"]) == (False, "batchgen run night.yaml")
        change(root, "UPDATE job SET waiting = 1 WHERE id = 'late'")
        facts = await events.until("facts")
        assert (facts["goesOn"], facts["approves"]) == (
            None,
            "batchgen approve night.yaml --all",
        )


async def test_a_night_of_too_many_requests_is_left_to_the_report(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(root) as page:
        assert "<svg" in await page.text("night")
    monkeypatch.setattr(reader, "MOST_REQUESTS", 3)
    async with watching(root) as page:
        assert await page.text("night") == (
            '<p class="empty">Too many requests to show live: see'
            " <code>batchgen report night.yaml</code></p>"
        )


async def test_results_that_come_home_are_told_with_their_files(root: Path) -> None:
    async with watching(root) as page, page.stream(await page.place()) as events:
        await events.until("facts")
        with closing(open_for_writing(root / "state.db")) as db:
            picture(root / "files/late.png", 77)
            done(db, root, "late", "files/late.png", 1_760_000_000.0)
            attempt(db, "bad-0", "failed", 1_760_000_100.0, 1.0)
            not_done(db, "bad-0", "failed", "other", "another reason")
        rows = await events.until("rows")
        while "late" not in states(rows):
            rows = await events.until("rows")
        (late,) = [row for row in rows["rows"] if row[1] == "late"]
        assert late[14][0][0] == "files/late.png"


async def test_rows_that_could_not_be_read_are_told_soon(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [StorageError("I/O error")]

    def rows(db: sqlite3.Connection, seqs: Sequence[int], moment: int) -> dict[str, JsonValue]:
        if failures:
            raise failures.pop()
        return rows_document(db, seqs, moment)

    monkeypatch.setattr(events_room, "rows_document", rows)
    monkeypatch.setattr(events_room, "AGAIN", 0.01)
    async with watching(root) as page, page.stream(await page.place()) as events:
        await events.until("facts")
        async with asyncio.timeout(PATIENCE):
            change(root, "UPDATE file SET pick = 'keep' WHERE id = 1")
            assert states(await events.until("rows")) == {"harbour-dawn-ink": "done"}
    assert failures == []


async def test_who_knows_of_a_change_is_not_kept_waiting_by_a_large_run(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(db: sqlite3.Connection) -> array[int]:
        threading.Event().wait(0.2)
        return signatures(db)

    monkeypatch.setattr(looking, "signatures", slow)
    monkeypatch.setattr(looking, "SHARE", 10 * PATIENCE)
    pick = iter(["keep", "reject"])
    act = lambda: change(root, f"UPDATE file SET pick = '{next(pick)}' WHERE id = 1")  # noqa: E731
    run = Run(answer=Outcome(handed=False), act=act)
    async with watching(root, run) as page, page.stream(await page.place()) as events:
        # After the first look there is a rest that is longer than any patience.
        await page.say({"action": "keep", "file": 1})
        await events.until("rows")
        async with asyncio.timeout(PATIENCE):
            await page.say({"action": "reject", "file": 1})
            await events.until("rows")


async def test_a_long_night_does_not_make_the_rows_late(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(read: Callable[[], Iterator[AttemptTimes]]) -> Night | None:
        threading.Event().wait(0.1)
        return night_of(read)

    monkeypatch.setattr(reader, "night_of", slow)
    monkeypatch.setattr(looking, "NIGHT_EVERY", 0.0)
    monkeypatch.setattr(looking, "NIGHT_SHARE", 0)
    async with watching(root) as page, page.stream(await page.place()) as events:
        night = (await events.until("facts"))["night"]
        async with asyncio.timeout(PATIENCE):
            for pick in ("keep", "reject", "keep"):
                change(root, f"UPDATE file SET pick = '{pick}' WHERE id = 1")
                await events.until("rows")
            while (await events.until("facts"))["night"] == night:
                pass


async def test_another_log_beside_the_state_is_read_anew(root: Path) -> None:
    """Somebody took the log away: what this connection reads from, nobody writes any more."""
    script = (
        "import pathlib, sys; from tests.watch.watch_world import change\n"
        "change(pathlib.Path(sys.argv[1]), \"UPDATE job SET state='cancelled' WHERE id='late'\")"
    )
    command = [sys.executable, "-c", script, str(root)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    async with watching(root) as page, page.stream(await page.place()) as events:
        await events.until("facts")
        for name in ("state.db-wal", "state.db-shm"):
            shutil.copy(root / name, root / "other")
            (root / "other").replace(root / name)
        # In another process, since SQLite's connections in one process share what they know.
        await asyncio.to_thread(subprocess.run, command, env=env, check=True)
        assert states(await events.until("rows")) == {"late": "cancelled"}
