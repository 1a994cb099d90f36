"""The user's own files of a night: photos that may change, a bucket, and what the judge knows."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import struct
import zlib
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from batchgen.errors import BucketError
from batchgen.input_files import HOST, files_in
from batchgen.runs import prepare
from batchgen.uploads import bucket_sending, sending
from batchgen.uploads.bucket_sending import CHECK_KEY
from batchgen.uploads.outcomes import NotNowError
from tests.simulation.findings import Finding
from tests.simulation.vendor import SIDE, picture

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from tests.simulation.night import Night
    from tests.simulation.process import Life

SHARE = 0.6
"""Share of the seeds without a chain whose jobs have files of the user's."""

BUCKET = "s3://pictures/tonight"
BUCKET_HOST = "pictures.bucket.example"
SMALL = 2
"""The number of the photo that is small."""

MARGIN = 120.0
"""Seconds that a URL outlives the run's timeout here, so that one that is kept is noticed."""


@dataclass(frozen=True, slots=True)
class Change:
    """Of a photo, `after` seconds of the life number `life`; `gone`: until that life has ended."""

    life: int
    after: float
    photo: int
    gone: bool


@dataclass(frozen=True, slots=True)
class Album:
    """Which photo each job uses, by its number; `rough` is how often an upload goes wrong."""

    photos: Mapping[int, int]
    by_bucket: bool
    rough: float
    changes: tuple[Change, ...] = ()


def album_of(dice: Random, jobs: int, rough: float, *, may_change: bool) -> Album:
    count = dice.choice((1, 2, 3))
    photos = {
        number: number % count for number in range(jobs) if number % 3 and dice.random() < 0.8
    }
    changes = tuple(
        Change(
            number % 2,
            dice.choice((dice.uniform(0.2, 3.0), dice.uniform(0.0, 12.0))),
            dice.randrange(count),
            dice.random() < 0.3,
        )
        for number in range(dice.choice((0, 1, 2, 4)) if may_change else 0)
    )
    return Album(photos, dice.random() < 0.5, rough, changes)


def path_of(photo: int) -> str:
    return f"photos/photo {photo}.png"


@lru_cache(64)
def photo_bytes(photo: int, version: int) -> bytes:
    """A PNG of noise, which no compression makes small; one whose body goes out at once."""
    if photo == SMALL:
        return picture(f"photo {version}")
    dice, side = Random(f"photo {photo} {version}"), SIDE
    rows = b"".join(b"\0" + dice.randbytes(side) for _ in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@dataclass(slots=True)
class Photos:
    """Outlives the processes. `changes` counts those of each photo; `objects` is the bucket.

    `sent` counts the photos that the vendor got, `spared` the attempts that were cut off in an
    upload. `whole` counts the bodies of a job whose last byte was handed over, `cut_short` are
    attempts, as job and number, that a process left without having done so.
    """

    night: Night
    album: Album
    dice: Random
    changes: Counter[int] = field(default_factory=Counter)
    objects: dict[str, str] = field(default_factory=dict)
    puts: Counter[str] = field(default_factory=Counter)
    whole: Counter[str] = field(default_factory=Counter)
    cut_short: set[tuple[str, int]] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    sent: int = 0
    spared: int = 0
    _gone: set[int] = field(default_factory=set)

    def write_all(self) -> None:
        (self.night.place / "photos").mkdir()
        for photo in {*self.album.photos.values()}:
            self._write(photo)

    def _write(self, photo: int) -> None:
        place = self.night.place / path_of(photo)
        place.write_bytes(photo_bytes(photo, self.changes[photo]))

    def change(self, change: Change) -> None:
        if change.photo not in self.album.photos.values():
            return
        self.changes[change.photo] += 1
        if change.gone:
            (self.night.place / path_of(change.photo)).unlink(missing_ok=True)
            self._gone.add(change.photo)
        else:
            self._write(change.photo)
        for charge in self.night.vendor.ledger.values():
            charge.outdated |= self._photo_of(charge.job) == change.photo
        self.night.note(f"changed photo {change.photo}")

    def _photo_of(self, job: str) -> int | None:
        return self.album.photos.get(int(job.removeprefix("job-")))

    def changes_for(self, job: str) -> int:
        photo = self._photo_of(job)
        return 0 if photo is None else self.changes[photo]

    def is_large(self, job: str) -> bool:
        return not self.album.by_bucket and self._photo_of(job) not in {None, SMALL}

    # What the vendor sees.

    def see(self, body: Mapping[str, Any]) -> frozenset[str]:
        """A submit has arrived; it is not charged yet."""
        job = body["prompt"]
        if HOST in json.dumps(body):
            self.findings.append(Finding("own file", f"{job} was sent with a file URL"))
            return frozenset()
        found = {self._content(job, url) for url in body.get("image_urls", ())}
        contents = frozenset(one for one in found if one)
        self.sent += len(contents)
        return contents

    def _content(self, job: str, url: str) -> str | None:
        if url.startswith("data:"):
            content = base64.b64decode(url.partition(",")[2], validate=True)
            return hashlib.sha256(content).hexdigest()
        if urlsplit(url).hostname != BUCKET_HOST:
            return ""
        parts, now = urlsplit(url), self.night.vendor.now()
        until = float(dict(parse_qsl(parts.query))["until"])
        if until < now + self.night.scenario.timeout:
            words = f"{job} names a URL that ends in {until - now:.0f} s"
            self.findings.append(Finding("short URL", words))
        key = parts.path.removeprefix("/")
        if key not in self.objects:
            self.findings.append(Finding("bucket", f"{job} names {key}, which is not there"))
        return self.objects.get(key)

    # A life.

    def begin_life(self, number: int, later: Callable[..., object]) -> None:
        self.whole.clear()
        for change in self.album.changes:
            if change.life == number:
                later(change.after, self.change, change)

    def life_ended(self, life: Life) -> Iterator[Finding]:
        for photo in self._gone:
            self._write(photo)
        self._gone.clear()
        self._note_outdated()
        yield from self._unknown_for_nothing()
        yield from self._other_bytes()
        closed = "SELECT count(*) FROM attempt WHERE uploading = 1 AND outcome = 'not_sent'"
        self.spared = sum(count for (count,) in self.night.query(closed))
        yield from self.findings
        self.findings.clear()
        # In the middle of a commit nobody can know whether the last byte may have gone out.
        if "state.db" in life.cut_at or self.night.scenario.rough.disk:
            return
        rows = self.night.query(
            "SELECT id, attempts FROM job WHERE state = 'submitting' AND EXISTS (SELECT 1 FROM"
            " attempt WHERE job = seq AND outcome IS NULL AND request_id IS NULL)"
        )
        self.cut_short |= {
            (job, number) for job, number in rows if self.is_large(job) and not self.whole[job]
        }

    def _note_outdated(self) -> None:
        """A photo may have changed while a request with the earlier one was on its way."""
        for charge in self.night.vendor.ledger.values():
            photo = self._photo_of(charge.job)
            if charge.contents and photo is not None:
                now = hashlib.sha256(photo_bytes(photo, self.changes[photo])).hexdigest()
                charge.outdated |= charge.contents != {now}

    def _unknown_for_nothing(self) -> Iterator[Finding]:
        rows = self.night.query("SELECT id, attempts FROM job WHERE state = 'unknown'")
        for job, number in self.cut_short.intersection(rows):
            words = f"attempt {number} of {job}, whose last byte was never handed over"
            yield Finding("unknown for nothing", words)

    def at_the_end(self) -> Iterator[Finding]:
        for key, count in self.puts.items():
            if count > 1:
                yield Finding("bucket", f"{key} was uploaded {count} times")

    def _other_bytes(self) -> Iterator[Finding]:
        """The vendor got what the state says: a changed file is not paid for in its place.

        After each life: the next one takes the changed file up, and the state names that one then.
        """
        # A request that was answered with another job's id is known by its job alone.
        by_job: dict[str, set[str]] = defaultdict(set)
        by_request: dict[tuple[str, str], set[str]] = {}
        for job, request_id, body in self.night.query(
            "SELECT id, request_id, coalesce(attempt.body, job.body)"
            " FROM attempt JOIN job ON seq = job"
        ):
            contents = {one.sha256 for one in files_in(body)}
            by_job[job] |= contents
            by_request[job, request_id] = contents
        for charge in self.night.vendor.ledger.values():
            if not charge.contents <= by_request.get((charge.job, charge.id), by_job[charge.job]):
                words = f"{charge.id} of {charge.job} was made from what the state knows not"
                yield Finding("other bytes", words)

    # The line.

    def upload_step(self) -> tuple[float, bool]:
        """Seconds until the line takes more of a large body, and whether it is lost instead."""
        if self.dice.random() >= max(self.album.rough, 0.05) or not self._is_rough():
            return self.dice.choice((0.0, 0.05, 0.5)), False
        lost = self.dice.random() < 0.3
        self.night.weather.injected["upload lost" if lost else "slow upload"] += 1
        return self.dice.choice((3.0, 20.0, 59.0)), lost

    def _is_rough(self) -> bool:
        return self.night.weather.rough.line > 0 or self.night.weather.rough.submit > 0


@dataclass
class SimulatedBucket:
    photos: Photos

    async def has(self, key: str, size: int) -> bool:
        await self._pass("look into the bucket")
        return key in self.photos.objects

    async def put(self, key: str, content: bytes, media_type: str) -> None:
        await self._pass("put")
        if key != CHECK_KEY:
            self.photos.puts[key] += 1
        self.photos.objects[key] = hashlib.sha256(content).hexdigest()
        await self._pass("answer to a put")

    async def url(self, key: str, seconds: float) -> str:
        until = asyncio.get_running_loop().time() + seconds
        return f"https://{BUCKET_HOST}/{key}?until={until:.3f}"

    async def _pass(self, what: str) -> None:
        photos = self.photos
        await asyncio.sleep(photos.dice.uniform(0.01, 0.3))
        if photos.dice.random() >= photos.album.rough or not photos._is_rough():
            return
        kind = photos.dice.choice(("slow", "lost", "refused"))
        photos.night.weather.injected[f"{what}: {kind}"] += 1
        await asyncio.sleep(photos.dice.choice((1.0, 60.0)))
        if kind == "lost":
            raise NotNowError("the bucket does not answer")
        if kind == "refused":
            raise BucketError("it refuses uploads", where=BUCKET, next_step="log in")


async def _in_place(work: Callable[[], Any], _name: str) -> Any:
    await asyncio.sleep(0.003)
    return work()


# A night has one thread, and knows nothing of the files that this machine's user has sent before.
for module in (sending, bucket_sending):
    vars(module)["in_daemon_thread"] = _in_place
vars(prepare)["_user_cache"] = lambda: None
vars(bucket_sending).update(SHORTEST_URL=0.0, HOUR=MARGIN)


def use_bucket(photos: Photos | None) -> None:
    """The bucket of this night, for the life that begins."""

    @asynccontextmanager
    async def open_simulated(_place: object, _env: object) -> AsyncIterator[SimulatedBucket]:
        assert photos is not None
        yield SimulatedBucket(photos)

    vars(bucket_sending)["open_bucket"] = open_simulated
