"""Builds powerloss.c, and starts a process again with it in front of libc."""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.errors import OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SOURCE = Path(__file__).with_name("powerloss.c")
PRELOAD = "LD_PRELOAD"
LISTENER = ctypes.CFUNCTYPE(
    None,  # the answer goes by powerloss_answer
    ctypes.c_int,  # op
    ctypes.c_int,  # descriptor
    ctypes.c_int,  # flags
    ctypes.c_char_p,  # path
    ctypes.c_char_p,  # second path
    ctypes.c_void_p,  # data
    ctypes.c_long,  # length
    ctypes.c_long,  # offset
)


@cache
def load() -> ctypes.CDLL:
    """Give the shim of this process. Raises UsageError where it was started without."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "powerloss_watch"):
        raise UsageError(
            "this process runs without the simulated disk",
            where=PRELOAD,
            next_step="start it with run_again_with_shim",
        )
    library.powerloss_watch.argtypes = [ctypes.c_char_p, LISTENER]
    library.powerloss_aside.argtypes = [ctypes.c_int]
    library.powerloss_aside.restype = None
    library.powerloss_answer.argtypes = [ctypes.c_int]
    library.powerloss_answer.restype = None
    library.powerloss_replaced.argtypes = [ctypes.c_char_p]
    library.powerloss_replaced.restype = None
    # Files that are closed while the interpreter is taken apart have no listener any more.
    atexit.register(library.powerloss_watch, None, LISTENER())
    return library


def is_loaded() -> bool:
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "powerloss_watch")


@contextmanager
def aside(folder: Path) -> Iterator[None]:
    """Change files of `folder` unheard; its watcher then takes all it finds there as durable."""
    if not is_loaded():
        yield
        return
    load().powerloss_aside(1)
    try:
        yield
    finally:
        load().powerloss_aside(0)
    load().powerloss_replaced(os.fsencode(folder.resolve()))


def run_again_with_shim(argv: Sequence[str]) -> None:
    """Put `python *argv` in this process's place, unless the shim is loaded already.

    Raises UsageError or OutputError where it cannot be built.
    """
    if not is_loaded():
        os.execve(sys.executable, [sys.executable, *argv], with_shim(os.environ))


def with_shim(environment: os._Environ[str]) -> dict[str, str]:
    """Give the environment in which a process has the shim."""
    others = environment.get(PRELOAD)
    return {**environment, PRELOAD: f"{build()}:{others}" if others else str(build())}


def build() -> Path:
    """Compile the shim once for each version of its source."""
    if sys.platform != "linux":
        raise UsageError(
            "the simulated disk is made for Linux and its C library",
            where=sys.platform,
            next_step="run the simulation on Linux",
        )
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    library = _cache() / f"powerloss-{digest}.so"
    if not library.exists():
        # Two may build at once: each renames a whole library to the same name.
        unfinished = library.with_suffix(f".{os.getpid()}")
        _compile(unfinished)
        unfinished.replace(library)
    return library


def _compile(library: Path) -> None:
    command = ["gcc", "-O2", "-fPIC", "-shared", "-o", str(library), str(SOURCE), "-ldl"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as exc:
        raise UsageError(
            "the simulated disk needs a C compiler, and gcc is not there",
            where="gcc",
            next_step="install gcc and the C library's headers",
        ) from exc
    except subprocess.CalledProcessError as exc:
        raise UsageError(
            f"gcc refused the simulated disk: {exc.stderr}",
            where=str(SOURCE),
            next_step="install the headers of glibc; other C libraries are not covered",
        ) from exc


def _cache() -> Path:
    """Give a folder that nobody else can write to: what lies there is run as our own code."""
    folder = Path(tempfile.gettempdir()) / f"batchgen-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise OutputError(
            "the folder for the compiled shim is not ours alone",
            where=str(folder),
            next_step="remove it, or set TMPDIR",
        )
    return folder
