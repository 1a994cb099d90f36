"""Which addresses may be connected to: a result URL must not reach into the user's own network.

How long a 429 asks to wait: RFC 9110, section 10.2.3.

The proxy and the certificates that the environment asks for, and words about both.

aiohttp's own `trust_env` would read .netrc as well, so the proxy is named for each request.

Connections on which an answer can only be the answer to the question that was asked.
"""

from __future__ import annotations

import math
import re
import socket
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.request import (  # type: ignore[attr-defined]  # typeshed leaves it out
    proxy_bypass_environment,
)

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from batchgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


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


LONGEST_WAIT = 300.0
"""Seconds. A server that asks for a week is not believed."""


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Read the seconds to wait, from 0 to `LONGEST_WAIT`; None where the answer does not say.

    `now` is in seconds since the epoch. A date is measured against the answer's own `Date`, since
    this machine's clock may be wrong.
    """
    value = headers.get("Retry-After", "").strip()
    seconds = _number(value)
    if seconds is None:
        seconds = _until(value, headers.get("Date", ""), now)
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_WAIT)


def _number(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return None if math.isnan(seconds) else seconds


def _until(when: str, sent: str, now: float) -> float | None:
    target = _epoch(when)
    if target is None:
        return None
    start = _epoch(sent)
    return target - (now if start is None else start)


def _epoch(date: str) -> float | None:
    try:
        when = parsedate_to_datetime(date)
        # HTTP dates are GMT, also those that forget to say so.
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
UNREAD: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""What other programs take certificates from."""


@dataclass(frozen=True, slots=True)
class Proxies:
    """`url` is for https, the only scheme that leaves this machine; `variable` named it.

    `certificates` says where certificates are trusted from, in words.
    """

    url: URL | None = None
    variable: str = ""
    no_proxy: str = ""
    certificates: str = ""

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Proxies:
        """Read the environment. Raises UsageError for a proxy of a kind that is not spoken here."""
        variable = next((name for name in VARIABLES if env.get(name, "").strip()), "")
        return cls(
            _proxy(env[variable].strip(), variable) if variable else None,
            variable,
            env.get("no_proxy") or env.get("NO_PROXY", ""),
            _certificates(env),
        )

    def for_url(self, url: URL) -> URL | None:
        """The proxy by which to go there; None for straight. This machine needs none."""
        host = host_of(url)
        if self.url is None or url.scheme != "https" or host in LOOPBACK_HOSTS:
            return None
        if proxy_bypass_environment(f"{host}:{url.port}", {"no": self.no_proxy}):
            return None
        return self.url

    def is_proxy(self, host: str) -> bool:
        return self.url is not None and host_of(self.url) == host

    def about(self, url: URL) -> str:
        """How a connection to a URL is made, for the sentence on why there is none; may be ""."""
        proxy = self.for_url(url)
        if proxy is None:
            return ""
        return f"by way of the proxy {proxy.host}:{proxy.port} of {self.variable}"


NONE = Proxies()


def _proxy(text: str, variable: str) -> URL:
    # None of these sentences repeats the value: it may hold a password.
    try:
        url = URL(text if "://" in text else f"http://{text}")
    except ValueError:
        url = URL()
    if url.scheme in {"http", "https"} and url.host:
        return url
    kind = f"{url.scheme} is" if url.scheme and url.host else "it is"
    raise UsageError(
        f"not a proxy that can be used: {kind} not http or https",
        where=variable,
        next_step="name an HTTP proxy, such as http://proxy.example.com:3128, or unset it",
    )


def _certificates(env: Mapping[str, str]) -> str:
    words = []
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if value := env.get(name):
            missing = "" if Path(value).exists() else ", which is not there"
            words.append(f"{name} is {value}{missing}")
    if not words:
        words.append("SSL_CERT_FILE is not set")
        words += [f"{name} is set, and not read here" for name in UNREAD if env.get(name)]
    return "; ".join(words)


HEAD_LIMIT = 64 * 1024
_HEAD_END = b"\r\n\r\n"
_FINAL = re.compile(rb"HTTP/1\.[01] [2-5]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)


class OneAnswerConnector(aiohttp.TCPConnector):
    """Takes one answer to a question, and closes a connection that brings more.

    What follows an answer may be a copy of it, or the answer to another question: a proxy that
    doubles answers was seen. aiohttp would keep what arrives while the connection is idle, and hand
    it out as the answer to the next question; and beside `Connection: close` it refuses the whole.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = cast("partial[ResponseHandler]", partial(_OneAnswer, loop=self._loop))


class _OneAnswer(ResponseHandler):
    """`_left`: bytes of the answer that are still to come, once its head has said how many."""

    _answered = False
    _head = b""
    _left: float | None = None

    def set_response_params(self, **params: Any) -> None:
        """Aiohttp calls this as a request is about to be written."""
        self._answered = False
        self._head, self._left = b"", None
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        if self._answered and data:
            self.close()
            return
        own = self._own_part(data)
        if len(own) < len(data):
            self.force_close()
        super().data_received(own)
        if self._payload is not None and self._payload.is_eof():
            self._answered = True

    def _own_part(self, data: bytes) -> bytes:
        if self._left is None:
            before = len(self._head)
            self._head += data
            size = answer_size(self._head)
            if size is None:
                return data
            self._head, self._left = b"", size - before
        own = data if self._left >= len(data) else data[: int(self._left)]
        self._left -= len(own)
        return own


def answer_size(received: bytes) -> float | None:
    """How many bytes an answer has, its head included; infinite where only its end will tell.

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


LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def host_of(url: URL) -> str:
    """Give the host as it is compared and connected to: lower case, IDNA-encoded, no final dot."""
    return (url.raw_host or "").lower().removesuffix(".")
