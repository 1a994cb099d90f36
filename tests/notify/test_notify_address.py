"""Addresses: which are accepted, and what texts show of them."""

from __future__ import annotations

import copy
import logging
import logging.handlers
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.errors import InputError
from batchgen.notify import NO_REASON, Message, Severity, read_address, without_secrets
from tests.notify.receivers import SECRET, dead_url, receiving

TELEGRAM = "tgram://123456789:ABCdefghijklmnop_abcdefghijklmnopqrst/12315544/"
WORD = Message("batchgen: boats", "boats: all <b>done</b> · 3 done", Severity.SUCCESS)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("json://ann:hunter2@127.0.0.1:8080/hunter2?+key=hunter2", "json://127.0.0.1"),
        ("jsons://hooks/hunter2", "jsons://hooks"),
        ("mailto://ann:hunter2@example.com", "mailto://example.com"),
        ("ntfy://hunter2", "ntfy://…"),
        ("ntfy://ntfy.example.org/hunter2", "ntfy://ntfy.example.org"),
        ("slack://hunter2aaa/hunter2bb/hunter2cc", "slack://…"),
        (TELEGRAM, "tgram://…"),
        ("https://discord.com/api/webhooks/123456789012345678/hunter2hunter2", "https://…"),
    ],
)
def test_only_the_scheme_and_the_host_are_shown(url: str, shown: str) -> None:
    address = read_address(url)
    assert address.masked == shown
    assert repr(address) == f"<Address {shown}>"


@pytest.mark.parametrize(
    ("url", "what", "hint"),
    [
        ("hunter2", "is not an address", "write it as service://…"),
        ("", "is not an address", "write it as service://…"),
        ("hunter2 json://x", "is not an address", "write it as service://…"),
        (
            "jsonn://u:hunter2@h",
            "begins with jsonn://, which is not a service",
            "did you mean 'json'",
        ),
        ("zzqqxxw://hunter2", "begins with zzqqxxw://, which is not a service", "lists them"),
        ("json://", "is not a complete json:// address", "shows what belongs in it"),
        ("slack://hunter2", "is not a complete slack:// address", "shows what belongs in it"),
    ],
)
def test_what_is_no_address_is_refused_without_showing_it(url: str, what: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        read_address(url)
    assert what in caught.value.what
    assert hint in (caught.value.next_step or "")
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused_and_never_shown(text: str) -> None:
    secret = "Sup3rSecretPart"
    try:
        told = read_address(f"{text}{secret}").masked
    except InputError as exc:
        told = str(exc)
    assert secret.lower() not in told.lower()


def test_an_address_is_not_pickled_or_copied() -> None:
    address = read_address("json://127.0.0.1/hunter2")
    for keep in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            keep(address)


def test_without_the_library_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(InputError) as caught:
        read_address("json://127.0.0.1")
    assert "pip install 'batchgen[notify]'" in (caught.value.next_step or "")


def test_a_message_arrives_as_plain_text_with_its_severity() -> None:
    with receiving() as receiver:
        assert read_address(receiver.url).send(WORD) is None
        came = receiver.next()
    assert came["title"] == WORD.title
    assert came["message"] == WORD.text
    assert came["type"] == "success"


def test_a_refusal_and_a_dead_host_are_reported_without_the_secret() -> None:
    with receiving(status=403) as receiver:
        refused = read_address(receiver.url).send(WORD)
    dead = read_address(dead_url()).send(WORD)
    assert refused is not None
    assert "403" in refused
    assert dead is not None
    assert "127.0.0.1" in dead
    assert SECRET not in refused + dead


def test_nothing_is_written_to_the_screen_or_to_a_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    heard = logging.handlers.BufferingHandler(1000)
    logging.getLogger().addHandler(heard)
    read_address(dead_url()).send(WORD)
    with pytest.raises(InputError):
        read_address("slack://hunter2")
    logging.getLogger().removeHandler(heard)
    assert capfd.readouterr() == ("", "")
    assert heard.buffer == []


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("Failed: Unauthorized, error=401.", "Failed: Unauthorized, error=401"),
        ("Failed to send to example.com.", "Failed to send to example.com"),
        ("No topic My-Topic here", NO_REASON),
        ("bad password P%40ss-word", NO_REASON),
        ("bad password p@ss-WORD", NO_REASON),
        ("\x1b[31mred\nline", "[31mred line"),
        ("", NO_REASON),
    ],
)
def test_a_reason_that_contains_a_part_of_the_url_is_withheld(reason: str, told: str) -> None:
    assert (
        without_secrets(reason, "x://ann:p%40ss-word@example.com/my-topic", "example.com") == told
    )


def test_the_library_is_loaded_by_the_first_address_only() -> None:
    script = (
        "import sys, batchgen.cli, batchgen.runs.api, batchgen.cli.run\n"
        "assert 'apprise' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
