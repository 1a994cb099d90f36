"""What a manifest may read of the environment: the token goes to the API and nowhere else."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.errors import TokenError
from batchgen.runcomfy.token import SHORTEST_SECRET, TOKEN_VARIABLES, read_login, token_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Offered:
    """`env` is what templates may name; `withheld` says of the other variables what they are.

    Without an `env` nothing is asked of it.
    """

    env: Mapping[str, str] | None
    withheld: Mapping[str, str]


NOTHING_OFFERED = Offered(None, {})


def offered(env: Mapping[str, str]) -> Offered:
    secrets = tuple(_secrets(env))
    withheld = {
        name: "holds the token"
        for name, value in env.items()
        if any(secret in value for secret in secrets)
    }
    # Also those that are not set: the answer must not be to set them.
    withheld |= dict.fromkeys(TOKEN_VARIABLES, "is the token")
    return Offered({name: value for name, value in env.items() if name not in withheld}, withheld)


def _secrets(env: Mapping[str, str]) -> Iterator[str]:
    """Every token in reach. One too short to be a secret would withhold the whole environment."""
    found = [env.get(name, "").strip() for name in TOKEN_VARIABLES]
    if home := env.get("HOME"):
        # A broken login is for whoever needs the token to tell.
        with suppress(TokenError):
            found.append(read_login(token_file(env, Path(home))) or "")
    return (one for one in found if len(one) >= SHORTEST_SECRET)
