"""How many requests and downloads fit into the files that the system lets a process open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

USUALLY_OPEN = 40
"""Open files of a run, if the system does not say how many there are."""
RESERVE = 16
"""For files that are open briefly: the state's journal, a name look-up, a decoder."""
A_JOB = 4
"""A submit and a query, and the emulator's ends of both."""
A_DOWNLOAD = 3
"""A socket, the file and its sidecar."""
A_STORED_DOWNLOAD = A_DOWNLOAD + 1
"""And a socket to the bucket."""
USUAL_DOWNLOADS = 8
"""However few requests are in flight: a video takes longer to download than to ask for."""
MOST_DOWNLOADS = 32
"""With more requests in flight, 8 let the results wait while submits go on."""
MANY = 1024


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """What fits into the `limit` of open files (None: unknown, so nothing is limited).

    `submits` at once, `asks` at once (others wait for their turn), `downloads` at once. `most`
    submits would fit; each has `ends` in this process.
    """

    limit: int | None
    submits: int
    asks: int
    downloads: int = USUAL_DOWNLOADS
    most: int = 0
    ends: int = 1

    def warning(self, concurrency: int) -> str:
        """Say what is lower than asked for, and how to raise it; empty if nothing is."""
        if self.limit is None or self.submits >= concurrency:
            return ""
        return (
            f"open files: limit {self.limit}, so at most {self.submits} requests are in flight;"
            f" run `ulimit -n 4096` first, or set run.concurrency: {self.submits}"
        )

    def retuned(self, concurrency: int) -> OpenFiles:
        """What fits if so many are to be in flight from now on; raises the soft limit again."""
        if self.limit is None:
            return replace(self, submits=concurrency)
        limit, more = self.limit, concurrency - self.most
        if more > 0:
            limit = max(limit, _raised(limit + more * self.ends) or limit)
        most = self.most + (limit - self.limit) // self.ends
        return replace(self, limit=limit, submits=min(concurrency, most), most=most)


def allow_open_files(concurrency: int, *, doubled: bool, in_bucket: bool) -> OpenFiles:
    """Raise the soft limit to what `concurrency` needs, as far as the hard one goes.

    `doubled`: the server is in this process, so both ends of each connection count. `in_bucket`:
    results are stored there.
    """
    limit = _raised(max(MANY, USUALLY_OPEN + RESERVE + A_JOB * concurrency))
    download = A_STORED_DOWNLOAD if in_bucket else A_DOWNLOAD
    return share(limit, _open_now(), concurrency, doubled=doubled, download=download)


def share(
    limit: int | None, used: int, concurrency: int, *, doubled: bool, download: int = A_DOWNLOAD
) -> OpenFiles:
    """Divide the limit; each download at once takes `download` of it."""
    wanted = max(USUAL_DOWNLOADS, min(MOST_DOWNLOADS, concurrency))
    if limit is None:
        return OpenFiles(None, concurrency, 0, wanted)
    free = max(0, limit - used - RESERVE)
    ends = 2 if doubled else 1
    downloads = min(USUAL_DOWNLOADS, max(1, free // (4 * download)))
    # More than the usual only from what the requests leave.
    spare = free - download * downloads - 2 * ends * concurrency
    downloads += max(0, min(wanted - downloads, spare // download))
    connections = max(2, (free - download * downloads) // ends)
    # Half of them: a run may be tuned to a higher concurrency while it goes on.
    most = connections // 2
    return OpenFiles(
        limit, min(concurrency, most), connections - most, downloads, most=most, ends=ends
    )


def _raised(wanted: int) -> int | None:
    try:
        import resource  # noqa: PLC0415 - Windows has none, and no such limit
    except ImportError:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    if soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
        except (ValueError, OSError):
            return soft  # macOS has one more limit, of the whole system.
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _open_now() -> int:
    try:
        return sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        return USUALLY_OPEN
