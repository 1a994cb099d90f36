"""Thumbnails of results, made in other processes, because decoders read untrusted bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, ImageDraw, ImageOps

from batchgen.downloads.media import (
    HEAD_BYTES,
    CorruptFileError,
    Format,
    MediaKind,
    check_pixels,
    sniff,
)
from batchgen.downloads.pictures import READERS, damage_translated
from batchgen.fs import own_part, publishing
from batchgen.processes import map_in_processes
from batchgen.storage.results import open_results
from batchgen.storage.stamps import ObstacleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from av.container import InputContainer

    from batchgen.processes import MapFiles
    from batchgen.storage.locations import Location


LONGEST_SIDE = 448
"""In pixels: a tile is at most 224 wide, and dense screens use two pixels for one."""
QUALITY = 74
WAVE_HEIGHT = 224
BAR_PITCH, BAR_WIDTH = 4, 3
WAVE_COLOUR = (91, 140, 190, 255)
"""Visible on a light and on a dark page."""


@dataclass(frozen=True, slots=True)
class ThumbnailTask:
    """A file, as the state names it, and the path of its thumbnail on this machine."""

    location: Location
    path: str
    target: str


def make_thumbnail(task: ThumbnailTask) -> str | None:
    """Write the thumbnail; return None, or why the file has none.

    Raises OSError if the thumbnail cannot be written; BucketError and BucketUnavailableError, which
    say nothing about the file.
    """
    try:
        with open_results(task.location).open(task.path) as file:
            picture = _picture(file)
    except ObstacleError as exc:
        return exc.obstacle
    except OSError as exc:
        return exc.strerror or str(exc)
    except CorruptFileError as exc:
        return str(exc)
    _publish(picture, Path(task.target))
    return None


def _picture(file: BinaryIO) -> Image.Image:
    found = sniff(file.read(HEAD_BYTES))
    file.seek(0)
    draw = {MediaKind.IMAGE: _still, MediaKind.VIDEO: _first_frame, MediaKind.AUDIO: _waveform}
    still = draw[found.kind]
    with damage_translated(found):
        return _small(still(file, found))


def _still(file: BinaryIO, found: Format) -> Image.Image:
    picture = READERS[found.codec](file)
    check_pixels(*picture.size)
    # A JPEG is decoded at a half, a quarter or an eighth of its size if that is enough.
    picture.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
    picture.load()
    return ImageOps.exif_transpose(picture)


def _waveform(file: BinaryIO, found: Format) -> Image.Image:
    """Draw a sound: a bar for each part of it, as high as its loudest sample."""
    import av  # noqa: PLC0415 - a run of pictures never loads PyAV
    import av.error  # noqa: PLC0415 - as above

    from batchgen.downloads.sounds import peaks  # noqa: PLC0415 - it loads PyAV

    try:
        with av.open(file, "r", format=found.codec) as container:
            heights = peaks(container)
    except av.error.FFmpegError as exc:
        raise CorruptFileError(f"the sound does not decode: {exc}") from exc
    return waveform(heights)


def waveform(heights: Sequence[float]) -> Image.Image:
    """A picture of the heights, from 0 to 1, on a transparent ground."""
    picture = Image.new("RGBA", (LONGEST_SIDE, WAVE_HEIGHT), (0, 0, 0, 0))
    brush = ImageDraw.Draw(picture)
    bars = LONGEST_SIDE // BAR_PITCH
    for bar in range(bars):
        first = bar * len(heights) // bars
        part = heights[first : max(first + 1, (bar + 1) * len(heights) // bars)]
        half = max(1, round(max(part, default=0.0) * (WAVE_HEIGHT // 2 - 2)))
        x, middle = bar * BAR_PITCH, WAVE_HEIGHT // 2
        brush.rectangle((x, middle - half, x + BAR_WIDTH - 1, middle + half), fill=WAVE_COLOUR)
    return picture


def _first_frame(file: BinaryIO, found: Format) -> Image.Image:
    import av  # noqa: PLC0415 - a run of pictures never loads PyAV
    import av.error  # noqa: PLC0415 - as above

    try:
        # The demuxer is fixed, so that no playlist can make FFmpeg open other files or URLs.
        with av.open(file, "r", format=found.codec) as container:
            return _decoded(container)
    except (av.error.FFmpegError, StopIteration) as exc:
        raise CorruptFileError(f"the video does not decode: {exc}") from exc


def _decoded(container: InputContainer) -> Image.Image:
    from batchgen.downloads.videos import picture_track  # noqa: PLC0415 - it loads PyAV

    if not container.streams.video and container.streams.audio:
        from batchgen.downloads.sounds import peaks  # noqa: PLC0415 - as above

        return waveform(peaks(container))
    stream = picture_track(container)
    check_pixels(stream.width, stream.height)
    frame = next(container.decode(stream))
    check_pixels(frame.width, frame.height)
    picture: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
    return picture


def _small(picture: Image.Image) -> Image.Image:
    # Palettes and 16-bit channels cannot be scaled, or cannot be saved as WebP.
    has_alpha = picture.has_transparency_data
    plain = picture.convert("RGBA" if has_alpha else "RGB")
    plain.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return plain


def _publish(picture: Image.Image, target: Path) -> None:
    """Publish it only when complete, because the next report reuses what exists."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with publishing(target, own_part(target)) as file:
        picture.save(file, "WEBP", quality=QUALITY, method=2)


def make_thumbnails(
    tasks: Sequence[ThumbnailTask], workers: MapFiles = map_in_processes
) -> Iterator[str | None]:
    """Yield for each, in order, None or why its thumbnail could not be made.

    Raises as `make_thumbnail` does, and StorageError if processes die before they get a file.
    """
    return workers(make_thumbnail, tasks, _lost)


def _lost(_task: ThumbnailTask) -> str:
    return "making its thumbnail kills the process, as when memory runs out"
