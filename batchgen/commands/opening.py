"""Opening a page in a browser, which may take as long as it likes: the end waits for nobody."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


async def opened(open_page: Callable[[str], bool], address: str) -> bool:
    """Whether a browser was found. A text browser, or a command in BROWSER, may end much later.

    In a daemon thread: one of asyncio's own would hold the process until the browser ends.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[bool] = loop.create_future()

    def tell(yes: bool) -> None:
        if not found.done():
            found.set_result(yes)

    def work() -> None:
        yes = open_page(address)
        # The loop may be closed by now: then nobody asks any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, yes)

    threading.Thread(target=work, name="open the page", daemon=True).start()
    return await found
