from __future__ import annotations

import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from batchgen.net import PrivateAddressError, PublicResolver, is_public


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


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fc00::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "localhost",
        "127.1",
        "",
    ],
)
def test_an_address_of_a_private_network_is_not_public(address: str) -> None:
    """Row 69."""
    assert not is_public(address)


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
