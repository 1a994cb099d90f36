"""`GET /models`, `GET /models/categories` and `GET /models/{model_id}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.emulator.catalogue import KINDS, Catalogue, Query, categories, model_document
from batchgen.emulator.payloads import Answer
from batchgen.emulator.refusals import refusal, unknown_model

if TYPE_CHECKING:
    from aiohttp import web

    from batchgen.emulator.faults import Fault

DEFAULT_LIMIT = 100
MOST = 500


@dataclass(frozen=True, slots=True)
class Listing:
    catalogue: Catalogue

    async def one(self, request: web.Request, _fault: Fault | None) -> Answer:
        model_id = request.match_info["model_id"]
        model = self.catalogue.models.get(model_id)
        if model is None:
            return unknown_model(model_id)
        return Answer(model_document(model, self.catalogue.output_schema, with_schema=True))

    async def categories(self, _request: web.Request, _fault: Fault | None) -> Answer:
        return Answer({"categories": categories(self.catalogue.models.values())})

    async def many(self, request: web.Request, _fault: Fault | None) -> Answer:
        asked = request.query
        try:
            limit = _whole(asked.get("limit", DEFAULT_LIMIT), 1, MOST)
            offset = _whole(asked.get("offset", 0), 0)
        except ValueError:
            return refusal(400, f"limit must be from 1 to {MOST}, and offset 0 or more.")
        query = Query(asked.get("search", ""), asked.get("category", ""), asked.get("kind", ""))
        if query.kind not in ("", *KINDS):
            return refusal(400, f"kind must be one of {', '.join(KINDS)}.")
        found = [model for model in self.catalogue.models.values() if query.matches(model)]
        with_schema = asked.get("include_schema", "").lower() in ("true", "1")
        documents = [
            model_document(model, self.catalogue.output_schema, with_schema=with_schema)
            for model in found[offset : offset + limit]
        ]
        return Answer({"models": documents, "total": len(found), "limit": limit, "offset": offset})


def _whole(text: str | int, lowest: int, highest: int | None = None) -> int:
    value = int(text)
    if value < lowest or (highest is not None and value > highest):
        raise ValueError(text)
    return value
