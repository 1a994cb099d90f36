"""A run whose results a test defines: drawn pictures, clips, and a state that lists them."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
from av.video.stream import VideoStream
from PIL import Image, ImageDraw, ImageFilter

from batchgen.check.checking import Report, check
from batchgen.check.examining import Examined, Source
from batchgen.check.kinds import CheckOptions
from batchgen.downloads.decoding import decode
from batchgen.downloads.outcomes import VerifiedFile
from batchgen.emulator.drawing import CODEC
from batchgen.jobs import Job
from batchgen.models.catalog import bundled
from batchgen.processes import MapFiles
from batchgen.state.records import FileRow
from batchgen.state.selection import Selection
from batchgen.storage.locations import FolderLocation
from tests.export.export_world import World, job, make_world

T = TypeVar("T")
R = TypeVar("R")

I2V = "bytedance/dreamina-3-0/pro/image-to-video"
WHITE = (255, 255, 255)
GOOD_BIT_RATE = 6_000_000


def map_here(work: Callable[[T], R], items: Iterable[T], _lost: Callable[[T], R]) -> Iterator[R]:
    return map(work, items)


def instead(work: Callable[[Sequence[Source]], Iterator[Examined]]) -> MapFiles:
    def take(_work: Any, items: Iterable[Any], _lost: Any) -> Iterator[Any]:
        return work(list(items))

    return take


def drawn(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """Shapes on a slope of colour, a little soft and a little noisy: no two seeds look alike."""
    chance = random.Random(seed)
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    slope = (x * chance.random() + y * chance.random())[..., None]
    here, there = ([chance.randrange(256) for _ in range(3)] for _ in range(2))
    picture = Image.fromarray(
        (np.array(here) * (1 - slope) + np.array(there) * slope).clip(0, 255).astype(np.uint8)
    )
    brush = ImageDraw.Draw(picture)
    for _ in range(chance.randint(5, 14)):
        left, top = chance.random() * width, chance.random() * height
        size = chance.uniform(0.05, 0.4) * width
        box = (left, top, left + size, top + size * chance.uniform(0.4, 1.4))
        colour = tuple(chance.randrange(256) for _ in range(3))
        (brush.ellipse if chance.random() < 0.5 else brush.rectangle)(box, fill=colour)
    noise = np.random.default_rng(seed).integers(-6, 7, (height, width, 3))
    soft = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.8))).astype(int)
    return Image.fromarray((soft + noise).clip(0, 255).astype(np.uint8))


def packed(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    held = io.BytesIO()
    picture.save(held, kind, **options)
    return held.getvalue()


def plate(colour: Any = WHITE, size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.new("RGB", size, colour)


def clip(pictures: Sequence[Image.Image], frames: int) -> bytes:
    """An MP4 that shows the pictures in turn, each for its part of the frames."""
    held = io.BytesIO()
    with av.open(held, "w", format="mp4") as container:
        stream = container.add_stream(CODEC, rate=24)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *pictures[0].size, "yuv420p"
        stream.bit_rate = GOOD_BIT_RATE
        for number in range(frames):
            shown = pictures[number * len(pictures) // frames]
            pixels = np.asarray(shown.convert("RGB"))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return held.getvalue()


@dataclass
class Gallery(World):
    """`looked` counts the files that checks have handed to the pool; `contents` are to be saved."""

    jobs: list[Job] = field(default_factory=list)
    looked: int = 0
    contents: list[bytes] = field(default_factory=list)

    def put(self, job_id: str, *contents: bytes, **more: Any) -> None:
        """A job that is done, with these files."""
        self.jobs.append(job(job_id, **more))
        self.merge(self.jobs)
        self.finish_with(job_id, *contents)

    def finish_with(self, job_id: str, *contents: bytes) -> None:
        self.contents = list(contents)
        self.finish(job_id, count=len(contents))

    def fetch(self, file: FileRow, model: str) -> VerifiedFile:
        content = self.contents[file.position - 1]
        found = decode(io.BytesIO(content))
        known = (found.media_type, found.width, found.height, found.seconds, found.frames)
        return self.save(f"files/{file.name}{found.extension}", content, *known)

    @property
    def root(self) -> Path:
        return self.folder.root

    def file_of(self, job_id: str) -> Path:
        (path,) = (one for one in (self.root / "files").iterdir() if one.stem == job_id)
        return path

    def check(
        self,
        selection: Selection | None = None,
        workers: MapFiles | None = None,
        work: Callable[[Sequence[Source]], Iterator[Examined]] | None = None,
        **options: Any,
    ) -> Report:
        """In this process, unless `workers` are given, or `work` that takes their place."""
        if work is not None:
            workers = instead(work)
        report = check(
            self.db,
            FolderLocation(self.root),
            self.folder.measures,
            bundled(),
            selection or Selection(),
            CheckOptions(**options),
            lambda _total: lambda _number: None,
            workers or map_here,
        )
        self.looked += report.examined
        return report

    def flaws(self, **options: Any) -> dict[str, list[str]]:
        """Kinds by id, and by id and position for all but the first file."""
        return {file.name: [*file.flaws] for file in self.check(**options).flawed}


@contextmanager
def gallery(root: Path) -> Iterator[Gallery]:
    with closing(make_world(root).db) as db:
        yield Gallery(root / "state.db", db)


__all__ = ["I2V", "Gallery", "clip", "drawn", "gallery", "packed", "plate"]
