"""A decoder that dies at its first file, for the tests of decoding."""

from __future__ import annotations

import os
import signal
import sys


def serve() -> None:
    sys.stdin.buffer.readline()
    os.kill(os.getpid(), signal.SIGKILL)
