"""`batchgen watch` in a process of its own, as a person starts it."""

from __future__ import annotations

import json
import signal
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.watch.watch_world import called, states

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.acceptance.shell import Shell


class Watcher:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.first = process.stdout.readline()
        self.url = self.first.split()[-1]

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=20) as answer:
            text: str = answer.read().decode()
            return text

    def head(self) -> Any:
        return called("begin", self.get("data/head.js"))

    def rows(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in self.head()["chunks"]:
            found |= states(called("take", self.get(name)))
        return found

    def say(self, word: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            self.url + "words",
            json.dumps({"words": [word]}).encode(),
            {"Content-Type": "application/json", "Origin": self.url.rsplit("/", 2)[0]},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)


@contextmanager
def watching(shell: Shell, *words: str) -> Iterator[Watcher]:
    with shell.start("watch", "m.yaml", *words) as process:
        try:
            yield Watcher(process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=20)
