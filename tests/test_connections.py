"""Connections go to public addresses only, and give one response per request."""

from __future__ import annotations

import socket
from math import inf

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from batchgen.connections import HEAD_LIMIT, PrivateAddressError, PublicResolver, response_size


class FixedResolver(AbstractResolver):
    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=a, port=port, family=family, proto=0, flags=0)
            for a in self._addresses
        ]

    async def close(self) -> None:
        pass


async def test_a_public_name_is_resolved() -> None:
    resolver = PublicResolver(FixedResolver("8.8.8.8"), frozenset())
    assert [r["host"] for r in await resolver.resolve("cdn.runcomfy.net", 443)] == ["8.8.8.8"]


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("8.8.8.8", "10.0.0.1"), ("::1",)])
async def test_one_private_address_refuses_the_name(addresses: tuple[str, ...]) -> None:
    """Row 69, after DNS."""
    resolver = PublicResolver(FixedResolver(*addresses), frozenset({"localhost"}))
    with pytest.raises(PrivateAddressError, match=r"cdn\.runcomfy\.net leads to"):
        await resolver.resolve("cdn.runcomfy.net", 443)


async def test_localhost_is_this_machine_and_nothing_else() -> None:
    loopback = frozenset({"localhost"})
    assert await PublicResolver(FixedResolver("127.0.0.1"), loopback).resolve("localhost")
    with pytest.raises(PrivateAddressError):
        await PublicResolver(FixedResolver("10.0.0.1"), loopback).resolve("localhost")


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("received", "size"),
    [
        (b"", None),
        (OK + b"Content-Length: 2\r\n", None),
        (OK + b"Content-Length: 2\r\n\r\n", 40),
        (OK + b"content-length:2 \r\nX: y\r\n\r\n{}HTTP", 46),
        (b"HTTP/1.0 404 No\r\nContent-Length: 0\r\n\r\n", 38),
        (OK + b"X: y\r\n\r\n", inf),
        (OK + b"Content-Length: two\r\n\r\n", inf),
        (OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", inf),
        (b"HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\n", inf),
        (b"SSH-2.0-hello\r\n\r\n", inf),
        (b"x" * (HEAD_LIMIT + 1), inf),
    ],
)
def test_a_response_ends_at_its_content_length(received: bytes, size: float | None) -> None:
    assert response_size(received) == size
