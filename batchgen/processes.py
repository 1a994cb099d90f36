"""Work on files in other processes: a file that crashes a decoder does not crash the run.

Work on many files is handed to a `MapFiles`: this machine's processes or threads, or the workers of
a cluster (cluster/).

By hand, on plain subprocesses: loky and concurrent.futures fail every file in the queue when one
process dies, Pebble and concurrent.futures need a `__main__` guard in a caller's script, and loky
and Pebble leave processes behind when their owner is killed.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self, TypeVar

from batchgen.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

T = TypeVar("T")
R = TypeVar("R")

PAGE = 1024
"""Items in the queue at once: hundreds of thousands would take too much memory."""
READY = b"ready\n"


class MapFiles(Protocol):
    """Where heavy work on files runs."""

    def __call__(
        self, work: Callable[[T], R], items: Iterable[T], lost: Callable[[T], R], /
    ) -> Iterator[R]:
        """Yield `work(item)` for each item, in order, reading only a bounded number ahead.

        `work` is a module-level function, or a partial of one. For an item that kills its worker
        twice, yield `lost(item)`.
        """
        ...


class ProcessDiedError(Exception):
    """Two processes died of the same work, or the pool was closed before it was finished."""


class ProcessPool:
    """At most `count` processes, started on demand. Use with `with`.

    They end with their owner, even if it is killed. Ctrl-C in a terminal does not reach them.
    """

    def __init__(self, count: int) -> None:
        self._slots = threading.Semaphore(count)
        self._second_try = threading.Lock()
        self._starting = threading.Lock()
        self._idle: list[_Process] = []
        self._started: set[_Process] = set()
        self._is_closed = False

    def call(self, work: Callable[[T], R], item: T) -> R:
        """Return `work(item)`; `work` is a module-level function. Blocks.

        Raises what `work` raises, ProcessDiedError if the item kills its process, and StorageError
        if processes die before they get an item.
        """
        try:
            return self._call(work, item)
        except ProcessDiedError:
            # Memory may have been short for a moment: try again, one second try at a time.
            with self._second_try:
                return self._call(work, item)

    def close(self) -> None:
        """Kill the processes, even in the middle of their work."""
        with self._starting:
            self._is_closed = True
        for process in list(self._started):
            self._end(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(self, work: Callable[[T], R], item: T) -> R:
        with self._slots:
            process = self._take_idle() or self._start()
            try:
                result, error = process.request(work, item)
            except (EOFError, OSError, ValueError, pickle.UnpicklingError) as exc:
                self._end(process)
                raise ProcessDiedError from exc
            self._idle.append(process)
        if error is not None:
            raise error
        return result

    def _take_idle(self) -> _Process | None:
        # Not "if idle: pop": another thread may take the last one in between.
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _start(self) -> _Process:
        with self._starting:
            if self._is_closed:
                raise ProcessDiedError
            process = _Process()
            self._started.add(process)
        if process.is_ready():
            return process
        self._end(process)
        if self._is_closed:
            raise ProcessDiedError
        raise StorageError(
            "the processes that work on files are killed as soon as they start",
            next_step="check whether memory ran out; then run the same command again to continue",
        )

    def _end(self, process: _Process) -> None:
        process.close()
        self._started.discard(process)


class _Process:
    def __init__(self) -> None:
        paths = [path for path in sys.path if path]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-c", f"from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"},
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._responses = self._process.stdin, self._process.stdout

    def is_ready(self) -> bool:
        try:
            return self._responses.readline() == READY
        except ValueError:  # closed by another thread
            return False

    def request(self, work: Callable[[T], R], item: T) -> tuple[R, Exception | None]:
        pickle.dump((work, item), self._requests)
        self._requests.flush()
        response: tuple[R, Exception | None] = pickle.load(self._responses)  # noqa: S301 - our own
        return response

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._responses.close()
        with suppress(BrokenPipeError):  # a request that it did not read
            self._requests.close()


def map_in_processes(
    work: Callable[[T], R], items: Iterable[T], lost: Callable[[T], R]
) -> Iterator[R]:
    """As MapFiles, in as many processes as there are cores. Raises as `ProcessPool.call` does."""
    rest = iter(items)
    page = list(islice(rest, PAGE))
    count = max(1, min(cores(), len(page)))
    # The processes end before the threads that wait for them, so Ctrl-C does not wait for the rest.
    with ThreadPoolExecutor(count, "map_in_processes") as threads, ProcessPool(count) as processes:
        result = partial(_result, processes, work, lost)
        while page:
            yield from threads.map(result, page)
            page = list(islice(rest, PAGE))


def _result(processes: ProcessPool, work: Callable[[T], R], lost: Callable[[T], R], item: T) -> R:
    try:
        return processes.call(work, item)
    except ProcessDiedError:
        return lost(item)


def cores() -> int:
    """Return how many cores this process may use: a container or taskset can allow fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def serve() -> None:
    """The loop of a worker process: serve requests from standard input until it is closed."""
    _prefer_oom_kill()
    responses = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what `work` prints must not mix with the responses
    requests: SimpleQueue[tuple[Callable[[Any], Any], Any]] = SimpleQueue()
    listening = threading.Thread(target=_listen, args=(sys.stdin.buffer, requests), daemon=True)
    listening.start()
    responses.write(READY)
    while True:
        responses.flush()
        pickle.dump(respond(*requests.get()), responses)


def _listen(stream: BinaryIO, requests: SimpleQueue[tuple[Callable[[Any], Any], Any]]) -> None:
    try:
        while True:
            requests.put(pickle.load(stream))  # noqa: S301 - from our own parent
    finally:  # at the end of the input, or when it cannot be read
        os._exit(0)


def respond(work: Callable[[Any], Any], item: Any) -> tuple[Any, Exception | None]:
    """Return what `work` returns or raises."""
    try:
        return work(item), None
    except Exception as exc:  # noqa: BLE001 - raised again in the caller's process
        exc.add_note(traceback.format_exc())
        return None, exc


def _prefer_oom_kill() -> None:
    """If memory runs out, the kernel should kill this process rather than the run."""
    with suppress(OSError):  # not Linux, or not allowed
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
