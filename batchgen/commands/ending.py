"""SIGTERM and a closed terminal end a command in order, as Ctrl-C does, and its processes too."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

P = ParamSpec("P")

HEARD = (signal.SIGTERM, signal.SIGHUP)


class _EndedError(BaseException):
    """As KeyboardInterrupt: nobody who handles errors must catch it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def ends_in_order(command: Callable[P, int]) -> Callable[P, int]:
    """Unwind the command at the first such signal, and return the exit code that says so.

    The second one ends the process at once. Only the main thread hears signals.
    """

    @wraps(command)
    def heeding(*args: P.args, **kwargs: P.kwargs) -> int:
        if threading.current_thread() is not threading.main_thread():
            return command(*args, **kwargs)
        try:
            with ExitStack() as stack:
                for number in HEARD:
                    # What nohup ignores stays ignored.
                    if (before := signal.getsignal(number)) is signal.SIG_DFL:
                        stack.callback(signal.signal, number, before)
                        signal.signal(number, _end)
                return command(*args, **kwargs)
        except _EndedError as ended:
            return 128 + ended.number

    return heeding


def _end(number: int, _frame: FrameType | None) -> None:
    for one in HEARD:
        if signal.getsignal(one) is _end:
            signal.signal(one, signal.SIG_DFL)
    raise _EndedError(number)
