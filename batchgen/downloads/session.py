"""The HTTP session of downloads: it never carries a token, a cookie or .netrc credentials."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from batchgen.connections import PrivateAddressError, PublicResolver, SingleResponseConnector
from batchgen.downloads.allowed_hosts import HostNotAllowed
from batchgen.downloads.outcomes import Interrupted
from batchgen.downloads.responses import REDIRECTS
from batchgen.net import LOOPBACK_HOSTS, host_of
from batchgen.proxies import NO_PROXIES, Proxies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp.abc import AbstractResolver
    from yarl import URL

    from batchgen.downloads.allowed_hosts import AllowedHosts

MAX_REDIRECTS = 5
READ_BUFFER = 256 * 1024
HEADERS = {
    "Accept": "image/*, video/*, audio/*",
    "Accept-Encoding": "identity",
    "User-Agent": "batchgen",
}
LOCAL_DNS_SECONDS = 3.0
"""How long this machine's own DNS may take, before a request goes to the proxy unchecked."""


class GuardedSession:
    """Follows redirects itself, and only to URLs that `hosts` allows."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        hosts: AllowedHosts,
        public: PublicResolver,
        proxies: Proxies,
    ) -> None:
        self._session = session
        self._hosts = hosts
        self._public = public
        self._proxies = proxies
        self._lookups: dict[str, HostNotAllowed | None] = {}

    async def get(
        self, url: URL, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse | HostNotAllowed | Interrupted:
        """Raises NETWORK_ERRORS."""
        for _ in range(MAX_REDIRECTS + 1):
            proxy = self._proxies.for_url(url)
            if refusal := await self._refusal(host_of(url), proxy):
                return refusal
            response = await self._session.get(
                url, headers=headers, allow_redirects=False, proxy=proxy
            )
            if response.status not in REDIRECTS:
                return response
            response.release()
            next_url = self._hosts.follow(url, response.headers.get("Location", ""))
            if isinstance(next_url, HostNotAllowed):
                return next_url
            url = next_url
        return Interrupted(f"more than {MAX_REDIRECTS} redirects")

    async def _refusal(self, host: str, proxy: URL | None) -> HostNotAllowed | None:
        """Refuse the proxy itself, and private hosts, which the proxy would resolve unchecked."""
        if self._proxies.is_proxy(host):
            return HostNotAllowed(host, f"{host} is the proxy itself")
        if proxy is None:
            return None
        if host not in self._lookups:
            self._lookups[host] = await self._private_host(host)
        return self._lookups[host]

    async def _private_host(self, host: str) -> HostNotAllowed | None:
        """Refuse a name that this machine's own DNS resolves to a private address."""
        try:
            async with asyncio.timeout(LOCAL_DNS_SECONDS):
                await self._public.resolve(host)
        except PrivateAddressError as exc:
            return HostNotAllowed(host, str(exc), by_dns=True)
        except OSError:
            return None  # behind a proxy, a machine often knows no public names
        return None


@asynccontextmanager
async def open_session(
    hosts: AllowedHosts,
    resolver: AbstractResolver | None,
    *,
    connect_timeout: float,
    stall_timeout: float,
    proxies: Proxies = NO_PROXIES,
) -> AsyncIterator[GuardedSession]:
    """Times in seconds; `resolver` is the port to DNS."""
    loopback = LOOPBACK_HOSTS if hosts.loopback else frozenset[str]()
    proxy_hosts = frozenset[str]() if proxies.url is None else frozenset({host_of(proxies.url)})
    public = PublicResolver(resolver or aiohttp.ThreadedResolver(), loopback, proxy_hosts)
    session = aiohttp.ClientSession(
        # No limit here: callers decide how many connections to open.
        connector=SingleResponseConnector(limit=0, resolver=public),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=HEADERS,
        auto_decompress=False,
        trust_env=False,
        read_bufsize=READ_BUFFER,
        timeout=aiohttp.ClientTimeout(
            total=None,
            connect=connect_timeout,
            sock_connect=connect_timeout,
            sock_read=stall_timeout,
        ),
    )
    try:
        async with session:
            yield GuardedSession(session, hosts, public, proxies)
    finally:
        await public.close()
