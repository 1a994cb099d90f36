"""The one writer: group commit, order, and what a failure does to whom."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from batchgen.errors import BatchgenError, DiskFullError, ExitCode, StorageError, UsageError
from batchgen.state.database import reading
from batchgen.state.meta import Meta, get_meta, set_meta
from batchgen.state.queries import Selection
from batchgen.state.store import open_store
from batchgen.state.writer import LARGEST_GROUP, Writer
from tests.engine.virtual_loop import InlineExecutor, virtually
from tests.state.state_world import State


@asynccontextmanager
async def writing(state: State) -> AsyncIterator[Writer]:
    with ThreadPoolExecutor(1) as executor:
        yield Writer(state.db, state.path, executor)


def note(key: str, value: str = "1") -> Callable[[sqlite3.Connection], str]:
    def change(db: sqlite3.Connection) -> str:
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
        return key

    return change


def on_the_disk(state: State) -> dict[str, str]:
    with reading(state.path) as reader:
        return dict(reader.execute("SELECT key, value FROM meta"))


async def test_many_changes_share_a_few_commits(state: State) -> None:
    commits: list[str] = []
    state.db.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    async with writing(state) as writer:
        found = await asyncio.gather(*(writer.run(note(f"k{n}")) for n in range(300)))
    state.db.set_trace_callback(None)
    assert found == [f"k{n}" for n in range(300)]
    assert len(on_the_disk(state)) == 300
    # The first one alone, and all that gathered meanwhile.
    assert len(commits) == 2


async def test_no_group_is_larger_than_its_limit(state: State) -> None:
    commits: list[str] = []
    state.db.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    async with writing(state) as writer:
        await asyncio.gather(*(writer.run(note(f"k{n}")) for n in range(2 * LARGEST_GROUP + 2)))
    state.db.set_trace_callback(None)
    assert len(commits) == 4


async def test_changes_are_applied_in_the_order_of_their_arrival(state: State) -> None:
    async with writing(state) as writer:
        seen: list[int] = []
        await asyncio.gather(*(writer.run(lambda _, n=n: seen.append(n)) for n in range(100)))  # type: ignore[misc]
    assert seen == list(range(100))


async def test_an_acknowledged_change_is_on_the_disk(state: State) -> None:
    """Row 59."""
    async with writing(state) as writer:
        await writer.run(note("paid", "yes"))
        assert on_the_disk(state) == {"paid": "yes"}


async def test_a_change_that_fails_is_undone_alone(state: State) -> None:
    def spoilt(db: sqlite3.Connection) -> None:
        set_meta(db, Meta.NAME, "half")
        raise UsageError("no")

    def illegal(db: sqlite3.Connection) -> None:
        set_meta(db, Meta.NAME, "half")
        db.execute("UPDATE job SET state = 'sleeping'")

    async with writing(state) as writer:
        found = await asyncio.gather(
            *(writer.run(change) for change in (note("a"), note("b"), spoilt, illegal, note("c"))),
            return_exceptions=True,
        )
        await writer.run(note("d"))
    assert [type(one) for one in found] == [str, str, UsageError, StorageError, str]
    assert set(on_the_disk(state)) == {"a", "b", "c", "d"}


async def test_a_group_is_done_again_singly_only_where_one_of_it_fails(state: State) -> None:
    def add(db: sqlite3.Connection) -> None:
        set_meta(db, Meta.NAME, f"{get_meta(db, Meta.NAME) or ''}+")

    def spoilt(db: sqlite3.Connection) -> None:
        add(db)
        raise UsageError("no")

    statements = list[str]()
    async with writing(state) as writer:
        # The first one is a group of its own; the others come while it is committed.
        await asyncio.gather(*(writer.run(change) for change in (note("first"), add, add)))
        state.db.set_trace_callback(statements.append)
        await asyncio.gather(*(writer.run(change) for change in (add, add)))
        assert "SAVEPOINT change" not in statements
        changes = (note("next"), add, spoilt, add)
        await asyncio.gather(*map(writer.run, changes), return_exceptions=True)
        state.db.set_trace_callback(None)
    assert statements.count("ROLLBACK") == 1
    assert state.one("SELECT value FROM meta WHERE key = 'name'") == "++++++"


def test_changes_of_many_tasks_gather_for_a_moment_and_a_lone_one_does_not_wait(
    state: State,
) -> None:
    async def durations() -> list[float]:
        loop = asyncio.get_running_loop()
        writer = Writer(state.db, state.path, InlineExecutor(), gathering=0.25)

        async def timed(*keys: str) -> float:
            begun = loop.time()
            await asyncio.gather(*(writer.run(note(key)) for key in keys))
            return loop.time() - begun

        return [
            await timed("alone"),
            await timed("alone again"),
            await timed("first", "second", "third"),
            await timed("after many"),
            await timed("alone once more"),
        ]

    assert virtually(durations()) == [0, 0, 0.25, 0.25, 0]


async def test_a_waiter_that_was_cancelled_does_not_take_its_change_back(state: State) -> None:
    async with writing(state) as writer:
        impatient = asyncio.create_task(writer.run(note("late")))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        await writer.drain()
    assert on_the_disk(state) == {"late": "1"}


async def test_drain_waits_for_every_group(state: State) -> None:
    async with writing(state) as writer, asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(writer.run(note(f"k{number}")))
        await asyncio.sleep(0)
        await writer.drain()
        assert len(on_the_disk(state)) == 50


async def test_a_full_disk_ends_all_writing_and_nothing_is_half_there(state: State) -> None:
    """Row 51, row 52."""
    pages = state.one("PRAGMA page_count")
    state.db.execute(f"PRAGMA max_page_count = {pages}")
    async with writing(state) as writer:
        found = await asyncio.gather(
            writer.run(note("first")),
            writer.run(note("neighbour")),
            writer.run(note("large", "x" * 100_000)),
            writer.run(note("after")),
            return_exceptions=True,
        )
        # Room again: but what was not written in time is never tried again.
        state.db.execute("PRAGMA max_page_count = 100000")
        with pytest.raises(DiskFullError, match="disk is full") as caught:
            await writer.run(note("later"))
        await writer.drain()
    assert caught.value.exit_code is ExitCode.IO_ERROR
    assert found[0] == "first"
    assert [type(one) for one in found[1:]] == [DiskFullError] * 3
    assert on_the_disk(state) == {"first": "1"}


class FailingCommit:
    """A connection whose disk takes changes and refuses to flush them."""

    def __init__(self) -> None:
        self.commits = 0

    def execute(self, sql: str) -> None:
        if sql == "COMMIT":
            self.commits += 1
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR | (4 << 8)
            raise error


async def test_a_failed_flush_is_never_repeated(state: State) -> None:
    """Row 52."""
    connection = FailingCommit()
    with ThreadPoolExecutor(1) as executor:
        writer = Writer(connection, state.path, executor)  # type: ignore[arg-type]
        for _ in range(3):
            with pytest.raises(StorageError, match="I/O error on the state file"):
                await writer.run(lambda _: None)
        await writer.drain()
    assert connection.commits == 1


async def test_a_bug_in_one_change_reaches_the_others_as_an_error_of_the_tree(
    state: State,
) -> None:
    """So that the receipt of a request accepted in the same moment is kept."""

    def buggy(_: sqlite3.Connection) -> None:
        raise ZeroDivisionError("oops")

    async with writing(state) as writer:
        found = await asyncio.gather(
            writer.run(note("a")), writer.run(note("b")), writer.run(buggy), return_exceptions=True
        )
        with pytest.raises(BatchgenError, match="ZeroDivisionError") as caught:
            await writer.run(note("c"))
    assert found[0] == "a"
    assert found[1] is found[2] is caught.value
    assert caught.value.exit_code is ExitCode.BUG
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def test_the_store_puts_the_clock_into_its_changes(state: State) -> None:
    async with open_store(state.db, state.path, lambda: 4711.0) as store:
        (first, _) = await store.due_page(
            "bytedance/dreamina-4-0/text-to-image", Selection(), None, 9
        )
        assert await store.begin_attempt(first, 0.5) == 1
        assert (await store.accepted(first.seq, 1, "r1", "raw")).queued
        request = await store.live_request(first.seq)
    assert request is not None
    assert (request.id, request.request_id, request.accepted_at) == ("boat", "r1", 4711.0)
    assert state.one("SELECT length(body_sha256) FROM attempt") == 64


async def test_leaving_the_store_waits_for_what_was_handed_in(state: State) -> None:
    async with open_store(state.db, state.path, lambda: 1.0) as store:
        task = asyncio.create_task(store.run(set_meta, Meta.NAME, "v"))
        await asyncio.sleep(0)
        task.cancel()
    assert get_meta(state.db, Meta.NAME) == "v"
