"""Public addresses, and Retry-After in all its forms (row 30)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.net import is_public, retry_after

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fc00::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "localhost",
        "127.1",
        "",
    ],
)
def test_an_address_of_a_private_network_is_not_public(address: str) -> None:
    """Row 69."""
    assert not is_public(address)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "-30"}, 0.0),
        ({"Retry-After": "99999999999"}, 300.0),
        ({"Retry-After": "inf"}, 300.0),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Sat, 21 Nov 2026 12:00:20 GMT"}, 20.0),
        ({"Retry-After": "Sat, 21 Nov 2026 12:00:20 -0000"}, 20.0),
        ({"Retry-After": "Sat, 21 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"Retry-After": "Sat, 21 Nov 2099 12:00:00 GMT"}, 300.0),
        ({"Retry-After": "Sat, 99 Nov 2026 12:00:00 GMT"}, None),
        (
            {
                "Retry-After": "Sat, 21 Nov 2020 10:00:09 GMT",
                "Date": "Sat, 21 Nov 2020 10:00:00 GMT",
            },
            9.0,
        ),
    ],
)
def test_row_30_the_wait_is_read_and_clamped(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers, longest=300.0, now=NOON) == seconds


def test_without_a_reference_time_a_date_is_ignored() -> None:
    headers = {"Retry-After": "Sat, 21 Nov 2026 12:00:20 GMT"}
    assert retry_after(headers, longest=300.0) is None


@given(st.text(), st.text())
def test_row_30_any_text_gives_a_sane_wait_or_none(when: str, date: str) -> None:
    seconds = retry_after({"Retry-After": when, "Date": date}, longest=300.0, now=NOON)
    assert seconds is None or 0 <= seconds <= 300.0
