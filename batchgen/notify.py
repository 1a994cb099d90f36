"""Notifications through apprise: addresses, messages, and sending one with a deadline.

An address is checked before a run begins, and its secrets never appear in any text.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import threading
import warnings
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Self
from urllib.parse import unquote

from batchgen.errors import InputError
from batchgen.text import nearest

if TYPE_CHECKING:
    import types

    from apprise import NotifyBase


class Severity(StrEnum):
    """How a service may colour a message; the values are apprise's."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Message:
    """`text` is one plain line; `title` is for services that have one."""

    title: str
    text: str
    severity: Severity


SERVICES = "https://appriseit.com/services/"
NO_REASON = "the service refused it or did not answer"
REASON_LIMIT = 200
_SCHEME = re.compile(r"\s*(?P<scheme>[A-Za-z][A-Za-z0-9]{0,31})://")
_CUTS = (re.compile(r"[/@:?&=#]+"), re.compile(r"[^a-z0-9_-]+"))
_SHORTEST_SECRET = 4


class Address:
    """Where messages go. The URL may contain a password: texts only ever use `masked`."""

    __slots__ = ("_service", "_url", "masked")

    def __init__(self, url: str, service: NotifyBase) -> None:
        self._url = url
        self._service = service
        self.masked = _masked(url, service)

    def send(self, message: Message) -> str | None:
        """Send a message; return None or what went wrong. May block long, and raise anything.

        Not with `Apprise.notify`: the process would wait for the threads of its pool at its end.
        """
        with _LogCapture() as captured:
            sent = self._service.notify(
                body=message.text,
                title=message.title,
                notify_type=message.severity.value,
                body_format="text",
            )
        return (
            None
            if sent
            else without_secrets(captured.last, self._url, (self._service.host or "").lower())
        )

    def __repr__(self) -> str:
        return f"<Address {self.masked}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an address cannot be pickled or copied")


def read_address(url: str) -> Address:
    """Check one URL without sending anything. Raises InputError, whose text omits the URL."""
    apprise = _library()
    found = _SCHEME.match(url)
    if found is None:
        raise InputError(
            "is not an address", next_step=f"write it as service://…: {SERVICES} lists them"
        )
    scheme = found["scheme"].lower()
    asset = apprise.AppriseAsset(app_id="batchgen", app_desc="batchgen", app_url="")
    with warnings.catch_warnings():
        # This imports apprise's modules; their deprecation warnings are not the user's problem.
        warnings.simplefilter("ignore", DeprecationWarning)
        service = apprise.Apprise.instantiate(url.strip(), asset=asset)
    if service is not None:
        return Address(url, service)
    known = _schemes(apprise)
    if scheme in known:
        raise InputError(
            f"is not a complete {scheme}:// address",
            next_step=f"{SERVICES} shows what belongs in it",
        )
    close = nearest(scheme, known)
    raise InputError(
        f"begins with {scheme}://, which is not a service that apprise knows",
        next_step=f"did you mean '{close}'?" if close else f"{SERVICES} lists them",
    )


def without_secrets(reason: str, url: str, host: str) -> str:
    """Return the service's error message, unless it contains a part of the URL besides the host."""
    rest = url.partition("://")[2].lower()
    pieces = {piece for text in (rest, unquote(rest)) for cut in _CUTS for piece in cut.split(text)}
    secrets = {piece for piece in pieces if len(piece) >= _SHORTEST_SECRET and piece != host}
    text = reason.lower().replace(host, " ") if host else reason.lower()
    if not reason or any(secret in text for secret in secrets):
        return NO_REASON
    line = " ".join("".join(char if char.isprintable() else " " for char in reason).split())
    return line[:REASON_LIMIT].rstrip(".")


def _library() -> types.ModuleType:
    try:
        import apprise  # noqa: PLC0415 - an extra
    except ImportError as exc:
        raise InputError(
            "cannot be used without the package apprise",
            next_step="pip install 'batchgen[notify]'",
        ) from exc
    # It logs URLs that it cannot parse: they must not reach the calling program's log.
    logging.getLogger("apprise").propagate = False
    return apprise


def _schemes(apprise: types.ModuleType) -> list[str]:
    found = (
        scheme
        for schema in apprise.Apprise().details()["schemas"]
        for scheme in (*(schema["protocols"] or ()), *(schema["secure_protocols"] or ()))
    )
    return sorted(found)


def _masked(url: str, service: NotifyBase) -> str:
    """Return e.g. `json://127.0.0.1`; only the scheme if the service has no host.

    In place of a host there may be a token (Slack, Telegram) or a topic that is as secret as one
    (ntfy): if the service also accepts those, a host has a dot or is this machine.
    """
    found = _SCHEME.match(url)
    scheme = found["scheme"].lower() if found else "…"
    host = service.host or ""
    templates: tuple[str, ...] = service.templates
    takes_host = ["{host}" in template for template in templates]
    is_host = all(takes_host) or (any(takes_host) and _looks_like_host(host))
    return f"{scheme}://{host if is_host and host.isprintable() else '…'}"


def _looks_like_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return text == "localhost" or "." in text
    return True


class _LogCapture(logging.Handler):
    """Captures what apprise logs in this thread while the block runs: its only error report."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.last = record.getMessage()

    def __enter__(self) -> Self:
        logging.getLogger("apprise").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)


class Occasion(StrEnum):
    END = "end"
    PAUSE = "pause"
    FIRST_FAILURE = "first_failure"


@dataclass(frozen=True, slots=True)
class Notify:
    """Where notifications of a run go, and on which occasions."""

    to: tuple[Address, ...] = ()
    on: frozenset[Occasion] = frozenset(Occasion)


NO_NOTIFICATIONS = Notify()


async def deliver(address: Address, message: Message, seconds: float) -> str | None:
    """Send a message; return None or what went wrong.

    A service that does not answer in `seconds` is abandoned: its message may still arrive.
    """
    # Imported here because every command reads addresses, and only a run sends anything.
    import asyncio  # noqa: PLC0415 - see above

    from batchgen.concurrency import in_daemon_thread  # noqa: PLC0415 - see above

    name = f"notify {address.masked}"
    sending = asyncio.create_task(in_daemon_thread(partial(address.send, message), name), name=name)
    try:
        await asyncio.wait({sending}, timeout=seconds)
    finally:
        sending.cancel()
    if not sending.done():
        return f"no answer within {seconds:.0f} s"
    if error := sending.exception():
        # Third-party plug-ins may raise any error, and its text may contain the URL.
        return f"the service's plug-in failed ({type(error).__name__})"
    return sending.result()
