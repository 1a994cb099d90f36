"""Files that were sent to the emulator, each content once: a folder beside the state file.

A file is named by the SHA-256 of its bytes, so a thousand requests with one picture keep it once.
It appears whole or not at all, whenever the process is killed. All calls block.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX = ".files"
PART = ".part"


class Upload:
    """Takes the pieces of a file that is still coming."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._file = NamedTemporaryFile(dir=folder, suffix=PART, delete=False)  # noqa: SIM115 - `keep` closes it
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, piece: bytes) -> None:
        self._file.write(piece)
        self._hash.update(piece)
        self.size += len(piece)

    def keep(self) -> str:
        """Put the file in its place; return its hash."""
        self._file.close()
        sha256 = self._hash.hexdigest()
        target = place_of(self._folder, sha256)
        target.parent.mkdir(exist_ok=True)
        Path(self._file.name).replace(target)
        return sha256

    def drop(self) -> None:
        """Forget what has come; does nothing after `keep`."""
        self._file.close()
        Path(self._file.name).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Contents:
    folder: Path

    def put(self, body: bytes) -> str:
        """Keep a file; return its hash."""
        sha256 = hashlib.sha256(body).hexdigest()
        if not place_of(self.folder, sha256).exists():
            with self.upload() as upload:
                upload.write(body)
                upload.keep()
        return sha256

    @contextmanager
    def upload(self) -> Iterator[Upload]:
        """A file that comes in pieces; without `keep` nothing of it stays."""
        upload = Upload(self.folder)
        try:
            yield upload
        finally:
            upload.drop()

    def read(self, sha256: str) -> bytes | None:
        """Return None if there is no such file."""
        try:
            return place_of(self.folder, sha256).read_bytes()
        except FileNotFoundError:
            return None


def place_of(folder: Path, sha256: str) -> Path:
    # A hundred thousand files in one folder are slow to list.
    return folder / sha256[:2] / sha256


@contextmanager
def open_contents(state: Path | None) -> Iterator[Contents]:
    """The folder of a state file; without one, a temporary folder that goes with the emulator."""
    if state is None:
        with TemporaryDirectory(prefix="batchgen-emulator-") as temporary:
            yield Contents(Path(temporary))
        return
    folder = state.with_name(state.name + SUFFIX)
    for part in folder.glob(f"*{PART}"):
        part.unlink(missing_ok=True)
    yield Contents(folder)
