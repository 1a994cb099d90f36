"""Receivers of notifications: one that listens, one that never answers, one that is not there."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE = 60.0
SECRET = "hunter2-in-the-path"


@dataclass
class Receiver:
    """A webhook on this machine. `status` is what it answers."""

    port: int = 0
    status: int = 200
    words: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue)
    gate: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"json://ann:{SECRET}@127.0.0.1:{self.port}/{SECRET}"

    def next(self) -> dict[str, Any]:
        return self.words.get(timeout=PATIENCE)

    def all(self) -> list[str]:
        """What came until now, as texts."""
        return [self.words.get()["message"] for _ in range(self.words.qsize())]


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.asked.set()
            receiver.gate.wait(PATIENCE)
            receiver.words.put(json.loads(body))
            self.send_response(receiver.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not on the terminal."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that left is what some tests are about."""


@contextmanager
def receiving(*, hanging: bool = False, status: int = 200) -> Iterator[Receiver]:
    receiver = Receiver(status=status)
    if not hanging:
        receiver.gate.set()
    with _Server(("127.0.0.1", 0), _handler(receiver)) as server:
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.gate.set()
            server.shutdown()
            thread.join()


def dead_url() -> str:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"json://ann:{SECRET}@127.0.0.1:{free.getsockname()[1]}/{SECRET}"
