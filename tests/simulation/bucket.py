"""The bucket that a night's results go to: it outlives the processes, and has weather of its own.

The program's own code speaks to it, down to the calls of its libraries (bucket_client.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.findings import Finding
from tests.simulation.vendor import EPOCH, picture

if TYPE_CHECKING:
    from tests.simulation.night import Night

SHARE = 0.25
"""Share of the seeds whose results go to a bucket."""

URL = "s3://results/night/7"
FILES = "files/"
CLAIM = "run.json"
METADATA = "metadata.jsonl"
CLAIM_OF_ANOTHER = b'{"run": "5107e25107e25107", "name": "another night"}'
NOT_OURS = b"what another program stored here"

PHASES = ("before the first byte", "part sent", "stored", "answered")
BUCKET_POINTS = (
    *(f"{what} to the bucket: {phase}" for what in ("result", "claim", "list") for phase in PHASES),
    "before a half upload is removed",
    "after a half upload is removed",
)
OFTEN = BUCKET_POINTS[: len(PHASES)]
"""The claim and the list are put once or twice in a life."""


class Trouble(Enum):
    """What may become of a request. All but LOST are without effect, but for half an upload."""

    BUSY = "503"
    BUSY_LATE = "503 in the middle"
    SILENT = "no connection"
    LOST = "answer lost after it was done"
    FORBIDDEN = "403"
    GONE = "the bucket is gone"


RANDOM = (Trouble.BUSY, Trouble.BUSY_LATE, Trouble.SILENT, Trouble.LOST)
LONG = (Trouble.BUSY, Trouble.SILENT, Trouble.LOST, *(Trouble.FORBIDDEN, Trouble.GONE) * 2)


class BucketError(Exception):
    """What a request is answered with. bucket_client.py makes the library's own error of it."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.value)
        self.trouble = trouble


class ExistsError(Exception):
    """There is an object of that name, and the request was to make a new one."""


@dataclass(frozen=True, slots=True)
class Outage:
    """Of the life number `life`, from `after` seconds on."""

    life: int
    after: float
    lasts: float
    trouble: Trouble


@dataclass(frozen=True, slots=True)
class Shelf:
    """What a seed makes of a bucket. `foreign` are lives and seconds at which others put objects.

    `rough`: how often the put of a result or of the list goes wrong; others do so less often, since
    most lives would end with their first requests. Objects of more than `whole` bytes go in parts.
    `loses` and `contests`: how often, between two lives, all that is local is looked for in vain,
    and another run has the prefix.
    """

    rough: float
    whole: int
    outages: tuple[Outage, ...] = ()
    foreign: tuple[tuple[int, float], ...] = ()
    loses: float = 0.2
    contests: float = 0.1


def shelf_of(dice: Random, rough: float) -> Shelf:
    lasts = (5.0, 60.0, 400.0, 2000.0, inf)
    return Shelf(
        rough=max(0.1, min(rough, 0.3)) if rough else 0.0,
        whole=dice.choice((1 << 24, 1 << 24, 0)),
        outages=tuple(
            Outage(number % 2, dice.uniform(1.0, 12.0), dice.choice(lasts), dice.choice(LONG))
            for number in range(dice.choice((0, 1, 1, 2)) if rough else 0)
        ),
        foreign=tuple(
            (number % 2, dice.uniform(1.0, 20.0)) for number in range(dice.choice((0, 0, 1, 3)))
        ),
    )


@dataclass(frozen=True, slots=True)
class StoredObject:
    """`attributes` were sent with it; `at` is the wall clock's time, in epoch seconds."""

    content: bytes
    attributes: Mapping[str, str]
    at: float


@dataclass(slots=True)
class ResultBucket:
    """`uploads` are begun and not ended, by their ids: what goes there, and since when.

    Of the present life, `begun` are contents of results that were on their way here, `unstored`
    those among them that the bucket has not acknowledged, with their names. `point` hears of each
    phase of a request; from then on `is_dead` may say that no more is done.
    """

    night: Night
    shelf: Shelf
    dice: Random
    objects: dict[str, StoredObject] = field(default_factory=dict)
    uploads: dict[str, tuple[str, float]] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    begun: set[str] = field(default_factory=set)
    unstored: dict[str, str] = field(default_factory=dict)
    is_calm: bool = False
    puts: int = 0
    point: Callable[[str], None] = lambda _label: None
    is_dead: Callable[[], bool] = lambda: False
    _life: int = 0
    _life_began: float = 0.0
    _uploads_begun: int = 0

    # A life.

    def begin_life(
        self,
        number: int,
        point: Callable[[str], None],
        is_dead: Callable[[], bool],
        later: Callable[..., object],
    ) -> None:
        self.point, self.is_dead = point, is_dead
        self._life, self._life_began = number, self.night.clock()
        self.begun.clear()
        self.unstored.clear()
        for life, after in () if self.is_calm else self.shelf.foreign:
            if life == number:
                later(after, self._put_foreign)

    def _put_foreign(self) -> None:
        """Another program takes the name of a result that is still to come."""
        names = [f"{FILES}{job}.png" for job in self.night.told]
        free = [name for name in names if name not in self.objects]
        if free and not self.is_dead():
            name = self.dice.choice(free)
            self.night.weather.injected["a foreign object"] += 1
            self.night.note(f"foreign {name}")
            self.foreign.add(name)
            self.objects[name] = StoredObject(NOT_OURS, {}, self._now())

    def calm_down(self) -> None:
        self.is_calm = True
        for name in self.foreign:
            del self.objects[name]
        self.foreign.clear()

    @contextmanager
    def in_calm(self) -> Iterator[None]:
        was, self.is_calm = self.is_calm, True
        try:
            yield
        finally:
            self.is_calm = was

    def trip(self) -> tuple[float, float]:
        """Seconds until a request is there, and until its answer is back."""
        there, back = self.dice.uniform(0.01, 0.2), self.dice.uniform(0.01, 0.2)
        if self.is_calm or self.dice.random() >= self.shelf.rough:
            return there, back
        self.night.weather.injected["a slow bucket"] += 1
        slow = self.dice.choice((2.0, 20.0, 110.0))
        return (there + slow, back) if self.dice.random() < 0.5 else (there, back + slow)

    # What the client asks for.

    def put(
        self, name: str, content: bytes, attributes: Mapping[str, str], *, new: bool, parts: bool
    ) -> None:
        """Raises BucketError, ExistsError. A process that is dead sends nothing more."""
        label = f"{_role(name)} to the bucket"
        sha256 = attributes.get("sha256", "")
        if self._passes(f"{label}: {PHASES[0]}"):
            return
        if name.startswith(FILES):
            self.puts += 1
            self.begun.add(sha256)
            self.unstored[sha256] = name
        trouble = self._trouble(label)
        if trouble is not None and trouble not in {Trouble.LOST, Trouble.BUSY_LATE}:
            raise BucketError(trouble)
        upload = self._begin_upload(name) if parts else ""
        if self._passes(f"{label}: {PHASES[1]}"):
            return
        if trouble is Trouble.BUSY_LATE:
            # Who gives up an upload says so, which may fail too.
            if self.dice.random() < 0.5:
                self.uploads.pop(upload, None)
            raise BucketError(trouble)
        if new and name in self.objects:
            self.unstored.pop(sha256, None)
            raise ExistsError(name)
        self._store(name, content, attributes)
        self.uploads.pop(upload, None)
        if self._passes(f"{label}: {PHASES[2]}"):
            return
        if trouble is Trouble.LOST:
            raise BucketError(trouble)
        self.unstored.pop(sha256, None)
        self.point(f"{label}: {PHASES[3]}")

    def _begin_upload(self, name: str) -> str:
        self._uploads_begun += 1
        upload = f"upload {self._uploads_begun}"
        self.uploads[upload] = (name, self._now())
        return upload

    def _store(self, name: str, content: bytes, attributes: Mapping[str, str]) -> None:
        there = self.objects.get(name)
        if there is not None and name.startswith(FILES):
            ours = there.attributes.get("request", "") == attributes.get("request", "")
            if name in self.foreign or (not ours and there.content != content):
                self.findings.append(Finding("overwritten", f"{name} was another's"))
        self.objects[name] = StoredObject(content, dict(attributes), self._now())

    def get(self, name: str) -> StoredObject | None:
        self.ask("a look")
        found = self.objects.get(name)
        if found is not None:
            # An answer was lost; what is there need not be sent again.
            self.unstored.pop(found.attributes.get("sha256", ""), None)
        return found

    def ask(self, label: str) -> None:
        """A request that changes nothing. Raises BucketError."""
        if not self.is_dead() and (trouble := self._trouble(label)) is not None:
            raise BucketError(trouble)

    def abort(self, upload: str) -> None:
        if self._passes("before a half upload is removed"):
            return
        self.uploads.pop(upload, None)
        self.point("after a half upload is removed")

    def half_uploads(self) -> Iterable[tuple[str, str, float]]:
        """Their names, ids and beginnings. Raises BucketError."""
        self.ask("half uploads")
        return [(name, upload, begun) for upload, (name, begun) in self.uploads.items()]

    def _passes(self, label: str) -> bool:
        """Whether the process has died, here or before."""
        self.point(label)
        return self.is_dead()

    def _trouble(self, label: str) -> Trouble | None:
        if self.is_calm:
            return None
        since = self.night.clock() - self._life_began
        found = next(
            (
                one.trouble
                for one in self.shelf.outages
                if one.life == self._life and one.after <= since < one.after + one.lasts
            ),
            None,
        )
        rough = self.shelf.rough if label.startswith(("result", "list")) else self.shelf.rough / 5
        if found is None and self.dice.random() < rough:
            found = self.dice.choice(RANDOM)
        if found is not None:
            self.night.weather.injected[f"{label}: {found.value}"] += 1
            self.night.note(f"{label}: {found.value}")
        return found

    def _now(self) -> float:
        return EPOCH + self.night.clock()

    # What the vendor sees.

    def brought(self, name: str) -> None:
        """A result came whole to this machine."""
        sha256 = hashlib.sha256(picture(name)).hexdigest()
        charge = self.night.vendor.ledger[name.partition("/")[0]]
        spoilt = self.night.scenario.rough.disk or charge.also_told
        if sha256 in self.begun and not spoilt:
            self.findings.append(Finding("fetched again", f"{name}, which only had to be stored"))


def _role(name: str) -> str:
    if name.startswith(FILES):
        return "result"
    return {CLAIM: "claim", METADATA: "list"}[name]
