"""Where an answer ends: what follows it on a connection is nobody's."""

from __future__ import annotations

from math import inf

import pytest

from batchgen.net import HEAD_LIMIT, answer_size

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("received", "size"),
    [
        (b"", None),
        (OK + b"Content-Length: 2\r\n", None),
        (OK + b"Content-Length: 2\r\n\r\n", 40),
        (OK + b"content-length:2 \r\nX: y\r\n\r\n{}HTTP", 46),
        (b"HTTP/1.0 404 No\r\nContent-Length: 0\r\n\r\n", 38),
        (OK + b"X: y\r\n\r\n", inf),
        (OK + b"Content-Length: two\r\n\r\n", inf),
        (OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", inf),
        (b"HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\n", inf),
        (b"SSH-2.0-hello\r\n\r\n", inf),
        (b"x" * (HEAD_LIMIT + 1), inf),
    ],
)
def test_an_answer_ends_where_its_head_says(received: bytes, size: float | None) -> None:
    assert answer_size(received) == size
