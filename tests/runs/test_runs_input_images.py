"""Input images before money is spent: looked at once, judged by the published rules, remembered."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from batchgen.downloads.probe import Gone, NoAnswer, NotUsable, Picture, Probed
from batchgen.engine.events import Event, LookingAtImages, Noted
from batchgen.engine.ports import InputsBroken, InputsSound, InputsUnclear
from batchgen.errors import InputImagesError
from batchgen.input_files import file_url
from batchgen.jobs import Job, canonical_json
from batchgen.models.catalog import Catalog, bundled
from batchgen.models.fields import read_fields
from batchgen.references import reference_url
from batchgen.runs import input_images
from batchgen.runs.folder import RunFolder
from batchgen.runs.input_images import (
    MOST_LOOKS_A_HOST,
    MOST_SILENCES,
    InputImages,
    images_in_use,
    shown,
)
from batchgen.runs.input_survey import MOST_SHOWN, ImageProblem, look_at_all, refuse_broken
from batchgen.state.database import open_for_writing
from batchgen.state.selection import Selection
from batchgen.state.store import Store, open_store
from tests.shell import EDIT, T2I, VIDEO
from tests.state.state_world import State

SITE = "https://pictures.example.com"
SOUND = Picture("image/jpeg", 1024, 768, 1_000_000)
HUGE = Picture("image/png", 1024, 768, 6_100_000)
TOO_LARGE = "File size must be less than 4.7 MB. (it has 6.1 MB)"
DAY = 24 * 3600.0
ALL = Selection()


@dataclass
class Eyes:
    """What the network would show: sound pictures, but for those named.

    With `stutters`, no URL answers the first time; with `spoils`, what comes then is noise.
    """

    shows: dict[str, Probed] = field(default_factory=dict)
    stutters: bool = False
    spoils: bool = False
    looks: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def probe(self, url: str) -> Probed:
        self.looks.append(url)
        is_first = self.looks.count(url) == 1
        self.began.set()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        # Lets everybody come here who may.
        for _ in range(100):
            await asyncio.sleep(0)
        self.at_once -= 1
        if is_first and (self.stutters or self.spoils):
            return NoAnswer("silence") if self.stutters else HUGE
        return self.shows.get(url, SOUND)


@dataclass
class Clock:
    time: float = 1_000_000.0

    def __call__(self) -> float:
        self.time += 0.001
        return self.time


@dataclass
class Desk:
    """A state with jobs, and what a run looks through."""

    folder: RunFolder
    db: sqlite3.Connection
    eyes: Eyes = field(default_factory=Eyes)
    clock: Clock = field(default_factory=Clock)
    heard: list[Event] = field(default_factory=list)

    def job(self, job_id: str, *urls: str, model: str = VIDEO) -> Job:
        given: dict[str, Any] = {"prompt": "a boat"} | ({"image_urls": list(urls)} if urls else {})
        return Job(job_id, model, canonical_json(given), job_id)

    def has(self, *jobs: Job) -> None:
        State(self.folder.state, self.db).merge(jobs)

    @asynccontextmanager
    async def run(
        self, *, checking: bool = True, only_here: bool = False
    ) -> AsyncIterator[tuple[InputImages, Store]]:
        async with open_store(self.db, self.folder.state, self.clock) as store:
            yield (
                InputImages(self.eyes, store, bundled(), checking=checking, only_here=only_here),
                store,
            )

    async def survey(self, selection: Selection = ALL) -> list[ImageProblem]:
        async with self.run() as (images, store):
            return await look_at_all(images, store, selection, lambda _: None, (0.0, 0.0))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    folder = RunFolder(tmp_path / "out")
    folder.create()
    with closing(open_for_writing(folder.state)) as db:
        yield Desk(folder, db)


def body(*urls: str) -> str:
    return canonical_json({"prompt": "a boat", "image_urls": list(urls)})


async def test_a_sound_image_lets_its_job_go_on(desk: Desk) -> None:
    async with desk.run() as (images, _):
        assert await images.check(VIDEO, body(f"{SITE}/a.jpg")) == InputsSound()


async def test_an_input_without_images_needs_no_look(desk: Desk) -> None:
    async with desk.run() as (images, _):
        assert await images.check(T2I, canonical_json({"prompt": "a boat"})) == InputsSound()
    assert desk.eyes.looks == []


async def test_files_of_this_machine_are_not_looked_at_over_the_network(desk: Desk) -> None:
    own = file_url("0" * 64, "a.png")
    async with desk.run() as (images, _):
        assert await images.check(EDIT, body(own, f"{SITE}/a.jpg")) == InputsSound()
    assert desk.eyes.looks == [f"{SITE}/a.jpg"]


async def test_images_inside_mappings_are_looked_at_too(desk: Desk) -> None:
    edit = bundled().models[EDIT]
    frame = {"type": "object", "properties": {"still": edit.rules["properties"]["image_urls"]}}
    fields = read_fields({"properties": {"frames": {"type": "array", "items": frame}}})
    desk.eyes.shows[f"{SITE}/b.jpg"] = Gone("gone")
    given = canonical_json({"frames": [{"still": [f"{SITE}/a.jpg"]}, {"still": [f"{SITE}/b.jpg"]}]})
    async with desk.run() as (images, _):
        images.catalog = Catalog({EDIT: replace(edit, fields=fields)})
        assert await images.check(EDIT, given) == InputsBroken(f"{SITE}/b.jpg: gone")
    assert desk.eyes.looks == [f"{SITE}/a.jpg", f"{SITE}/b.jpg"]


async def test_a_broken_rule_is_told_with_the_image_and_the_published_sentence(desk: Desk) -> None:
    desk.eyes.shows[f"{SITE}/a.jpg"] = HUGE
    async with desk.run() as (images, _):
        verdict = await images.check(VIDEO, body(f"{SITE}/a.jpg"))
        assert verdict == InputsBroken(f"{SITE}/a.jpg: {TOO_LARGE}")
        assert await images.check(EDIT, body(f"{SITE}/a.jpg")) == InputsSound()


@pytest.mark.parametrize("outcome", [Gone("it is gone"), NotUsable("it is gone")])
async def test_an_image_that_nobody_can_use_breaks_its_input(desk: Desk, outcome: Probed) -> None:
    desk.eyes.shows[f"{SITE}/b.jpg"] = outcome
    async with desk.run() as (images, _):
        verdict = await images.check(EDIT, body(f"{SITE}/a.jpg", f"{SITE}/b.jpg"))
    assert verdict == InputsBroken(f"{SITE}/b.jpg: it is gone")


async def test_a_name_that_leads_inside_only_now_breaks_no_input(desk: Desk) -> None:
    reason = "its name leads to 192.168.1.1, a private address"
    desk.eyes.shows[f"{SITE}/a.jpg"] = NotUsable(reason, by_dns=True)
    async with desk.run() as (images, _):
        verdict = await images.check(EDIT, body(f"{SITE}/a.jpg"))
        assert verdict == InputsUnclear(f"{SITE}/a.jpg: {reason}")
        del desk.eyes.shows[f"{SITE}/a.jpg"]
        assert await images.check(EDIT, body(f"{SITE}/a.jpg")) == InputsSound()


async def test_a_broken_image_says_more_than_one_that_gives_no_answer(desk: Desk) -> None:
    desk.eyes.shows = {f"{SITE}/a.jpg": NoAnswer("silence"), f"{SITE}/b.jpg": Gone("gone")}
    async with desk.run() as (images, _):
        verdict = await images.check(EDIT, body(f"{SITE}/a.jpg", f"{SITE}/b.jpg"))
    assert verdict == InputsBroken(f"{SITE}/b.jpg: gone")


async def test_an_image_is_looked_at_once_however_many_ask_at_once(desk: Desk) -> None:
    async with desk.run() as (images, _):
        asked = (images.check(VIDEO, body(f"{SITE}/a.jpg")) for _ in range(50))
        assert set(await asyncio.gather(*asked)) == {InputsSound()}
    assert desk.eyes.looks == [f"{SITE}/a.jpg"]


async def test_one_who_gives_up_waiting_does_not_take_the_look_from_the_others(desk: Desk) -> None:
    async with desk.run() as (images, _):
        first, second = (
            asyncio.create_task(images.check(VIDEO, body(f"{SITE}/a.jpg")), name=name)
            for name in ("first", "second")
        )
        await desk.eyes.began.wait()
        first.cancel()
        assert await second == InputsSound()
    assert first.cancelled()


async def test_a_host_is_asked_for_few_images_at_once(desk: Desk) -> None:
    async with desk.run() as (images, _):
        asked = (images.check(VIDEO, body(f"{SITE}/{n}.jpg")) for n in range(30))
        await asyncio.gather(*asked)
    assert len(desk.eyes.looks) == 30
    assert desk.eyes.most_at_once == MOST_LOOKS_A_HOST


async def test_a_sound_image_is_trusted_for_a_day_across_runs(desk: Desk) -> None:
    for _ in range(2):
        async with desk.run() as (images, _):
            await images.check(VIDEO, body(f"{SITE}/a.jpg"))
    assert len(desk.eyes.looks) == 1
    desk.clock.time += DAY
    async with desk.run() as (images, _):
        await images.check(VIDEO, body(f"{SITE}/a.jpg"))
    assert len(desk.eyes.looks) == 2


async def test_a_bad_image_is_asked_again_by_the_next_run_but_not_by_this_one(desk: Desk) -> None:
    desk.eyes.shows[f"{SITE}/a.jpg"] = Gone("gone")
    async with desk.run() as (images, _):
        for _ in range(3):
            assert isinstance(await images.check(VIDEO, body(f"{SITE}/a.jpg")), InputsBroken)
    assert len(desk.eyes.looks) == 1
    desk.eyes.shows.clear()
    async with desk.run() as (images, _):
        assert await images.check(VIDEO, body(f"{SITE}/a.jpg")) == InputsSound()


async def test_an_image_that_broke_a_rule_may_have_been_replaced_before_the_next_run(
    desk: Desk,
) -> None:
    desk.eyes.shows[f"{SITE}/a.jpg"] = HUGE
    async with desk.run() as (images, _):
        for _ in range(3):
            assert isinstance(await images.check(VIDEO, body(f"{SITE}/a.jpg")), InputsBroken)
    assert len(desk.eyes.looks) == 2  # one spoilt transfer is no proof
    desk.eyes.shows.clear()
    async with desk.run() as (images, _):
        assert await images.check(VIDEO, body(f"{SITE}/a.jpg")) == InputsSound()


async def test_an_explicit_look_is_a_new_one_which_the_check_then_trusts(desk: Desk) -> None:
    """A result's URL may have expired since; asking for it twice would be one too many."""
    async with desk.run() as (images, _):
        await images.probe(f"{SITE}/a.jpg")
        desk.eyes.shows[f"{SITE}/a.jpg"] = HUGE
        assert await images.probe(f"{SITE}/a.jpg") == HUGE
        assert isinstance(await images.check(VIDEO, body(f"{SITE}/a.jpg")), InputsBroken)
    assert len(desk.eyes.looks) == 3


async def test_one_spoilt_transfer_fails_no_job(desk: Desk) -> None:
    desk.eyes.spoils = True
    async with desk.run() as (images, _):
        assert await images.check(VIDEO, body(f"{SITE}/a.jpg")) == InputsSound()
    assert len(desk.eyes.looks) == 2


async def test_silence_is_unclear_as_long_as_nothing_else_is_heard(desk: Desk) -> None:
    """The network of this machine may be down all night: no job is refused for that."""
    desk.eyes.shows[f"{SITE}/a.jpg"] = NoAnswer("silence")
    async with desk.run() as (images, _):
        for _ in range(3 * MOST_SILENCES):
            verdict = await images.check(VIDEO, body(f"{SITE}/a.jpg"))
            assert verdict == InputsUnclear(f"{SITE}/a.jpg: silence")


async def test_an_image_that_stays_silent_while_others_answer_is_given_up(desk: Desk) -> None:
    """Else a run with one dead host would never end."""
    desk.eyes.shows[f"{SITE}/a.jpg"] = NoAnswer("silence")
    async with desk.run() as (images, _):
        verdicts = []
        for n in range(MOST_SILENCES):
            await images.check(VIDEO, body(f"{SITE}/other{n}.jpg"))
            verdicts.append(await images.check(VIDEO, body(f"{SITE}/a.jpg")))
    *before, last = verdicts
    assert set(before) == {InputsUnclear(f"{SITE}/a.jpg: silence")}
    assert last == InputsBroken(f"{SITE}/a.jpg: silence")


async def test_an_image_that_answered_in_between_is_not_given_up(desk: Desk) -> None:
    async with desk.run() as (images, _):
        for n in range(3 * MOST_SILENCES):
            await images.probe(f"{SITE}/other.jpg")
            desk.eyes.shows[f"{SITE}/a.jpg"] = NoAnswer("silence")
            if n % 3:
                # Of the day before: else nobody would ask again.
                desk.clock.time += 2 * DAY
                verdict = await images.check(VIDEO, body(f"{SITE}/a.jpg"))
                assert verdict == InputsUnclear(f"{SITE}/a.jpg: silence")
            else:
                desk.eyes.shows.clear()
                await images.probe(f"{SITE}/a.jpg")


async def test_without_checks_everything_is_sound_and_a_look_still_works(desk: Desk) -> None:
    desk.eyes.shows[f"{SITE}/a.jpg"] = HUGE
    async with desk.run(checking=False) as (images, _):
        assert await images.check(VIDEO, body(f"{SITE}/a.jpg")) == InputsSound()
        assert desk.eyes.looks == []
        assert await images.probe(f"{SITE}/a.jpg") == HUGE


async def test_a_rehearsal_looks_only_at_images_of_this_machine(desk: Desk) -> None:
    here = "http://127.0.0.1:8080/a.jpg"
    async with desk.run(only_here=True) as (images, _):
        assert await images.check(EDIT, body(f"{SITE}/a.jpg", here)) == InputsSound()
    assert desk.eyes.looks == [here]


async def test_a_survey_finds_every_bad_image_and_who_uses_it(desk: Desk) -> None:
    bad, gone = f"{SITE}/bad.jpg", f"{SITE}/gone.jpg"
    desk.has(
        *(desk.job(f"clip-{n}", bad) for n in range(5)),
        desk.job("sound", f"{SITE}/sound.jpg"),
        desk.job("edit", f"{SITE}/sound.jpg", bad, gone, model=EDIT),
        desk.job("still", model=T2I),
    )
    desk.eyes.shows = {bad: HUGE, gone: Gone("it is gone")}
    problems = await desk.survey()
    assert problems == [
        ImageProblem(bad, ("clip-0", "clip-1", "clip-2"), 5, TOO_LARGE),
        ImageProblem(gone, ("edit",), 1, "it is gone"),
    ]
    assert str(problems[0]) == f"{bad}: {TOO_LARGE} (job clip-0, clip-1, clip-2 and 2 more)"
    assert sorted(desk.eyes.looks) == sorted([bad, bad, gone, f"{SITE}/sound.jpg"])


async def test_a_survey_asks_a_silent_server_again_before_it_complains(desk: Desk) -> None:
    desk.has(desk.job("a", f"{SITE}/a.jpg"))
    desk.eyes.shows[f"{SITE}/a.jpg"] = NoAnswer("silence")
    assert [problem.sentence for problem in await desk.survey()] == ["silence"]
    assert desk.eyes.looks == [f"{SITE}/a.jpg"] * 3


async def test_a_survey_does_not_wait_for_a_dead_host_once_for_every_image(desk: Desk) -> None:
    urls = [f"{SITE}/{n}.jpg" for n in range(200)]
    desk.has(
        *(desk.job(f"job-{n}", url) for n, url in enumerate(urls)),
        desk.job("b", "https://b.example/b.jpg"),
    )
    desk.eyes.shows = {url: NoAnswer("silence") for url in urls}
    assert len(await desk.survey()) == 200
    assert len(desk.eyes.looks) < 50
    assert "https://b.example/b.jpg" in desk.eyes.looks


async def test_a_host_that_answers_now_and_then_is_not_given_up(desk: Desk) -> None:
    desk.has(*(desk.job(f"job-{n}", f"{SITE}/{n}.jpg") for n in range(50)))
    desk.eyes.stutters = True
    assert await desk.survey() == []
    assert len(desk.eyes.looks) == 100


async def test_a_survey_leaves_out_references_and_jobs_that_are_not_selected(desk: Desk) -> None:
    desk.has(
        desk.job("still", model=T2I),
        desk.job("chained", reference_url("still", "image", 0)),
        desk.job("other", f"{SITE}/other.jpg"),
        desk.job("this", f"{SITE}/this.jpg"),
    )
    assert await desk.survey(Selection(jobs=("this", "chained"))) == []
    assert desk.eyes.looks == [f"{SITE}/this.jpg"]


async def test_a_survey_is_bounded_and_the_rest_is_looked_at_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_images, "MOST_URLS", 3)
    desk.has(*(desk.job(f"job-{n}", f"{SITE}/{n % 5}.jpg") for n in range(10)))
    uses = images_in_use(desk.db, ALL, bundled(), lambda _: True)
    assert [(use.url, use.count) for use in uses] == [(f"{SITE}/{n}.jpg", 2) for n in range(3)]


async def refuse(desk: Desk, *, collecting: bool) -> None:
    async with desk.run() as (images, store):
        await refuse_broken(images, store, ALL, desk.heard.append, collecting=collecting)


async def test_a_run_with_bad_images_is_refused_and_every_one_is_listed(desk: Desk) -> None:
    desk.has(desk.job("a", f"{SITE}/a.jpg"), desk.job("b", f"{SITE}/b.jpg?sig=secret"))
    desk.eyes.shows = {f"{SITE}/a.jpg": HUGE, f"{SITE}/b.jpg?sig=secret": Gone("it is gone")}
    with pytest.raises(InputImagesError) as caught:
        await refuse(desk, collecting=False)
    assert str(caught.value).splitlines() == [
        "2 input images cannot be used; nothing was sent",
        f"  {SITE}/a.jpg: {TOO_LARGE} (job a)",
        f"  {SITE}/b.jpg?…: it is gone (job b)",
        "  → replace them, or set run.check_inputs: off",
    ]


@pytest.mark.parametrize("others", [0, 1])
async def test_an_image_for_which_nobody_answers_may_be_no_fault_of_the_image(
    desk: Desk, others: int
) -> None:
    desk.has(desk.job("a", f"{SITE}/a.jpg"), desk.job("b", "https://b.example/b.jpg"))
    desk.eyes.shows = {f"{SITE}/a.jpg": NoAnswer("silence")}
    if others:
        desk.eyes.shows["https://b.example/b.jpg"] = Gone("it is gone")
    with pytest.raises(InputImagesError) as caught:
        await refuse(desk, collecting=False)
    cure = "if there was no answer, check the network and, behind a proxy, HTTPS_PROXY, or set"
    assert caught.value.next_step is not None
    assert cure in caught.value.next_step
    assert ("replace them" in caught.value.next_step) is bool(others)


async def test_of_very_many_bad_images_the_first_are_listed(desk: Desk) -> None:
    urls = [f"{SITE}/{n}.jpg" for n in range(MOST_SHOWN + 20)]
    desk.has(*(desk.job(url[-7:-4], url) for url in urls))
    desk.eyes.shows = {url: Gone("it is gone") for url in urls}
    with pytest.raises(InputImagesError) as caught:
        await refuse(desk, collecting=False)
    assert caught.value.what.startswith("120 input images cannot be used")
    assert caught.value.what.endswith("\n  and 20 more")


async def test_what_is_paid_already_is_collected_whatever_the_images_are(desk: Desk) -> None:
    desk.has(desk.job("a", f"{SITE}/a.jpg"))
    desk.eyes.shows[f"{SITE}/a.jpg"] = HUGE
    await refuse(desk, collecting=True)
    assert desk.heard == [LookingAtImages(1), Noted(f"{SITE}/a.jpg: {TOO_LARGE} (job a)")]


async def test_sound_images_refuse_nothing(desk: Desk) -> None:
    desk.has(desk.job("a", f"{SITE}/a.jpg"))
    await refuse(desk, collecting=False)
    assert desk.heard == [LookingAtImages(1)]


def test_a_signature_is_not_shown() -> None:
    assert shown(f"{SITE}/a.jpg?sig=secret#part") == f"{SITE}/a.jpg?…"
    assert shown(f"{SITE}/a.jpg") == f"{SITE}/a.jpg"
