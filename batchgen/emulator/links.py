"""The absolute URLs in answers; those of files may be signed and expire."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

API = "/v1"


def request_links(origin: str, request_id: str) -> dict[str, str]:
    base = f"{origin}{API}/requests/{request_id}"
    return {"status_url": f"{base}/status", "result_url": f"{base}/result"}


def cancel_link(origin: str, request_id: str) -> str:
    return f"{origin}{API}/requests/{request_id}/cancel"


@dataclass(frozen=True, slots=True)
class FileLinks:
    """`ttl` in seconds; None makes plain URLs that are good for ever."""

    key: bytes
    ttl: float | None

    def url(self, origin: str, path: str, now: float) -> str:
        if self.ttl is None:
            return origin + path
        expires = f"{now + self.ttl:.3f}"
        return f"{origin}{path}?expires={expires}&signature={self._sign(path, expires)}"

    def is_good(self, path: str, query: Mapping[str, str], now: float) -> bool:
        if self.ttl is None:
            return True
        expires = query.get("expires", "")
        signed = self._sign(path, expires).encode()
        if not hmac.compare_digest(signed, query.get("signature", "").encode()):
            return False
        return now < float(expires)

    def _sign(self, path: str, expires: str) -> str:
        return hmac.new(self.key, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()[:32]
