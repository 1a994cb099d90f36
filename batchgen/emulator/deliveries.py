"""How a response travels: whole, in byte ranges (RFC 9110, section 14), or as a fault says."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

from batchgen.emulator.faults import Fault

ONE_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*", re.ASCII)
LONGEST_NUMBER = 19


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    pass


def requested_range(
    headers: Mapping[str, str], etag: str, total: int
) -> ByteRange | Unsatisfiable | None:
    """Return None for the whole file: no range, an unreadable one, or an outdated `If-Range`.

    Several ranges at once also get the whole file, as RFC 9110 allows.
    """
    if headers.get("If-Range", etag) != etag:
        return None
    found = ONE_RANGE.fullmatch(headers.get("Range", ""))
    if found is None or max(map(len, found.groups())) > LONGEST_NUMBER:
        return None
    return _part(found[1], found[2], total)


def _part(first: str, last: str, total: int) -> ByteRange | Unsatisfiable | None:
    if not first:
        return _suffix(last, total)
    start = int(first)
    end = min(int(last), total - 1) if last else total - 1
    if last and int(last) < start:
        return None  # "bytes=5-2" is not a valid range
    return ByteRange(start, end) if start < total else Unsatisfiable()


def _suffix(length: str, total: int) -> ByteRange | Unsatisfiable | None:
    if not length:
        return None
    count = min(int(length), total)
    return ByteRange(total - count, total - 1) if count else Unsatisfiable()


JSON_TYPE = "application/json"
OK = 200


@dataclass(frozen=True, slots=True)
class Answer:
    document: Mapping[str, Any]
    status: int = OK
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Payload:
    body: bytes
    content_type: str = JSON_TYPE
    status: int = OK
    headers: Mapping[str, str] = field(default_factory=dict)


def encoded(answer: Answer) -> Payload:
    # json.dumps writes ASCII: a lone surrogate in a prompt has no UTF-8 form.
    return Payload(json.dumps(answer.document).encode(), JSON_TYPE, answer.status, answer.headers)


Delivery: TypeAlias = Callable[[web.Request, Payload, Fault], Awaitable[web.StreamResponse]]

OVERSIZE_BYTES = 3 * 1024**3
PADDING = bytes(256 * 1024)
LINGER_ZERO = struct.pack("ii", 1, 0)


def full_response(payload: Payload) -> web.Response:
    return web.Response(
        body=payload.body,
        status=payload.status,
        content_type=payload.content_type,
        headers=payload.headers,
    )


async def reset(request: web.Request, payload: Payload, _fault: Fault) -> web.StreamResponse:
    _reset(request)
    return full_response(payload)


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
    kept = payload.body[: _bytes_sent(payload, fault)]
    return full_response(Payload(kept, payload.content_type, payload.status, payload.headers))


async def hang(_request: web.Request, payload: Payload, _fault: Fault) -> web.StreamResponse:
    # The server cancels the handler when the client leaves or the emulator closes.
    await asyncio.get_running_loop().create_future()
    return full_response(payload)


async def slow(_request: web.Request, payload: Payload, fault: Fault) -> web.StreamResponse:
    await asyncio.sleep(fault.seconds)
    return full_response(payload)


async def trickle(request: web.Request, payload: Payload, fault: Fault) -> web.StreamResponse:
    response = await _started(request, payload, len(payload.body))
    step = fault.size or 1
    for start in range(0, len(payload.body), step):
        await response.write(payload.body[start : start + step])
        await asyncio.sleep(fault.seconds)
    return response


async def doubled(request: web.Request, payload: Payload, fault: Fault) -> web.StreamResponse:
    response = await _started(request, payload, len(payload.body))
    await response.write(payload.body)
    await response.write_eof()
    # By then the client has pooled the connection; its next call will find the copy there.
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
        return full_response(payload)
    try:
        return await delivery(request, payload, fault)
    except ConnectionError:
        # The client has left, or was killed. aiohttp drops this response in silence, where an
        # error would end up as a traceback on the screen.
        return full_response(payload)


async def _first_part(request: web.Request, payload: Payload, fault: Fault) -> web.StreamResponse:
    response = await _started(request, payload, len(payload.body))
    await response.write(payload.body[: _bytes_sent(payload, fault)])
    return response


def _bytes_sent(payload: Payload, fault: Fault) -> int:
    """Return how many bytes to send: never all of them, or the response would be complete."""
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
    # Lingering for zero seconds turns the close into the RST that these kinds promise.
    connection = request.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
    request.transport.close()
