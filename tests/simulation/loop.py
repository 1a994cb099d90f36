"""A loop without threads, sockets or waiting: time jumps, work is done in place, lines are wires.

Our own, small: a library's virtual clock (looptime, say) leaves the executor's threads and the
sockets real, and with them chance. Here the same seed gives the same run, byte for byte.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from batchgen.concurrency import Threads
from batchgen.errors import BatchgenError
from tests.engine.virtual_loop import VirtualLoop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from random import Random

    from tests.simulation.wire import Network

EXPECTED = (BatchgenError, OSError, ValueError)
BUCKET_THREADS = "bucket"


class SimulationLoop(VirtualLoop):
    """`disk` are the dice for the seconds that a write or an fsync takes.

    `trip` gives those that a request to the bucket takes, and its answer.
    """

    def __init__(self, start: float, network: Network, disk: Random) -> None:
        super().__init__(start)
        self._network = network
        self._disk = disk
        self.trip: Callable[[], tuple[float, float]] = lambda: (0.0, 0.0)

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Later, in the loop itself: what comes meanwhile finds the disk busy, as in a thread."""
        future = self.create_future()
        if isinstance(executor, Threads) and executor._name == BUCKET_THREADS:
            there, back = self.trip()
            self.call_later(there, self._do, future, func, args, back)
        else:
            self.call_later(self._disk.uniform(0.0002, 0.01), self._do, future, func, args)
        return future

    def _do(
        self, future: asyncio.Future[Any], func: Callable[..., Any], args: Any, back: float = 0.0
    ) -> None:
        try:
            end = partial(future.set_result, func(*args))
        except EXPECTED as exc:
            end = partial(future.set_exception, exc)
        if back:
            self.call_later(back, _unless_cancelled, future, end)
        else:
            _unless_cancelled(future, end)

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


def _unless_cancelled(future: asyncio.Future[Any], end: Callable[[], None]) -> None:
    if not future.cancelled():
        end()
