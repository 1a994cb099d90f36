"""Sending never exceeds its deadline, and never raises a plug-in's error."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import cast

import pytest

from batchgen.concurrency import in_daemon_thread
from batchgen.notify import Address, Message, Severity, deliver, read_address
from tests.notify.receivers import PATIENCE, receiving

WORD = Message("title", "text", Severity.SUCCESS)


@dataclass
class Service:
    """In an address's place: it waits until it is let go, then answers or breaks."""

    error: Exception | None = None
    masked: str = "fake://example.org"
    free: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    def send(self, _: Message) -> str | None:
        self.free.wait(PATIENCE)
        self.left.set()
        if self.error:
            raise self.error
        return None


def address(service: Service) -> Address:
    return cast("Address", service)


async def test_an_accepted_message_has_no_error() -> None:
    with receiving() as receiver:
        assert await deliver(read_address(receiver.url), WORD, PATIENCE) is None
        assert receiver.next()["message"] == "text"


async def test_a_service_that_does_not_answer_in_time_is_abandoned() -> None:
    service = Service()
    assert await deliver(address(service), WORD, 0.01) == "no answer within 0 s"
    service.free.set()
    assert service.left.wait(PATIENCE)


async def test_a_failing_plug_in_is_reported_without_its_message() -> None:
    service = Service(KeyError("json://u:hunter2@h"))
    service.free.set()
    told = await deliver(address(service), WORD, PATIENCE)
    assert told == "the service's plug-in failed (KeyError)"


async def test_a_cancellation_does_not_wait() -> None:
    service = Service()
    sending = asyncio.create_task(deliver(address(service), WORD, PATIENCE))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    service.free.set()


async def test_work_in_its_own_thread_gives_its_result_or_its_error() -> None:
    assert await in_daemon_thread(lambda: 7, "seven") == 7
    with pytest.raises(ZeroDivisionError):
        await in_daemon_thread(lambda: 1 / 0, "broken")


def test_a_thread_that_ends_after_the_loop_is_harmless() -> None:
    """Warnings are errors here, and an exception of a thread is one."""
    service = Service()
    assert asyncio.run(deliver(address(service), WORD, 0.01)) is not None
    service.free.set()
    for thread in threading.enumerate():
        if thread.name.startswith("notify "):
            thread.join(PATIENCE)
