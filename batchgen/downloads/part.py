"""The `.part` file, its sidecar, and the one way they become a finished file.

The order that makes a file durable: write → decode → add metadata, if asked for → hash → fsync →
rename → fsync of the folder, which FolderSync does for many files at once. A file with a final name
is always whole and verified. A file for a bucket gets no final name here: storing.py goes on with
the verified `.part`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, TypeAlias

from aiofiles.threadpool import wrap

from batchgen.concurrency import in_thread
from batchgen.downloads.containers import UNKNOWN, CannotEmbedError, splice
from batchgen.downloads.decoding import decode, decode_light
from batchgen.downloads.embedding import find_edits
from batchgen.downloads.media import (
    CorruptFileError,
    Media,
    NotLightError,
    OutOfMemoryError,
    TooHeavyError,
)
from batchgen.downloads.outcomes import (
    Corrupt,
    Fetched,
    Interrupted,
    Target,
    TooHeavy,
    VerifiedFile,
)
from batchgen.downloads.responses import Body
from batchgen.downloads.resume import Resume, parse_sidecar, plan_resume, sidecar_text
from batchgen.downloads.verified_part import parse_record, record_text
from batchgen.errors import BatchgenError
from batchgen.fs import disk_errors, open_to_read, open_to_write, symlink_error, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedRandom, BufferedReader
    from pathlib import Path

    from batchgen.downloads.embedding import Provenance


SIDECAR_BYTES = 4096

Stored: TypeAlias = "Fetched | Corrupt | TooHeavy | Interrupted"


class Part:
    """Blocks, except `write`: call it in a thread. Raises OutputError, StorageError, DiskFullError.

    `fsync` is the port to the disk: tests make it fail. `decode_in_process` decodes what is too
    large for the run's own process.
    """

    def __init__(
        self,
        target: Target,
        fsync: Callable[[int], None],
        decode_in_process: Callable[[Path], Media] | None,
    ) -> None:
        self._target = target
        self._fsync = fsync
        self._decode_in_process = decode_in_process
        self._file: BufferedRandom | None = None
        self._usual = target.folder / f"{target.name}.part"
        stem = target.stem or target.folder / target.name
        self.path = stem.with_name(f"{stem.name}.part")
        self._sidecar = stem.with_name(f"{stem.name}.part.json")
        self._embedded = stem.with_name(f"{stem.name}.part.new")

    @property
    def is_open(self) -> bool:
        return self._file is not None

    def leftover(self) -> Resume | None:
        """Return where to continue an earlier attempt."""
        with disk_errors(self.path):
            try:
                text = self._read_sidecar()
                size = self.path.lstat().st_size
            except FileNotFoundError:
                return None
        return plan_resume(parse_sidecar(text), size)

    def verified(self) -> Fetched | None:
        """Return what an earlier try verified but did not store, if its bytes are still the same.

        They are compared, since they were never synced to the disk.
        """
        with disk_errors(self.path):
            try:
                fetched = parse_record(self._read_sidecar(), self._target)
                if fetched is None:
                    return None
                with open_to_read(self.path) as file:
                    found = _measured(file)
            except FileNotFoundError:
                return None
        return fetched if found == (fetched.file.bytes, fetched.file.sha256) else None

    def _read_sidecar(self) -> str:
        with open_to_read(self._sidecar) as file:
            return file.read(SIDECAR_BYTES).decode(errors="replace")

    def open(self, body: Body) -> None:
        """Make the folders, and open the `.part` for writing at `body.offset`."""
        with disk_errors(self.path):
            make_folders(self._target, self._fsync)
            if body.offset:
                self._file = open_to_write(self.path, keep=True)
                self._file.truncate(body.offset)
                self._file.seek(body.offset)
                return
            # The old sidecar goes first: it must never describe the new bytes.
            self._sidecar.unlink(missing_ok=True)
            self._file = open_to_write(self.path, keep=False)
            if body.sidecar is not None:
                self._write_sidecar(sidecar_text(body.sidecar))

    def _write_sidecar(self, text: str) -> None:
        with open_to_write(self._sidecar, keep=False) as file:
            file.write(text.encode())

    async def write(self, block: bytes) -> None:
        with disk_errors(self.path):
            await wrap(self._file, loop=asyncio.get_running_loop()).write(block)

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with disk_errors(self.path):
                file.close()

    def discard(self) -> None:
        self.close()
        with disk_errors(self.path):
            self._sidecar.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)

    def store_whole(self, content: bytes, body: Body) -> Stored:
        """Open, write, verify and publish a small file, in one thread call."""
        try:
            self.open(Body(0, body.total, None))
            assert self._file is not None
            with disk_errors(self.path):
                self._file.write(content)
            return self.publish(body.total, BytesIO(content))
        finally:
            self.close()

    def publish(self, total: int | None, content: BytesIO | None = None) -> Stored:
        """Verify what was written and give it its final name; the folder still needs an fsync.

        For a bucket, the `.part` keeps its name, and is what `verified` returns from now on.
        `content` is the same bytes if they are in memory, which saves reading them back.
        """
        assert self._file is not None
        with disk_errors(self.path):
            self._file.flush()
            size = os.fstat(self._file.fileno()).st_size
            if total is not None and size != total:
                return Interrupted(f"{size} bytes came instead of {total}")
            try:
                media = self._decode(content or self._file, self.path)
            except TooHeavyError as exc:
                # The bytes may be good, and were paid for: keep them.
                self.path.replace(self._usual)
                return TooHeavy(f"{exc}; its bytes stay as {self._usual.name}")
            except CorruptFileError as exc:
                self.discard()
                return Corrupt(str(exc))
            trouble = self._embed(media)
            whole = content if self._target.provenance is None else None
            size, digest = _measured(whole or self._file)
            name = f"{self._target.name}{media.extension}"
            path = f"{self._target.folder.name}/{name}"
            fetched = Fetched(_verified(path, size, digest, media), trouble)
            if self._target.bucket is not None:
                self.close()
                self._write_sidecar(record_text(fetched, self._target))
                return fetched
            self._sync(self._file)
            self.close()
        self._rename(self._target.folder / name)
        return fetched

    def _decode(self, file: BufferedRandom | BytesIO, path: Path) -> Media:
        """Raises CorruptFileError. `path` is where the same bytes are on the disk."""
        try:
            return decode_light(file)
        except (NotLightError, OutOfMemoryError):
            # A picture that does not fit into memory beside others may fit alone.
            return (
                decode(file) if self._decode_in_process is None else self._decode_in_process(path)
            )

    def _embed(self, media: Media) -> str | None:
        """Add the metadata, in a copy that takes the `.part`'s place; return why not.

        The copy is decoded too: whatever is odd about a file, its paid pixels are not at risk.
        """
        if self._target.provenance is None:
            return None
        trouble: str | None = UNKNOWN
        try:
            trouble = self._copy_with(self._target.provenance, media)
        except (CannotEmbedError, CorruptFileError) as exc:
            trouble = str(exc)
        finally:
            if trouble is not None:
                self._embedded.unlink(missing_ok=True)
        if trouble is None:
            # The sidecar goes first: it must never describe the new bytes.
            self._sidecar.unlink(missing_ok=True)
            self.close()
            self._embedded.replace(self.path)
            self._file = open_to_write(self.path, keep=True)
        return trouble

    def _copy_with(self, provenance: Provenance, media: Media) -> str | None:
        """Return what is wrong with the copy. Raises CannotEmbedError, CorruptFileError."""
        assert self._file is not None
        edits = find_edits(self._file, media, provenance)
        with open_to_write(self._embedded, keep=False) as file:
            splice(self._file, edits, file)
            file.flush()
            return None if self._decode(file, self._embedded) == media else UNKNOWN

    def _sync(self, file: BufferedRandom) -> None:
        try:
            self._fsync(file.fileno())
        except OSError:
            # After a failed fsync the bytes may be lost although they still read back fine, and a
            # second fsync would report success: no attempt may continue from this file.
            self._sidecar.unlink(missing_ok=True)
            raise

    def _rename(self, final: Path) -> None:
        with disk_errors(final):
            if final.is_symlink():
                raise symlink_error(final)
            self.path.replace(final)
            self._sidecar.unlink(missing_ok=True)


def _measured(file: BufferedRandom | BufferedReader | BytesIO) -> tuple[int, str]:
    """Return the size and the SHA-256 in hex."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size, hashlib.file_digest(file, "sha256").hexdigest()


def make_folders(target: Target, fsync: Callable[[int], None]) -> None:
    """Make the files folder and the folders inside it that the name contains.

    Not its parent: if its disk were not mounted, the files would go somewhere else.
    """
    folder = target.folder
    _make_folder(folder, fsync)
    if folder.is_symlink():
        raise symlink_error(folder)
    for part in target.name.split("/")[:-1]:
        folder /= part
        _make_folder(folder, fsync)
        if folder.is_symlink():
            raise symlink_error(folder)


def _make_folder(folder: Path, fsync: Callable[[int], None]) -> None:
    try:
        folder.mkdir()
    except FileExistsError:
        return
    sync_folder(folder.parent, fsync)


def _verified(path: str, size: int, digest: str, media: Media) -> VerifiedFile:
    return VerifiedFile(
        path=path,
        bytes=size,
        sha256=digest,
        media_type=media.media_type,
        width=media.width,
        height=media.height,
        seconds=media.seconds,
        frames=media.frames,
    )


@dataclass(slots=True)
class _Folder:
    """Numbers of the last fsync of a folder that started, and of the last that succeeded."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    started: int = 0
    succeeded: int = 0
    failure: BatchgenError | None = None


class FolderSync:
    """Renames that finish at the same time share one fsync of their folder.

    A rename is durable only after an fsync of the folder that started after it. So callers that
    come while one is in progress wait for the next, which serves all of them. `fsync` is the port
    to the disk, as in Part.
    """

    def __init__(self, fsync: Callable[[int], None]) -> None:
        self._fsync = fsync
        self._folders: dict[Path, _Folder] = {}

    async def sync(self, path: Path, root: Path) -> None:
        """Return once everything renamed in the folder `path` so far is durable.

        The first time this also syncs the folders from `root` down to it: the run that made them
        may have died before its fsync. Raises StorageError or DiskFullError, then and for every
        later caller, because a failed fsync must not be retried.
        """
        folder = self._folders.setdefault(path, _Folder())
        needed = folder.started + 1
        async with folder.lock:
            if folder.failure is not None:
                raise folder.failure
            if folder.succeeded >= needed:
                return
            folder.started += 1
            try:
                await in_thread(partial(self._sync, path, root if folder.started == 1 else path))
            except BatchgenError as exc:
                folder.failure = exc
                raise
            folder.succeeded = folder.started

    def _sync(self, path: Path, root: Path) -> None:
        with disk_errors(path):
            while path != root:
                sync_folder(path, self._fsync)
                path = path.parent
            sync_folder(root, self._fsync)
