"""The room's own HTTP session: no token, no cookie, no proxy of the environment can get into it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from batchgen.downloads.addresses import PublicResolver
from batchgen.downloads.answers import REDIRECTS
from batchgen.downloads.connector import OneAnswerConnector
from batchgen.downloads.hosts import LOOPBACK_HOSTS
from batchgen.downloads.outcomes import HostNotAllowed, Interrupted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp.abc import AbstractResolver
    from yarl import URL

    from batchgen.downloads.hosts import AllowedHosts

MAX_REDIRECTS = 5
READ_BUFFER = 256 * 1024
HEADERS = {
    "Accept": "image/*, video/*",
    "Accept-Encoding": "identity",
    "User-Agent": "batchgen",
}


@asynccontextmanager
async def open_session(
    hosts: AllowedHosts,
    resolver: AbstractResolver | None,
    *,
    connect_timeout: float,
    stall_timeout: float,
) -> AsyncIterator[aiohttp.ClientSession]:
    """Times in seconds; `resolver` is the door to DNS."""
    loopback = LOOPBACK_HOSTS if hosts.loopback else frozenset[str]()
    public = PublicResolver(resolver or aiohttp.ThreadedResolver(), loopback)
    session = aiohttp.ClientSession(
        # How many at once is the callers' decision, not the pool's.
        connector=OneAnswerConnector(limit=0, resolver=public),
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
            yield session
    finally:
        await public.close()


async def get(
    session: aiohttp.ClientSession, hosts: AllowedHosts, url: URL, headers: Mapping[str, str]
) -> aiohttp.ClientResponse | HostNotAllowed | Interrupted:
    """Follow redirects, each only to where `hosts` allows. Raises NETWORK_ERRORS."""
    for _ in range(MAX_REDIRECTS + 1):
        response = await session.get(url, headers=headers, allow_redirects=False)
        if response.status not in REDIRECTS:
            return response
        response.release()
        following = hosts.follow(url, response.headers.get("Location", ""))
        if isinstance(following, HostNotAllowed):
            return following
        url = following
    return Interrupted(f"more than {MAX_REDIRECTS} redirects")
