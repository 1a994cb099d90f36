"""Hosts and addresses, and Retry-After. Pure; loads no HTTP library.

By hand: the standard library parses addresses and dates, but does not see a private IPv4 address
inside an IPv6 one.
"""

from __future__ import annotations

import math
from datetime import UTC
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
NAT64 = IPv6Network("64:ff9b::/96")
V4_COMPATIBLE = IPv6Network("::/96")


def host_of(url: URL) -> str:
    """Return the host to compare and connect to: lower case, IDNA-encoded, no final dot."""
    return (url.raw_host or "").lower().removesuffix(".")


def is_public(address: str) -> bool:
    """Whether a literal IP address is on the public internet. False for anything else.

    An IPv6 address that embeds an IPv4 address is as public as that one.
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


def is_loopback(address: str) -> bool:
    return is_address(address) and ip_address(address).is_loopback


def _embedded_ipv4(ip: IPv6Address) -> IPv4Address | None:
    if ip in NAT64 or ip in V4_COMPATIBLE:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour


def retry_after(
    headers: Mapping[str, str], *, longest: float, now: float | None = None
) -> float | None:
    """Return seconds from 0 to `longest`; None if the response does not say (RFC 9110, 10.2.3).

    A date is compared with the response's own `Date`, because this machine's clock may be wrong;
    without one, with `now`, in seconds since the epoch.
    """
    value = headers.get("Retry-After", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        until, sent = _epoch(value), _epoch(headers.get("Date", ""))
        start = now if sent is None else sent
        if until is None or start is None:
            return None
        seconds = until - start
    return None if math.isnan(seconds) else min(max(seconds, 0.0), longest)


def _epoch(date: str) -> float | None:
    try:
        when = parsedate_to_datetime(date)
        # HTTP dates are GMT, even if they omit the zone.
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
