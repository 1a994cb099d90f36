"""The report's folder: nothing else is in it, and the page changes at one moment."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.downloads.disk import link_in_the_way
from batchgen.downloads.files import open_new
from batchgen.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

MARK = "batchgen-report.txt"
MARK_TEXT = "A report by batchgen. It owns this folder: what it did not write, it removes.\n"
PARTS = ("assets", "data", "thumbs")
HASH_DIGITS = 10


@dataclass(slots=True)
class ReportFolder:
    """Writes below `root`, and remembers what of it the new page needs."""

    root: Path
    kept: set[Path] = field(default_factory=set)

    @property
    def page(self) -> Path:
        return self.root / "index.html"

    def create(self) -> None:
        """Raise OutputError where files of somebody else stand: stale ones are removed later."""
        mark = self.root / MARK
        for part in ("", *PARTS):
            if (self.root / part).is_symlink():
                # A stranger may have put it there, so that pages and prompts go somewhere else.
                raise link_in_the_way(self.root / part)
        if self.root.is_dir() and any(self.root.iterdir()) and not mark.exists():
            raise OutputError(
                "the folder holds something else than a report",
                where=str(self.root),
                next_step="name a new folder: --out DIR",
            )
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in PARTS:
            (self.root / part).mkdir(mode=0o700, exist_ok=True)
        _publish(mark, MARK_TEXT.encode())

    def thumb(self, name: str) -> Path:
        return self.root / "thumbs" / name

    def write_hashed(self, part: str, name: str, text: str) -> str:
        """Write under a name that its content decides; give that name, relative to the page.

        A page and its parts are of one report, whatever a browser or a second report keeps.
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
        """Last of all: a reader sees the old report or the new one."""
        _publish(self.page, html.encode())

    def remove_stale(self) -> None:
        """What older reports left and this one does not show."""
        for part in PARTS:
            for path in (self.root / part).rglob("*"):
                if path not in self.kept and not path.is_dir():
                    path.unlink(missing_ok=True)
        for folder in (self.root / "thumbs").iterdir():
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def _publish(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with open_new(part) as file:
        file.write(data)
    part.replace(path)
