"""Clients of buckets: Amazon S3 and what speaks like it, Google Cloud Storage, Azure.

Credentials are found as the cloud's own tools find them, and never written in a manifest. What a
library says of a failure may contain requests and keys, so only its status and code are passed on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from batchgen.errors import BucketError, BucketUnavailableError, NoBucketError
from batchgen.fs import CONTINUE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore.store import AzureStore, ClientConfig, GCSStore, S3Store

ENDPOINT_VARIABLES: dict[str, tuple[str, ...]] = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
REQUEST_SECONDS = 300
"""For one request; large files go in parts, each a request. At 4 Mbit/s, all that is sent at once
gets through in that time."""
READ_SECONDS = 60
"""Without a byte of a file that is read: the whole of it may take hours."""
MOST_READ_SECONDS = 24 * 3600
RETRY_SECONDS = 120
MOST_RETRIES = 2
CREDENTIALS_TTL = timedelta(minutes=10)
"""After that, botocore is asked anew: what it gives lasts so long at least, and maybe no longer."""


def endpoint_of(url: str, env: Mapping[str, str]) -> str:
    """The address of a server that speaks like S3 or Azure; empty for the cloud's own."""
    names = ENDPOINT_VARIABLES.get(urlsplit(url).scheme, ())
    return next((env[name] for name in names if env.get(name)), "")


def open_client(
    url: str,
    endpoint: str,
    *,
    again: str = CONTINUE,
    instead: str = "",
    reads: bool = False,
) -> Client:
    """Make a client of `s3://bucket/prefix` and the like. Sends nothing.

    `reads`: it gets files, each of which may take its time as long as bytes come. `again` ends the
    sentence about what to do after a failure; `instead` is what works without obstore. Raises
    BucketError.
    """
    try:
        from obstore.exceptions import BaseError  # noqa: PLC0415 - an extra
        from obstore.store import from_url  # noqa: PLC0415 - an extra
    except ImportError as exc:
        raise not_installed(url, instead) from exc
    scheme = urlsplit(url).scheme
    credentials: AwsCredentials | None = None
    settings: dict[str, Any] = {}
    if scheme == "s3":
        credentials = _aws_credentials(url, again, instead)
        settings = {"credential_provider": credentials, "aws_checksum_algorithm": "SHA256"}
        if endpoint:
            settings["endpoint"] = endpoint
    if scheme == "az":
        # Without keys in the environment, `az login` is asked.
        settings = {"use_azure_cli": True}
    try:
        store: Any = from_url(
            # It would decode what looks like an encoded character, which is one of a key's own.
            url.rstrip("/").replace("%", "%25"),
            client_options=_client_options(endpoint, reads=reads),
            retry_config={
                "max_retries": MOST_RETRIES,
                "retry_timeout": timedelta(seconds=RETRY_SECONDS),
            },
            **settings,
        )
    except (BaseError, ValueError, TypeError) as exc:
        raise BucketError(
            f"its settings in the environment cannot be used ({type(exc).__name__})",
            where=url,
            next_step=f"{_LOGIN[scheme]}; {again}",
        ) from None
    return Client(store, url, credentials, again)


def _client_options(endpoint: str, *, reads: bool) -> ClientConfig:
    options: ClientConfig = {"allow_http": endpoint.startswith("http://")}
    if reads:
        options["timeout"] = timedelta(seconds=MOST_READ_SECONDS)
        options["read_timeout"] = timedelta(seconds=READ_SECONDS)
    else:
        options["timeout"] = timedelta(seconds=REQUEST_SECONDS)
    return options


def not_installed(url: str, instead: str = "") -> BucketError:
    return BucketError(
        "buckets need obstore, which is not installed",
        where=url,
        next_step=f"pip install 'batchgen[buckets]'{instead}",
    )


_LOGIN = {
    "s3": "log in (`aws sso login`, `aws configure`), or set AWS_PROFILE or AWS_ACCESS_KEY_ID and"
    " AWS_SECRET_ACCESS_KEY",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS to a service account's key, without which no URLs can"
    " be signed; for results, `gcloud auth application-default login` suffices",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME, and log in (`az login`) or set"
    " AZURE_STORAGE_ACCOUNT_KEY",
}


class AwsCredentials:
    """As boto3 finds them: environment, profiles, SSO, roles. Asked anew every few minutes.

    `failure` is the name of the exception that they cannot be had for, if so. Temporary credentials
    end the URLs that they signed when they end themselves, whatever time was asked for.
    """

    def __init__(self, provider: Any, failures: tuple[type[Exception], ...]) -> None:
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


def _aws_credentials(url: str, again: str, instead: str) -> AwsCredentials:
    try:
        from botocore.exceptions import (  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
            BotoCoreError,
            ClientError,
        )
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415 - an extra
    except ImportError as exc:
        raise not_installed(url, instead) from exc
    try:
        # A ClientError is an answer: a role that may not be assumed.
        return AwsCredentials(
            Boto3CredentialProvider(ttl=CREDENTIALS_TTL), (BotoCoreError, ClientError)
        )
    except (BotoCoreError, ClientError, ValueError) as exc:
        why = "" if isinstance(exc, ValueError) else f" ({type(exc).__name__})"
        raise BucketError(
            f"there are no credentials for it{why}",
            where=url,
            next_step=f"{_LOGIN['s3']}; {again}",
        ) from None


@dataclass(frozen=True, slots=True)
class Client:
    """obstore's store of one bucket and prefix, and what its failures mean."""

    store: S3Store | GCSStore | AzureStore
    url: str
    credentials: AwsCredentials | None
    again: str

    def translated(self, exc: Exception, *, doing: str) -> BucketError | BucketUnavailableError:
        """What a failure of obstore's means; `doing` is what the bucket refuses, as in "uploads".

        Raise it `from None`: the original may quote the request.
        """
        if self.credentials is not None and self.credentials.failure:
            what = f"its credentials have ended ({self.credentials.failure})"
            return self._refused(what, _LOGIN["s3"])
        failure = read_failure(str(exc))
        if failure.passes:
            return BucketUnavailableError(
                f"the bucket {self.url} cannot be reached ({failure})",
                next_step=f"check the network and the bucket; {self.again}",
            )
        if isinstance(exc, FileNotFoundError) or failure.code in NO_BUCKET:
            return NoBucketError(
                "there is no such bucket",
                where=self.url,
                next_step=f"create it, or correct its name in the manifest, or the region;"
                f" {self.again}",
            )
        scheme = urlsplit(self.url).scheme
        return self._refused(f"it refuses {doing} ({failure})", _remedy(failure, scheme))

    def _refused(self, what: str, remedy: str) -> BucketError:
        return BucketError(what, where=self.url, next_step=f"{remedy}; {self.again}")


def _remedy(failure: Failure, scheme: str) -> str:
    if failure.is_redirect or failure.code in _OTHER_REGION:
        return "set AWS_REGION to the region of the bucket"
    if failure.code == "RequestTimeTooSkewed":
        return "correct the clock of this machine"
    if failure.status == HTTPStatus.NOT_IMPLEMENTED:
        return "use a server that supports If-None-Match, so that no object is overwritten"
    if failure.code in _BAD_LOGIN or failure.status == HTTPStatus.UNAUTHORIZED:
        return _LOGIN[scheme]
    if failure.status == HTTPStatus.FORBIDDEN:
        return f"{_LOGIN[scheme]}; or get the permission (batchgen guide {_GUIDE})"
    if failure.code:
        return f"look up what {failure.code} means for this bucket"
    return _LOGIN[scheme]


_GUIDE = "when-one-machine-is-not-enough"
_BAD_LOGIN = frozenset(
    {"ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthenticationFailed"}
)
_OTHER_REGION = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
NO_BUCKET = frozenset({"NoSuchBucket", "ContainerNotFound"})
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_PASSING_CODES = frozenset(
    {
        "SlowDown",
        "RequestTimeout",
        "ServerBusy",
        "InternalError",
        "ConditionalRequestConflict",
        "OperationAborted",
        # Not all bytes came, or not the same.
        "BadDigest",
        "IncompleteBody",
        # Someone tidied an upload in parts away; the next one begins anew.
        "NoSuchUpload",
    }
)


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
        if self.status == HTTPStatus.NOT_IMPLEMENTED:
            return False
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
