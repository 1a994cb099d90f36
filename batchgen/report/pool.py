"""Many thumbnails, in as many processes as there are cores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.downloads.processes import in_processes
from batchgen.report.thumbnails import make_thumbnail

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batchgen.report.thumbnails import Wanted


def make_thumbnails(wanted: Sequence[Wanted]) -> Iterator[str | None]:
    """Yield, in their order, why each thumbnail could not be made, or None.

    Raises OSError where one cannot be written, StorageError where processes die without a file.
    """
    return in_processes(make_thumbnail, wanted, "makes thumbnails", _lost)


def _lost(_wanted: Wanted) -> str:
    return "a process that made its thumbnail was killed, as where memory runs out"
