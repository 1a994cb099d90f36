"""Processes for commands, forked from one that has imported the program.

An interpreter takes a second to start and to import the program, a fork a hundredth of that. What
a test sends signals to, kills or listens to is a process all the same, with a folder, an
environment, streams and an end of its own. Elsewhere than on Linux, and where a test wants a
function to be called first, an interpreter is started.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any, NoReturn

PRELOADED = ("batchgen.__main__", "batchgen.cli.run", "batchgen.runs.execute", "batchgen.emulator")
BECOME_SUBREAPER = 36
"""`PR_SET_CHILD_SUBREAPER` of prctl(2): orphans below this process become its children."""
LONGEST_ORDER = 1 << 17
QUICK_POLLS = "from batchgen.engine import polling; polling.SHORTEST = 0.02"
"""A request of an emulator ends soon; a test has no quarter of a second to lose."""


class ForkedProcess(subprocess.Popen[str]):
    """`python -m batchgen WORDS`, without the start of Python unless it is to be `fresh`.

    `prelude` is code that the process runs first, for instance to shorten a deadline.
    """

    def __init__(
        self, words: Sequence[str], *, fresh: bool = False, prelude: str = "", **options: Any
    ) -> None:
        self._fresh = fresh or sys.platform != "linux"
        self._words, self._prelude = list(words), f"{QUICK_POLLS}\n{prelude}"
        code = f"{self._prelude}\nimport runpy; runpy.run_module('batchgen', run_name='__main__')"
        program = ["-c", code] if prelude else ["-m", "batchgen"]
        super().__init__([sys.executable, *program, *words], text=True, **options)

    def _execute_child(self, args: list[str], executable: Any, preexec_fn: Any, *rest: Any) -> None:
        """As Popen calls it, once it has made the pipes."""
        if preexec_fn is not None or self._fresh:
            super()._execute_child(args, executable, preexec_fn, *rest)  # type: ignore[misc] # private
            return
        (_, _, cwd, env, _, _, _, *pipes), start_new_session = rest[:13], rest[-2]
        order = {"words": self._words, "cwd": str(cwd), "env": env, "session": start_new_session}
        order["prelude"] = self._prelude
        given = (pipes[0], pipes[3], pipes[5])
        streams = [own if fd == -1 else fd for own, fd in enumerate(given)]
        self.pid = nursery().fork(order, streams)
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined] # private


class Nursery:
    """The process that forks, and the line to it."""

    def __init__(self) -> None:
        # What it forks is orphaned at once, and comes to this process, which can wait for it.
        if ctypes.CDLL(None, use_errno=True).prctl(BECOME_SUBREAPER, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
        self._line, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._turn = threading.Lock()
        with far:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forks", str(far.fileno())], pass_fds=[far.fileno()]
            )
        atexit.register(self.close)

    def fork(self, order: dict[str, Any], streams: list[int]) -> int:
        """Give the id of a new process that does what is ordered."""
        with self._turn:
            socket.send_fds(self._line, [json.dumps(order).encode()], streams)
            return int(self._line.recv(64))

    def close(self) -> None:
        self._line.close()
        self._process.wait()


@cache
def nursery() -> Nursery:
    return Nursery()


def serve(line: socket.socket) -> dict[str, Any]:
    """Fork a process for each order; returns in each of them, and ends when nobody orders more."""
    while True:
        order, streams, _, _ = socket.recv_fds(line, LONGEST_ORDER, 3)
        if not order:
            raise SystemExit
        reading, writing = os.pipe()
        if not (middle := os.fork()):
            if child := os.fork():
                os.write(writing, str(child).encode())
                os._exit(0)
            for own, fd in enumerate(streams):
                os.dup2(fd, own)
            os.closerange(3, max(reading, writing, line.fileno(), *streams) + 1)
            line.detach()
            found: dict[str, Any] = json.loads(order)
            return found
        child_id = os.read(reading, 64)
        # Only now it is an orphan, and its adoptive parent may wait for it.
        os.waitpid(middle, 0)
        for fd in (reading, writing, *streams):
            os.close(fd)
        line.send(child_id)


def main() -> NoReturn:
    line = socket.socket(fileno=int(sys.argv[1]))
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = serve(line)
    if order["session"]:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False))
    for own, name, errors in ((1, "stdout", "strict"), (2, "stderr", "backslashreplace")):
        raw = io.BufferedWriter(io.FileIO(own, "w", closefd=False))
        stream = io.TextIOWrapper(raw, "utf-8", errors, line_buffering=own == 2 or os.isatty(own))
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    exec(order["prelude"], {})
    program = sys.modules["__main__"] = sys.modules["batchgen.__main__"]
    sys.argv = [str(program.__file__), *order["words"]]
    raise SystemExit(program.main())


if __name__ == "__main__":
    main()
