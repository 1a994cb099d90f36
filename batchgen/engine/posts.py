"""The POST of a submit: when its body has gone out, and how long to wait for its late answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from batchgen.engine.decisions import UNANSWERED, TurnBack
from batchgen.engine.shielded_tasks import LAST_ANSWERS
from batchgen.errors import BatchgenError

if TYPE_CHECKING:
    from batchgen.engine.control import Drain
    from batchgen.runcomfy.outcomes import SubmitOutcome
    from batchgen.state.store import Store


NOT_POSTED = TurnBack("halted", "the run stopped before the POST")
CUT_OFF = TurnBack("halted", "the run stopped before all of the input was sent")


class LastChunk:
    """The last chunk of a large body, which is withheld until the state knows that it goes out.

    Without that, a process that dies in the middle of an upload leaves a submit whose outcome is
    unknown, although half a body cannot be accepted. So the attempt is recorded as `uploading`,
    and is unknown only from the commit here on. The order must not be turned round: if the last
    chunk went out before the commit had returned, a crash between the two would call a request
    that was accepted "not sent", and the next run would pay for it again. For the same reason a
    commit that fails, or finds the attempt closed, raises: then the last chunk never goes out.
    """

    def __init__(self, store: Store, seq: int, number: int) -> None:
        self.released = asyncio.Event()
        self._store = store
        self._seq = seq
        self._number = number

    async def release(self) -> None:
        """Raises BatchgenError where the last chunk must not go out."""
        if not await self._store.handed_over(self._seq, self._number):
            raise BatchgenError("the attempt ended while its input was on its way")
        self.released.set()


async def is_uploaded(post: asyncio.Task[Any], released: asyncio.Event, drain: Drain) -> bool:
    """Wait until the vendor may have the body, or the POST has ended; False if the run stops first.

    The deadline of an answer begins only then. 60 MB take minutes on a slow line, and as long as
    they are on their way nothing is unknown, since half a body cannot be accepted: so a stop cuts
    the upload off, and the job is as it was. There is no deadline here, as an upload without
    progress ends by itself (runcomfy/upload.py).
    """
    name = f"{post.get_name()} is sent"
    waiting = asyncio.get_running_loop().create_task(released.wait(), name=name)
    try:
        with drain.scope():
            await asyncio.wait({post, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if not (post.done() or released.is_set()):
        post.cancel()
        await asyncio.wait({post})
    # Checked again: the last bytes may have gone out before the cancellation arrived.
    return released.is_set() or not post.cancelled()


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
