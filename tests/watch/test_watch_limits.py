"""Limits over real HTTP: handed on as they were typed, refused with the sentence, shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batchgen.errors import UsageError
from batchgen.manifest.policy import Policy
from batchgen.manifest.tuning import in_force
from tests.watch.watch_world import Run, change, watching


async def test_a_change_is_handed_on_as_it_was_typed(root: Path) -> None:
    run = Run(at_work=True)
    async with watching(root, run) as page:
        whole = {"values": {"concurrency": "32", "stop_at": "none"}, "model": ""}
        assert await page.post(whole, to="tune") == (200, {})
        assert (await page.post({"values": {"rate": "1/s"}, "model": "x"}, to="tune"))[0] == 200
    assert run.tuned == [({"concurrency": "32", "stop_at": "none"}, None), ({"rate": "1/s"}, "x")]


async def test_a_refusal_is_answered_with_its_sentence(root: Path) -> None:
    run = Run(at_work=True, answer=UsageError("a rate looks like 60/min"))
    async with watching(root, run) as page:
        status, answer = await page.post({"values": {"rate": "x"}, "model": None}, to="tune")
    assert (status, answer) == (400, {"error": "a rate looks like 60/min"})


@pytest.mark.parametrize(
    "document",
    [
        7,
        {},
        {"values": {"rate": 3}, "model": None},
        {"values": {"colour": "red"}, "model": None},
        {"values": {"rate": "\ud800"}, "model": None},
        {"values": {}, "model": ["x"]},
    ],
)
async def test_what_no_page_sends_is_refused(root: Path, document: Any) -> None:
    run = Run(at_work=True)
    async with watching(root, run) as page:
        assert (await page.post(document, to="tune"))[0] == 400
    assert run.tuned == []


async def test_another_page_changes_no_limit(root: Path) -> None:
    run = Run(at_work=True)
    async with watching(root, run) as page:
        document = {"values": {"rate": "1/s"}, "model": None}
        assert (await page.post(document, to="tune", Origin="http://evil.example"))[0] == 403
    assert run.tuned == []


@pytest.mark.parametrize(("at_work", "line"), [(True, "concurrency auto"), (False, None)])
async def test_limits_are_shown_while_a_run_goes_on(
    root: Path, at_work: bool, line: str | None
) -> None:
    limits = json.dumps({**in_force(Policy(), []), "tuned_at": None, "refused": None})
    change(root, f"INSERT OR REPLACE INTO meta (key, value) VALUES ('limits', '{limits}')")
    async with (
        watching(root, Run(at_work=at_work)) as page,
        page.stream(await page.place()) as events,
    ):
        facts = await events.until("facts")
    assert (facts["limits"] or {"line": None})["line"] == line
