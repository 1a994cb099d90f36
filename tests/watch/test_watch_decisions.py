"""Picks over real HTTP: named, decided together, and answered with what became of them."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest

from batchgen.errors import CopiedStateError
from batchgen.watch import picking, server
from batchgen.watch import watching as looking
from batchgen.watch.ports import Action, Outcome, PageDecision
from batchgen.watch.server import serving
from tests.shell import PATIENCE
from tests.watch.watch_world import Page, Run, change, states, watched, watching

HANDED = {"handed": True, "objections": [], "rows": None}


async def test_picks_are_handed_on_by_job_attempt_and_position(root: Path) -> None:
    run = Run()
    async with watching(root, run) as page:
        words = [{"action": "keep", "file": 1}, {"action": "", "file": 2}]
        approval = {"action": "approve", "job": "clip", "attempt": 1}
        assert await page.say(*words, approval) == (200, HANDED)
        no_gate = PageDecision(Action.APPROVE, "clip", 1, None), "clip has no gate"
        run.answer = Outcome(False, (no_gate,))
        status, heard = await page.say(approval, {"action": "keep", "file": 99})
        assert status == 200
        assert heard["objections"] == ["clip has no gate", "file 99 no longer exists"]
        # What is objected to somebody else's word, in the same breath, is theirs to hear.
        _, heard = await page.say({"action": "keep", "file": 13})
        assert heard["objections"] == []
    assert run.said[:3] == [
        PageDecision(Action.KEEP, "harbour-dawn-ink", 1, 1),
        PageDecision(Action.NEITHER, "harbour-dawn-oil", 1, 1),
        PageDecision(Action.APPROVE, "clip", 1, None),
    ]


async def test_many_keys_in_a_row_are_few_decisions(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, all_named, resolve = [], threading.Event(), picking.resolve

    def counted(
        db: sqlite3.Connection, words: Sequence[picking.Pick | picking.Approval]
    ) -> tuple[list[PageDecision], list[str]]:
        named.append(words)
        if len(named) == 39:
            all_named.set()
        return resolve(db, words)

    monkeypatch.setattr(picking, "resolve", counted)
    held = threading.Event()
    run = Run(answer=Outcome(handed=False), act=lambda: held.wait(PATIENCE))
    async with watching(root, run) as page:
        words = [{"action": "keep", "file": number} for number in range(1, 14)] * 3
        said = [asyncio.create_task(page.say(word), name="say") for word in words]
        await asyncio.to_thread(all_named.wait, PATIENCE)
        # Asked after them, and so answered after all of them wait for the second decision.
        assert (await page.get("data/jobs-0.js"))[0] == 200
        held.set()
        answers = await asyncio.gather(*said)
    assert {status for status, _ in answers} == {200}
    assert len(run.said) == 39
    assert run.calls <= 2


async def test_an_answer_has_the_rows_as_they_are_after_the_decision(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "LOOK_EVERY", 600.0)
    pick = "UPDATE file SET pick = 'keep' WHERE id IN (1, 2)"
    run = Run(answer=Outcome(handed=False), act=lambda: change(root, pick))
    async with watching(root, run) as page:
        moment = (await page.head())["live"]["moment"]
        words = [{"action": "keep", "file": number} for number in (1, 2)]
        _, heard = await page.say(*words, {"action": "approve", "job": "clip", "attempt": 1})
    rows = heard["rows"]
    assert set(states(rows)) == {"harbour-dawn-ink", "harbour-dawn-oil", "clip"}
    assert [row[14][0][9] for row in rows["rows"] if row[1] != "clip"] == ["keep", "keep"]
    # What changes from then on is told again.
    assert rows["moment"] == moment


async def test_an_answer_comes_also_where_the_rows_cannot_be_read(root: Path) -> None:
    run = Run(answer=Outcome(handed=False), act=(root / "state.db").unlink)
    async with watching(root, run) as page:
        assert await page.say({"action": "keep", "file": 1}) == (
            200,
            {"handed": False, "objections": [], "rows": None},
        )


async def test_the_end_waits_until_the_page_knows_what_became_of_its_picks(root: Path) -> None:
    begun, held = threading.Event(), threading.Event()

    def decide() -> None:
        begun.set()
        held.wait(PATIENCE)

    run = Run(answer=Outcome(handed=False), act=decide)
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as http:
        async with serving(watched(root), run.ports, 0, asyncio.Event()) as url:
            page = Page(url, http)
            said = asyncio.create_task(page.say({"action": "keep", "file": 1}), name="say")
            async with page.stream(await page.place()) as events:
                await events.until("facts")
                await asyncio.to_thread(begun.wait, PATIENCE)
                loop.call_later(3 * server.SECONDS_TO_SHUT, held.set)
        status, heard = await said
    assert (status, heard["handed"], heard["objections"]) == (200, False, [])


async def test_a_word_that_cannot_be_taken_is_answered_with_the_reason(root: Path) -> None:
    run = Run(answer=CopiedStateError("this state file is a copy"))
    async with watching(root, run) as page:
        word = {"action": "keep", "file": 1}
        assert await page.say(word) == (503, {"error": "this state file is a copy"})
        assert (await page.post({"decisions": [{"action": "burn", "file": 1}]}))[0] == 400
        assert (await page.post([]))[0] == 400
        for body, kind in (
            (b"{", ""),
            (b"[" * 100_000, ""),
            (b"\xff", ""),
            (b"{}", "; charset=nope"),
        ):
            assert await page.send(body, f"application/json{kind}") == 400
        assert (await page.post({"decisions": [word] * 10_001}))[0] == 400
        assert await page.send(b" " * (server.MOST_BYTES + 1), "application/json") == 413


async def test_the_approvals_of_a_whole_night_fit_into_one_request(root: Path) -> None:
    run = Run()
    async with watching(root, run) as page:
        ids = [f"{number:0300}" for number in range(10_000)]
        words = [{"action": "approve", "job": job_id, "attempt": 1} for job_id in ids]
        assert await page.say(*words) == (200, HANDED)
    assert len(run.said) == 10_000


async def test_what_a_runner_was_handed_in_its_last_moment_is_done_after_it(root: Path) -> None:
    run = Run(at_work=True)
    async with watching(root, run) as page:
        await page.say({"action": "keep", "file": 1})
        async with page.stream(await page.place()) as events:
            assert (await events.until("facts"))["atWork"] is True
            run.answer, run.at_work = Outcome(handed=False), False
            assert (await events.until("facts"))["atWork"] is False
            change(root, "UPDATE job SET state = 'cancelled' WHERE id = 'late'")
            await events.until("rows")
    # Once more, and with no further word.
    assert (run.calls, len(run.said)) == (2, 1)


async def test_the_end_comes_also_while_a_runner_has_something_in_hand(root: Path) -> None:
    run = Run(at_work=True)
    async with asyncio.timeout(PATIENCE), watching(root, run) as page:
        await page.say({"action": "keep", "file": 1})
    assert run.calls == 1


async def test_no_other_page_can_pick(root: Path) -> None:
    run = Run()
    async with watching(root, run) as page:
        word = {"action": "reject", "file": 1}
        for headers in (
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Host": "evil.example", "Origin": "http://evil.example"},
            {"Content-Type": "text/plain"},
        ):
            assert (await page.say(word, **headers))[0] == 403
        assert (await page.get("decisions"))[0] == 405
    assert run.said == []
