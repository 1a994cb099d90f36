"""How many files may be open at once, and what a run makes of it.

A socket is an open file too. The soft limit is often 256 or 1024, far below the hard one, which any
program may raise its own to.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

USUALLY_OPEN = 40
"""Of a run, where the system does not say how many are open."""
RESERVE = 16
"""For what is opened for a moment: the state's journal, a look-up of a name, a decoder."""
A_JOB = 4
"""A submit and a look, and the emulator's ends of both."""
A_DOWNLOAD = 3
"""A socket, the file and its sidecar."""
MOST_DOWNLOADS = 8
MANY = 1024


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """What fits into the `limit` (None: unknown, and no limit of ours).

    `submits` at once, `asks` at once (others wait for their turn), `downloads` at once.
    """

    limit: int | None
    submits: int
    asks: int
    downloads: int = MOST_DOWNLOADS

    def warning(self, concurrency: int) -> str:
        """Say what is lower than asked for, and how to lift it; "" where nothing is."""
        if self.limit is None or self.submits >= concurrency:
            return ""
        return (
            f"open files: limit {self.limit}, so at most {self.submits} requests are in flight;"
            f" run `ulimit -n 4096` before, or set run.concurrency: {self.submits}"
        )


def make_room(concurrency: int, *, doubled: bool) -> OpenFiles:
    """Raise the soft limit to what `concurrency` needs, as far as the hard one goes.

    `doubled`: the server is in this very process, so each connection has both its ends here.
    """
    limit = _raised(max(MANY, USUALLY_OPEN + RESERVE + A_JOB * concurrency))
    return share(limit, _open_now(), concurrency, doubled=doubled)


def share(limit: int | None, used: int, concurrency: int, *, doubled: bool) -> OpenFiles:
    if limit is None:
        return OpenFiles(None, concurrency, 0)
    free = max(0, limit - used - RESERVE)
    downloads = min(MOST_DOWNLOADS, max(1, free // (4 * A_DOWNLOAD)))
    connections = max(2, (free - A_DOWNLOAD * downloads) // (2 if doubled else 1))
    submits = min(concurrency, connections // 2)
    return OpenFiles(limit, submits, connections - submits, downloads)


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
