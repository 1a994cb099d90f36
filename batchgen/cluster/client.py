"""A cluster as batchgen sees it: work goes in, results come out, and it may be lost.

Ray itself is in another process (driver.py), which this one starts and ends.
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count, islice
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from batchgen.cluster.address import LOCAL
from batchgen.cluster.driver import (
    Cancel,
    Lost,
    Opened,
    Opening,
    Refused,
    Work,
    remove_if_there,
)
from batchgen.cluster.nodes import refusal
from batchgen.concurrency import map_in_threads
from batchgen.errors import ClusterError, ClusterLostError, UsageError
from batchgen.processes import cores, respond
from batchgen.text import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from batchgen.cluster.driver import Request, Response

T = TypeVar("T")
R = TypeVar("R")

Group: TypeAlias = "tuple[list[tuple[R, Exception | None]], float]"
"""What became of each item of a group, and the seconds that it took."""

AHEAD = 2
"""Pieces of work for each CPU that wait in the cluster, so that no worker waits for the next."""
GROUP_SECONDS = 0.1
LARGEST_GROUP = 256
DEAD_NODES = 3
"""With so many nodes that die, an item is tried again; with one more, it is given up."""
LONGEST_FOLDER = 20
"""Of a temporary folder: the names of Ray's sockets come behind it, and Unix allows 107 bytes."""
ROOM = 64_000_000
SECONDS_TO_END = 10.0
"""For a local cluster to stop its processes before they are killed."""
LOG_PREFIX = re.compile(r"^\[[^\]]*\]( \S+:\d+:)? *")
DRIVER = "from batchgen.cluster.driver import serve; serve()"
INSTALL = "pip install 'batchgen[ray]'"
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",
    "PYTHONSAFEPATH": "1",
}
LOCAL_SETTINGS = {
    # Nobody looks at either, and both cost CPU.
    "RAY_task_events_report_interval_ms": "0",
    "RAY_enable_metrics_collection": "0",
    # Seconds for which a lost head is waited for: nobody restarts that of a local cluster.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
    "RAY_AUTH_MODE": "token",
    # A worker takes a second of CPU to start: it stays, also while there is nothing to do.
    "RAY_idle_worker_killing_time_threshold_ms": "3600000",
}


class WorkerLostError(Exception):
    """The worker of a piece of work died; `with_node`: because its node did."""

    def __init__(self, reason: str, *, with_node: bool) -> None:
        super().__init__(reason)
        self.with_node = with_node


class Cluster:
    """Made by `open_cluster`. Each method may be called from any thread.

    Raises ClusterLostError once the cluster is lost.
    """

    def __init__(self, process: subprocess.Popen[bytes], opening: Opening, log: Any) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._log = log
        self._requests, self._responses = process.stdin, process.stdout
        self._sending = threading.Lock()
        self._numbers = count()
        self._waiting: dict[int, Future[Any]] = {}
        self._lost: ClusterLostError | None = None
        self._address, self._folder = opening.address, opening.folder
        self._listening = threading.Thread(target=self._listen, name="cluster", daemon=True)
        self._opened = self._open(opening)
        self._listening.start()

    @property
    def cpus(self) -> int:
        return max(1, int(self._opened.cpus))

    def __str__(self) -> str:
        cpus = plural(self.cpus, "CPU")
        if self._address == LOCAL:
            return f"{LOCAL}, {cpus}"
        return f"{self._address}, {cpus} on {plural(self._opened.nodes, 'node')}"

    def submit(self, work: Callable[[T], R], item: T, *, cpus: float = 1.0) -> Future[R]:
        """Run `work(item)` on a worker, once. The future may raise WorkerLostError."""
        payload = pickle.dumps((work, item))
        future: Future[R] = Future()
        self._send(future, lambda number: Work(number, payload, cpus))
        return future

    def cancel(self, future: Future[Any]) -> None:
        """End the work and its worker. The future ends as well."""
        for number, other in list(self._waiting.items()):
            if other is future:
                with suppress(OSError, ValueError):
                    self._write(Cancel(number))

    def map(
        self,
        work: Callable[[T], R],
        items: Iterable[T],
        lost: Callable[[T], R],
        *,
        at_once: int = 1,
    ) -> Iterator[R]:
        """As processes.MapFiles. Quick work goes in groups, since each trip costs a millisecond.

        `at_once`: how many items of a group a worker has under way, where they wait for a disk or a
        bucket.
        """
        ahead: deque[tuple[list[T], Future[Group[R]]]] = deque()
        size, rest = at_once, iter(items)
        try:
            while True:
                most = AHEAD * self.cpus
                while len(ahead) <= most and (group := list(islice(rest, size))):
                    ahead.append((group, self.submit(partial(_each, work, at_once), group)))
                if not ahead:
                    return
                group, future = ahead.popleft()
                try:
                    results, seconds = future.result()
                except WorkerLostError:
                    yield from self._one_by_one(work, group, lost)
                    continue
                yield from map(_value, results)
                size = group_size(len(group), seconds)
        finally:
            for _, future in ahead:
                self.cancel(future)

    def close(self) -> None:
        """A local cluster ends; of another one, only the work ends."""
        with suppress(OSError):
            self._requests.close()
        if self._lost is None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(SECONDS_TO_END)
        # It leads the group of Ray's processes, some of which outlive it for a minute.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._listening.is_alive():
            self._listening.join()
        self._responses.close()
        if self._folder:
            remove_if_there(self._folder)

    def _open(self, opening: Opening) -> Opened:
        try:
            self._write(opening)
            found: Opened | Refused = pickle.load(self._responses)  # noqa: S301 - our own
        except (EOFError, OSError, pickle.UnpicklingError):
            found = Refused(self._last_words() or "its driver ended")
        errors = [refusal(*one) for one in found.answers] if isinstance(found, Opened) else []
        first_error = next(filter(None, errors), None)
        if first_error is None and isinstance(found, Opened) and found.cpus >= 1:
            return found
        self.close()
        if isinstance(found, Opened):
            raise first_error or ClusterError("the Ray cluster has no CPU", where=opening.address)
        if not found.reason:
            raise UsageError("--ray needs the package ray", next_step=INSTALL)
        local = opening.address == LOCAL
        raise ClusterError(
            f"the Ray cluster cannot be {'started' if local else 'used'}: {found.reason}",
            where=None if local else opening.address,
            next_step="leave out --ray to work with this machine's processes"
            if local
            else "this machine must be one of its nodes: `ray start --address=HOST:PORT`",
        )

    def _one_by_one(
        self, work: Callable[[T], R], group: Iterable[T], lost: Callable[[T], R]
    ) -> Iterator[R]:
        """Give the items of a worker that died their second try: all but one are innocent."""
        for item in group:
            try:
                result = self._second_try(work, item)
            except WorkerLostError:
                result = lost(item)
            yield result

    def _second_try(self, work: Callable[[T], R], item: T) -> R:
        """No item is blamed for nodes that die. Raises WorkerLostError."""
        for _ in range(DEAD_NODES):
            try:
                return self.submit(work, item).result()
            except WorkerLostError as exc:
                if not exc.with_node:
                    raise
        return self.submit(work, item).result()

    def _send(self, future: Future[Any], request: Callable[[int], Request]) -> None:
        number = next(self._numbers)
        # It cannot be cancelled by its own method, only with its worker.
        future.set_running_or_notify_cancel()
        self._waiting[number] = future
        try:
            if self._lost is None:
                self._write(request(number))
        except (OSError, ValueError):
            pass  # the listening thread says why
        if self._lost is not None:
            self._waiting.pop(number, None)
            raise self._lost

    def _write(self, message: Request | Opening) -> None:
        with self._sending:
            pickle.dump(message, self._requests)
            self._requests.flush()

    def _listen(self) -> None:
        with suppress(EOFError, OSError, ValueError, pickle.UnpicklingError):
            while True:
                self._take(pickle.load(self._responses))  # noqa: S301 - our own
        self._lost = ClusterLostError(
            f"the Ray cluster is lost ({self._last_words() or 'its driver ended'})",
            where=None if self._address == LOCAL else self._address,
            next_step="run the same command again to continue"
            + ("" if self._address == LOCAL else ", once the cluster is back, or without --ray"),
        )
        for number in list(self._waiting):
            self._waiting.pop(number).set_exception(self._lost)

    def _take(self, response: Response) -> None:
        if isinstance(response, Opened):
            self._opened = response
            return
        future = self._waiting.pop(response.number)
        if isinstance(response, Lost):
            future.set_exception(WorkerLostError(response.reason, with_node=response.with_node))
            return
        value, error = pickle.loads(response.payload)  # noqa: S301 - our own workers'
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)

    def _last_words(self) -> str:
        """The last line that Ray printed."""
        with suppress(OSError, ValueError):
            self._log.seek(0)
            lines = self._log.read().decode(errors="replace").split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), "")
            return LOG_PREFIX.sub("", last).partition(". ")[0]
        return ""


def _each(work: Callable[[T], R], at_once: int, group: list[T]) -> Group[R]:
    """Runs in a worker."""
    began, ended = time.perf_counter(), partial(respond, work)
    several = at_once > 1 and len(group) > 1
    ends = map_in_threads(ended, group, at_once, "work") if several else map(ended, group)
    return list(ends), time.perf_counter() - began


def _value(end: tuple[R, Exception | None]) -> R:
    value, error = end
    if error is not None:
        raise error
    return value


def group_size(count: int, seconds: float) -> int:
    """How many items go in one group, after `count` of them took `seconds` of a worker. Pure."""
    return max(1, min(LARGEST_GROUP, 2 * count, int(count * GROUP_SECONDS / max(seconds, 1e-6))))


@contextmanager
def open_cluster(
    address: str, env: Mapping[str, str], secrets: Iterable[str], shared: Iterable[Path] = ()
) -> Iterator[Cluster]:
    """Start or join a cluster, with an environment without the variables `secrets`.

    Its nodes all see the folders `shared`, which exist. Blocks for seconds. Raises UsageError if
    Ray is not installed, ClusterError.
    """
    folder = _short_folder() if address == LOCAL else ""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-c", DRIVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=_environment(address, env, secrets),
            start_new_session=True,
        )
        seen = tuple(str(one.absolute()) for one in shared)
        cluster = Cluster(process, Opening(address, cores(), folder, seen), log)
        try:
            yield cluster
        finally:
            cluster.close()


def _short_folder() -> str:
    usual = tempfile.gettempdir()
    folder = usual if len(usual) <= LONGEST_FOLDER else "/tmp"  # noqa: S108 - only mkdtemp's below
    if shutil.disk_usage(folder).free < ROOM:
        # Its workers would die one after another, and the files would be blamed.
        raise ClusterError(
            f"there is no room for what Ray writes: less than {ROOM / 1e6:.0f} MB are free",
            where=folder,
            next_step="make room, or name another folder with TMPDIR",
        )
    return tempfile.mkdtemp(prefix="batchgen-ray-", dir=folder)


def _environment(address: str, env: Mapping[str, str], secrets: Iterable[str]) -> dict[str, str]:
    kept = {name: value for name, value in env.items() if name not in set(secrets)}
    paths = os.pathsep.join(path for path in sys.path if path)
    settings = {**SETTINGS, "PYTHONPATH": paths}
    if address == LOCAL:
        # Of this cluster alone: nobody else on this machine may give it work.
        settings |= {**LOCAL_SETTINGS, "RAY_AUTH_TOKEN": os.urandom(32).hex()}
    return {**kept, **settings}
