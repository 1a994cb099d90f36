from __future__ import annotations

import logging
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.uploads.s3_server import S3Server, s3_server


@pytest.fixture(scope="session")
def only_s3() -> Iterator[S3Server]:
    """One for each worker: it takes a second to import."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with s3_server() as server:
        yield server


@pytest.fixture
def s3(only_s3: S3Server) -> S3Server:
    only_s3.calls.clear()
    only_s3.refuse = lambda _method, _path: None
    return only_s3


@pytest.fixture
def bucket(s3: S3Server) -> str:
    name = f"pictures-{uuid4().hex[:12]}"
    s3.make_bucket(name)
    s3.calls.clear()
    return name
