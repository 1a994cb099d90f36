"""What `from` names: a data file, or pictures, videos and sounds by a path or a pattern."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path, PurePath

PICTURES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})
SOUNDS = frozenset({".aac", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav"})
MEDIA = PICTURES | VIDEOS | SOUNDS

MEDIA_NAMES = "picture, video or sound"


def is_media(name: str) -> bool:
    """Judge by the extension: a folder of a million files is not opened file by file."""
    return os.path.splitext(name)[1].lower() in MEDIA  # noqa: PTH122 - asked a million times


@dataclass(frozen=True, slots=True)
class RowSource:
    """The value of `from`, as `written` in a manifest in `folder`.

    `are_files`: each row is a file. If `path` is then no pattern, it is the only one.
    """

    written: str
    folder: Path
    are_files: bool
    is_pattern: bool

    @property
    def path(self) -> Path:
        """Where it is, relative to the working directory; or a pattern."""
        return self.folder / expanded(self.written)

    @property
    def label(self) -> str:
        return self.written if self.are_files else self.path.name

    def is_same_as(self, other: RowSource) -> bool:
        return self.path.resolve() == other.path.resolve()


def row_source(written: str, folder: Path) -> RowSource:
    """A file whose name is like a pattern is that file, if it exists."""
    path = folder / expanded(written)
    is_pattern = glob.has_magic(written) and not _is_file(path)
    return RowSource(written, folder, is_pattern or is_media(path.name), is_pattern)


def expanded(written: str) -> PurePath:
    home = written.startswith("~/")
    return Path(written).expanduser() if home else Path(written)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
