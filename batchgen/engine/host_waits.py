"""Downloads that wait: for a host of results that does not answer, or for the bucket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from batchgen.engine.events import Warned
from batchgen.engine.fetch_decisions import FETCH_PATIENCE
from batchgen.engine.result_hosts import FileHost, host_of

if TYPE_CHECKING:
    from random import Random

    from batchgen.downloads.outcomes import Interrupted
    from batchgen.engine.events import Listener

BUCKET = "the bucket"
"""Its name among the hosts; no other has such a one."""


class Hosts:
    """The hosts of a run's results; `queue` gets the numbers of jobs that may be tried again."""

    def __init__(self, queue: asyncio.Queue[int], emit: Listener, dice: Random) -> None:
        self.bucket = FileHost(BUCKET)
        self._all = {BUCKET: self.bucket}
        self._queue = queue
        self._emit = emit
        self._dice = dice
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def of(self, url: str) -> FileHost:
        name = host_of(url)
        return self._all.setdefault(name, FileHost(name))

    def park(self, host: FileHost, seq: int) -> None:
        """Let a job wait for a host, unless it is back or was given up by now."""
        if host.gave_up or not host.is_down:
            self._queue.put_nowait(seq)
        else:
            host.parked.append(seq)

    def schedule_tries(self) -> None:
        """Make sure that one of the jobs that wait for a host tries it when that is due."""
        loop = asyncio.get_running_loop()
        for host in self._all.values():
            if host.parked and not host.trying and host.name not in self._timers:
                at = max(host.due, loop.time())
                self._timers[host.name] = loop.call_at(at, self._release_one, host)

    def _release_one(self, host: FileHost) -> None:
        del self._timers[host.name]
        if host.parked:
            self._queue.put_nowait(host.parked.popleft())

    def release_all(self, host: FileHost) -> None:
        while host.parked:
            self._queue.put_nowait(host.parked.popleft())

    def fails(self, host: FileHost, file: int, outcome: Interrupted) -> None:
        """A download of a file failed by this host; people are warned of a long outage."""
        now = asyncio.get_running_loop().time()
        host.fails(file, outcome, now, FETCH_PATIENCE, self._dice)
        if host.gave_up:
            self.release_all(host)
        if host.is_news(now):
            self._emit(
                Warned(
                    f"results wait for {host.name} ({host.reason}); downloads are retried"
                    f" for up to {FETCH_PATIENCE / 60:.0f} min; Ctrl-C leaves them"
                    " to the next run"
                )
            )

    def answers(self, host: FileHost) -> list[int]:
        """It is back: what waits for it is tried again. Returns the jobs that were given up."""
        left = host.answers()
        self.release_all(host)
        return left
