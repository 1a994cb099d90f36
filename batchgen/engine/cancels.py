"""Requests that a person wants cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.engine.events import Noted

if TYPE_CHECKING:
    from batchgen.engine.control import Control
    from batchgen.engine.ports import Ports
    from batchgen.state.records import LiveRequest


class Cancels:
    """Asks the vendor to cancel; what became of a request shows in its result."""

    def __init__(self, ports: Ports, control: Control) -> None:
        self._ports = ports
        self._control = control
        self._wanted: set[int] = set()

    async def request(self, seq: int) -> None:
        """A job that is being submitted has no request yet: the vendor is asked once it has."""
        if request := await self._ports.store.live_request(seq):
            await self._ask(request)
        else:
            self._wanted.add(seq)

    async def submitted(self, request: LiveRequest) -> None:
        """A job has its request now."""
        if request.seq in self._wanted:
            await self._ask(request)

    async def _ask(self, request: LiveRequest) -> None:
        self._wanted.discard(request.seq)
        outcome = await self._ports.api.cancel(request.request_id)
        self._control.emit(Noted(f"cancel asked for: {outcome.value}", request.id))
