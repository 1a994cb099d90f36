"""What changed → server-sent events (html.spec.whatwg.org), and the page they start from.

A stream has no queue: it knows which moment its page has, and asks what has changed since. So a
slow page gets fewer events, and one that reconnects gets exactly what it missed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.errors import BatchgenError
from batchgen.report.chunks import JOBS_IN_CHUNK, chunk_document, take_script
from batchgen.report.making import head_script
from batchgen.report.page import ICON, LIVE_SCRIPTS, SCRIPTS, STYLE, page_html
from batchgen.state.report_queries import reported_among, reported_between

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp_sse import EventSourceResponse

    from batchgen.jobs import JsonValue
    from batchgen.state.database import Connection
    from batchgen.watch.watching import View, Watching


ASSETS = frozenset({STYLE, ICON, *SCRIPTS, *LIVE_SCRIPTS})


def html(view: View) -> str:
    scripts = [f"assets/{name}" for name in (*SCRIPTS, *LIVE_SCRIPTS)]
    style = f"assets/{STYLE}"
    return page_html(view.figures.facts, style, [*scripts, "data/head.js"], live=True)


def head(view: View, last: int) -> str:
    """`last`: the highest number of a job. The page's stream goes on after this very moment."""
    chunks: list[JsonValue] = [
        f"data/jobs-{number}.js" for number in range((last + JOBS_IN_CHUNK - 1) // JOBS_IN_CHUNK)
    ]
    live: JsonValue = {"instance": view.instance, "moment": view.moment}
    return head_script({**view.figures.head, "files": "", "chunks": chunks, "live": live})


def chunk(db: Connection, number: int, moment: int) -> str:
    """`moment`: of a look before this reading, so that what changes from now on is sent again."""
    first = number * JOBS_IN_CHUNK + 1
    jobs = reported_between(db, first, first + JOBS_IN_CHUNK - 1)
    return take_script({**chunk_document(jobs, _has_thumb), "moment": moment})


def rows_document(db: Connection, seqs: Sequence[int], moment: int) -> dict[str, JsonValue]:
    """These jobs as they are; `gone` are those that are no longer shown."""
    jobs = reported_among(db, seqs)
    shown = {one.job.seq for one in jobs}
    gone: list[JsonValue] = [seq for seq in seqs if seq not in shown]
    return {**chunk_document(jobs, _has_thumb), "gone": gone, "moment": moment}


def _has_thumb(_sha256: str) -> bool:
    """Made on request."""
    return True


PING_SECONDS = 15.0
"""How often a page is pinged: otherwise nobody notices that it is gone."""
AGAIN = 1.0
"""Seconds after which rows that could not be read are read again."""
COME_BACK_MS = 1500


@dataclass(frozen=True, slots=True)
class Place:
    """How much a page knows. As text it is the id of an event."""

    instance: str
    moment: int

    def __str__(self) -> str:
        return f"{self.instance}-{self.moment}"


def parse_place(text: str) -> Place | None:
    """Parse what a page says it knows; None if no page of ours says that."""
    instance, _, moment = text.partition("-")
    if not (moment.isascii() and moment.isdigit() and len(moment) < 10):  # noqa: PLR2004 - a number
        return None
    return Place(instance, int(moment))


class Stream:
    """The events of one page. Sending waits where the page is slow."""

    def __init__(self, watching: Watching, place: Place | None, page: EventSourceResponse) -> None:
        self._watching = watching
        self._place = place
        self._page = page
        self._facts = ""
        self._behind = False

    async def run(self) -> None:
        """Send the page what changes; a page of another instance starts over."""
        while not self._watching.stopped:
            view = self._watching.view
            place = self._place
            if place is None or place.instance != view.instance or place.moment > view.moment:
                await self._send("reload", "{}")
                return
            await self._send_rows(view, place.moment)
            await self._send_facts(view)
            await self._watching.turned(view, AGAIN if self._behind else None)

    async def _send(self, kind: str, data: str, place: Place | None = None) -> None:
        """The browser remembers the last `place`, and sends it when it reconnects."""
        known = None if place is None else str(place)
        await self._page.send(data, id=known, event=kind, retry=COME_BACK_MS)

    async def _send_rows(self, view: View, since: int) -> None:
        """Only the last message says that everything is known up to the moment."""
        reader, moments = self._watching.reader, self._watching.moments
        seqs = await reader.work(lambda: moments.since(since))
        pages = [seqs[at : at + JOBS_IN_CHUNK] for at in range(0, len(seqs), JOBS_IN_CHUNK)]
        self._behind = False
        for number, page in enumerate(pages, 1):
            try:
                document = await reader.ask(rows_document, page, view.moment)
            except BatchgenError:
                # The look meets it too, and says so; this page gets the rows soon after.
                self._behind = True
                return
            self._place = Place(view.instance, view.moment) if number == len(pages) else self._place
            place = self._place if number == len(pages) else None
            await self._send("rows", json.dumps(document, separators=(",", ":")), place)

    async def _send_facts(self, view: View) -> None:
        if view.facts != self._facts:
            self._facts = view.facts
            await self._send("facts", view.facts)
