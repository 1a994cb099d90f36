"""The proxy and the certificates that the environment configures, and how messages name them.

By hand: aiohttp's own `trust_env` also reads .netrc, and would send the credentials in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.request import (  # type: ignore[attr-defined]  # typeshed leaves it out
    proxy_bypass_environment,
)

from yarl import URL

from batchgen.errors import UsageError
from batchgen.net import LOOPBACK_HOSTS, host_of

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
IGNORED_VARIABLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that other programs take certificates from, and this one does not."""


@dataclass(frozen=True, slots=True)
class Proxies:
    """`url` is for https, the only scheme that leaves this machine; it comes from `variable`.

    `certificates` is a readable text: where trusted certificates come from.
    """

    url: URL | None = None
    variable: str = ""
    no_proxy: str = ""
    certificates: str = ""

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Proxies:
        """Read the environment. Raises UsageError for a kind of proxy that is not supported."""
        variable = next((name for name in VARIABLES if env.get(name, "").strip()), "")
        return cls(
            _proxy(env[variable].strip(), variable) if variable else None,
            variable,
            env.get("no_proxy") or env.get("NO_PROXY", ""),
            _certificates(env),
        )

    def for_url(self, url: URL) -> URL | None:
        """Return the proxy to use; None for a direct connection, as to this machine."""
        host = host_of(url)
        if self.url is None or url.scheme != "https" or host in LOOPBACK_HOSTS:
            return None
        if proxy_bypass_environment(f"{host}:{url.port}", {"no": self.no_proxy}):
            return None
        return self.url

    def is_proxy(self, host: str) -> bool:
        return self.url is not None and host_of(self.url) == host

    def about(self, url: URL) -> str:
        """Describe the way to a URL, for messages about failed connections; "" if direct."""
        proxy = self.for_url(url)
        if proxy is None:
            return ""
        return f"through the proxy {proxy.host}:{proxy.port} of {self.variable}"


NO_PROXIES = Proxies()


def _proxy(text: str, variable: str) -> URL:
    # These messages never repeat the value: it may contain a password.
    try:
        url = URL(text if "://" in text else f"http://{text}")
    except ValueError:
        url = URL()
    if url.scheme in {"http", "https"} and url.host:
        return url
    kind = f"{url.scheme} is" if url.scheme and url.host else "it is"
    raise UsageError(
        f"this proxy is not supported: {kind} not http or https",
        where=variable,
        next_step="set it to an HTTP proxy, such as http://proxy.example.com:3128, or unset it",
    )


def _certificates(env: Mapping[str, str]) -> str:
    parts = []
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if value := env.get(name):
            missing = "" if Path(value).exists() else ", which does not exist"
            parts.append(f"{name} is {value}{missing}")
    if not parts:
        parts.append("SSL_CERT_FILE is not set")
        parts += [
            f"{name} is set, but not used here" for name in IGNORED_VARIABLES if env.get(name)
        ]
    return "; ".join(parts)
