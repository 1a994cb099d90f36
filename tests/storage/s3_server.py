"""An S3 server on this machine, which notes what it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3  # type: ignore[import-untyped]
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

KEY_ID = "AKIAREHEARSALKEYID42"
SECRET = "s3cr3t/of+the/tests/0123456789abcdef"
SESSION = "a-session-token-that-must-not-be-seen"


@dataclass
class S3Server:
    """`calls` are (method, path); `refuse` may answer a call with a status instead.

    `lose` says of a call that is obeyed that its answer is lost.
    """

    endpoint: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    refuse: Callable[[str, str], int | None] = lambda _method, _path: None
    lose: Callable[[str, str], bool] = lambda _method, _path: False

    @property
    def env(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": SESSION,
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            region_name="eu-west-1",
        )

    def make_bucket(self, name: str) -> None:
        place = {"LocationConstraint": "eu-west-1"}
        self.client().create_bucket(Bucket=name, CreateBucketConfiguration=place)

    def keys(self, bucket: str) -> list[str]:
        found = self.client().list_objects_v2(Bucket=bucket).get("Contents", [])
        return sorted(one["Key"] for one in found)

    def uploads(self, bucket: str) -> list[str]:
        """Keys in the order of their uploads, without the check of each run."""
        start = f"/{bucket}/"
        return [
            path.removeprefix(start)
            for method, path in self.calls
            if method == "PUT" and path.startswith(start) and not path.endswith("check.txt")
        ]


class _Quiet(WSGIRequestHandler):
    """A command's own output is not lost among requests; clients that were killed are no news."""

    def log(self, *_: Any) -> None:
        pass


@contextmanager
def s3_server() -> Iterator[S3Server]:
    server = S3Server()
    moto = DomainDispatcherApplication(create_backend_app)

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        server.calls.append((method, path))
        status = server.refuse(method, path)
        if status is not None:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response(f"{status} Refused", [("Content-Length", "0")])
            return []
        if server.lose(method, path):
            b"".join(moto(environ, lambda *_: None))
            start_response("500 Lost", [("Content-Length", "0")])
            return []
        return moto(environ, start_response)

    running = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Quiet)
    server.endpoint = f"http://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever, name="S3", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        running.shutdown()
        thread.join()
        running.server_close()
