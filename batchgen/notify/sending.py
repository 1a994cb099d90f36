"""One word to one address, with a deadline."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from batchgen.notify.threads import in_own_thread

if TYPE_CHECKING:
    from batchgen.notify.address import Address
    from batchgen.notify.message import Message


async def deliver(address: Address, message: Message, seconds: float) -> str | None:
    """Send it, and say what went wrong; None where it was taken.

    A service that does not answer in time is left behind: its word may still arrive.
    """
    name = f"notify {address.shown}"
    sending = asyncio.create_task(in_own_thread(partial(address.send, message), name), name=name)
    try:
        await asyncio.wait({sending}, timeout=seconds)
    finally:
        sending.cancel()
    if not sending.done():
        return f"no answer within {seconds:.0f} s"
    if error := sending.exception():
        # The plug-ins are other people's, and any error may come out; its text may show the URL.
        return f"the service's plug-in broke ({type(error).__name__})"
    return sending.result()
