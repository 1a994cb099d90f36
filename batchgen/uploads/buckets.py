"""Buckets that hold the user's own files: Amazon S3 and what speaks like it, Google's, Azure's.

Credentials are found as the cloud's own tools find them, and never written in a manifest. What a
library says of a failure may contain requests and keys, so only its status and code are passed on.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

from batchgen.errors import BucketError
from batchgen.net import LOOPBACK_HOSTS
from batchgen.uploads.outcomes import NotNowError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import aiohttp
    from obstore.store import AzureStore, GCSStore, S3Store

ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REQUEST_SECONDS = 120
"""For one request; large files go in parts of PART_BYTES, each a request."""
MOST_RETRIES = 2
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
    endpoint = _endpoint(place, env)
    is_here = (urlsplit(endpoint).hostname or "") in LOOPBACK_HOSTS
    if not place.emulator:
        _refuse_unsafe(place, endpoint, is_here=is_here)
        yield _store_bucket(place, endpoint)
    elif is_here:
        yield _store_bucket(place, endpoint)
    else:
        import aiohttp  # noqa: PLC0415 - a real run never needs it here

        async with aiohttp.ClientSession() as session:
            root = f"{place.emulator}/emulator/bucket/{quote(_path_of(place.send))}"
            yield EmulatorBucket(session, root)


def _endpoint(place: BucketPlace, env: Mapping[str, str]) -> str:
    if place.scheme != "s3":
        return ""
    return next((env[name] for name in ENDPOINT_VARIABLES if env.get(name)), "")


def _refuse_unsafe(place: BucketPlace, endpoint: str, *, is_here: bool) -> None:
    if is_here:
        raise BucketError(
            "the vendor cannot fetch from this machine, where the bucket's endpoint is",
            where=place.send,
            next_step=f"unset {' and '.join(ENDPOINT_VARIABLES)}, or rehearse with --emulator",
        )
    if endpoint and not endpoint.startswith("https://"):
        raise BucketError(
            "the bucket's endpoint is not https",
            where=place.send,
            next_step=f"set {ENDPOINT_VARIABLES[-1]} to an https:// address",
        )


def _path_of(send: str) -> str:
    parts = urlsplit(send)
    return f"{parts.netloc}{parts.path}".rstrip("/")


def _store_bucket(place: BucketPlace, endpoint: str) -> StoreBucket:
    try:
        from obstore.exceptions import BaseError  # noqa: PLC0415 - an extra
        from obstore.store import from_url  # noqa: PLC0415 - an extra
    except ImportError as exc:
        raise _not_installed(place) from exc
    credentials: AwsCredentials | None = None
    settings: dict[str, Any] = {}
    if place.scheme == "s3":
        credentials = _aws_credentials(place)
        settings = {"credential_provider": credentials}
        if endpoint:
            settings["endpoint"] = endpoint
    if place.scheme == "az":
        # Without keys in the environment, `az login` is asked.
        settings = {"use_azure_cli": True}
    try:
        store: Any = from_url(
            place.send.rstrip("/"),
            client_options={
                "allow_http": endpoint.startswith("http://"),
                "timeout": timedelta(seconds=REQUEST_SECONDS),
            },
            retry_config={
                "max_retries": MOST_RETRIES,
                "retry_timeout": timedelta(seconds=REQUEST_SECONDS),
            },
            **settings,
        )
    except (BaseError, ValueError, TypeError) as exc:
        raise BucketError(
            f"its settings in the environment cannot be used ({type(exc).__name__})",
            where=place.send,
            next_step=_LOGIN[place.scheme],
        ) from None
    return StoreBucket(store, place.send, credentials)


def _not_installed(place: BucketPlace) -> BucketError:
    return BucketError(
        "buckets need obstore, which is not installed",
        where=place.send,
        next_step="pip install 'batchgen[buckets]', or send files inside the request:"
        " inputs: send: data",
    )


_LOGIN = {
    "s3": "log in (`aws sso login`, `aws configure`), or set AWS_PROFILE or AWS_ACCESS_KEY_ID and"
    f" AWS_SECRET_ACCESS_KEY; {AGAIN}",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS to a service account's key: only such can sign URLs;"
    f" {AGAIN}",
    "az": f"set AZURE_STORAGE_ACCOUNT_NAME, and log in (`az login`) or set"
    f" AZURE_STORAGE_ACCOUNT_KEY; {AGAIN}",
}


class AwsCredentials:
    """As boto3 finds them: environment, profiles, SSO, roles. Asked anew every half hour.

    `failure` is the name of the exception that they cannot be had for, if so. Temporary credentials
    end the URLs that they signed when they end themselves, whatever time was asked for.
    """

    def __init__(self, provider: Any, failures: type[Exception]) -> None:
        self.config = provider.config
        self.failure = ""
        self._provider = provider
        self._failures = failures

    def __call__(self) -> Any:
        try:
            found = self._provider()
        except self._failures as exc:
            self.failure = type(exc).__name__
            raise
        self.failure = ""
        return found


def _aws_credentials(place: BucketPlace) -> AwsCredentials:
    try:
        from botocore.exceptions import (  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
            BotoCoreError,
        )
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415 - an extra
    except ImportError as exc:
        raise _not_installed(place) from exc
    try:
        return AwsCredentials(Boto3CredentialProvider(), BotoCoreError)
    except (BotoCoreError, ValueError) as exc:
        why = "" if isinstance(exc, ValueError) else f" ({type(exc).__name__})"
        raise BucketError(
            f"there are no credentials for it{why}", where=place.send, next_step=_LOGIN["s3"]
        ) from None


class StoreBucket:
    """A bucket that obstore reaches."""

    def __init__(
        self,
        store: S3Store | GCSStore | AzureStore,
        send: str,
        credentials: AwsCredentials | None,
    ) -> None:
        self._store = store
        self._send = send
        self._credentials = credentials

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
        if self._credentials is not None and self._credentials.failure:
            return self._refused(f"its credentials have ended ({self._credentials.failure})")
        failure = read_failure(str(exc))
        if isinstance(exc, FileNotFoundError):
            return BucketError(
                "there is no such bucket",
                where=self._send,
                next_step=f"make it, or correct inputs.send and the region; {AGAIN}",
            )
        if failure.passes:
            return NotNowError(f"the bucket {self._send} cannot be reached ({failure})")
        return self._refused(f"it refuses uploads ({failure})")

    def _refused(self, what: str) -> BucketError:
        return BucketError(what, where=self._send, next_step=_LOGIN[urlsplit(self._send).scheme])


_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_PASSING_CODES = frozenset({"SlowDown", "RequestTimeout", "ServerBusy", "InternalError"})


@dataclass(frozen=True, slots=True)
class Failure:
    """What is kept of a library's message: a status and a code.

    Without a status no answer came: from the server, if `is_network`, or from what has the
    credentials.
    """

    status: int | None
    code: str
    is_redirect: bool = False
    is_network: bool = True

    @property
    def passes(self) -> bool:
        if self.status is None:
            return self.is_network and not self.is_redirect
        return (
            self.status >= HTTPStatus.INTERNAL_SERVER_ERROR
            or self.status in _PASSING
            or self.code in _PASSING_CODES
        )

    def __str__(self) -> str:
        if self.is_redirect:
            return "it is in another region"
        if self.status is None:
            return "no answer" if self.is_network else "no credentials that work"
        return f"HTTP {self.status}{f', {self.code}' if self.code else ''}"


def read_failure(message: str) -> Failure:
    status, code = _STATUS.search(message), _CODE.search(message)
    return Failure(
        int(status[1]) if status else None,
        code[1] if code else "",
        is_redirect="redirect without LOCATION" in message,
        is_network="HTTP error" in message or "HttpError" in message,
    )


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
