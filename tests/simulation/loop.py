"""A loop without threads, sockets or waiting: time jumps, work is done in place, lines are wires.

Our own, small: a library's virtual clock (looptime, say) leaves the executor's threads and the
sockets real, and with them chance. Here the same seed gives the same run, byte for byte.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from batchgen.errors import BatchgenError
from tests.engine.virtual_loop import VirtualLoop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from random import Random

    from tests.simulation.wire import Network

EXPECTED = (BatchgenError, OSError, ValueError)


class SimulationLoop(VirtualLoop):
    """`disk` are the dice for the seconds that a write or an fsync takes."""

    def __init__(self, start: float, network: Network, disk: Random) -> None:
        super().__init__(start)
        self._network = network
        self._disk = disk

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Later, in the loop itself: what comes meanwhile finds the disk busy, as in a thread."""
        future = self.create_future()
        self.call_later(self._disk.uniform(0.0002, 0.01), self._do, future, func, args)
        return future

    def _do(self, future: asyncio.Future[Any], func: Callable[..., Any], args: Any) -> None:
        try:
            outcome = func(*args)
        except EXPECTED as exc:
            if not future.cancelled():
                future.set_exception(exc)
        else:
            if not future.cancelled():
                future.set_result(outcome)

    async def getaddrinfo(  # type: ignore[override]
        self, host: str, port: int, **_: Any
    ) -> list[tuple[Any, ...]]:
        address = await self._network.resolve(host)
        kind = socket.SOCK_STREAM
        return [(socket.AF_INET, kind, socket.IPPROTO_TCP, "", (address, port))]

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        return str(sockaddr[0]), str(sockaddr[1])

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        await self._network.reach(str(address[0]))

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        *_: Any,
        sock: socket.socket | None = None,
        server_hostname: str | None = None,
        **__: Any,
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        assert sock is not None
        sock.close()
        protocol = protocol_factory()
        transport = self._network.connect(protocol, server_hostname or "")
        protocol.connection_made(transport)
        return transport, protocol
