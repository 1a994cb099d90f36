"""`batchgen watch` in a process of its own, as a person starts it."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.shell import PATIENCE, Shell
from tests.watch.watch_world import called, states


class Watcher:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.first = process.stdout.readline()
        self.url = self.first.split()[-1]

    def opened(self, path: str) -> Any:
        """The answer; the block closes it."""
        return urllib.request.urlopen(self.url + path, timeout=PATIENCE)

    def get(self, path: str) -> str:
        with self.opened(path) as answer:
            text: str = answer.read().decode()
            return text

    def head(self) -> Any:
        return called("begin", self.get("data/head.js"))

    def rows(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in self.head()["chunks"]:
            found |= states(called("take", self.get(name)))
        return found

    def files(self) -> list[int]:
        """The keys of all results, in the manifest's order."""
        document = called("take", self.get("data/jobs-0.js"))
        return [file[7] for row in document["rows"] for file in row[14]]

    @contextmanager
    def told(self) -> Iterator[Iterator[dict[str, str]]]:
        """The states that an open page is told from now on, event by event."""
        live = self.head()["live"]
        place = f"{live['instance']}-{live['moment']}"
        with self.opened(f"events?after={place}") as stream:
            yield _rows_of(stream)

    def say(self, word: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            self.url + "decisions",
            json.dumps({"decisions": [word]}).encode(),
            {"Content-Type": "application/json", "Origin": self.url.rsplit("/", 2)[0]},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)


def _rows_of(stream: Iterable[bytes]) -> Iterator[dict[str, str]]:
    kind = b""
    for line in stream:
        name, _, value = line.rstrip(b"\r\n").partition(b": ")
        if name == b"event":
            kind = value
        elif name == b"data" and kind == b"rows":
            yield states(json.loads(value))


@contextmanager
def watching(shell: Shell, *words: str, **options: Any) -> Iterator[Watcher]:
    with shell.start("watch", "m.yaml", *words, **options) as process:
        try:
            yield Watcher(process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=PATIENCE)
