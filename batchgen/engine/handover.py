"""Where a job goes when its task is through with it."""

from __future__ import annotations

from enum import Enum, auto


class Handover(Enum):
    """`OVER`: nothing more to do in this run; refused, unknown, failed, or changed by a decision.

    `LET_GO`: the request stays with the vendor, for the next run.
    """

    DOWNLOAD = auto()
    PENDING_AGAIN = auto()
    RETRY_LATER = auto()
    OVER = auto()
    LET_GO = auto()
