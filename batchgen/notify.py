"""Notifications: addresses of apprise, messages, and sending one with a deadline.

An address is checked before a run begins, and its secrets appear in no text.
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


class Mood(StrEnum):
    """How a service may colour a word; the values are apprise's."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Message:
    """`text` is one plain line; `title` is for services that have one."""

    title: str
    text: str
    mood: Mood


SERVICES = "https://appriseit.com/services/"
NO_REASON = "the service refused it or did not answer"
REASON_LIMIT = 200
_SCHEME = re.compile(r"\s*(?P<scheme>[A-Za-z][A-Za-z0-9]{0,31})://")
_CUTS = (re.compile(r"[/@:?&=#]+"), re.compile(r"[^a-z0-9_-]+"))
_SHORTEST_SECRET = 4


class Address:
    """Where a word goes. The URL may hold a password: `shown` is all that any text has of it."""

    __slots__ = ("_service", "_url", "shown")

    def __init__(self, url: str, service: NotifyBase) -> None:
        self._url = url
        self._service = service
        self.shown = _shown(url, service)

    def send(self, message: Message) -> str | None:
        """Send it, and say what went wrong. Blocks as long as the service likes.

        It may raise anything. Not by way of `Apprise.notify`: the threads of its pool are waited
        for when the process ends.
        """
        with _Complaints() as complaints:
            sent = self._service.notify(
                body=message.text,
                title=message.title,
                notify_type=message.mood.value,
                body_format="text",
            )
        return (
            None
            if sent
            else discreet(complaints.last, self._url, (self._service.host or "").lower())
        )

    def __repr__(self) -> str:
        return f"<Address {self.shown}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an address is not pickled or copied")


def read_address(url: str) -> Address:
    """Check one URL; nothing is sent. Raises InputError, whose text does not show the URL."""
    apprise = _library()
    found = _SCHEME.match(url)
    if found is None:
        raise InputError(
            "is not an address", next_step=f"write it as service://…: {SERVICES} lists them"
        )
    scheme = found["scheme"].lower()
    asset = apprise.AppriseAsset(app_id="batchgen", app_desc="batchgen", app_url="")
    with warnings.catch_warnings():
        # Its modules are loaded here; what they import is not the user's to mend.
        warnings.simplefilter("ignore", DeprecationWarning)
        service = apprise.Apprise.instantiate(url.strip(), asset=asset)
    if service is not None:
        return Address(url, service)
    known = _schemes(apprise)
    if scheme in known:
        raise InputError(
            f"is not a whole {scheme}:// address",
            next_step=f"{SERVICES} shows what belongs into it",
        )
    close = nearest(scheme, known)
    raise InputError(
        f"begins with {scheme}://, which is no service that apprise knows",
        next_step=f"did you mean '{close}'?" if close else f"{SERVICES} lists them",
    )


def discreet(reason: str, url: str, host: str) -> str:
    """The service's complaint, unless a part of the URL other than its host stands in it."""
    rest = url.partition("://")[2].lower()
    pieces = {piece for text in (rest, unquote(rest)) for cut in _CUTS for piece in cut.split(text)}
    secrets = {piece for piece in pieces if len(piece) >= _SHORTEST_SECRET and piece != host}
    told = reason.lower().replace(host, " ") if host else reason.lower()
    if not reason or any(secret in told for secret in secrets):
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
    # It logs URLs that it does not understand: that must reach no log of the program around us.
    logging.getLogger("apprise").propagate = False
    return apprise


def _schemes(apprise: types.ModuleType) -> list[str]:
    found = (
        scheme
        for schema in apprise.Apprise().details()["schemas"]
        for scheme in (*(schema["protocols"] or ()), *(schema["secure_protocols"] or ()))
    )
    return sorted(found)


def _shown(url: str, service: NotifyBase) -> str:
    """`json://127.0.0.1`; of services without a host only the scheme.

    What stands in a host's place may be a token (Slack, Telegram) or a topic that is as good as
    one (ntfy): where the service also takes such, a host is what has a dot, or is this machine.
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


class _Complaints(logging.Handler):
    """What apprise says of this thread's word while the block lasts: it tells its log only."""

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
    """Who is notified of a run, and of what."""

    to: tuple[Address, ...] = ()
    on: frozenset[Occasion] = frozenset(Occasion)


NOBODY = Notify()


async def deliver(address: Address, message: Message, seconds: float) -> str | None:
    """Send it, and say what went wrong; None where it was taken.

    A service that does not answer in time is left behind: the message may still arrive.
    """
    # Loaded here: every command reads addresses, and only a run sends anything.
    import asyncio  # noqa: PLC0415 - see above

    from batchgen.concurrency import in_own_thread  # noqa: PLC0415 - see above

    name = f"notify {address.shown}"
    sending = asyncio.create_task(in_own_thread(partial(address.send, message), name), name=name)
    try:
        await asyncio.wait({sending}, timeout=seconds)
    finally:
        sending.cancel()
    if not sending.done():
        return f"no answer within {seconds:.0f} s"
    if error := sending.exception():
        # The plug-ins are other people's, and any error may come out; its text may show the URL.
        return f"the service's plug-in broke ({type(error).__name__})"
    return sending.result()
