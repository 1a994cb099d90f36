"""What is known of a stored file, what may be in its place, and the folder that all are in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from batchgen.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = "files"
"""Every path of a result begins with it."""
PARTS = f"{FILES}/.parts"
"""Where each command with `--ray` has a folder for its `.part` files."""
SEEN = ".seen-"
"""How files begin by which the nodes of a cluster show that they see a folder."""


MIB = 1024 * 1024
MOST_AT_ONCE = 16 * MIB
"""A larger object goes in parts: only up to here is it in memory whole."""
PART_BYTES = 8 * MIB
PARTS_AT_ONCE = 2


def memory_to_store(size: int) -> int:
    """How many bytes of an object are in memory while it is stored."""
    # As much again for a part that is being read and one that is being hashed.
    return size if size <= MOST_AT_ONCE else 2 * PART_BYTES * PARTS_AT_ONCE


@dataclass(frozen=True, slots=True)
class Stamp:
    """Shows that a file is unchanged without reading it.

    `version` is made of the inode and the time of a file, or is the ETag of an object.
    """

    bytes: int
    version: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A file that is being read: the stamp of what is read, all of it, and the wanted bytes."""

    stamp: Stamp
    blocks: Iterator[bytes]


class Obstacle(StrEnum):
    """What can be where a file should be, as shown to people."""

    LINK = "a symbolic link in its place"
    FOLDER_LINK = "a symbolic link in the place of its folder"
    NOT_A_FILE = "something that is not a file in its place"


class ObstacleError(OutputError):
    """It was not followed, and not read."""

    obstacle: Obstacle


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What is stored with an object. `request` is the id of the request that made it."""

    bytes: int
    sha256: str
    media_type: str
    request: str
