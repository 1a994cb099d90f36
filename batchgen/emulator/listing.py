"""`GET /models` and `GET /models/{model_id}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.emulator.catalogue import Catalogue, matching, model_document
from batchgen.emulator.payloads import Answer
from batchgen.emulator.refusals import refusal, unknown_model

if TYPE_CHECKING:
    from aiohttp import web

    from batchgen.emulator.faults import Fault

DEFAULT_LIMIT = "50"


@dataclass(frozen=True, slots=True)
class Listing:
    catalogue: Catalogue

    async def one(self, request: web.Request, _fault: Fault | None) -> Answer:
        model_id = request.match_info["model_id"]
        model = self.catalogue.models.get(model_id)
        if model is None:
            return unknown_model(model_id)
        return Answer(model_document(model, self.catalogue.output_schema, with_schema=True))

    async def many(self, request: web.Request, _fault: Fault | None) -> Answer:
        query = request.query
        try:
            limit = _whole(query.get("limit", DEFAULT_LIMIT))
            offset = _whole(query.get("offset", "0"))
        except ValueError:
            return refusal(400, "limit and offset must be whole numbers, 0 or more.")
        found = matching(
            self.catalogue.models.values(), query.get("search", ""), query.get("category", "")
        )
        with_schema = query.get("include_schema", "").lower() in ("true", "1")
        documents = [
            model_document(model, self.catalogue.output_schema, with_schema=with_schema)
            for model in found[offset : offset + limit]
        ]
        return Answer({"models": documents, "total": len(found)})


def _whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value
