"""Answers as the tests write them."""

from __future__ import annotations

import json
from typing import Any

from batchgen.runcomfy.response import Answer

HTML = b"<!doctype html><title>Please log in</title>"


def answer(body: Any, status: int = 200, **headers: str) -> Answer:
    """`body` as it is if it is bytes, else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {key.replace("_", "-"): text for key, text in headers.items()}, content)
