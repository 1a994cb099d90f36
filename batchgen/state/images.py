"""What is known of input images, so that none is looked at more often than it must be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from batchgen.state.records import KnownImage

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable


def known_images(db: sqlite3.Connection, urls: Iterable[str]) -> dict[str, KnownImage]:
    """What was seen at these URLs; one that was never looked at is not among them."""
    rows = db.execute(
        "SELECT url, looked_at, media_type, width, height, bytes, trouble FROM image"
        " WHERE url IN (SELECT value FROM json_each(?))",
        (json.dumps(list(urls)),),
    )
    return {row[0]: KnownImage(*row) for row in rows}


def remember_image(db: sqlite3.Connection, image: KnownImage) -> None:
    """The last look is the one that counts."""
    db.execute(
        "INSERT OR REPLACE INTO image (url, looked_at, media_type, width, height, bytes, trouble)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            image.url,
            image.looked_at,
            image.media_type,
            image.width,
            image.height,
            image.bytes,
            image.trouble,
        ),
    )
