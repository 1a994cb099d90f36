"""The report's folder: it contains nothing else, and each file of it is replaced atomically."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.errors import OutputError
from batchgen.fs import own_part, publishing, symlink_error

if TYPE_CHECKING:
    from pathlib import Path

MARKER = "batchgen-report.txt"
MARKER_TEXT = "A report by batchgen. It owns this folder: what it did not write, it removes.\n"
PARTS = ("assets", "data", "thumbs")
HASH_DIGITS = 10


@dataclass(slots=True)
class ReportFolder:
    """Writes below `root`, and remembers which files the new page needs."""

    root: Path
    kept: set[Path] = field(default_factory=set)

    @property
    def page(self) -> Path:
        return self.root / "index.html"

    def create(self) -> None:
        """Create the folders.

        Raises OutputError if `root` holds anything but a report: cleanup would remove it.
        """
        marker = self.root / MARKER
        for part in ("", *PARTS):
            if (self.root / part).is_symlink():
                # An attacker may have put it there, to have pages and prompts written elsewhere.
                raise symlink_error(self.root / part)
        if self.root.is_dir() and any(self.root.iterdir()) and not marker.exists():
            raise OutputError(
                "the folder holds something other than a report",
                where=str(self.root),
                next_step="name a new folder: --out DIR",
            )
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in PARTS:
            (self.root / part).mkdir(mode=0o700, exist_ok=True)
        _publish(marker, MARKER_TEXT.encode())

    def thumb(self, name: str) -> Path:
        return self.root / "thumbs" / name

    def write_hashed(self, part: str, name: str, text: str) -> str:
        """Write under a name with a content hash; return that name, relative to the page.

        So a page only ever loads its own parts, whatever a browser caches or another report writes.
        """
        data = text.encode()
        stem, dot, ending = name.rpartition(".")
        digest = hashlib.sha256(data).hexdigest()[:HASH_DIGITS]
        path = self.root / part / f"{stem}-{digest}{dot}{ending}"
        if not path.exists():
            _publish(path, data)
        self.kept.add(path)
        return f"{part}/{path.name}"

    def write_page(self, html: str) -> None:
        """Written last: a reader sees either the old report or the new one."""
        _publish(self.page, html.encode())

    def remove_stale(self) -> None:
        """Remove files of older reports that this one does not need."""
        for part in PARTS:
            for path in (self.root / part).rglob("*"):
                if path not in self.kept and not path.is_dir():
                    path.unlink(missing_ok=True)
        for folder in (self.root / "thumbs").iterdir():
            with suppress(OSError):  # not empty
                folder.rmdir()


def _publish(path: Path, data: bytes) -> None:
    with publishing(path, own_part(path)) as file:
        file.write(data)
