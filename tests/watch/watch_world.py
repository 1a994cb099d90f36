"""A served page without a browser: its own doors, real HTTP, a state that the test changes."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from batchgen.state.database import Connection, open_for_writing
from batchgen.storage.locations import FolderLocation, Location
from batchgen.watch.ports import Outcome, PageDecision, Ports, Watched
from batchgen.watch.server import serving
from tests.shell import PATIENCE


@dataclass
class Run:
    """What the page asks of the run, written down; `act` is done before it is answered."""

    at_work: bool = False
    said: list[PageDecision] = field(default_factory=list)
    calls: int = 0
    answer: Outcome | Exception = field(default_factory=lambda: Outcome(handed=True))
    act: Callable[[], object] = lambda: None
    results: Location | None = None
    tuned: list[tuple[dict[str, str], str | None]] = field(default_factory=list)

    def tune(self, values: Mapping[str, str], model: str | None) -> None:
        if isinstance(self.answer, Exception):
            raise self.answer
        self.tuned.append((dict(values), model))

    def decide(self, said: Sequence[PageDecision]) -> Outcome:
        self.calls += 1
        self.said += said
        self.act()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    @property
    def ports(self) -> Ports:
        def results(_db: Connection) -> Location:
            return self.results or FolderLocation(Path())

        return Ports(
            self.decide,
            lambda: self.at_work,
            lambda _db: False,
            results,
            lambda: 1_760_000_000.0,
            self.tune,
        )


@dataclass
class Page:
    """A client that knows the address."""

    url: str
    http: aiohttp.ClientSession

    @property
    def origin(self) -> str:
        return self.url.rsplit("/", 2)[0]

    async def get(self, path: str = "", **headers: str) -> tuple[int, bytes, dict[str, str]]:
        async with self.http.get(self.url + path, headers=headers) as answer:
            return answer.status, await answer.read(), dict(answer.headers)

    async def text(self, path: str = "") -> str:
        status, body, _ = await self.get(path)
        assert status == 200, body
        return body.decode()

    async def head(self) -> Any:
        return called("begin", await self.text("data/head.js"))

    async def place(self) -> str:
        """How much a page knows that was opened just now."""
        live = (await self.head())["live"]
        return f"{live['instance']}-{live['moment']}"

    async def rows(self) -> dict[str, str]:
        """Each job's state, as the page's chunks tell it."""
        found: dict[str, str] = {}
        for name in (await self.head())["chunks"]:
            found |= states(called("take", await self.text(name)))
        return found

    async def say(self, *words: dict[str, Any], **headers: str) -> tuple[int, Any]:
        return await self.post({"decisions": list(words)}, **headers)

    async def post(self, document: Any, to: str = "decisions", **headers: str) -> tuple[int, Any]:
        own = {"Origin": self.origin, "Content-Type": "application/json", **headers}
        body = io.BytesIO(json.dumps(document).encode())
        async with self.http.post(self.url + to, data=body, headers=own) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text.startswith("{") else text

    async def send(self, body: bytes, kind: str) -> int:
        """Post these very bytes as picks; the answer's status."""
        own = {"Origin": self.origin, "Content-Type": kind}
        data = io.BytesIO(body)
        async with self.http.post(self.url + "decisions", data=data, headers=own) as answer:
            return answer.status

    @asynccontextmanager
    async def stream(self, after: str, **headers: str) -> AsyncIterator[Events]:
        async with self.http.get(f"{self.url}events?after={after}", headers=headers) as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            yield Events(answer)


@dataclass
class Events:
    """An event stream, read as a browser does."""

    answer: aiohttp.ClientResponse
    last_id: str = ""

    async def next(self) -> tuple[str, Any]:
        """Kind and data; ("", None) at the end."""
        async with asyncio.timeout(PATIENCE):
            while True:
                lines: list[str] = []
                while line := (await self.answer.content.readline()).decode():
                    if not (text := line.rstrip("\r\n")):
                        break
                    lines.append(text)
                if not line:
                    return "", None
                fields = dict(one.split(": ", 1) for one in lines if not one.startswith(":"))
                self.last_id = fields.get("id", self.last_id)
                if "event" in fields:
                    return fields["event"], json.loads(fields["data"])

    async def until(self, kind: str) -> Any:
        while True:
            found, data = await self.next()
            assert found, f"the stream ended before {kind}"
            if found == kind:
                return data


def called(name: str, script: str) -> Any:
    found = re.fullmatch(rf"batchgen\.{name}\((.*)\);\n", script, re.DOTALL)
    assert found, script[:80]
    return json.loads(found[1])


def states(document: Any) -> dict[str, str]:
    return {row[1]: document["texts"][row[3]] for row in document["rows"]}


@asynccontextmanager
async def watching(root: Path, run: Run | None = None, port: int = 0) -> AsyncIterator[Page]:
    run = run or Run()
    run.results = run.results or FolderLocation(root)
    async with (
        serving(watched(root), run.ports, port, asyncio.Event()) as url,
        aiohttp.ClientSession() as http,
    ):
        yield Page(url, http)


def watched(root: Path) -> Watched:
    return Watched("night", "night.yaml", root, root / "state.db", root / "report")


def change(root: Path, *statements: str) -> None:
    """As another process would."""
    with closing(open_for_writing(root / "state.db")) as db:
        db.execute("BEGIN")
        for statement in statements:
            db.execute(statement)
        db.execute("COMMIT")
