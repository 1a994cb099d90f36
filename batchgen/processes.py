"""Work on files in other processes: what a file does to a decoder, it does not do to the run.

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
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeVar

from batchgen.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

T = TypeVar("T")
R = TypeVar("R")

PAGE = 1024
"""Items in the queue at once: hundreds of thousands would each take room in it."""
READY = b"ready\n"


class ProcessDiedError(Exception):
    """Two processes died of the same work, or it was not finished when all of them were ended."""


class Processes:
    """At most `count` processes, started when they are needed. Use with `with`.

    They end with their owner, however that ends. Ctrl-C in a terminal does not reach them.
    """

    def __init__(self, count: int) -> None:
        self._slots = threading.Semaphore(count)
        self._second_try = threading.Lock()
        self._starting = threading.Lock()
        self._idle: list[_Process] = []
        self._started: set[_Process] = set()
        self._is_closed = False

    def call(self, work: Callable[[T], R], item: T) -> R:
        """Return what `work`, a function of a module, returns for the item. Blocks.

        Raises what `work` raises, ProcessDiedError where the item kills its process, and
        StorageError where processes die before they get one.
        """
        try:
            return self._call(work, item)
        except ProcessDiedError:
            # Memory may have been short for a moment: once more, and no two such at a time.
            with self._second_try:
                return self._call(work, item)

    def close(self) -> None:
        """Kill them, in the middle of their work too."""
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
            process = self._idle_one() or self._start()
            try:
                result, error = process.ask(work, item)
            except (EOFError, OSError, ValueError, pickle.UnpicklingError) as exc:
                self._end(process)
                raise ProcessDiedError from exc
            self._idle.append(process)
        if error is not None:
            raise error
        return result

    def _idle_one(self) -> _Process | None:
        # Asked and taken in one step: another thread may take the last one in between.
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
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and words
            [sys.executable, "-c", f"from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"},
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._questions, self._answers = self._process.stdin, self._process.stdout

    def is_ready(self) -> bool:
        try:
            return self._answers.readline() == READY
        except ValueError:  # closed by another thread
            return False

    def ask(self, work: Callable[[T], R], item: T) -> tuple[R, Exception | None]:
        pickle.dump((work, item), self._questions)
        self._questions.flush()
        answer: tuple[R, Exception | None] = pickle.load(self._answers)  # noqa: S301 - our own
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._answers.close()
        with suppress(BrokenPipeError):  # a question that it did not read
            self._questions.close()


def in_processes(work: Callable[[T], R], items: Sequence[T], lost: Callable[[T], R]) -> Iterator[R]:
    """Yield what `work` returns for each, in their order, from as many processes as cores.

    For an item that kills its process, what `lost` returns. Raises as `Processes.call` does.
    """
    count = max(1, min(cores(), len(items)))
    # The processes end before the threads that wait for them: after a Ctrl-C nobody wants the rest.
    with ThreadPoolExecutor(count, "in_processes") as threads, Processes(count) as processes:
        result = partial(_result, processes, work, lost)
        for start in range(0, len(items), PAGE):
            yield from threads.map(result, items[start : start + PAGE])


def _result(processes: Processes, work: Callable[[T], R], lost: Callable[[T], R], item: T) -> R:
    try:
        return processes.call(work, item)
    except ProcessDiedError:
        return lost(item)


def cores() -> int:
    """How many this process may use: a container or taskset leaves it fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def serve() -> None:
    """In the process: answer what comes by standard input, and end with it at once."""
    _offer_to_be_killed_first()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what `work` prints must not meet the answers
    questions: SimpleQueue[tuple[Callable[[Any], Any], Any]] = SimpleQueue()
    listening = threading.Thread(target=_listen, args=(sys.stdin.buffer, questions), daemon=True)
    listening.start()
    answers.write(READY)
    while True:
        answers.flush()
        pickle.dump(_answer(*questions.get()), answers)


def _listen(stream: BinaryIO, questions: SimpleQueue[tuple[Callable[[Any], Any], Any]]) -> None:
    try:
        while True:
            questions.put(pickle.load(stream))  # noqa: S301 - from our owner
    finally:  # at its end, and where it cannot be read
        os._exit(0)


def _answer(work: Callable[[Any], Any], item: Any) -> tuple[Any, Exception | None]:
    try:
        return work(item), None
    except Exception as exc:  # noqa: BLE001 - raised again where the question came from
        exc.add_note(traceback.format_exc())
        return None, exc


def _offer_to_be_killed_first() -> None:
    """When memory runs out, the kernel should kill this process and not the run."""
    with suppress(OSError):  # not Linux, or not allowed
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
