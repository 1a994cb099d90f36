"""What `--ray` names: a cluster on this machine that ends with the command, or a running one."""

from __future__ import annotations

import re

from batchgen.errors import UsageError

LOCAL = "local"
LAST_PORT = 65535
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


def is_address(text: str) -> bool:
    found = _ADDRESS.fullmatch(text)
    return text == LOCAL or (found is not None and 0 < int(found[2]) <= LAST_PORT)


def parse_address(text: str) -> str:
    """Check the address of a cluster: HOST:PORT, or `local`. Raises UsageError."""
    if is_address(text):
        return text
    if "://" in text:
        raise UsageError(
            "batchgen runs on a node of the cluster, and takes no address of a Ray client",
            where="--ray",
            next_step="join the cluster with `ray start --address=HOST:PORT`, then --ray HOST:PORT",
        )
    raise UsageError(
        f"'{text}' is not the address of a Ray cluster",
        where="--ray",
        next_step="--ray HOST:PORT names a running cluster, --ray alone starts one here",
    )
