"""Why a file of the user's is not sent."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from batchgen.fs import CONTINUE


class CannotSendError(Exception):
    """The file cannot be sent, now or later; the message names it and says why."""


class NotNowError(Exception):
    """Nothing is known to be wrong with the file; the message says what was in the way.

    `next_step` is what to do if it lasts; empty: what helps against a silent network.
    """

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.next_step = next_step


_OF_THE_FILE = frozenset(
    {errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR, errno.EINVAL}
)
_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR})


def unreadable(path: Path, name: str, exc: OSError) -> CannotSendError | NotNowError:
    """What a failure to read a file means; `name` is what messages call it.

    A disk that was unplugged or unmounted, or a server that restarts, must not fail a whole night
    of jobs: it may be back in a minute.
    """
    if exc.errno in _MISSING:
        # Of a link, the folder that it leads to.
        if Path(os.path.realpath(path)).parent.is_dir():
            return CannotSendError(f"{name} is missing")
        return NotNowError(f"{name} is missing, and its folder too", _CHECK_DISK)
    if exc.errno in _OF_THE_FILE:
        return CannotSendError(f"{name} cannot be read ({exc.strerror})")
    return NotNowError(f"{name} cannot be read ({exc.strerror})", _CHECK_DISK)


_CHECK_DISK = f"check whether its disk is connected and sound; then {CONTINUE}"
