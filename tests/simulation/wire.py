"""HTTP over nothing: requests of the real client reach the simulated vendor, answers come back.

Each phase of an exchange is a point at which the process may die. What was written whole is the
network's to deliver, whatever becomes of the process.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.simulation.own_files import Photos

HEAD_END = b"\r\n\r\n"
LAST_ANSWERS = 9.9
"""Seconds after a stop for which answers are waited for, a little less than the promised 10."""
PUBLIC = frozenset({"8.8.4.4", "8.8.8.8"})
PART = 64 * 1024
"""Bytes: what is smaller goes out at once."""
SOON = 5.0
"""Seconds: whoever hangs up on an answer that is this near throws it away."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """`begun` is when the client turned to the network, before any connecting."""

    host: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    begun: float
    raw: bytes


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """`takes` seconds after the request arrived; `inf`: never. `cut`: bytes before a reset.

    `drip`: seconds for each byte of the body. `again`: seconds until the whole answer comes once
    more on the same connection.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    takes: float = 0.05
    cut: int | None = None
    trickle: float = 0.0
    claims: int | None = None
    drip: float = 0.0
    again: float | None = None

    def encoded(self) -> bytes:
        length = len(self.body) if self.claims is None else self.claims
        lines = [f"HTTP/1.1 {self.status} x", f"Content-Length: {length}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join(lines).encode() + HEAD_END + self.body


@dataclass(frozen=True, slots=True)
class Trip:
    """How the bytes of one exchange fare. `lost`: a reset comes before they arrive."""

    lost: bool = False
    latency: float = 0.02


class Server(Protocol):
    def answer(self, request: HttpRequest) -> HttpAnswer: ...

    def answered(self, request: HttpRequest, answer: HttpAnswer) -> None: ...


@dataclass(slots=True)
class Network:
    """One process's way to the world. `dead`: nothing comes back any more.

    `under_way` are requests that have not arrived yet, `waiting` those without an answer yet.
    """

    server: Server
    point: Callable[[str], None]
    trip: Callable[[str], Trip]
    reaching: Callable[[], tuple[float, OSError | None]]
    resolving: Callable[[str], str]
    dead: bool = False
    under_way: dict[Connection, HttpRequest] = field(default_factory=dict)
    waiting: dict[Connection, HttpRequest] = field(default_factory=dict)
    begun: float = 0.0
    stopped_at: float = inf
    trespasses: list[str] = field(default_factory=list)
    hung_up: list[str] = field(default_factory=list)
    photos: Photos | None = None

    async def resolve(self, host: str) -> str:
        address = self.resolving(host)
        if not address:
            raise OSError(-2, "Name or service not known")
        return address

    async def reach(self, address: str) -> None:
        if address not in PUBLIC:
            self.trespasses.append(address)
        self.begun = asyncio.get_running_loop().time()
        begun = self.begun
        self.point("before connect")
        seconds, error = self.reaching()
        await asyncio.sleep(seconds)
        if error is not None:
            raise error
        await _unless(self.dead)
        self.begun = begun  # for `connect`, which comes at once

    def connect(self, protocol: Any, host: str) -> Connection:
        self.point("connected")
        return Connection(self, protocol, host)

    def die(self) -> list[HttpRequest]:
        """The process is gone. Requests that were written whole and have not arrived yet."""
        self.dead = True
        return list(self.under_way.values())


async def _unless(dead: bool) -> None:
    if dead:
        await asyncio.Event().wait()


class Connection(asyncio.Transport):
    """The client's end of a line; the server's end is `network.server`."""

    def __init__(self, network: Network, protocol: Any, host: str) -> None:
        super().__init__()
        self._network = network
        self._protocol = protocol
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._begun: float | None = network.begun
        self._buffer = bytearray()
        self._closing = False
        self._lost = False
        self._due = inf
        self._handles: list[asyncio.TimerHandle] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or self._network.dead:
            return
        if not self._buffer:
            self._network.point(f"{_kind(bytes(data))}: before the first byte")
        self._buffer += data
        request = self._whole_request()
        if request is None:
            self._take_part()
            return
        if self._network.photos and _kind(request.raw) == "submit":
            self._network.photos.whole[json.loads(request.body)["prompt"]] += 1
        if not self._lost:
            self._send(request)

    def _take_part(self) -> None:
        """More of a large body is to come: the line takes it as fast as it can."""
        photos = self._network.photos
        if photos is None or self._lost or len(self._buffer) < PART:
            return
        self._network.point("submit: part of the body")
        if self._network.dead:
            return
        seconds, lost = photos.upload_step()
        self._protocol.pause_writing()
        if lost:
            self._lost = True
            self._later(seconds, self._reset)
        else:
            self._later(seconds, self._resume)

    def _resume(self) -> None:
        if not (self._closing or self._network.dead):
            self._protocol.resume_writing()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def _whole_request(self) -> HttpRequest | None:
        head, end, body = bytes(self._buffer).partition(HEAD_END)
        if not end:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        if len(body) < int(headers.get("Content-Length", "0")):
            return None
        method, path, _ = first.split(" ")
        begun = self._loop.time() if self._begun is None else self._begun
        raw, self._begun = bytes(self._buffer), None
        self._buffer.clear()
        return HttpRequest(self._host, method, path, headers, body, begun, raw)

    def _send(self, request: HttpRequest) -> None:
        kind = _kind(request.raw)
        trip = self._network.trip(kind)
        self._network.point(f"{kind}: part sent")
        if self._network.dead:
            return
        if trip.lost:
            self._later(trip.latency, self._reset)
            return
        self._network.under_way[self] = request
        self._network.point(f"{kind}: all sent")
        if self._network.photos and len(request.raw) > PART:
            self._network.point("submit: all of a large body sent")
        if not self._network.dead:
            self._later(trip.latency, self._arrive, request)

    def _arrive(self, request: HttpRequest) -> None:
        if self._network.dead:
            return
        self._network.under_way.pop(self, None)
        self._network.waiting[self] = request
        answer = self._network.server.answer(request)
        self._network.point(f"{_kind(request.raw)}: taken by the server")
        if answer.takes < inf and not self._network.dead:
            self._due = self._loop.time() + answer.takes
            self._later(answer.takes, self._answer, request, answer)

    def _answer(self, request: HttpRequest, answer: HttpAnswer) -> None:
        data = answer.encoded()
        if answer.cut is not None:
            self._feed(data[: answer.cut])
            self._reset()
            return
        half = len(data) - len(answer.body) // 2
        self._feed(data[:half])
        self._network.point(f"{_kind(request.raw)}: part of the answer")
        if answer.drip:
            self._drip(request, answer, data[half:])
        elif answer.trickle:
            self._later(answer.trickle, self._finish, request, answer, data[half:])
        else:
            self._finish(request, answer, data[half:])

    def _drip(self, request: HttpRequest, answer: HttpAnswer, rest: bytes) -> None:
        if len(rest) <= 1:
            self._finish(request, answer, rest)
            return
        self._feed(rest[:1])
        self._later(answer.drip, self._drip, request, answer, rest[1:])

    def _finish(self, request: HttpRequest, answer: HttpAnswer, rest: bytes) -> None:
        self._feed(rest)
        if answer.claims is not None:
            self._reset()
        self._network.waiting.pop(self, None)
        if not self._network.dead:
            self._network.server.answered(request, answer)
        self._network.point(f"{_kind(request.raw)}: answered")
        if answer.again is not None:
            self._later(answer.again, self._feed, answer.encoded())

    def _feed(self, data: bytes) -> None:
        if not (self._closing or self._network.dead) and data:
            self._protocol.data_received(data)

    def _reset(self) -> None:
        self._end(ConnectionResetError(104, "Connection reset by peer"))

    def _later(self, seconds: float, work: Callable[..., None], *args: Any) -> None:
        self._handles.append(self._loop.call_later(seconds, work, *args))

    def _end(self, error: OSError | None) -> None:
        if self._closing:
            return
        self._closing = True
        self._network.waiting.pop(self, None)
        for handle in self._handles:
            # A request that is on its way arrives although nobody waits for the answer.
            if handle._callback != self._arrive:  # type: ignore[attr-defined]
                handle.cancel()
        self._loop.call_soon(self._protocol.connection_lost, error)

    def close(self) -> None:
        self._hang_up()
        self._end(None)

    def abort(self) -> None:
        self._hang_up()
        self._end(None)

    def _hang_up(self) -> None:
        request = self._network.waiting.get(self)
        stopped = self._loop.time() - self._network.stopped_at
        if self._closing or self._network.dead or request is None or stopped >= LAST_ANSWERS:
            return
        if (
            _kind(request.raw) == "submit"
            and self._loop.time() < self._due < self._loop.time() + SOON
        ):
            self._network.hung_up.append(f"{self._due - self._loop.time():.1f} s before its answer")

    def is_closing(self) -> bool:
        return self._closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        """Nothing flows that would have to be held back."""

    def resume_reading(self) -> None:
        """As above."""

    def is_reading(self) -> bool:
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def get_write_buffer_size(self) -> int:
        return 0


def _kind(raw: bytes) -> str:
    method, path, *_ = raw.split(b" ", 2) if raw.count(b" ") >= 2 else (b"", b"")
    if method == b"POST":
        return "cancel" if path.endswith(b"/cancel") else "submit"
    if path.endswith(b"include_cost=true"):
        return "result"
    if path.endswith(b"/status"):
        return "status"
    if path.endswith(b"/balance"):
        return "balance"
    if b"/models/" in path:
        return "price"
    return "look" if is_look(raw) else "file"


def is_look(raw: bytes) -> bool:
    """Whether a request asks for the beginning of a file: downloads ask for all, or for a rest."""
    return b"\r\nRange: bytes=0-" in raw
