"""Whether a `.part` and its sidecar can be continued, and where. Pure.

Only a strong ETag is trusted. Last-Modified has whole seconds: parts of two pictures made within a
second would be joined unnoticed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

MAX_ETAG = 1024


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The file that the `.part` belongs to. `total` is in bytes; None if the server did not say."""

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
    """Return the ETag if it identifies exact bytes; None for a weak or malformed one."""
    if value is None or len(value) < len('""') or len(value) > MAX_ETAG:
        return None
    return value if value.startswith('"') and value.endswith('"') else None


def plan_resume(sidecar: Sidecar | None, part_bytes: int) -> Resume | None:
    """Return None to start over.

    For a complete part the last byte is fetched again: it proves that the file is still the same,
    while a range past the end would only be refused.
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
    """Return None for anything that sidecar_text did not write: that costs one more download."""
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
