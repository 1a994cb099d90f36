"""When a request starts to run, its inputs are fetched, as the vendor's servers do.

Only from this machine: no other host is ever contacted, since a rehearsal sends nothing out. So
what a public URL leads to stays unknown, and counts as sound. The emulator's own files are read
from its store: their URLs may have the port of an earlier process.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit

import aiohttp

from batchgen.emulator.files import Lost
from batchgen.emulator.input_places import input_places
from batchgen.emulator.sent_files import AT_ONCE, RefusedFileError, check_file
from batchgen.emulator.validation import is_on_this_machine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import TypeAlias

    from batchgen.emulator.catalogue import Catalogue
    from batchgen.emulator.input_places import InputPlace
    from batchgen.emulator.store import Store

    OwnFile: TypeAlias = Callable[[str, Mapping[str, str]], Awaitable[bytes | Lost | None]]
    """Reads a file of this emulator by its path and query; None for another path."""

USER_AGENT = "batchgen-emulator"
SECONDS = 5.0
MOST_BYTES = 100 * 1024 * 1024
MOST_HOPS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFetches:
    store: Store
    catalogue: Catalogue
    session: aiohttp.ClientSession
    own_files: tuple[OwnFile, ...]
    _fetching: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))
    _decoding: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def problem(self, request_id: str) -> str | None:
        """Why the request cannot use one of its inputs, if it cannot."""
        stored = self.store.find(request_id)
        model = None if stored is None else self.catalogue.models.get(stored.model_id)
        if stored is None or model is None or "http://" not in stored.input:
            return None
        for place in input_places(model.schema, json.loads(stored.input)):
            reason = await self._reason(place)
            if reason is not None:
                return f"The input {place} cannot be used: {reason}."
        return None

    async def _reason(self, place: InputPlace) -> str | None:
        """Never with the URL itself: its query may be a secret."""
        if not _is_here(place.text):
            return None
        async with self._fetching:
            body = await self._body(place.text)
        if not isinstance(body, bytes):
            return None if body is None else body.reason
        async with self._decoding:
            try:
                await asyncio.to_thread(check_file, body, place)
            except RefusedFileError as exc:
                return str(exc).rstrip(".")
        return None

    async def _body(self, url: str) -> bytes | Lost | None:
        """None if only another machine knows."""
        parts = urlsplit(url)
        for own_file in self.own_files:
            found = await own_file(unquote(parts.path), dict(parse_qsl(parts.query)))
            if found is not None:
                return found
        try:
            async with asyncio.timeout(SECONDS):
                return await self._fetched(url)
        except TimeoutError:
            return Lost(f"no answer in {SECONDS:.0f} s")
        except aiohttp.ClientError as exc:
            return Lost(f"it could not be fetched ({type(exc).__name__})")

    async def _fetched(self, url: str) -> bytes | Lost | None:
        for _ in range(MOST_HOPS):
            headers = {"User-Agent": USER_AGENT}
            async with self.session.get(url, headers=headers, allow_redirects=False) as response:
                if "Location" not in response.headers:
                    return await _read(response)
                url = urljoin(url, response.headers["Location"])
            if not _is_here(url):
                return None
        return Lost("there are too many redirects")


async def _read(response: aiohttp.ClientResponse) -> bytes | Lost:
    if response.status != HTTPStatus.OK:
        return Lost(f"it could not be fetched (HTTP {response.status})")
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MOST_BYTES:
            return Lost(f"it is larger than {MOST_BYTES} bytes")
    return bytes(body)


def _is_here(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "http" and is_on_this_machine(parts)
