"""Which very file it was, and how it was: shows that nobody changed or replaced it since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Stamp:
    """Times in nanoseconds. `changed_ns` too: unlike `modified_ns` nobody can set it back."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


def stamp_of(found: os.stat_result) -> Stamp:
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def stamp_at(path: Path) -> Stamp | None:
    """None where there is no file to look at: who reads it tells that."""
    try:
        return stamp_of(path.stat())
    except (OSError, ValueError):
        return None
