"""What a `.part` and its sidecar allow to be continued. Pure.

Only a strong ETag is trusted. Last-Modified has whole seconds: two pictures of one request, made
within one second, would be glued together unnoticed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

MAX_ETAG = 1024


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What the `.part` is a part of. `total` in bytes; None where the server did not say."""

    etag: str
    total: int | None


@dataclass(frozen=True, slots=True)
class Resume:
    """Continue at byte `offset`."""

    offset: int
    sidecar: Sidecar

    @property
    def headers(self) -> dict[str, str]:
        return {"Range": f"bytes={self.offset}-", "If-Range": self.sidecar.etag}


def strong_etag(value: str | None) -> str | None:
    """The ETag where it stands for exactly these bytes; None for a weak or malformed one."""
    if value is None or len(value) < len('""') or len(value) > MAX_ETAG:
        return None
    return value if value.startswith('"') and value.endswith('"') else None


def plan_resume(sidecar: Sidecar | None, part_bytes: int) -> Resume | None:
    """None: start over.

    For a complete part the last byte is fetched again: one byte proves that it is still the same
    file, where a range past the end would only be refused.
    """
    if sidecar is None or part_bytes <= 0:
        return None
    if sidecar.total is None:
        return Resume(part_bytes, sidecar)
    if part_bytes > sidecar.total or sidecar.total == 1:
        return None
    return Resume(min(part_bytes, sidecar.total - 1), sidecar)


def sidecar_text(sidecar: Sidecar) -> str:
    return json.dumps({"etag": sidecar.etag, "total": sidecar.total})


def parse_sidecar(text: str) -> Sidecar | None:
    """None for anything but what sidecar_text wrote: a damaged sidecar costs one more download."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or set(found) != {"etag", "total"}:
        return None
    total = found["total"]
    if total is not None and (type(total) is not int or total <= 0):
        return None
    etag = strong_etag(found["etag"]) if isinstance(found["etag"], str) else None
    return Sidecar(etag, total) if etag and etag.isprintable() else None
