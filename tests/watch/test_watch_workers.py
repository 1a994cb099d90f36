"""Previews in processes: one that dies costs no other file its preview, one that hangs no time."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from batchgen.report.thumbnails import Wanted
from batchgen.watch import thumbs
from batchgen.watch.thumbs import DIED, Workers
from tests.shell import wait_until

Work: TypeAlias = Callable[[Wanted], str | None]
Having: TypeAlias = Callable[[Work], Workers]


ENOUGH = 60.0


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_of_deadly(wanted: Wanted) -> str | None:
    if wanted.source == "deadly":
        kill_myself()
    return None


def die_once(wanted: Wanted) -> str | None:
    """As where memory was short for a moment."""
    try:
        Path(wanted.target).touch(exist_ok=False)
    except FileExistsError:
        return None
    kill_myself()
    return None


def hang(wanted: Wanted) -> str | None:
    Path(wanted.target).touch()
    threading.Event().wait(ENOUGH)
    return None


@pytest.fixture
async def having(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Having]:
    made = []

    def make(work: Work) -> Workers:
        monkeypatch.setattr(thumbs, "make_thumbnail", work)
        made.append(Workers())
        return made[-1]

    yield make
    for one in made:
        await one.aclose()


async def test_a_file_that_kills_its_process_has_no_preview_and_all_others_have(
    having: Having,
) -> None:
    ours = having(die_of_deadly)
    names = [*"abc", "deadly", *"defg"]
    for _ in range(2):
        answers = await asyncio.gather(*(ours.make(Wanted(name, name)) for name in names))
        assert dict(zip(names, answers, strict=True)) == {
            name: DIED if name == "deadly" else None for name in names
        }


async def test_a_process_that_was_killed_from_outside_costs_no_preview(
    having: Having, tmp_path: Path
) -> None:
    ours = having(die_once)
    wanted = [Wanted(name, str(tmp_path / "died")) for name in "abcdef"]
    assert await asyncio.gather(*map(ours.make, wanted)) == [None] * 6


async def test_the_end_waits_for_no_process_that_hangs(having: Having, tmp_path: Path) -> None:
    ours = having(hang)
    begun = tmp_path / "begun"
    making = asyncio.create_task(ours.make(Wanted("a", str(begun))), name="make")
    await asyncio.to_thread(wait_until, begun.exists, "the process at work")
    making.cancel()
    async with asyncio.timeout(ENOUGH / 3):
        await ours.aclose()
