"""The input images of the jobs that a run may begin, out of the state.

Before the first submit: look at every input image, and refuse the run for those that are bad.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen import references
from batchgen.downloads.probe import NoAnswer
from batchgen.engine.events import LookingAtImages, Noted
from batchgen.errors import InputImagesError
from batchgen.models.catalog import find_model
from batchgen.models.file_rules import image_keys
from batchgen.run.input_images import MOST_LOOKS, host_of, shown
from batchgen.state.due import pending_models

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence

    from batchgen.engine.events import Listener
    from batchgen.run.input_images import InputImages
    from batchgen.state.selection import Selection
    from batchgen.state.store import Store


MOST_URLS = 5_000
MOST_JOBS = 100_000
"""What is looked through before the first submit, a model; later ones have their look just before
their own. So a million jobs begin as soon as ten."""
NAMED_JOBS = 3


@dataclass(slots=True)
class ImageUse:
    """An image under one key of one model: the rules are theirs.

    Filled while rows are read; `jobs` are the first few ids of `count`.
    """

    url: str
    model: str
    key: str
    count: int = 0
    jobs: list[str] = field(default_factory=list)

    def note(self, job_id: str) -> None:
        self.count += 1
        if len(self.jobs) < NAMED_JOBS:
            self.jobs.append(job_id)


def images_in_use(
    db: sqlite3.Connection,
    selection: Selection,
    is_looked_at: Callable[[str], bool],
) -> list[ImageUse]:
    """Each image once a model and key, in the manifest's order, of at most MOST_URLS URLs.

    References are none: what they stand for is looked at when it is there.
    """
    uses: dict[tuple[str, str, str], ImageUse] = {}
    urls: set[str] = set()
    for model in pending_models(db, selection):
        for key in _keys(model):
            for job_id, url in _rows(db, model, key, selection):
                if url not in urls and (len(urls) == MOST_URLS or not is_looked_at(url)):
                    continue
                urls.add(url)
                uses.setdefault((model, key, url), ImageUse(url, model, key)).note(job_id)
    return list(uses.values())


def is_reference(url: str) -> bool:
    return url.startswith(f"https://{references.HOST}/")


def _keys(model_id: str) -> tuple[str, ...]:
    model = find_model(model_id)
    return () if model is None else image_keys(model)


def _rows(
    db: sqlite3.Connection, model: str, key: str, selection: Selection
) -> Iterator[tuple[str, str]]:
    condition, values = selection.where()
    # Bounded before the bodies are opened; json_each takes a single URL for a list of one.
    return db.execute(
        # The condition is the state's own text; whatever a person wrote is a parameter.
        "SELECT one.id, url.value FROM (SELECT seq, id, body FROM job"  # noqa: S608 - see above
        f" WHERE state = 'pending' AND model = ? AND listed = 1 AND {condition}"
        " ORDER BY seq LIMIT ?) AS one, json_each(one.body, ?) AS url"
        " WHERE url.type = 'text' ORDER BY one.seq, url.key",
        (model, *values, MOST_JOBS, f'$."{key}"'),
    )


PAUSES = (1.0, 3.0)
"""Seconds before another look where there was no answer."""
SILENCES_OF_A_HOST = 6
MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class ImageProblem:
    """`jobs` are the first few ids of the `count` jobs that use the image.

    `is_silence`: nobody answered, which may be no fault of the image.
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
    tell: Listener,
    pauses: Sequence[float] = PAUSES,
) -> list[ImageProblem]:
    """Look at each distinct image of the pending jobs; see MOST_URLS for how many."""
    uses = await store.run(images_in_use, selection, images.is_looked_at)
    if uses:
        tell(LookingAtImages(len({use.url for use in uses})))
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
    tell: Listener,
    *,
    collecting: bool,
) -> None:
    """Raise InputImagesError for images that the vendor would refuse; nothing is sent then.

    Unless the run is `collecting` what is paid already, which no picture may hold up: then each bad
    image fails its own jobs, just before their submit. The state's errors come in a group.
    """
    problems = await look_at_all(images, store, selection, tell)
    if not problems:
        return
    if collecting:
        for problem in problems:
            tell(Noted(str(problem)))
        return
    raise _error(problems)


class _Survey:
    """A look at each of many URLs, that does not wait for a dead host once for every URL.

    `silences` are the places of those that nobody answered for.
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
        model, host = find_model(use.model), host_of(use.url)
        assert model is not None, "images_in_use knows its keys"
        if self._silent[host] >= SILENCES_OF_A_HOST:
            self.silences.add(place)
            return f"{host} gives no answer"
        outcome, sentence = await self._images.judge(model, use.key, use.url)
        for pause in self._pauses:
            if not isinstance(outcome, NoAnswer):
                break
            self._silent[host] += 1
            await asyncio.sleep(pause)
            outcome, sentence = await self._images.judge(model, use.key, use.url)
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
        ways.insert(0, "where none answered, see to the network, and behind a proxy to HTTPS_PROXY")
    if not all(problem.is_silence for problem in problems):
        ways.insert(0, "replace them")
    return InputImagesError("\n".join(lines), next_step=", or ".join(ways))
