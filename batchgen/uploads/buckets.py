"""Buckets that hold the user's own files for the vendor to fetch."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

from batchgen.errors import BucketError, BucketUnavailableError
from batchgen.net import LOOPBACK_HOSTS
from batchgen.storage.opening import (
    ENDPOINT_VARIABLES,
    endpoint_of,
    open_client,
)
from batchgen.uploads.outcomes import NotNowError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import aiohttp

    from batchgen.storage.opening import Client

PART_BYTES = 8 * 1024 * 1024
PARTS_AT_ONCE = 2
AGAIN = "then run the same command again; nothing was submitted that needs it"


class Bucket(Protocol):
    """Every method raises NotNowError for what may pass, and BucketError for what will not.

    `url` gives a URL that serves the object for so many seconds. Whoever has it can read the
    object, so it goes nowhere but to the vendor.
    """

    async def has(self, key: str, size: int) -> bool: ...

    async def put(self, key: str, content: bytes, media_type: str) -> None: ...

    async def url(self, key: str, seconds: float) -> str: ...


@dataclass(frozen=True, slots=True)
class BucketPlace:
    """`send` is as in the manifest, `s3://bucket/prefix`.

    `emulator` is the origin of a rehearsal's emulator, which then plays the bucket; empty in a real
    run.
    """

    send: str
    emulator: str

    @property
    def scheme(self) -> str:
        return urlsplit(self.send).scheme


@asynccontextmanager
async def open_bucket(place: BucketPlace, env: Mapping[str, str]) -> AsyncIterator[Bucket]:
    """Raises BucketError for a bucket that cannot be used; makes no request.

    A rehearsal uses a real server only on this machine: nothing is sent away.
    """
    endpoint = endpoint_of(place.send, env)
    is_here = (urlsplit(endpoint).hostname or "") in LOOPBACK_HOSTS
    if not place.emulator:
        _refuse_unsafe(place, endpoint, is_here=is_here)
        yield StoreBucket(_client(place, endpoint))
    elif is_here:
        yield StoreBucket(_client(place, endpoint))
    else:
        import aiohttp  # noqa: PLC0415 - a real run never needs it here

        async with aiohttp.ClientSession() as session:
            root = f"{place.emulator}/emulator/bucket/{quote(_path_of(place.send))}"
            yield EmulatorBucket(session, root)


def _refuse_unsafe(place: BucketPlace, endpoint: str, *, is_here: bool) -> None:
    names = ENDPOINT_VARIABLES.get(place.scheme, ())
    if is_here:
        raise BucketError(
            "the vendor cannot fetch from this machine, where the bucket's endpoint is",
            where=place.send,
            next_step=f"unset {' and '.join(names)}, or rehearse with --emulator",
        )
    if endpoint and not endpoint.startswith("https://"):
        raise BucketError(
            "the bucket's endpoint is not https",
            where=place.send,
            next_step=f"set {names[-1]} to an https:// address",
        )


def _path_of(send: str) -> str:
    parts = urlsplit(send)
    return f"{parts.netloc}{parts.path}".rstrip("/")


def _client(place: BucketPlace, endpoint: str) -> Client:
    instead = ", or send files inside the request: inputs: send: data"
    return open_client(place.send, endpoint, again=AGAIN, instead=instead)


class StoreBucket:
    """A bucket that obstore reaches."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._store = client.store

    async def has(self, key: str, size: int) -> bool:
        from obstore import exceptions, head_async  # noqa: PLC0415 - an extra

        try:
            found = await head_async(self._store, key)
        except FileNotFoundError:
            return False
        except exceptions.PermissionDeniedError:
            # Without s3:ListBucket, S3 answers so for an object that is missing; `put` finds out.
            return False
        except exceptions.BaseError as exc:
            raise self._translated(exc) from None
        return found["size"] == size

    async def put(self, key: str, content: bytes, media_type: str) -> None:
        from obstore import exceptions, put_async  # noqa: PLC0415 - an extra

        try:
            await put_async(
                self._store,
                key,
                content,
                attributes={"Content-Type": media_type},
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )
        except (FileNotFoundError, exceptions.BaseError) as exc:
            raise self._translated(exc) from None

    async def url(self, key: str, seconds: float) -> str:
        from obstore import exceptions, sign_async  # noqa: PLC0415 - an extra

        try:
            return await sign_async(self._store, "GET", key, timedelta(seconds=seconds))
        except (exceptions.BaseError, NotImplementedError) as exc:
            raise self._translated(exc) from None

    def _translated(self, exc: Exception) -> BucketError | NotNowError:
        failure = self._client.translated(exc, doing="uploads")
        if isinstance(failure, BucketUnavailableError):
            return NotNowError(failure.what)
        return failure


class EmulatorBucket:
    """The emulator in the bucket's place: a rehearsal sends nothing off this machine."""

    def __init__(self, session: aiohttp.ClientSession, root: str) -> None:
        self._session = session
        self._root = root

    async def has(self, key: str, size: int) -> bool:
        found = await self._call("HEAD", key, (HTTPStatus.OK, HTTPStatus.NOT_FOUND))
        return found.status == HTTPStatus.OK and found.headers["Content-Length"] == str(size)

    async def put(self, key: str, content: bytes, media_type: str) -> None:
        from io import BytesIO  # noqa: PLC0415

        headers = {"Content-Type": media_type}
        await self._call("PUT", key, (HTTPStatus.OK,), data=BytesIO(content), headers=headers)

    async def url(self, key: str, seconds: float) -> str:
        signed = await self._call(
            "POST", f"{key}/sign", (HTTPStatus.OK,), json={"seconds": seconds}
        )
        return str((await signed.json())["url"])

    async def _call(
        self, method: str, key: str, fine: tuple[int, ...], **options: Any
    ) -> aiohttp.ClientResponse:
        import aiohttp  # noqa: PLC0415 - as in open_bucket

        try:
            async with self._session.request(method, f"{self._root}/{key}", **options) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise NotNowError(
                f"the emulator's bucket does not answer ({type(exc).__name__})"
            ) from exc
        if answer.status not in fine:
            raise NotNowError(f"the emulator's bucket answers HTTP {answer.status}")
        return answer
