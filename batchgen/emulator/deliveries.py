"""How an answer travels: whole, or as badly as a fault says."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TypeAlias

from aiohttp import web

from batchgen.emulator.faults import Fault
from batchgen.emulator.payloads import Payload

Delivery: TypeAlias = Callable[[web.Request, Payload, Fault], Awaitable[web.StreamResponse]]

OVERSIZE_BYTES = 3 * 1024**3
PADDING = bytes(256 * 1024)
LINGER_ZERO = struct.pack("ii", 1, 0)


def whole(payload: Payload) -> web.Response:
    return web.Response(
        body=payload.body,
        status=payload.status,
        content_type=payload.content_type,
        headers=payload.headers,
    )


async def reset(request: web.Request, payload: Payload, _fault: Fault) -> web.StreamResponse:
    _reset(request)
    return whole(payload)


async def reset_mid_body(
    request: web.Request, payload: Payload, fault: Fault
) -> web.StreamResponse:
    response = await _first_part(request, payload, fault)
    _reset(request)
    return response


async def short_body(request: web.Request, payload: Payload, fault: Fault) -> web.StreamResponse:
    response = await _first_part(request, payload, fault)
    _close(request)
    return response


async def truncated(_request: web.Request, payload: Payload, fault: Fault) -> web.StreamResponse:
    kept = payload.body[: _part(payload, fault)]
    return whole(Payload(kept, payload.content_type, payload.status, payload.headers))


async def hang(_request: web.Request, payload: Payload, _fault: Fault) -> web.StreamResponse:
    # The server cancels the handler when the client leaves or the emulator closes.
    await asyncio.get_running_loop().create_future()
    return whole(payload)


async def slow(_request: web.Request, payload: Payload, fault: Fault) -> web.StreamResponse:
    await asyncio.sleep(fault.seconds)
    return whole(payload)


async def trickle(request: web.Request, payload: Payload, fault: Fault) -> web.StreamResponse:
    response = await _started(request, payload, len(payload.body))
    step = fault.size or 1
    with suppress(ConnectionError):  # the client may lose its patience
        for start in range(0, len(payload.body), step):
            await response.write(payload.body[start : start + step])
            await asyncio.sleep(fault.seconds)
    return response


async def doubled(request: web.Request, payload: Payload, fault: Fault) -> web.StreamResponse:
    response = await _started(request, payload, len(payload.body))
    await response.write(payload.body)
    await response.write_eof()
    # A client has by then put the connection back, where the copy waits for its next call.
    await asyncio.sleep(fault.seconds)
    if request.transport is not None:
        request.transport.write(_as_sent(response, payload))
    return response


def _as_sent(response: web.StreamResponse, payload: Payload) -> bytes:
    headers = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    return f"HTTP/1.1 {response.status} {response.reason}\r\n{headers}\r\n".encode() + payload.body


async def oversize(request: web.Request, payload: Payload, fault: Fault) -> web.StreamResponse:
    left = fault.size or OVERSIZE_BYTES
    response = await _started(request, payload, left)
    with suppress(ConnectionError):  # the client is right to leave
        while left > 0:
            await response.write(PADDING[:left])
            left -= len(PADDING)
    return response


DELIVERIES: Mapping[str, Delivery] = {
    "reset_before": reset,
    "reset_after": reset,
    "host_down": reset,
    "reset_mid_body": reset_mid_body,
    "truncated_json": truncated,
    "doubled": doubled,
    "hang": hang,
    "slow": slow,
    "trickle": trickle,
    "short_body": short_body,
    "oversize": oversize,
}


async def deliver(
    request: web.Request, payload: Payload, fault: Fault | None
) -> web.StreamResponse:
    delivery = DELIVERIES.get(fault.kind) if fault else None
    if delivery is None or fault is None:
        return whole(payload)
    return await delivery(request, payload, fault)


async def _first_part(request: web.Request, payload: Payload, fault: Fault) -> web.StreamResponse:
    response = await _started(request, payload, len(payload.body))
    await response.write(payload.body[: _part(payload, fault)])
    return response


def _part(payload: Payload, fault: Fault) -> int:
    """Return how many bytes still come: never all of them, or nothing would have gone astray."""
    length = len(payload.body)
    return length // 2 if fault.size is None else max(0, min(fault.size, length - 1))


async def _started(request: web.Request, payload: Payload, length: int) -> web.StreamResponse:
    response = web.StreamResponse(status=payload.status, headers=payload.headers)
    response.content_type = payload.content_type
    response.content_length = length
    await response.prepare(request)
    return response


def _close(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()


def _reset(request: web.Request) -> None:
    if request.transport is None:
        return
    # Lingering for zero seconds turns the close into a RST, which is what the kinds promise.
    connection = request.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
    request.transport.close()
