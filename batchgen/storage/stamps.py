"""What is known of a stored file, and the folder that all are in."""

from __future__ import annotations

from dataclasses import dataclass

FILES = "files"
"""Every path of a result begins with it."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Shows that a file is unchanged without reading it.

    `version` is made of the inode and the time of a file, or is the ETag of an object.
    """

    bytes: int
    version: str


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What is stored with an object. `request` is the id of the request that made it."""

    bytes: int
    sha256: str
    media_type: str
    request: str
