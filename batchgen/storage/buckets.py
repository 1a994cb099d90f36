"""Results in a bucket: each is stored whole under its name, with its checksum, or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from batchgen.concurrency import map_in_threads
from batchgen.errors import OutputError
from batchgen.fs import CONTINUE, disk_error, disk_errors, open_to_read
from batchgen.storage.opening import NO_BUCKET, endpoint_of, open_client, read_failure
from batchgen.storage.stamps import (
    FILES,
    MIB,
    MOST_AT_ONCE,
    PART_BYTES,
    PARTS_AT_ONCE,
    ObjectFacts,
    Reading,
    Stamp,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, BinaryIO

    from obstore import GetResult, ObjectMeta

    from batchgen.storage.locations import BucketLocation
    from batchgen.storage.opening import Client

SHA256 = "sha256"
REQUEST = "request"
"""Names of the metadata of an object. Azure takes no hyphens in them."""

IN_MEMORY = 8 * MIB
"""What is read of a larger object goes into a temporary file."""
MOST_ASIDE = 1000
PAGE = 1000
"""Objects that one request lists."""


class BucketResults:
    """Thread-safe. Reads give a local copy: decoders seek, and a hash needs every byte anyway."""

    at_once = 16
    """A request waits for its answer most of the time."""

    def __init__(self, location: BucketLocation) -> None:
        self.location = location
        endpoint = endpoint_of(location.url, os.environ)
        self._client = open_client(location.url, endpoint)
        self._store = self._client.store

    @cached_property
    def _reading(self) -> Client:
        return open_client(
            self.location.url, endpoint_of(self.location.url, os.environ), reads=True
        )

    def require(self) -> None:
        for _ in self.names():
            return

    def open(self, path: str) -> BinaryIO:
        return self.open_stamped(path)[0]

    def open_stamped(self, path: str) -> tuple[BinaryIO, Stamp]:
        copy = tempfile.SpooledTemporaryFile(IN_MEMORY, prefix="batchgen-")  # noqa: SIM115 - returned
        try:
            with self.stream(path) as reading:
                for block in reading.blocks:
                    with disk_errors(Path(tempfile.gettempdir())):
                        copy.write(block)
            with disk_errors(Path(tempfile.gettempdir())):
                # What is left in a buffer is written now: a disk may be full only here.
                copy.seek(0)
        except BaseException:
            with suppress(OSError):
                copy.close()
            raise
        return copy, reading.stamp  # type: ignore[return-value]  # a BinaryIO by another name

    @contextmanager
    def stream(self, path: str, start: int = 0, stop: int | None = None) -> Iterator[Reading]:
        options: Any = {}
        if start or stop is not None:
            options = {"range": {"offset": start} if stop is None else (start, stop)}
        try:
            found = obstore.get(self._reading.store, path, options=options)
        except FileNotFoundError as exc:
            raise self._missing(exc, path) from None
        except BaseError as exc:
            raise self._reading.translated(exc, doing="downloads") from None
        yield Reading(_stamp_of(found.meta), self._blocks(found))

    def _blocks(self, found: GetResult) -> Iterator[bytes]:
        try:
            for block in found.stream(MIB):
                yield bytes(block)
        except BaseError as exc:
            raise self._reading.translated(exc, doing="downloads") from None

    def _missing(self, exc: FileNotFoundError, path: str) -> Exception:
        if read_failure(str(exc)).code in NO_BUCKET:
            return self._reading.translated(exc, doing="downloads")
        # The original quotes the request.
        return FileNotFoundError(path)

    def stamp(self, path: str) -> Stamp | None:
        try:
            return _stamp_of(obstore.head(self._store, path))
        except FileNotFoundError:
            # To this request, a bucket that is gone answers the same.
            self.require()
            return None
        except BaseError as exc:
            raise self._client.translated(exc, doing="reads") from None

    def facts(self, path: str) -> ObjectFacts | None:
        """What was stored with an object; None if there is none."""
        try:
            found = obstore.get(self._store, path, options={"head": True})
        except FileNotFoundError:
            return None
        except BaseError as exc:
            raise self._client.translated(exc, doing="reads") from None
        known = found.attributes
        return ObjectFacts(
            found.meta["size"],
            known.get(SHA256, ""),
            known.get("Content-Type", ""),
            known.get(REQUEST, ""),
        )

    def stamps(self, paths: Sequence[str]) -> Iterator[Stamp | None]:
        if len(paths) <= PAGE:
            return map_in_threads(self.stamp, paths, self.at_once, "stamp")
        wanted = set(paths)
        known = {
            found["path"]: _stamp_of(found)
            for found in self._listed(f"{FILES}/")
            if found["path"] in wanted
        }
        return map(known.get, paths)

    def names(self) -> Iterator[str]:
        return (found["path"] for found in self._listed(f"{FILES}/"))

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Path and bytes of every object below the location, not only of the results."""
        return ((found["path"], found["size"]) for found in self._listed(""))

    def _listed(self, below: str) -> Iterator[ObjectMeta]:
        try:
            for page in obstore.list(self._store, below, chunk_size=PAGE):
                yield from page
        except (FileNotFoundError, BaseError) as exc:
            raise self._client.translated(exc, doing="listing") from None

    def publish(self, part: Path, path: str, facts: ObjectFacts) -> None:
        """Store a local file as a whole object; nothing of another's is overwritten.

        Returns once the bucket has acknowledged it. If it is there already, because an answer was
        lost or the process died before it was recorded, that is as good. Raises OutputError for a
        foreign object under that name.
        """
        try:
            self._create(part, path, facts)
        except AlreadyExistsError:
            self._settle(part, path, facts)
        except (FileNotFoundError, BaseError) as exc:
            raise self._client.translated(exc, doing="uploads") from None

    def replace(self, part: Path, path: str, facts: ObjectFacts) -> None:
        """Store a local file as a whole object, over an older one of ours."""
        try:
            self._put(part, path, facts, is_new=False)
        except (FileNotFoundError, BaseError) as exc:
            raise self._client.translated(exc, doing="uploads") from None

    def _create(self, part: Path, path: str, facts: ObjectFacts) -> None:
        if facts.bytes <= MOST_AT_ONCE:
            self._put(part, path, facts, is_new=True)
        elif self.facts(path) is None:
            # No store takes a condition for an object in parts; the run's claim keeps others out.
            self._put(part, path, facts, is_new=False)
        else:
            self._settle(part, path, facts)

    def _settle(self, part: Path, path: str, facts: ObjectFacts) -> None:
        there = self.facts(path)
        if there is None:
            self._put(part, path, facts, is_new=False)
        elif (there.bytes, there.sha256) == (facts.bytes, facts.sha256):
            return
        elif facts.request and there.request == facts.request:
            # Ours, of a try that was never recorded: the vendor serves other bytes by now.
            self._put(part, path, facts, is_new=False)
        else:
            raise OutputError(
                "another object has the name of this result; it was not overwritten",
                where=self.location.of(path),
                next_step=f"move it away, or set another output.dir; {CONTINUE}",
            )

    def _put(self, part: Path, path: str, facts: ObjectFacts, *, is_new: bool) -> None:
        if facts.bytes <= MOST_AT_ONCE:
            with disk_errors(part):
                content = part.read_bytes()
            self._send(content, part, path, facts, is_new=is_new)
        else:
            with disk_errors(part):
                file = open_to_read(part)
            with file:
                # In small blocks: of large ones, the allocator keeps several times as much.
                blocks = iter(partial(file.read, MIB), b"")
                self._send(blocks, part, path, facts, is_new=is_new)

    def _send(
        self,
        content: bytes | Iterator[bytes],
        part: Path,
        path: str,
        facts: ObjectFacts,
        *,
        is_new: bool,
    ) -> None:
        try:
            obstore.put(
                self._store,
                path,
                content,
                mode="create" if is_new else "overwrite",
                attributes={
                    "Content-Type": facts.media_type,
                    SHA256: facts.sha256,
                    REQUEST: facts.request,
                },
                use_multipart=not isinstance(content, bytes),
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )
        except FileNotFoundError:
            # The bucket is gone, which is no failure of the disk.
            raise
        except OSError as exc:
            raise disk_error(exc, part) from exc

    def put_text(self, path: str, text: str, *, only_new: bool = False) -> bool:
        """Store a small object, over an older one unless `only_new`; False if that was there."""
        try:
            obstore.put(
                self._store,
                path,
                text.encode(),
                mode="create" if only_new else "overwrite",
                attributes={"Content-Type": "application/json"},
            )
        except AlreadyExistsError:
            return False
        except (FileNotFoundError, BaseError) as exc:
            raise self._client.translated(exc, doing="uploads") from None
        return True

    def put_lines(self, file: Path, path: str) -> None:
        """Store the whole lines of a local file, which may be growing, over an older object."""
        with disk_errors(file):
            is_small = file.stat().st_size <= MOST_AT_ONCE
            lines = whole_lines(file)
            try:
                obstore.put(
                    self._store,
                    path,
                    b"".join(lines) if is_small else lines,
                    attributes={"Content-Type": "application/jsonl"},
                    use_multipart=not is_small,
                    chunk_size=PART_BYTES,
                    max_concurrency=PARTS_AT_ONCE,
                )
            except (FileNotFoundError, BaseError) as exc:
                raise self._client.translated(exc, doing="uploads") from None

    def remove_half_uploads(self, before: float, below: str = f"{FILES}/") -> int:
        """Remove what processes that died left of large objects, begun before (epoch seconds).

        Returns how many there were. Only S3 has to be asked: the others drop such parts themselves.
        """
        if urlsplit(self.location.url).scheme != "s3":
            return 0
        from batchgen.storage.half_uploads import (  # noqa: PLC0415 - an extra, and only for S3
            remove_half_uploads,
        )

        endpoint = endpoint_of(self.location.url, os.environ)
        return remove_half_uploads(self.location, endpoint, before, below)

    def move_aside(self, path: str) -> str | None:
        """Copied, then removed: after a crash in between, both are there."""
        for number in range(1, MOST_ASIDE):
            aside = f"{path}.damaged-{number}"
            if self.stamp(aside) is None:
                break
        else:
            raise OutputError(
                f"there are {MOST_ASIDE - 1} damaged files of that name",
                where=self.location.of(path),
                next_step="remove some of them",
            )
        try:
            obstore.copy(self._store, path, aside)
        except FileNotFoundError:
            return None
        except BaseError as exc:
            raise self._client.translated(exc, doing="copies") from None
        self.remove(path)
        return aside

    def remove(self, path: str) -> None:
        try:
            obstore.delete(self._store, path)
        except FileNotFoundError:
            return
        except BaseError as exc:
            raise self._client.translated(exc, doing="deletions") from None


def _stamp_of(meta: ObjectMeta) -> Stamp:
    # Some servers quote it in a listing or a header only.
    return Stamp(meta["size"], (meta["e_tag"] or str(meta["last_modified"])).strip('"'))


def whole_lines(path: Path) -> Iterator[bytes]:
    """Blocks of a file, without a last line that is not whole yet."""
    left = b""
    with open_to_read(path) as file:
        while block := file.read(MIB):
            head, newline, tail = block.rpartition(b"\n")
            if newline:
                yield left + head + newline
                left = b""
            left += tail
