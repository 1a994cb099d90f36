"""Base addresses of the API, and which texts can be a request id."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from batchgen.errors import UsageError
from batchgen.runcomfy.token import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Mapping


DEFAULT_BASE = "https://model-api.runcomfy.net/v1"
BASE_VARIABLE = "RUNCOMFY_MODEL_API_BASE"
WALLET_BASE = "https://api.runcomfy.net/prod/v2"
WALLET_VARIABLE = "RUNCOMFY_SERVERLESS_API_BASE"
WALLET_PATH = "/prod/v2"


def api_base(env: Mapping[str, str]) -> str:
    """Give the base address without a slash at its end, its `/v1` included.

    Raises UsageError for anything but https, or http to this machine: the token goes there.
    """
    base = env.get(BASE_VARIABLE, "").strip().rstrip("/")
    if not base:
        return DEFAULT_BASE
    _require_fit(base, BASE_VARIABLE, DEFAULT_BASE)
    return base


def wallet_base(env: Mapping[str, str], base: str) -> str | None:
    """Give the base address for the account's balance, beside the API at `base`.

    The token goes there, so it is the vendor's host where `base` is the vendor's, this machine
    where `base` is, and what the variable names; None for any other, whose owner is unknown.
    Raises UsageError as `api_base` does.
    """
    named = env.get(WALLET_VARIABLE, "").strip().rstrip("/")
    if named:
        _require_fit(named, WALLET_VARIABLE, WALLET_BASE)
        return named
    if base == DEFAULT_BASE:
        return WALLET_BASE
    parts = urlsplit(base)
    return f"{parts.scheme}://{parts.netloc}{WALLET_PATH}" if is_loopback(base) else None


def is_loopback(base: str) -> bool:
    """Whether `base` is on this machine, as the emulator's is."""
    return _is_loopback_host(urlsplit(base).hostname or "")


def _require_fit(base: str, variable: str, example: str) -> None:
    if problem := _problem_with(base):
        raise UsageError(
            f"not an API base: {problem}",
            where=variable,
            next_step=f"use an address such as {example}, or unset the variable",
        )


def _problem_with(base: str) -> str | None:
    # urlsplit drops tabs and line breaks in silence, so they are checked first.
    if not base.isascii() or not base.isprintable() or " " in base:
        return "it has a space, a control character or a character outside ASCII"
    try:
        parts = urlsplit(base)
        _ = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError:
        return "its host or port is malformed"
    return _problem_with_parts(base, parts)


def _problem_with_parts(base: str, parts: SplitResult) -> str | None:
    # None of these sentences repeats the value: a part before an @ may be a secret.
    host = parts.hostname or ""
    if not base.startswith(("http://", "https://")) or not host:
        return "it must begin with https:// and name a host"
    if "@" in parts.netloc:
        return "it has a user name or password"
    if any(char in base for char in "?#\\"):
        return "it has a query, a fragment or a backslash"
    if parts.scheme == "http" and not _is_loopback_host(host):
        return f"http would show the token to everyone on the way to {host}"
    return None


def _is_loopback_host(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


LONGEST_ID = 200
_UNSAFE = frozenset("/\\?#%")


def usable_request_id(value: object) -> str | None:
    """Give the id as text, or None; it becomes part of an address. An integer counts as its digits.

    At most 200 visible ASCII characters, none that would change the meaning of an address. A server
    that returns the token as an id has given none.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    visible = text.isascii() and text.isprintable() and " " not in text
    if (
        HIDDEN in text
        or not visible
        or not 0 < len(text) <= LONGEST_ID
        or _UNSAFE.intersection(text)
    ):
        return None
    return text if text.strip(".") else None
