"""The POST of a submit: when its body has gone out, and how long to wait for its late answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from batchgen.engine.decisions import UNANSWERED, TurnBack
from batchgen.engine.shielded_tasks import LAST_ANSWERS

if TYPE_CHECKING:
    from batchgen.engine.control import Drain
    from batchgen.runcomfy.outcomes import SubmitOutcome


NOT_POSTED = TurnBack("halted", "the run stopped before the POST")
CUT_OFF = TurnBack("halted", "the run stopped before all of the input was sent")


async def is_uploaded(post: asyncio.Task[Any], sent: asyncio.Event, drain: Drain) -> bool:
    """Wait until the vendor may have the body, or the POST has ended; False if the run stops first.

    The deadline of an answer begins only then. 60 MB take minutes on a slow line, and as long as
    they are on their way nothing is unknown, since half a body cannot be accepted: so a stop cuts
    the upload off, and the job is as it was. There is no deadline here, as an upload without
    progress ends by itself (runcomfy/upload.py).
    """
    waiting = asyncio.get_running_loop().create_task(sent.wait(), name=f"{post.get_name()} is sent")
    try:
        with drain.scope():
            await asyncio.wait({post, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if not (post.done() or sent.is_set()):
        post.cancel()
        await asyncio.wait({post})
    # Checked again: the last bytes may have gone out before the cancellation arrived.
    return sent.is_set() or not post.cancelled()


def outcome_of(post: asyncio.Task[SubmitOutcome]) -> SubmitOutcome:
    """What a POST that is over brought; one that was cut off too late may have been accepted."""
    return UNANSWERED if post.cancelled() else post.result()


async def wait_for_late_answer(
    post: asyncio.Task[SubmitOutcome], drain: Drain, seconds: float
) -> None:
    with drain.scope() as scope:
        await asyncio.wait({post}, timeout=seconds)
    if scope.interrupted:
        await asyncio.wait({post}, timeout=LAST_ANSWERS)
