"""Images behind the URLs of inputs: probed once, remembered, judged for the jobs that use them.

A valid image is trusted for a day, across runs; a problem only until this run ends, since people
fix it.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from batchgen import references
from batchgen.downloads.probe import Gone, NoAnswer, NotUsable, Picture, open_prober
from batchgen.engine.ports import InputsBroken, InputsSound, InputsUnclear
from batchgen.input_files import is_file_url
from batchgen.models.file_rules import FileFacts, broken_rules, files_of, image_keys
from batchgen.runcomfy.base import is_loopback
from batchgen.state.due import pending_models, pending_urls
from batchgen.state.files import known_images, remember_image
from batchgen.state.records import KnownImage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from batchgen.downloads.probe import Probed, ProbeSettings
    from batchgen.engine.ports import InputVerdict
    from batchgen.models.catalog import Catalog, Model
    from batchgen.models.fields import FileRule
    from batchgen.state.database import Connection
    from batchgen.state.selection import Selection
    from batchgen.state.store import Store


MOST_SILENCES = 5
MOST_COUNTED = 10_000


class Silences:
    """How often a URL gave no answer while others did.

    A URL's silence counts only if another URL has answered since: otherwise this machine's network
    may be down, and a night of waiting would refuse every job.
    """

    def __init__(self) -> None:
        self._answers = 0
        self._counted: dict[str, tuple[int, int]] = {}

    def note(self, url: str) -> None:
        count, answers = self._counted.pop(url, (0, -1))
        if len(self._counted) >= MOST_COUNTED:
            self._counted.pop(next(iter(self._counted)))
        self._counted[url] = (count + (answers != self._answers), self._answers)

    def end(self, url: str) -> None:
        self._answers += 1
        self._counted.pop(url, None)

    def are_too_many(self, url: str) -> bool:
        return self._counted.get(url, (0, 0))[0] >= MOST_SILENCES


def trouble_with(rules: Iterable[FileRule], outcome: Probed) -> str | None:
    """Say what is wrong with an image, with the page's rule if possible."""
    match outcome:
        case Picture(media_type, width, height, size):
            facts = FileFacts(media_type, width, height, size)
            broken = broken_rules(rules, facts)
            return " ".join(map(str, broken)) or None
        case NotUsable(reason) | Gone(reason) | NoAnswer(reason):
            return reason


def tells_nothing(outcome: Probed) -> bool:
    """Whether the network or its DNS is to blame, not the image.

    A name of a private address is refused before the run.
    """
    match outcome:
        case NoAnswer() | NotUsable(by_dns=True):
            return True
        case _:
            return False


def shown(url: str) -> str:
    """The URL without its signature: a signed URL gives access to the file."""
    parts = urlsplit(url)
    return parts._replace(query="…" if parts.query else "", fragment="").geturl()


def host_name(url: str) -> str:
    """The host as written in the URL; requests to one host share a limit."""
    return urlsplit(url).hostname or ""


TRUSTED_SECONDS = 24 * 3600.0
MOST_LOOKS = 8
MOST_LOOKS_A_HOST = 4


class Eye(Protocol):
    """Probes a URL over the network; see batchgen.downloads.probe."""

    async def probe(self, url: str) -> Probed: ...


class InputImages:
    """Made by `open_input_images`. Raises the tree's errors if the state fails."""

    def __init__(
        self, eye: Eye, store: Store, catalog: Catalog, *, checking: bool, only_here: bool
    ) -> None:
        self._eye = eye
        self._store = store
        self.catalog = catalog
        self._checking = checking
        self._only_here = only_here
        self._started = store.now()
        self._all = asyncio.Semaphore(MOST_LOOKS)
        # Weak: an entry lives only while a task waits for it, as there may be a million URLs.
        self._hosts = WeakValueDictionary[str, asyncio.Semaphore]()
        self._urls = WeakValueDictionary[str, asyncio.Lock]()
        self._silences = Silences()
        self._seen_bad: set[str] = set()

    def is_looked_at(self, url: str) -> bool:
        """A rehearsal probes no other host; the target of a reference may not exist yet.

        The user's own files are checked as they are read.
        """
        if not self._checking or is_reference(url) or is_file_url(url):
            return False
        return not self._only_here or is_loopback(url)

    async def check(self, model: str, body: str) -> InputVerdict:
        known_model = self.catalog.find(model)
        if known_model is None:
            return InputsSound()
        unclear: list[str] = []
        for place, url in files_of(known_model, json.loads(body)):
            if place.kind != "image" or not self.is_looked_at(url):
                continue
            outcome, trouble = await self.judge(place.rules, url)
            if trouble is None:
                continue
            if not tells_nothing(outcome) or self._silences.are_too_many(url):
                return InputsBroken(f"{shown(url)}: {trouble}")
            unclear.append(f"{shown(url)}: {trouble}")
        return InputsUnclear("; ".join(unclear)) if unclear else InputsSound()

    async def probe(self, url: str) -> Probed:
        """Probe now; simultaneous callers share one probe."""
        asked = self._store.now()
        return await self._once(url, lambda known: not known.trouble and known.looked_at >= asked)

    async def judge(self, rules: Sequence[FileRule], url: str) -> tuple[Probed, str | None]:
        """Return what is there, and why a place with these rules would not take it."""
        oldest = self._store.now() - TRUSTED_SECONDS

        def is_trusted(known: KnownImage) -> bool:
            # A bad image may have been replaced since an earlier run.
            is_bad = trouble_with(rules, _remembered(known)) is not None
            return known.looked_at >= (self._started if is_bad else oldest)

        outcome = await self._once(url, is_trusted)
        trouble = trouble_with(rules, outcome)
        if trouble is not None and not tells_nothing(outcome) and self._doubts(url, outcome):
            outcome = await self._once(url, lambda _: False)
            trouble = trouble_with(rules, outcome)
        return outcome, trouble

    def _doubts(self, url: str, outcome: Probed) -> bool:
        """Whether to probe once more: one damaged transfer must not fail a job for good."""
        if url in self._seen_bad or len(self._seen_bad) >= MOST_COUNTED:
            return False
        self._seen_bad.add(url)
        return not isinstance(outcome, Gone)

    async def _once(self, url: str, is_trusted: Callable[[KnownImage], bool]) -> Probed:
        async with self._urls.setdefault(url, asyncio.Lock()):
            known = (await self._store.run(known_images, [url])).get(url)
            if known is not None and is_trusted(known):
                return _remembered(known)
            return await self._look_now(url)

    async def _look_now(self, url: str) -> Probed:
        host = self._hosts.setdefault(host_name(url), asyncio.Semaphore(MOST_LOOKS_A_HOST))
        # The host first: tasks that wait for a slow host must not hold up the others.
        async with host, self._all:
            outcome = await self._eye.probe(url)
        if tells_nothing(outcome):
            self._silences.note(url)
        else:
            self._silences.end(url)
            await self._store.run(remember_image, _to_remember(url, self._store.now(), outcome))
        return outcome


def _remembered(known: KnownImage) -> Probed:
    if known.media_type is None or known.width is None or known.height is None:
        return NotUsable(known.trouble or "it was not a picture")
    return Picture(known.media_type, known.width, known.height, known.bytes)


def _to_remember(url: str, at: float, outcome: Probed) -> KnownImage:
    match outcome:
        case Picture(media_type, width, height, size):
            return KnownImage(url, at, media_type, width, height, size, None)
        case NotUsable(reason) | Gone(reason) | NoAnswer(reason):
            return KnownImage(url, at, None, None, None, None, reason)


@asynccontextmanager
async def open_input_images(
    settings: ProbeSettings, store: Store, catalog: Catalog, *, checking: bool, only_here: bool
) -> AsyncIterator[InputImages]:
    """`checking`: run.check_inputs. Without it, `check` accepts everything, and `look` works.

    `only_here`: check only what is on this machine, as a rehearsal does.
    """
    async with open_prober(settings) as looker:
        yield InputImages(looker, store, catalog, checking=checking, only_here=only_here)


MOST_URLS = 5_000


MOST_JOBS = 100_000
"""URLs per model that are checked before the first submit; later ones are checked just before
their own submit. So a million jobs start as soon as ten."""


NAMED_JOBS = 3


@dataclass(slots=True)
class ImageUse:
    """An image under one key of one model, whose rules apply.

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
    db: Connection,
    selection: Selection,
    catalog: Catalog,
    is_looked_at: Callable[[str], bool],
) -> list[ImageUse]:
    """Each image once per model and key, in the manifest's order, from at most MOST_URLS URLs.

    References are left out: their images are checked once they exist.
    """
    uses: dict[tuple[str, str, str], ImageUse] = {}
    urls: set[str] = set()
    for model in pending_models(db, selection):
        for key in _keys(catalog.find(model)):
            for job_id, url in pending_urls(db, model, key, selection, MOST_JOBS):
                if url not in urls and (len(urls) == MOST_URLS or not is_looked_at(url)):
                    continue
                urls.add(url)
                uses.setdefault((model, key, url), ImageUse(url, model, key)).note(job_id)
    return list(uses.values())


def is_reference(url: str) -> bool:
    return url.startswith(f"https://{references.HOST}/")


def _keys(model: Model | None) -> tuple[str, ...]:
    return () if model is None else image_keys(model)
