"""A site with pictures, on this machine, for whoever looks at input images."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

from batchgen.emulator.input_fetches import USER_AGENT


def drawn(codec: str, size: tuple[int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, "teal").save(stream, codec)
    return stream.getvalue()


def padded(picture: bytes, size: int) -> bytes:
    """The same picture, with so many bytes behind it that the file has `size`."""
    return picture + bytes(size - len(picture))


@contextmanager
def picture_site(shelf: Mapping[str, bytes], seen: list[str] | None = None) -> Iterator[str]:
    """Serve `shelf`, by path; gives `http://127.0.0.1:PORT`.

    `seen` collects what a run asks for; the emulator fetches inputs too, in the vendor's place.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if seen is not None and self.headers["User-Agent"] != USER_AGENT:
                seen.append(self.path)
            if self.path not in shelf:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(shelf[self.path])))
            self.end_headers()
            try:
                self.wfile.write(shelf[self.path])
            except ConnectionError:
                # Who looks at the header only goes away early.
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="pictures")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
