"""Who may ask. Any page of the browser can reach a loopback port; only ours may do anything there.

The address holds a key that no other page knows. The Host header must name this machine, so that
no name of somebody else's leads here (DNS rebinding); what changes anything comes from our page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler, Middleware

NAMES = ("127.0.0.1", "localhost")
HTTP_PORT = 80
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
NEVER_KEPT = "no-store"


def why_not(method: str, headers: Mapping[str, str], port: int) -> str | None:
    """Why a request is refused; None where it is not. Pure; `headers` do not tell case apart."""
    host = headers.get("Host", "")
    # A browser leaves out the port that every http address has.
    names = {name for name in NAMES if port == HTTP_PORT} | {f"{name}:{port}" for name in NAMES}
    if host not in names:
        return "this server answers to its loopback name alone"
    if method in {"GET", "HEAD"}:
        return None
    if not _is_ours(headers, f"http://{host}"):
        return "this can only be asked by the page itself"
    if headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
        return "JSON is asked for"
    return None


def _is_ours(headers: Mapping[str, str], origin: str) -> bool:
    said = headers.get("Origin")
    if said is not None:
        return said == origin
    return headers.get("Sec-Fetch-Site") == "same-origin"


def guard(port: int) -> Middleware:
    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if why := why_not(request.method, request.headers, port):
            raise web.HTTPForbidden(text=why)
        return await handler(request)

    return guarded


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """On every answer, refusals too."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", NEVER_KEPT)
