"""URLs of input files: HTTPS, public, no login. The vendor's servers fetch them, not this machine.

Only the URL itself is checked: no name is resolved and nothing is fetched.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from batchgen.net import is_address, is_loopback, is_public

LONGEST_URL = 8192
"""Characters. Pre-signed URLs are long, but servers refuse longer request lines than this."""

PRIVATE_ZONES = ("localhost", "local", "internal", "home.arpa")

_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PLAIN_URL = re.compile(
    r"https://(?:[a-z0-9][a-z0-9-]*\.)+(?!(?:local|localhost|internal|arpa)(?:[/?#]|\Z))[a-z]{2,}"
    r"(?:[/?#][!-\[\]-~]*)?"
)
"""Most URLs in data sets: a plain host with an alphabetic top-level domain; no port, no user."""


class UnfitUrlError(ValueError):
    """The vendor could not fetch this URL; the text says why, e.g. `must begin with https://`."""


def is_public_url(url: str) -> bool:
    try:
        require_public_url(url)
    except UnfitUrlError:
        return False
    return True


def is_public_or_loopback_url(url: str) -> bool:
    try:
        require_public_or_loopback_url(url)
    except UnfitUrlError:
        return False
    return True


def require_public_url(url: str) -> None:
    """Raise UnfitUrlError unless `url` is HTTPS on a public host."""
    if not _is_plain(url):
        _require_public_url(url)


def _is_plain(url: str) -> bool:
    """A quick check that accepts most valid URLs; False means the full check must decide."""
    return len(url) <= LONGEST_URL and _PLAIN_URL.fullmatch(url) is not None


def _require_public_url(url: str) -> None:
    parts = _split(url)
    if parts.scheme != "https":
        raise UnfitUrlError("must begin with https://")
    _require_public_host(_host(parts))


def require_public_or_loopback_url(url: str) -> None:
    """Like `require_public_url`, but allows http servers on this machine, for rehearsals."""
    if _is_plain(url):
        return
    parts = _split(url)
    host = _host(parts)
    if parts.scheme in {"http", "https"} and (host == "localhost" or is_loopback(host)):
        return
    _require_public_url(url)


def _split(url: str) -> SplitResult:
    if len(url) > LONGEST_URL:
        raise UnfitUrlError(f"is {len(url)} characters long; at most {LONGEST_URL} are allowed")
    # urlsplit silently drops tabs and line breaks, and parsers disagree about the backslash.
    if _UNSAFE.search(url):
        raise UnfitUrlError("must not contain spaces, control characters or backslashes")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise UnfitUrlError("is not a valid URL") from exc
    if port == 0:
        raise UnfitUrlError("is not a valid URL")
    return parts


def _host(parts: SplitResult) -> str:
    if parts.username is not None or parts.password is not None:
        raise UnfitUrlError("must not contain a user name or a password")
    host = (parts.hostname or "").removesuffix(".")
    if not host:
        raise UnfitUrlError("has no host name")
    return host


def _require_public_host(host: str) -> None:
    if is_address(host):
        if not is_public(host):
            raise UnfitUrlError(f"must be on a public host; {host} is a private or local address")
        return
    if not _HOST_NAME.fullmatch(host) or ".." in host:
        raise UnfitUrlError("has a host name that is not plain ASCII (use its xn-- form)")
    labels = host.split(".")
    # Some parsers read `127.1` or `0x7f.1` as an IPv4 address.
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        raise UnfitUrlError("has a host that is neither a name nor an IP address")
    if len(labels) == 1 or _in_private_zone(host):
        raise UnfitUrlError(f"must be on a public host; '{host}' is known only locally")


def _in_private_zone(host: str) -> bool:
    return any(host == zone or host.endswith(f".{zone}") for zone in PRIVATE_ZONES)
