"""The API token: where it is found, and how it is kept out of texts, logs and pickles."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote

from batchgen.errors import TokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_VARIABLES = ("RUNCOMFY_TOKEN", "RUNCOMFY_API_TOKEN", "RUNCOMFY_API_KEY", "YOUR_API_TOKEN")
"""In this order: the vendor's command line, its other clients, its documents."""

HIDDEN = "[token]"
_FILE_KEY = "access_token"
_FILE_LIMIT = 64 * 1024
SHORTEST_SECRET = 8
_HOW_TO_GET_ONE = (
    "create a token in your RunComfy profile and export RUNCOMFY_TOKEN=…, "
    "or log in with the vendor's command line: runcomfy login"
)


class Token:
    """A secret, which only `header_value()` returns."""

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str) -> None:
        self._value = value
        self.source = source

    def header_value(self) -> str:
        return f"Bearer {self._value}"

    def redact(self, text: str) -> str:
        """Return `text` without the token, whether plain or with slashes escaped as in JSON.

        A token too short to be a secret is left in: replacing "a" would only spoil the text.
        """
        if len(self._value) < SHORTEST_SECRET:
            return text
        escaped = self._value.replace("/", "\\/")
        return text.replace(self._value, HIDDEN).replace(escaped, HIDDEN)

    def redact_bytes(self, data: bytes) -> bytes:
        """Redact a whole answer before anything is read from it, also URL-encoded tokens."""
        if len(self._value) < SHORTEST_SECRET:
            return data
        spelled = {self._value, self._value.replace("/", "\\/"), quote(self._value, safe="")}
        for text in spelled:
            data = data.replace(text.encode(), HIDDEN.encode())
        return data

    def __repr__(self) -> str:
        return f"<Token from {self.source}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a token is not pickled or copied")


def find_token(env: Mapping[str, str], home: Path) -> Token:
    """Find the first token: in the variables, then in the vendor's login.

    Raises TokenError if none is found, or the first one found cannot be sent.
    """
    for name in TOKEN_VARIABLES:
        if value := env.get(name, "").strip():
            return _checked(value, name)
    path = token_file(env, home)
    login = read_login(path)
    if login is not None:
        return _checked(login, str(path))
    raise TokenError(
        f"no API token: looked at {', '.join(TOKEN_VARIABLES)} and {_shown(path)}",
        next_step=_HOW_TO_GET_ONE,
    )


def token_file(env: Mapping[str, str], home: Path) -> Path:
    """Where the vendor's command line keeps its login.

    Not by platformdirs, which follows each system's custom: it uses ~/.config on every system. A
    relative XDG_CONFIG_HOME is ignored, as the XDG base directory specification asks.
    """
    if own := env.get("RUNCOMFY_CONFIG_DIR"):
        return Path(own) / "token.json"
    xdg = Path(env.get("XDG_CONFIG_HOME", ""))
    config = xdg if xdg.is_absolute() else home / ".config"
    return config / "runcomfy" / "token.json"


def _shown(path: Path) -> str:
    """Write the path for people; without a home folder, as the usual name of the file."""
    if path.is_relative_to(os.devnull):
        return f"~/{path.relative_to(os.devnull)} (there is no home folder: set HOME)"
    return str(path)


def _checked(value: str, source: str) -> Token:
    if value.isascii() and value.isprintable() and " " not in value:
        return Token(value, source)
    raise TokenError(
        "the token has a space, a line break or a character outside ASCII in it",
        where=source,
        next_step="set the bare token, without quotes and without the word Bearer",
    )


def read_login(path: Path) -> str | None:
    """Read the text of `access_token`; None if there is no such file. Raises TokenError."""
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as exc:
        raise _broken_login(path, f"cannot be read ({type(exc).__name__})") from exc
    if len(content) > _FILE_LIMIT:
        raise _broken_login(path, f"is larger than {_FILE_LIMIT} bytes")
    return _login_value(content, path)


def _login_value(content: bytes, path: Path) -> str:
    try:
        login = json.loads(content)
    except (ValueError, RecursionError):
        # The decoder's exception has the file's text, and so the token: it is not passed on.
        raise _broken_login(path, "is not JSON") from None
    value = login.get(_FILE_KEY) if isinstance(login, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise _broken_login(path, f"has no text under the key {_FILE_KEY}")
    return value.strip()


def _broken_login(path: Path, what: str) -> TokenError:
    return TokenError(
        f"the login file {what}",
        where=str(path),
        next_step=f"log in again with runcomfy login, or export {TOKEN_VARIABLES[0]}=…",
    )
