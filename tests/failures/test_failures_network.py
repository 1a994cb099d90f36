"""Rows 18 to 27: what the network does to a submit, and what may then be said about it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import batchgen
from batchgen.engine import health
from batchgen.engine.events import Event, JobMoved
from batchgen.jobs import JobState
from tests.failures.failing import impatient, limited, only
from tests.shell import Emulator, Shell, emulating

CERTIFICATE = Path(__file__).parents[1] / "runcomfy/self_signed.pem"


def soon(patch: pytest.MonkeyPatch) -> None:
    """Give an API up that was never reached after some 2 s, instead of 10 s."""
    patch.setattr(health, "SECONDS_BEFORE_CONTACT", 1.0)
    patch.setattr(health, "FAILURES_BEFORE_CONTACT", 3)


def at(user: Shell, base: str) -> Shell:
    return user.using(Emulator(base))


def assert_nothing_was_sent(user: Shell, words: str) -> None:
    """The run ended with 69, said `words`, and both jobs wait for the same command."""
    user.manifest(2)
    said = user.expect(69, "run", "m.yaml").said
    assert "the API cannot be reached" in said
    assert words in said
    assert "run the same command again to continue" in said
    assert user.status()["counts"] == {"pending": 2}
    assert user.log().count('"code": "not_sent"') >= 3, "it was tried again"


def test_row_18_a_name_that_cannot_be_resolved_is_tried_again_and_nothing_was_sent(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon(monkeypatch)
    words = "the name nowhere.invalid cannot be resolved"
    assert_nothing_was_sent(at(shell, "https://nowhere.invalid/v1"), words)


@dataclass
class LateEmulator:
    """Hears of the run; the emulator starts at its port when the first submit was refused."""

    port: int
    refused: threading.Event
    turned_back: list[str | None]

    def on_event(self, event: Event) -> None:
        if isinstance(event, JobMoved) and event.code == "not_sent":
            self.turned_back.append(event.reason)
            self.refused.set()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def test_row_19_a_refused_connection_is_tried_again_until_the_api_is_back(shell: Shell) -> None:
    late = LateEmulator(free_port(), threading.Event(), [])
    user = at(shell, f"http://127.0.0.1:{late.port}/v1")
    user.manifest(2)
    over = threading.Event()
    charges: list[Any] = []

    def open_late() -> None:
        late.refused.wait(30)
        with emulating(port=late.port) as emulator:
            over.wait(30)
            charges.extend(emulator.charges())

    server = threading.Thread(target=open_late)
    server.start()
    try:
        with user.at_home():
            summary = batchgen.run("m.yaml", on_event=late.on_event)
    finally:
        over.set()
        late.refused.set()
        server.join()
    assert summary.counts == {JobState.DONE: 2}
    assert late.turned_back
    assert all("Connect" in str(reason) for reason in late.turned_back)
    assert len(charges) == 2


@contextmanager
def full_backlog() -> Iterator[str]:
    """A port that takes no more connections: the handshake of the next one is never answered."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        try:
            yield f"http://127.0.0.1:{address[1]}/v1"
        finally:
            for one in waiting:
                one.close()


def test_row_19_a_connect_timeout_is_tried_again_and_nothing_was_sent(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon(monkeypatch)
    limited(monkeypatch, connect=0.2)
    with full_backlog() as base:
        assert_nothing_was_sent(at(shell, base), "no connection in time")


@contextmanager
def self_signed() -> Iterator[tuple[str, list[bytes]]]:
    """A TLS server whose certificate nobody vouches for; gives its base and what it was told."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE)
    heard: list[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            while True:
                try:
                    plain, _ = server.accept()
                except OSError:  # the test is over
                    return
                with plain:
                    try:
                        with tls.wrap_socket(plain, server_side=True) as line:
                            if told := line.recv(65536):
                                heard.append(told)
                    except OSError:  # the client shook its head
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.getsockname()[1]}/v1", heard
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_row_20_a_bad_certificate_stops_the_run_and_nothing_was_sent(shell: Shell) -> None:
    with self_signed() as (base, heard):
        user = at(shell, base)
        user.manifest(2)
        done = user.expect(69, "run", "m.yaml", "--json")
    assert done.document["paused"]["reason"] == "bad_certificate"
    assert "the API's certificate is not valid" in done.err
    assert user.status()["counts"] == {"pending": 2}
    assert heard == [], "not a byte of a request, nor the token"


def assert_held(user: Shell, emulator: Emulator, *, charges: int) -> dict[str, Any]:
    """One job is unknown and stays so: the next run sends nothing, and a person is asked."""
    said = user.expect(76, "run", "m.yaml").said
    told = "1 submit may or may not have been charged; look it up on runcomfy.com, page Generations"
    assert told in said
    assert "batchgen resolve m.yaml JOB --adopt REQUEST_ID | --resubmit | --write-off" in said
    again = user.expect(76, "run", "m.yaml", "--json").document
    assert again["submitted"] == 0
    assert len(emulator.charges()) == charges
    held: dict[str, Any] = only([job for job in user.status()["jobs"] if job["state"] == "unknown"])
    assert held["attempts"] == 1
    shown = user.expect(0, "status", "m.yaml").out
    assert f"may or may not have been charged: {held['id']}" in shown
    return held


def test_row_21_a_reset_on_a_kept_alive_connection_holds_the_job(
    user: Shell, emulator: Emulator
) -> None:
    """The second submit goes out on the connection of the first, and meets its end."""
    user.manifest(2, run={"concurrency": 1})
    emulator.arm("submit", "reset_before", after=1)
    held = assert_held(user, emulator, charges=1)
    assert held["id"] == "boat-001"


def test_row_22_a_reset_in_mid_body_holds_the_job(user: Shell, emulator: Emulator) -> None:
    user.manifest(1)
    emulator.arm("submit", "reset_mid_body")
    assert_held(user, emulator, charges=1)


def test_row_23_a_submit_without_an_answer_holds_the_job(
    user: Shell, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch, submit_deadline=0.2, late_deadline=0.2)
    user.manifest(1)
    emulator.arm("submit", "hang")
    held = assert_held(user, emulator, charges=1)
    assert "no answer to the submit in time" in held["error"]["message"]


def test_row_24_an_answer_that_trickles_beyond_the_deadline_is_recorded_when_it_comes(
    user: Shell, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch, submit_deadline=0.2)
    user.manifest(1)
    emulator.arm("submit", "trickle", size=10, seconds=0.05)
    user.expect(0, "run", "m.yaml")
    moves = [line for line in user.log().splitlines() if '"JobMoved"' in line]
    assert any('"state": "unknown"' in line for line in moves), "the deadline passed first"
    job = only(user.status()["jobs"])
    charge = only(emulator.charges())
    assert job["state"] == "done"
    assert job["request_id"] == charge["request_id"]
    assert job["attempts"] == 1


def test_row_25_truncated_json_at_a_submit_holds_the_job(user: Shell, emulator: Emulator) -> None:
    user.manifest(1)
    emulator.arm("submit", "truncated_json")
    assert_held(user, emulator, charges=1)


@pytest.mark.parametrize("status", [307, 308])
def test_row_26_a_redirect_of_a_submit_is_refused_and_not_followed(
    user: Shell, emulator: Emulator, status: int
) -> None:
    """It points to another emulator: whoever follows leaves a charge there, and the token."""
    user.manifest(2)
    with emulating() as elsewhere:
        url = f"{elsewhere.base}/models/bytedance/dreamina-4-0/text-to-image"
        emulator.arm("submit", "redirect", status=status, url=url, times=None)
        done = user.expect(69, "run", "m.yaml", "--json")
        assert elsewhere.charges() == []
    assert done.document["paused"]["reason"] == "redirected"
    assert "batchgen does not follow" in done.err
    assert user.status()["counts"] == {"pending": 2}
    assert emulator.charges() == []


def test_row_27_an_html_page_in_place_of_an_answer_holds_the_job(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(1)
    emulator.arm("submit", "html")
    assert_held(user, emulator, charges=0)


def test_row_27_five_such_pages_within_a_minute_pause_the_run(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(8, run={"concurrency": 1})
    emulator.arm("submit", "html", times=None)
    done = user.expect(76, "run", "m.yaml", "--json")
    assert done.document["paused"]["reason"] == "unknown_outcomes"
    assert "five submits within a minute" in done.err
    assert user.status()["counts"] == {"pending": 3, "unknown": 5}
