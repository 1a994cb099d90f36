"""What every command does with results, wherever they are."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Protocol

from batchgen.storage.folders import FolderResults
from batchgen.storage.locations import FolderLocation, Location
from batchgen.storage.opening import not_installed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from batchgen.storage.buckets import BucketResults
    from batchgen.storage.locations import BucketLocation
    from batchgen.storage.stamps import Reading, Stamp


class Results(Protocol):
    """The files of a run. Paths are as in the state, `files/boat.png`. Every method blocks.

    For buckets, all raise BucketError if they are refused, and BucketUnavailableError if nothing
    answers; what else they raise is said at each.
    """

    @property
    def location(self) -> Location: ...

    @property
    def at_once(self) -> int:
        """How many files are best read at once."""

    def require(self) -> None:
        """Raise MissingFileError or BucketError if the folder or bucket itself is not there.

        Its files are not lost then: they come back with it.
        """

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading, at its start; it can be sought in.

        Raises FileNotFoundError, OSError, and ObstacleError for what is not a file (links too).
        """

    def open_stamped(self, path: str) -> tuple[BinaryIO, Stamp]:
        """As `open`, with the stamp of the very file that is read."""

    def stream(
        self, path: str, start: int = 0, stop: int | None = None
    ) -> AbstractContextManager[Reading]:
        """Read a file, or its bytes from `start` to before `stop`, block by block; keeps nothing.

        Raises as `open` does; the blocks, too.
        """

    def stamp(self, path: str) -> Stamp | None:
        """None if there is no file. Raises OSError, ObstacleError."""

    def stamps(self, paths: Sequence[str]) -> Iterator[Stamp | None]:
        """Stamps of many files, in order; None also for what is not a file. Raises OSError."""

    def names(self) -> Iterator[str]:
        """Every path below `files/`, in no order. Raises OutputError, StorageError."""

    def move_aside(self, path: str) -> str | None:
        """Rename to the first free `PATH.damaged-N`; None if there is none any more."""

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""


@cache
def open_results(location: Location) -> Results:
    """Open them, once in each process: a bucket's client keeps its connections."""
    if isinstance(location, FolderLocation):
        return FolderResults(location)
    return open_bucket(location)


@cache
def open_bucket(location: BucketLocation) -> BucketResults:
    """Open the results in a bucket, for what only a bucket does. Raises BucketError."""
    # Loaded here: most runs use no bucket.
    try:
        from batchgen.storage.buckets import BucketResults  # noqa: PLC0415 - see above
    except ImportError as exc:
        raise not_installed(location.url) from exc
    return BucketResults(location)
