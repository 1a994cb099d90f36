from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from batchgen.downloads.allowed_hosts import AllowedHosts, HostNotAllowed
from batchgen.errors import InputError

VENDOR = AllowedHosts.of()
WIDER = AllowedHosts.of(["cdn.example.com", "*.Example.org", "bücher.example"])
REHEARSAL = AllowedHosts.of(loopback=True)


def refusal(hosts: AllowedHosts, url: str) -> str | None:
    checked = hosts.check(url)
    return checked.reason if isinstance(checked, HostNotAllowed) else None


@pytest.mark.parametrize(
    "url",
    [
        "https://runcomfy.net/a.png",
        "https://runcomfy.com/a.png",
        "https://cdn.runcomfy.net/a.png?sig=1",
        "https://a.b.runcomfy.com/a.png",
        "https://CDN.RunComfy.NET/a.png",
        "https://cdn.runcomfy.net./a.png",
        "https://cdn.runcomfy.net:8443/a.png",
        "HTTPS://cdn.runcomfy.net/a.png",
        "https://cdn_x.runcomfy.net/a.png",
    ],
)
def test_the_vendors_hosts_may_be_fetched_from(url: str) -> None:
    assert refusal(VENDOR, url) is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://evil.example/a.png", "only https"),
        ("file:///etc/passwd", "only https"),
        ("data:image/png;base64,AAAA", "only https"),
        ("ftp://cdn.runcomfy.net/a.png", "only https"),
        ("//cdn.runcomfy.net/a.png", "relative URL"),
        ("a.png", "relative URL"),
        ("", "relative URL"),
        ("https://evil.example/a.png", "output.allow_hosts"),
        ("https://evilruncomfy.net/a.png", "output.allow_hosts"),
        ("https://runcomfy.net.evil.example/a.png", "output.allow_hosts"),
        ("https://cdn.runcomfy.net@evil.example/", "user name"),
        ("https://user:secret@cdn.runcomfy.net/", "user name"),
        ("https://cdn.runcomfy.net:443@evil.example/", "user name"),
        ("https://evil.example\\@cdn.runcomfy.net/", "no valid URL"),
        ("https://evil.example\\.runcomfy.net/", "no valid URL"),
        ("https://evil.example%2f.runcomfy.net/", "not a host name"),
        ("https://*.runcomfy.net/", "not a host name"),
        ("https://cdn.runcomfy.net../", "not a host name"),
        ("https://.runcomfy.net/", "not a host name"),
        ("https:///a.png", "not a host name"),
        ("https://cdn.runcomfy.net:99999/", "no valid URL"),
        ("https://127.0.0.1/a.png", "private network"),
        ("https://10.0.0.1/a.png", "private network"),
        ("https://169.254.169.254/latest/meta-data", "private network"),
        ("https://[::1]/a.png", "private network"),
        ("https://[::ffff:10.0.0.1]/a.png", "private network"),
        ("https://[fe80::1]/a.png", "private network"),
        ("https://8.8.8.8/a.png", "output.allow_hosts"),
        ("https://2130706433/a.png", "output.allow_hosts"),
        ("https://0x7f.1/a.png", "output.allow_hosts"),
        ("https://localhost/a.png", "output.allow_hosts"),
    ],
)
def test_other_urls_are_refused_with_the_reason(url: str, reason: str) -> None:
    """Rows 48 and 69."""
    found = refusal(VENDOR, url)
    assert found is not None
    assert reason in found


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://cdn.example.com/a.png", True),
        ("https://a.cdn.example.com/a.png", False),
        ("https://a.example.org/a.png", True),
        ("https://a.b.example.org/a.png", True),
        ("https://example.org/a.png", False),
        ("https://bücher.example/a.png", True),
        ("https://xn--bcher-kva.example/a.png", True),
        ("https://cdn.runcomfy.net/a.png", True),
        ("http://cdn.example.com/a.png", True),
        ("http://cdn.example.org/a.png", True),
        ("http://elsewhere.example/a.png", False),
    ],
)
def test_the_manifest_may_add_hosts(url: str, *, allowed: bool) -> None:
    assert (refusal(WIDER, url) is None) == allowed


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:8080/a.png", True),
        ("http://localhost:1/a.png", True),
        ("http://[::1]:8080/a.png", True),
        ("https://localhost/a.png", True),
        ("ftp://localhost/a.png", False),
        ("http://user@127.0.0.1/a.png", False),
        ("http://10.0.0.1/a.png", False),
        ("http://[::ffff:127.0.0.1]/a.png", False),
        ("http://cdn.runcomfy.net/a.png", True),
        ("http://elsewhere.example/a.png", False),
    ],
)
def test_a_rehearsal_may_fetch_from_this_machine(url: str, *, allowed: bool) -> None:
    assert (refusal(REHEARSAL, url) is None) == allowed


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "*",
        "*.com",
        "com",
        "https://a.example",
        "a.example/x",
        "a.example:443",
        "a b.example",
        "a.*.example",
        "*.10.0.0.1",
        "u@a.example",
    ],
)
def test_a_pattern_that_is_no_host_is_refused_with_an_example(pattern: str) -> None:
    with pytest.raises(InputError, match=r"(?s)allow_hosts.*cdn\.example\.com") as caught:
        AllowedHosts.of([pattern])
    assert repr(pattern) in str(caught.value)


def test_a_signed_url_is_sent_byte_for_byte() -> None:
    text = "https://cdn.runcomfy.net/a%7Eb%2Fc.png?Key=AKIA%2F2024&Sig=a%2Bb%3D"
    checked = VENDOR.check(text)
    assert isinstance(checked, URL)
    assert str(checked) == text


def test_a_url_with_other_letters_is_quoted() -> None:
    checked = VENDOR.check("https://cdn.runcomfy.net/Böot am See.png")
    assert isinstance(checked, URL)
    assert checked.raw_path == "/B%C3%B6ot%20am%20See.png"


@pytest.mark.parametrize(
    ("location", "found"),
    [
        ("/b.png", "https://cdn.runcomfy.net/b.png"),
        ("b.png", "https://cdn.runcomfy.net/x/b.png"),
        ("//www.runcomfy.com/b.png", "https://www.runcomfy.com/b.png"),
        ("https://evil.example/b.png", None),
        ("http://cdn.runcomfy.net/b.png", "https://cdn.runcomfy.net/b.png"),
        ("http://evil.example/b.png", None),
        ("file:///etc/passwd", None),
        ("https://[", None),
    ],
)
def test_a_redirect_is_checked_as_a_url_is(location: str, found: str | None) -> None:
    """Row 70."""
    following = VENDOR.follow(URL("https://cdn.runcomfy.net/x/a.png"), location)
    assert (None if isinstance(following, HostNotAllowed) else str(following)) == found


@pytest.mark.parametrize(
    ("url", "fetched"),
    [
        ("http://cdn.runcomfy.net/a%20b.png?S=%2f", "https://cdn.runcomfy.net/a%20b.png?S=%2f"),
        ("http://cdn.runcomfy.net:80/a.png", "https://cdn.runcomfy.net/a.png"),
        ("http://cdn.runcomfy.net:8080/a.png", "https://cdn.runcomfy.net:8080/a.png"),
    ],
)
def test_nothing_is_fetched_in_the_clear(url: str, fetched: str) -> None:
    assert str(VENDOR.check(url)) == fetched
    assert isinstance(AllowedHosts.in_public().check(url), HostNotAllowed)


@given(st.text())
def test_no_text_makes_the_check_fail(text: str) -> None:
    for url in (text, f"https://{text}/", f"https://{text}.runcomfy.net/"):
        checked = VENDOR.check(url)
        if isinstance(checked, URL):
            assert checked.scheme == "https"
            assert (
                str(checked.raw_host).lower().rstrip(".").endswith(("runcomfy.net", "runcomfy.com"))
            )
