"""Parts of large objects that a process left when it died: they cost, and nobody sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from batchgen.errors import BucketError

if TYPE_CHECKING:
    from batchgen.storage.locations import BucketLocation

CONNECT_SECONDS = 5
READ_SECONDS = 30


def remove_half_uploads(location: BucketLocation, endpoint: str, before: float, below: str) -> int:
    """Remove those below a path of the location begun before (epoch seconds); return how many.

    obstore has no such call. Raises BucketError, whatever the reason is: nothing depends on it.
    """
    parts = urlsplit(location.url)
    bucket, prefix = parts.netloc, "/".join([*filter(None, [parts.path.strip("/")]), below])
    limits = Config(
        connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"max_attempts": 2}
    )
    count = 0
    try:
        client = boto3.client("s3", endpoint_url=endpoint or None, config=limits)
        pages = client.get_paginator("list_multipart_uploads")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix):
            for upload in page.get("Uploads", ()):
                if upload["Initiated"].timestamp() < before:
                    client.abort_multipart_upload(
                        Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
                    count += 1
    except (BotoCoreError, ClientError) as exc:
        # Its text may quote the request: only its name, or the server's code, is passed on.
        is_answer = isinstance(exc, ClientError)
        why = exc.response.get("Error", {}).get("Code", "?") if is_answer else type(exc).__name__
        raise BucketError(
            f"half uploads cannot be looked for ({why})", where=str(location)
        ) from None
    return count
