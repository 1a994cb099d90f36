"""What a bucket's failures mean, what to do then, and how long a client waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.credentials import RefreshableCredentials  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from batchgen.errors import BucketError, BucketUnavailableError, NoBucketError
from batchgen.storage.buckets import BucketResults
from batchgen.storage.locations import BucketLocation
from batchgen.storage.opening import AwsCredentials, Client, open_client
from tests.storage.s3_server import S3Server

URL = "s3://bucket/night"


def meaning_of(
    exc: Exception, credentials: AwsCredentials | None = None
) -> BucketError | BucketUnavailableError:
    store: Any = None
    return Client(store, URL, credentials, "again").translated(exc, doing="uploads")


def answer(status: int, code: str) -> Exception:
    kind = FileNotFoundError if status == 404 else Exception
    return kind(f"HTTP error, status code: {status} x: <Error><Code>{code}</Code></Error>")


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (400, "ExpiredToken", "log in"),
        (403, "ExpiredToken", "log in"),
        (401, "", "log in"),
        (403, "AccessDenied", "get the permission"),
        (403, "RequestTimeTooSkewed", "correct the clock of this machine"),
        (400, "AuthorizationHeaderMalformed", "set AWS_REGION to the region of the bucket"),
        (501, "NotImplemented", "If-None-Match"),
        (400, "InvalidRequest", "look up what InvalidRequest means"),
    ],
)
def test_a_refusal_says_what_to_do(status: int, code: str, remedy: str) -> None:
    error = meaning_of(answer(status, code))
    assert isinstance(error, BucketError)
    assert str(status) in error.what
    assert remedy in (error.next_step or "")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (503, "SlowDown"),
        (429, ""),
        (409, "ConditionalRequestConflict"),
        (400, "BadDigest"),
        (400, "IncompleteBody"),
        (404, "NoSuchUpload"),
    ],
)
def test_what_passes_by_itself_is_no_refusal(status: int, code: str) -> None:
    assert isinstance(meaning_of(answer(status, code)), BucketUnavailableError)


def test_a_bucket_that_is_gone_is_told_from_one_that_refuses() -> None:
    assert isinstance(meaning_of(answer(404, "NoSuchBucket")), NoBucketError)


def test_a_role_that_may_not_be_assumed_any_more_is_a_login_that_has_ended() -> None:
    def refuse() -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "secret"}}, "AssumeRole")

    provider: Any = refuse
    provider.config = {}
    credentials = AwsCredentials(provider, (ClientError,))
    with pytest.raises(ClientError) as raised:
        credentials()
    error = meaning_of(raised.value, credentials)
    assert error.what == "its credentials have ended (ClientError)"
    assert "log in" in (error.next_step or "")


def test_no_login_is_used_longer_than_it_lasts(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    credentials = open_client(URL, s3.endpoint).credentials
    assert credentials is not None
    # botocore renews one that ends within so many seconds, and waits for it.
    least = timedelta(seconds=RefreshableCredentials._mandatory_refresh_timeout)
    assert credentials()["expires_at"] <= datetime.now(UTC) + least


BYTES = 400_000


class SlowServer(BaseHTTPRequestHandler):
    """Serves any object in blocks, with `PAUSE` seconds before each; never ends the last one."""

    PAUSE = 0.1
    is_stuck = False

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(BYTES))
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Mon, 30 Nov 2026 15:00:00 GMT")
        self.end_headers()
        for _ in range(8):
            time.sleep(60 if self.is_stuck else self.PAUSE)
            self.wfile.write(bytes(BYTES // 8))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def slow(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketResults]:
    monkeypatch.setattr("batchgen.storage.opening.REQUEST_SECONDS", 0.4)
    monkeypatch.setattr("batchgen.storage.opening.READ_SECONDS", 0.4)
    monkeypatch.setattr("batchgen.storage.opening.MOST_RETRIES", 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), SlowServer)
    server.daemon_threads = True
    endpoint = f"http://127.0.0.1:{server.server_port}"
    for name, value in {**s3.env, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    serve = partial(server.serve_forever, poll_interval=0.01)
    thread = threading.Thread(target=serve, name="slow", daemon=True)
    thread.start()
    yield BucketResults(BucketLocation(URL))
    server.shutdown()
    thread.join()
    server.socket.close()


def test_a_large_file_may_take_longer_than_a_request(slow: BucketResults) -> None:
    with slow.open("files/a.mp4") as file:
        assert len(file.read()) == BYTES


def test_a_file_that_does_not_come_is_noticed(
    slow: BucketResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SlowServer, "is_stuck", True)
    with pytest.raises(BucketUnavailableError, match="no answer"):
        slow.open("files/a.mp4")
