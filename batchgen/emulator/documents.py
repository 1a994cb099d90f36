"""What status, result and cancel say about a request."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from batchgen.emulator.inputs import shown
from batchgen.emulator.links import request_links

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batchgen.emulator.offers import Makes
    from batchgen.emulator.store import StoredRequest
    from batchgen.emulator.workers import Standing


def present_state(origin: str, request_id: str, standing: Standing) -> dict[str, Any]:
    """Say what status says of an unfinished request, and the result call as well."""
    position = {} if standing.position is None else {"queue_position": standing.position}
    links = request_links(origin, request_id)
    return {"request_id": request_id, "status": standing.status, **position, **links}


def ended_state(origin: str, stored: StoredRequest) -> dict[str, Any]:
    """Call a failed request `completed`, as the vendor does: only the result says more."""
    word = "cancelled" if stored.status == "cancelled" else "completed"
    links = request_links(origin, stored.request_id)
    return {"request_id": stored.request_id, "status": word, **links}


def result(
    origin: str, stored: StoredRequest, makes: Makes, urls: Sequence[str], *, with_cost: bool
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "request_id": stored.request_id,
        "model_id": stored.model_id,
        "status": stored.status,
        "input": shown(stored.input, origin, stored.request_id),
        "created_at": iso_time(stored.created_at),
        "finished_at": iso_time(stored.finished_at or stored.created_at),
    }
    if with_cost:
        document["cost"] = stored.usd
    if stored.status == "succeeded":
        document["output"] = output(makes, urls)
    return document


def output(makes: Makes, urls: Sequence[str]) -> dict[str, Any]:
    kind = "video" if makes == "mp4" else "image"
    return {kind: urls[0]} if len(urls) == 1 else {f"{kind}s": list(urls)}


def cancellation(request_id: str, status: str, outcome: str) -> dict[str, Any]:
    return {"request_id": request_id, "status": status, "outcome": outcome}


def iso_time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
