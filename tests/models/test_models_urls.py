from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.models.urls import (
    UnfitUrlError,
    require_public_or_loopback_url,
    require_public_url,
)


@pytest.mark.parametrize(
    "url",
    [
        "https://playgrounds-storage-public.runcomfy.net/tools/7002/a.jpg",
        "https://example.org:8443/a.png?X-Amz-Signature=ab%2Fc&x=1#f",
        "HTTPS://EXAMPLE.ORG/a",
        "https://8.8.8.8/a.jpg",
        "https://[2606:4700::1111]/a.jpg",
        "https://example.org./a.jpg",
        "https://example.org/bücher.jpg",
        "https://xn--mller-kva.de/a.jpg",
    ],
)
def test_public_https_urls_pass(url: str) -> None:
    require_public_url(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.org/a.jpg", "must begin with https://"),
        ("ftp://example.org/a.jpg", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("data:image/png;base64,AAAA", "must begin with https://"),
        ("a.jpg", "must begin with https://"),
        ("", "must begin with https://"),
        ("https:///a.jpg", "has no host name"),
        ("https://user@example.org/a", "must not contain a user name or a password"),
        ("https://user:pw@example.org/a", "must not contain a user name or a password"),
        ("https://localhost/a", "must be on a public host; 'localhost' is known only locally"),
        ("https://LOCALHOST./a", "must be on a public host; 'localhost' is known only locally"),
        ("https://a.localhost/a", "must be on a public host; 'a.localhost' is known only locally"),
        ("https://nas.local/a", "must be on a public host; 'nas.local' is known only locally"),
        ("https://server/a", "must be on a public host; 'server' is known only locally"),
        ("https://127.0.0.1/a", "127.0.0.1 is a private or local address"),
        ("https://10.1.2.3/a", "10.1.2.3 is a private or local address"),
        ("https://169.254.169.254/a", "169.254.169.254 is a private or local address"),
        ("https://192.168.0.1:8443/a", "192.168.0.1 is a private or local address"),
        ("https://100.64.0.1/a", "100.64.0.1 is a private or local address"),
        ("https://0.0.0.0/a", "0.0.0.0 is a private or local address"),
        ("https://224.0.0.1/a", "224.0.0.1 is a private or local address"),
        ("https://[::1]/a", "::1 is a private or local address"),
        ("https://[fe80::1]/a", "fe80::1 is a private or local address"),
        ("https://[::ffff:127.0.0.1]/a", "::ffff:127.0.0.1 is a private or local address"),
        ("https://127.1/a", "has a host that is neither a name nor an IP address"),
        ("https://0x7f.0.0.0x1/a", "has a host that is neither a name nor an IP address"),
        ("https://2130706433/a", "has a host that is neither a name nor an IP address"),
        ("https://１２７.0.0.1/a", "has a host name that is not plain ASCII"),  # noqa: RUF001 - the trick under test
        ("https://exam%70le.org/a", "has a host name that is not plain ASCII"),
        ("https://a..org/a", "has a host name that is not plain ASCII"),
        ("https://[::1/a", "is not a valid URL"),
        ("https://example.org:99999/a", "is not a valid URL"),
        ("https://example.org:0/a", "is not a valid URL"),
        ("https://example.org/a b", "must not contain spaces, control characters or backslashes"),
        ("https://exa\tmple.org/a", "must not contain spaces, control characters or backslashes"),
        ("https://good.org\\@127.0.0.1/", "must not contain spaces, control characters or back"),
        ("https://a.org/" + "x" * 9000, "is 9014 characters long; at most 8192 are allowed"),
    ],
)
def test_other_urls_are_refused_with_their_reason(url: str, reason: str) -> None:
    with pytest.raises(UnfitUrlError) as caught:
        require_public_url(url)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/a", "http://localhost:1/a", "http://[::1]:1/a"]
)
def test_a_rehearsal_takes_files_of_this_machine(url: str) -> None:
    require_public_or_loopback_url(url)


@pytest.mark.parametrize("url", ["http://example.org/a", "http://10.0.0.1/a", "ftp://127.0.0.1/a"])
def test_a_rehearsal_takes_no_other_exception(url: str) -> None:
    with pytest.raises(UnfitUrlError):
        require_public_or_loopback_url(url)


@given(st.text() | st.text().map("https://".__add__))
def test_any_text_is_either_fit_or_refused(text: str) -> None:
    with suppress(UnfitUrlError):
        require_public_url(text)
