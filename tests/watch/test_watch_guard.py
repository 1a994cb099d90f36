"""Who may ask: this machine by its name, and for changes our own page alone."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from batchgen.watch.server import why_not

OWN = {
    "Host": "127.0.0.1:8123",
    "Origin": "http://127.0.0.1:8123",
    "Content-Type": "application/json",
}


def asked(method: str, **changed: str | None) -> str | None:
    headers = {**OWN, **{name.replace("_", "-"): value for name, value in changed.items()}}
    kept = {name: value for name, value in headers.items() if value is not None}
    return why_not(method, CIMultiDict(kept), 8123)


def test_our_page_may_look_and_pick() -> None:
    assert asked("GET") is None
    assert asked("POST") is None
    assert asked("POST", Host="localhost:8123", Origin="http://localhost:8123") is None
    assert asked("POST", Content_Type="application/json; charset=utf-8") is None


@pytest.mark.parametrize(
    "host", ["evil.example:8123", "127.0.0.1", "127.0.0.1:81", "127.0.0.1.evil.example:8123", ""]
)
def test_another_name_is_refused_whatever_it_asks(host: str) -> None:
    assert asked("GET", Host=host)
    assert asked("POST", Host=host, Origin=f"http://{host}")


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:8124", "https://127.0.0.1:8123", None, ""],
)
def test_another_page_may_change_nothing(origin: str | None) -> None:
    assert asked("POST", Origin=origin) == "only the page itself may request this"


def test_at_the_port_of_http_a_browser_names_none() -> None:
    headers = {**OWN, "Host": "localhost", "Origin": "http://localhost"}
    assert why_not("POST", CIMultiDict(headers), 80) is None
    assert why_not("POST", CIMultiDict({**headers, "Host": "evil.example"}), 80)
    assert why_not("POST", CIMultiDict({**headers, "Origin": "http://evil.example"}), 80)


def test_a_browser_that_names_no_origin_may_say_that_it_is_the_same() -> None:
    assert asked("POST", Origin=None, Sec_Fetch_Site="same-origin") is None
    assert asked("POST", Origin=None, Sec_Fetch_Site="cross-site")
    assert asked("POST", Origin="http://evil.example", Sec_Fetch_Site="same-origin")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_what_a_form_can_send_is_refused(kind: str | None) -> None:
    assert asked("POST", Content_Type=kind) == "send JSON"
