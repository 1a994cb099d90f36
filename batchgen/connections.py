"""How aiohttp connects: to public addresses only, and with one response to a request.

By hand: no library guards aiohttp against private addresses where it connects, and aiohttp itself
takes what follows a response for the response to the next request.
"""

from __future__ import annotations

import re
import socket
from functools import partial
from math import inf
from typing import Any, cast

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler

from batchgen.net import is_loopback, is_public

HEAD_LIMIT = 64 * 1024
_HEAD_END = b"\r\n\r\n"
_FINAL = re.compile(rb"HTTP/1\.[01] [2-5]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)


class PrivateAddressError(OSError):
    """A name that resolves to an address which is not on the public internet.

    An OSError, because aiohttp expects that of a resolver that fails.
    """


class PublicResolver(AbstractResolver):
    """Refuses names that lead to a private address, just before aiohttp connects to it.

    An earlier lookup is not enough: the name's owner can change the answer in between. `loopback`
    names the hosts that may be on this machine, `inside` those that the user named as proxies.
    """

    def __init__(
        self,
        inner: AbstractResolver,
        loopback: frozenset[str],
        inside: frozenset[str] = frozenset(),
    ) -> None:
        self._inner = inner
        self._loopback = loopback
        self._inside = inside

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
        if host in self._inside:
            return True
        if host in self._loopback:
            return is_loopback(address)
        return is_public(address)


class SingleResponseConnector(aiohttp.TCPConnector):
    """Takes one response to a request, and closes a connection that brings more.

    What follows a response may be a copy of it, or the response to another request: a proxy that
    doubles responses was seen. aiohttp would keep what arrives while the connection is idle, and
    return it as the response to the next request; with `Connection: close` it refuses all of it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = cast("partial[ResponseHandler]", partial(_SingleResponse, loop=self._loop))


class _SingleResponse(ResponseHandler):
    """`_left`: bytes of the response that are still to come, once its head has said how many."""

    _is_complete = False
    _head = b""
    _left: float | None = None

    def set_response_params(self, **params: Any) -> None:
        """Aiohttp calls this as a request is about to be written."""
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
    """How many bytes a response has, with its head; infinite where only its end will tell.

    None as long as the head is not complete.
    """
    end = received.find(_HEAD_END)
    if end < 0:
        return inf if len(received) > HEAD_LIMIT else None
    head = received[: end + 2]
    length = _LENGTH.search(head)
    if length is None or _CHUNKED.search(head) or not _FINAL.match(head):
        return inf
    return end + len(_HEAD_END) + int(length[1])
