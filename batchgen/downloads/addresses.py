"""Which addresses may be connected to: a result URL must not reach into the user's own network."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

NAT64 = IPv6Network("64:ff9b::/96")
V4_COMPATIBLE = IPv6Network("::/96")


class PrivateAddressError(OSError):
    """A name that resolves to an address which is not on the public internet.

    An OSError, since that is what aiohttp expects of a resolver that fails.
    """


class PublicResolver(AbstractResolver):
    """Refuses names that lead to a private address, where aiohttp is about to connect to it.

    An earlier look-up would not do: the name's owner can change the answer in between. `loopback`
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
            return ip_address(address).is_loopback
        return is_public(address)


def is_public(address: str) -> bool:
    """Whether a literal IP address is on the public internet.

    An IPv6 address that stands for an IPv4 one is judged by that. False for what is no address.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if ip.scope_id or ip.is_site_local:
            return False
        ip = _embedded_ipv4(ip) or ip
    return ip.is_global and not ip.is_multicast


def is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _embedded_ipv4(ip: IPv6Address) -> IPv4Address | None:
    if ip in NAT64 or ip in V4_COMPATIBLE:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour
