"""Which URLs may be fetched: the vendor's hosts, hosts that the manifest adds, and the emulator.

Input images may be on any public host: the manifest names each of them itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from yarl import URL

from batchgen.errors import InputError
from batchgen.net import LOOPBACK_HOSTS, host_of, is_address, is_public

if TYPE_CHECKING:
    from collections.abc import Iterable


VENDOR_HOSTS = ("*.runcomfy.net", "runcomfy.net", "*.runcomfy.com", "runcomfy.com")
ENCODED = re.compile(r"[!-\[\]-~]+")  # printable ASCII without the backslash
HTTP_PORT = 80
LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
HOST_NAME = re.compile(rf"{LABEL}(\.{LABEL})*")
DOTTED_NAME = re.compile(rf"{LABEL}(\.{LABEL})+")


@dataclass(frozen=True, slots=True)
class HostNotAllowed:
    """Nothing was sent to the host. `host` is empty if the URL has none.

    `by_dns`: the URL is fine, but its host's name currently resolves to a private address.
    """

    host: str
    reason: str
    by_dns: bool = False


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """`exact` are whole hosts; `domains` allow every host below them, not the domain itself.

    `loopback` allows this machine on any port, also by http: for the emulator. `any_public` allows
    all public hosts.
    """

    exact: frozenset[str]
    domains: tuple[str, ...]
    loopback: bool = False
    any_public: bool = False

    @classmethod
    def of(cls, patterns: Iterable[str] = (), *, loopback: bool = False) -> AllowedHosts:
        """Allow the vendor's hosts and `patterns`: a host, or `*.` and a domain.

        Raises InputError for a pattern that is neither.
        """
        every = [*VENDOR_HOSTS, *map(_checked_pattern, patterns)]
        return cls(
            exact=frozenset(p for p in every if not p.startswith("*.")),
            domains=tuple(p.removeprefix("*") for p in every if p.startswith("*.")),
            loopback=loopback,
        )

    @classmethod
    def in_public(cls) -> AllowedHosts:
        return cls(exact=frozenset(), domains=(), any_public=True)

    def check(self, text: str) -> URL | HostNotAllowed:
        """Return the URL to fetch, or why it must not be fetched.

        Fetch exactly the URL returned: another parser may see another host in the text. A result's
        http URL becomes https: nothing is fetched in the clear, and no paid result is lost.
        """
        try:
            # Unchanged where possible: some signatures cover the exact bytes.
            url = URL(text, encoded=ENCODED.fullmatch(text) is not None)
            # `encoded` skips validation, so the validating parser has to accept it too.
            URL(text)
        except ValueError:
            return HostNotAllowed("", "the answer has no valid URL")
        url = self._secured(url)
        reason = self._refusal(url, host_of(url))
        return HostNotAllowed(host_of(url), reason) if reason else url

    def follow(self, url: URL, location: str) -> URL | HostNotAllowed:
        """Check a redirect from `url`; `location` may be relative to it."""
        try:
            return self.check(urljoin(str(url), location))
        except ValueError:
            return HostNotAllowed("", "the redirect leads to no valid URL")

    def _refusal(self, url: URL, host: str) -> str | None:
        if url.user is not None or url.password is not None:
            return "the URL contains a user name or password"
        if self.loopback and url.scheme in {"http", "https"} and host in LOOPBACK_HOSTS:
            return None
        if url.scheme != "https":
            return f"only https is fetched, not {url.scheme or 'a relative URL'}"
        if is_address(host) and not is_public(host):
            return f"{host} is an address of a private network"
        if not self._is_listed(host):
            return _how_to_allow(host)
        return None

    def _secured(self, url: URL) -> URL:
        is_ours = not self.any_public and self._is_listed(host_of(url))
        if url.scheme != "http" or not is_ours:
            return url
        secure = url.with_scheme("https")
        return secure.with_port(None) if url.explicit_port == HTTP_PORT else secure

    def _is_listed(self, host: str) -> bool:
        if not (is_address(host) or HOST_NAME.fullmatch(host)):
            return False
        return self.any_public or host in self.exact or host.endswith(self.domains)


def _how_to_allow(host: str) -> str:
    if not HOST_NAME.fullmatch(host):
        return "the URL's host is not a host name"
    return (
        f"{host} is not one of the vendor's hosts; if you trust it, add it to the manifest: "
        f'output.allow_hosts: ["{host}"]'
    )


def _checked_pattern(pattern: str) -> str:
    plain = pattern.strip().lower().removesuffix(".")
    wildcard = "*." if plain.startswith("*.") else ""
    try:
        host = host_of(URL.build(scheme="https", host=plain.removeprefix("*.")))
    except ValueError as exc:
        raise _pattern_error(pattern) from exc
    if DOTTED_NAME.fullmatch(host) and not (wildcard and is_address(host)):
        return wildcard + host
    raise _pattern_error(pattern)


def _pattern_error(pattern: str) -> InputError:
    return InputError(
        f"{pattern!r} is not a host that can be allowed",
        where="output.allow_hosts",
        next_step="write a host such as cdn.example.com, or *.example.com for all hosts below it",
    )
