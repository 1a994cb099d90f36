"""How aiohttp connects: to public addresses only, and with one response per request.

By hand: no library guards aiohttp against private addresses at connect time, and aiohttp itself
takes bytes after a response for the response to the next request.
"""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, cast

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler

from batchgen.net import is_loopback, is_public

if TYPE_CHECKING:
    import asyncio

HEAD_LIMIT = 64 * 1024
UNSENT = 128 * 1024
"""Bytes that the system takes before it can send them. Usually it is megabytes, which a slow line
takes minutes for: a body would seem to be sent long before it is (runcomfy/upload.py)."""
_HEAD_END = b"\r\n\r\n"
_FINAL = re.compile(rb"HTTP/1\.[01] [2-5]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)


class PrivateAddressError(OSError):
    """A name resolves to an address that is not on the public internet.

    An OSError, because that is what aiohttp expects from a failing resolver.
    """


class PublicResolver(AbstractResolver):
    """Refuses names that resolve to a private address, just before aiohttp connects.

    An earlier lookup is not enough: the name's owner can change it in between (DNS rebinding).
    `loopback` are hosts that may be on this machine, `proxy_hosts` those of the user's proxies.
    """

    def __init__(
        self,
        inner: AbstractResolver,
        loopback: frozenset[str],
        proxy_hosts: frozenset[str] = frozenset(),
    ) -> None:
        self._inner = inner
        self._loopback = loopback
        self._proxy_hosts = proxy_hosts

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        results = await self._inner.resolve(host, port, family)
        for result in results:
            if not self._may_connect(host, result["host"]):
                raise PrivateAddressError(f"{host} leads to {result['host']}, a private address")
        return results

    async def close(self) -> None:
        await self._inner.close()

    def _may_connect(self, host: str, address: str) -> bool:
        if host in self._proxy_hosts:
            return True
        if host in self._loopback:
            return is_loopback(address)
        return is_public(address)


class SingleResponseConnector(aiohttp.TCPConnector):
    """Takes one response per request, and closes a connection that sends more.

    Bytes after a response may be a copy of it, or the response to another request: a proxy that
    duplicates responses was seen. aiohttp would keep bytes that arrive while the connection is
    idle, and return them as the response to the next request; with `Connection: close` it refuses
    all of them.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = cast("partial[ResponseHandler]", partial(_SingleResponse, loop=self._loop))


class _SingleResponse(ResponseHandler):
    """`_left`: bytes of the response still to come; None until its head is complete."""

    _is_complete = False
    _head = b""
    _left: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        # Not on every system, and not through every kind of proxy.
        if sock is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)

    def set_response_params(self, **params: Any) -> None:
        """Aiohttp calls this just before it writes a request."""
        self._is_complete = False
        self._head, self._left = b"", None
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        if self._is_complete and data:
            self.close()
            return
        own = self._own_part(data)
        if len(own) < len(data):
            self.force_close()
        super().data_received(own)
        if self._payload is not None and self._payload.is_eof():
            self._is_complete = True

    def _own_part(self, data: bytes) -> bytes:
        if self._left is None:
            before = len(self._head)
            self._head += data
            size = response_size(self._head)
            if size is None:
                return data
            self._head, self._left = b"", size - before
        own = data if self._left >= len(data) else data[: int(self._left)]
        self._left -= len(own)
        return own


def response_size(received: bytes) -> float | None:
    """Return a response's size in bytes, including its head; infinite if unknown until its end.

    None while the head is incomplete.
    """
    end = received.find(_HEAD_END)
    if end < 0:
        return inf if len(received) > HEAD_LIMIT else None
    head = received[: end + 2]
    length = _LENGTH.search(head)
    if length is None or _CHUNKED.search(head) or not _FINAL.match(head):
        return inf
    return end + len(_HEAD_END) + int(length[1])
