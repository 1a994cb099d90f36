"""The base address, and where the token may go."""

from __future__ import annotations

import pytest

from batchgen.errors import ExitCode, UsageError
from batchgen.runcomfy.base import (
    BASE_VARIABLE,
    DEFAULT_BASE,
    WALLET_VARIABLE,
    api_base,
    is_loopback,
    wallet_base,
)


@pytest.mark.parametrize(
    ("value", "base"),
    [
        ("", DEFAULT_BASE),
        ("  ", DEFAULT_BASE),
        ("https://staging.example/v1/", "https://staging.example/v1"),
        (" https://staging.example:8443/api/v1 ", "https://staging.example:8443/api/v1"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
        ("http://localhost:8080/v1//", "http://localhost:8080/v1"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
    ],
)
def test_the_variable_overrides_the_base(value: str, base: str) -> None:
    assert api_base({BASE_VARIABLE: value}) == base


@pytest.mark.parametrize(
    ("named", "base", "wallet"),
    [
        ("", DEFAULT_BASE, "https://api.runcomfy.net/prod/v2"),
        ("", "http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/prod/v2"),
        ("", "http://[::1]:8080/v1", "http://[::1]:8080/prod/v2"),
        ("", "https://proxy.example/v1", None),
        ("https://wallet.example/v2/", "https://proxy.example/v1", "https://wallet.example/v2"),
        ("http://localhost:9/v2", DEFAULT_BASE, "http://localhost:9/v2"),
    ],
)
def test_the_balance_is_asked_of_the_vendor_only_where_the_api_is_the_vendors(
    named: str, base: str, wallet: str | None
) -> None:
    """Promise 7: what stands in for the API gets no second place for the token."""
    assert wallet_base({WALLET_VARIABLE: named}, base) == wallet


def test_a_wallet_that_would_leak_the_token_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        wallet_base({WALLET_VARIABLE: "http://example.org/v2"}, DEFAULT_BASE)
    assert WALLET_VARIABLE in str(caught.value)


def test_without_the_variable_it_is_the_vendors_base() -> None:
    assert api_base({}) == "https://model-api.runcomfy.net/v1"


@pytest.mark.parametrize(
    "value",
    [
        "model-api.runcomfy.net/v1",
        "ftp://example.org/v1",
        "https://",
        "https:///v1",
        "http://example.org/v1",
        "http://127.0.0.1.example.org/v1",
        "http://localhost.example.org/v1",
        "http://10.0.0.1/v1",
        "https://user:pa55word@example.org/v1",
        "https://example.org/v1?key=pa55word",
        "https://example.org/v1?",
        "https://example.org/v1#pa55word",
        "https://example.org:port/v1",
        "https://example.org:99999/v1",
        "https://exa mple.org/v1",
        "https://example.org\r\n/v1",
        "https://example.org\\@evil.example/v1",
        "https://[::1/v1",
        f"https://{'a' * 70}.example/v1",
    ],
)
def test_a_base_that_would_leak_the_token_or_is_none_is_refused(value: str) -> None:
    with pytest.raises(UsageError) as caught:
        api_base({BASE_VARIABLE: value})
    assert caught.value.exit_code is ExitCode.USAGE
    assert BASE_VARIABLE in str(caught.value)
    assert "pa55word" not in str(caught.value)


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("http://127.0.0.1:1/v1", True),
        ("http://127.8.9.1:1/v1", True),
        ("http://localhost/v1", True),
        ("http://[::1]/v1", True),
        (DEFAULT_BASE, False),
        ("https://127.0.0.1.example.org/v1", False),
    ],
)
def test_loopback_differs_from_the_world(base: str, *, expected: bool) -> None:
    assert is_loopback(base) is expected
