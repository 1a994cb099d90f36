"""`GET /emulator/ledger`: every accepted submit, in order, as one JSON document.

It is written page by page, so that fifty thousand lines need no more memory than five hundred.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from batchgen.emulator.payloads import JSON_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.emulator.store import Charge, Store
    from batchgen.emulator.workers import Workers


@dataclass(frozen=True, slots=True)
class Ledger:
    store: Store
    workers: Workers

    async def serve(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": JSON_TYPE})
        await response.prepare(request)
        for piece in self._pieces():
            # Each write lets other calls in: the pages are read as of their moment.
            await response.write(piece.encode())
        return response

    def charges(self) -> Iterator[Charge]:
        for page in self._pages():
            yield from page

    def _pieces(self) -> Iterator[str]:
        opening = '{"charges": [\n'
        for page in self._pages():
            yield opening + ",\n".join(map(self._line, page))
            opening = ",\n"
        empty = opening if opening != ",\n" else ""
        yield f'{empty}\n], "token_leaks": {self.store.token_leaks()}}}\n'

    def _pages(self) -> Iterator[list[Charge]]:
        seq = 0
        while page := self.store.charges_after(seq):
            seq = page[-1][0]
            yield [charge for _seq, charge in page]

    def _line(self, charge: Charge) -> str:
        standing = self.workers.standing(charge.request_id)
        status = charge.status if standing is None else standing.status
        head = json.dumps({"request_id": charge.request_id, "model_id": charge.model_id})
        tail = json.dumps({"status": status, "usd": charge.usd})
        # The input is JSON already.
        return f'{head[:-1]}, "input": {charge.input}, {tail[1:]}'
