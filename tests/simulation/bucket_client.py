"""In the place of the libraries that speak to buckets: obstore, and boto3 for half uploads.

The program's own code stays: what an error means, what is compared, what is stored with an object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import EndpointConnectionError  # type: ignore[import-untyped]
from obstore.exceptions import AlreadyExistsError, GenericError, PermissionDeniedError

from batchgen.runs import result_bucket
from batchgen.storage import buckets, half_uploads, stamps
from batchgen.storage.opening import Client
from tests.simulation.bucket import URL, BucketError, ExistsError, Trouble

if TYPE_CHECKING:
    from tests.simulation.bucket import ResultBucket, StoredObject

WHOLE = stamps.MOST_AT_ONCE
PREFIX = urlsplit(URL).path.strip("/")

_TEXTS = {
    Trouble.BUSY: "Server returned non-2xx status code: 503: <Code>SlowDown</Code>",
    Trouble.BUSY_LATE: "Server returned non-2xx status code: 503: <Code>ServiceUnavailable</Code>",
    Trouble.SILENT: "HTTP error: error sending request",
    Trouble.LOST: "HTTP error: request or response body error",
    Trouble.FORBIDDEN: "Server returned non-2xx status code: 403: <Code>ExpiredToken</Code>",
    Trouble.GONE: "Server returned non-2xx status code: 404: <Code>NoSuchBucket</Code>",
}
_KINDS: dict[Trouble, type[Exception]] = {
    Trouble.FORBIDDEN: PermissionDeniedError,
    Trouble.GONE: FileNotFoundError,
}


@dataclass(slots=True)
class _Present:
    """The bucket of the present night; no other can be asked."""

    bucket: ResultBucket | None = None


_present = _Present()


def use_results(bucket: ResultBucket | None) -> None:
    """The bucket of this night, for the life that begins."""
    _present.bucket = bucket
    vars(buckets)["MOST_AT_ONCE"] = WHOLE if bucket is None else bucket.shelf.whole


def is_a_bucket_used() -> bool:
    return _present.bucket is not None


def _asked(work: Callable[[ResultBucket], Any]) -> Any:
    assert _present.bucket is not None, "this night has no bucket"
    try:
        return work(_present.bucket)
    except BucketError as exc:
        kind = _KINDS.get(exc.trouble, GenericError)
        raise kind(f"Generic S3 error: {_TEXTS[exc.trouble]}") from None
    except ExistsError as exc:
        raise AlreadyExistsError(f"Object at location {exc} already exists") from None


def _put(
    prefix: str,
    path: str,
    file: bytes | Path | Iterator[bytes],
    *,
    mode: str = "overwrite",
    attributes: Mapping[str, str] = {},
    use_multipart: bool = False,
    **_: object,
) -> None:
    match file:
        case bytes():
            content = file
        case Path():
            content = file.read_bytes()
        case _:
            content = b"".join(file)
    is_new = mode == "create"
    assert not (is_new and use_multipart), "no store takes a condition for an object in parts"
    _asked(lambda it: it.put(prefix + path, content, attributes, new=is_new, parts=use_multipart))


def _found(path: str) -> StoredObject:
    found: StoredObject | None = _asked(lambda it: it.get(path))
    if found is None:
        raise FileNotFoundError("status code: 404: <Code>NoSuchKey</Code>")
    return found


def _get(prefix: str, path: str, *, options: object = None) -> Any:
    found = _found(prefix + path)
    return SimpleNamespace(
        meta=_meta(path, found),
        attributes=found.attributes,
        stream=lambda _size: iter((found.content,)),
    )


def _head(prefix: str, path: str) -> dict[str, Any]:
    return _meta(path, _found(prefix + path))


def _list(_store: object, prefix: str, **_: object) -> Iterator[list[dict[str, Any]]]:
    _asked(lambda it: it.ask("a listing"))
    objects: Mapping[str, StoredObject] = _asked(lambda it: it.objects)
    yield [_meta(path, one) for path, one in objects.items() if path.startswith(prefix)]


def _meta(path: str, found: StoredObject) -> dict[str, Any]:
    at = datetime.fromtimestamp(found.at, UTC)
    size = len(found.content)
    return {"path": path, "size": size, "e_tag": f'"{found.at}"', "last_modified": at}


class _BotoClient:
    """What half_uploads.py asks boto3 for. Times are told in whole seconds, as the vendor does."""

    def get_paginator(self, _call: str) -> _BotoClient:
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803 - boto3's
        assert _present.bucket is not None
        try:
            found = _present.bucket.half_uploads()
        except BucketError:
            raise EndpointConnectionError(endpoint_url="https://s3.example") from None
        uploads = [
            {
                "Key": f"{PREFIX}/{name}",
                "UploadId": upload,
                "Initiated": datetime.fromtimestamp(int(begun), UTC),
            }
            for name, upload, begun in found
        ]
        yield {"Uploads": [one for one in uploads if str(one["Key"]).startswith(Prefix)]}

    def abort_multipart_upload(self, *, UploadId: str, **_: str) -> None:  # noqa: N803 - boto3's
        assert _present.bucket is not None
        _present.bucket.abort(UploadId)


def _open_client(url: str, _endpoint: str, **_: object) -> Client:
    """In the place of its store a client has the path below the night's prefix."""
    assert url.startswith(URL), "nobody has a bucket elsewhere"
    store: Any = "".join(f"{part}/" for part in url.removeprefix(URL).split("/") if part)
    return Client(store, url, None, "again")


async def _in_place(work: Callable[[], Any], _name: str) -> Any:
    """The thread that copies the list: it is on its way for a while."""
    assert _present.bucket is not None
    there, back = _present.bucket.trip()
    await asyncio.sleep(there)
    found = work()
    await asyncio.sleep(back)
    return found


vars(result_bucket)["in_daemon_thread"] = _in_place
vars(buckets).update(
    obstore=SimpleNamespace(put=_put, get=_get, head=_head, list=_list),
    open_client=_open_client,
)
vars(half_uploads)["boto3"] = SimpleNamespace(client=lambda *_, **__: _BotoClient())
