"""Before the first submit: probe every input image, and refuse the run if some are bad."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.downloads.probe import NoAnswer
from batchgen.engine.events import LookingAtImages, Noted
from batchgen.errors import InputImagesError
from batchgen.models.file_rules import rules_of
from batchgen.runs.input_images import MOST_LOOKS, ImageUse, host_name, images_in_use, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batchgen.engine.events import Listener
    from batchgen.runs.input_images import InputImages
    from batchgen.state.selection import Selection
    from batchgen.state.store import Store


PAUSES = (1.0, 3.0)
"""Seconds until a URL without an answer is probed again."""
SILENCES_OF_A_HOST = 6
MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class ImageProblem:
    """`jobs` are the first few ids of the `count` jobs that use the image.

    `is_silence`: there was no answer, which may not be the image's fault.
    """

    url: str
    jobs: tuple[str, ...]
    count: int
    sentence: str
    is_silence: bool = False

    def __str__(self) -> str:
        more = self.count - len(self.jobs)
        others = f" and {more} more" if more else ""
        return f"{shown(self.url)}: {self.sentence} (job {', '.join(self.jobs)}{others})"


async def look_at_all(
    images: InputImages,
    store: Store,
    selection: Selection,
    emit: Listener,
    pauses: Sequence[float] = PAUSES,
) -> list[ImageProblem]:
    """Probe each distinct image of the pending jobs; see MOST_URLS for how many."""
    uses = await store.run(images_in_use, selection, images.catalog, images.is_looked_at)
    if uses:
        emit(LookingAtImages(len({use.url for use in uses})))
    survey = _Survey(images, pauses)
    sentences = await survey.take(uses)
    return [
        ImageProblem(use.url, tuple(use.jobs), use.count, sentence, place in survey.silences)
        for place, (use, sentence) in enumerate(zip(uses, sentences, strict=True))
        if sentence is not None
    ]


async def refuse_broken(
    images: InputImages,
    store: Store,
    selection: Selection,
    emit: Listener,
    *,
    collecting: bool,
) -> None:
    """Raise InputImagesError for images that the vendor would refuse; nothing is sent then.

    Not if the run is `collecting` paid results, which no image may hold up: then each bad image
    fails its own jobs, just before their submit. The state's errors come in a group.
    """
    problems = await look_at_all(images, store, selection, emit)
    if not problems:
        return
    if collecting:
        for problem in problems:
            emit(Noted(str(problem)))
        return
    raise _error(problems)


class _Survey:
    """Probes many URLs, and waits only once for a dead host.

    `silences` are the places of URLs without an answer.
    """

    def __init__(self, images: InputImages, pauses: Sequence[float]) -> None:
        self._images = images
        self._pauses = pauses
        self.silences: set[int] = set()
        self._silent: Counter[str] = Counter()

    async def take(self, uses: Sequence[ImageUse]) -> list[str | None]:
        """What is wrong with each of them."""
        sentences: list[str | None] = [None] * len(uses)
        left = iter(enumerate(uses))
        async with asyncio.TaskGroup() as group:
            for number in range(min(MOST_LOOKS, len(uses))):
                group.create_task(self._work(left, sentences), name=f"input images {number}")
        return sentences

    async def _work(
        self, left: Iterator[tuple[int, ImageUse]], sentences: list[str | None]
    ) -> None:
        for place, use in left:
            sentences[place] = await self._patiently(place, use)

    async def _patiently(self, place: int, use: ImageUse) -> str | None:
        model, host = self._images.catalog.find(use.model), host_name(use.url)
        assert model is not None, "images_in_use knows its keys"
        rules = rules_of(model, use.key)
        if self._silent[host] >= SILENCES_OF_A_HOST:
            self.silences.add(place)
            return f"{host} does not answer"
        outcome, sentence = await self._images.judge(rules, use.url)
        for pause in self._pauses:
            if not isinstance(outcome, NoAnswer):
                break
            self._silent[host] += 1
            await asyncio.sleep(pause)
            outcome, sentence = await self._images.judge(rules, use.url)
        if isinstance(outcome, NoAnswer):
            self.silences.add(place)
        else:
            self._silent[host] = 0
        return sentence


def _error(problems: Sequence[ImageProblem]) -> InputImagesError:
    count = len({problem.url for problem in problems})
    noun = "input image" if count == 1 else "input images"
    lines = [f"{count} {noun} cannot be used; nothing was sent"]
    lines += [f"  {problem}" for problem in problems[:MOST_SHOWN]]
    if len(problems) > MOST_SHOWN:
        lines.append(f"  and {len(problems) - MOST_SHOWN} more")
    ways = ["set run.check_inputs: off"]
    if any(problem.is_silence for problem in problems):
        ways.insert(0, "if there was no answer, check the network and, behind a proxy, HTTPS_PROXY")
    if not all(problem.is_silence for problem in problems):
        ways.insert(0, "replace them")
    return InputImagesError("\n".join(lines), next_step=", or ".join(ways))
