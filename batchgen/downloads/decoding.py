"""Decoding in a process apart: what a file does to a decoder, it does not do to the run.

A picture far larger than any model makes, and every video, is decoded there within a bound of
memory. A process that dies is replaced, and only the file at which it died is given up. Plain
subprocesses, not multiprocessing: a script that calls batchgen needs no `__main__` guard for them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from queue import LifoQueue
from typing import TYPE_CHECKING, Any, Self

from batchgen.downloads.media import CorruptFileError, Media, MediaKind, TooHeavyError, decode
from batchgen.fs import open_to_read
from batchgen.processes import be_the_first_to_go

if TYPE_CHECKING:
    from types import TracebackType

MEMORY_BYTES = 2 * 1024**3
"""Of one process: several times what the largest picture that is decoded at all needs."""
DIED = "it cannot be decoded here: that ends the decoder, as where memory runs out"


class Decoders:
    """At most `count` processes, started when they are needed. Use with `with`; `decode` blocks."""

    def __init__(self, count: int) -> None:
        self._free: LifoQueue[_Decoder | None] = LifoQueue()
        for _ in range(count):
            self._free.put(None)
        self._count = count

    def decode(self, path: Path) -> Media:
        """Decode every frame. Raises CorruptFileError, TooHeavyError; OSError of the disk."""
        decoder = self._free.get()
        try:
            if decoder is None or decoder.is_dead:
                decoder = _Decoder()
            return decoder.decode(path)
        finally:
            self._free.put(decoder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for _ in range(self._count):
            if decoder := self._free.get():
                decoder.close()


class _Decoder:
    """One process: a line with a path goes in, a line with what was found comes out.

    It has a session of its own, so Ctrl-C does not reach it, and ends when its input does: with
    the run, however that ends.
    """

    def __init__(self) -> None:
        paths = [path for path in sys.path if path]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and words
            [sys.executable, "-c", f"from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=env,
            start_new_session=True,
        )

    @property
    def is_dead(self) -> bool:
        return self._process.poll() is not None

    def decode(self, path: Path) -> Media:
        answer = self._ask(os.fsdecode(path))
        if not answer.endswith(b"\n"):
            self.close()
            raise TooHeavyError(DIED)
        return _read(json.loads(answer))

    def _ask(self, path: str) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(path).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return b""
        return self._process.stdout.readline()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            # A line that the process did not take stays in the buffer: nobody wants it any more.
            try:
                pipe.close()
            except BrokenPipeError:
                continue


def serve() -> None:
    """Answer, one path at a time, until the input ends."""
    bound_memory()
    for line in sys.stdin.buffer:
        sys.stdout.write(json.dumps(_answer(Path(json.loads(line)))) + "\n")
        sys.stdout.flush()


def _answer(path: Path) -> dict[str, Any]:
    try:
        with open_to_read(path) as file:
            return {"media": asdict(decode(file))}
    except TooHeavyError as exc:
        return {"heavy": str(exc)}
    except CorruptFileError as exc:
        return {"corrupt": str(exc)}
    except OSError as exc:
        return {"disk": [exc.errno, exc.strerror]}


def _read(answer: dict[str, Any]) -> Media:
    match answer:
        case {"media": fields}:
            return Media(**{**fields, "kind": MediaKind(fields["kind"])})
        case {"heavy": why}:
            raise TooHeavyError(why)
        case {"corrupt": why}:
            raise CorruptFileError(why)
        case _:
            raise OSError(*answer["disk"])


def bound_memory() -> None:
    """An allocation beyond the bound fails; where memory runs out before, this process goes."""
    be_the_first_to_go()
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    least = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (least, hard))
