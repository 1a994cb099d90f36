"""What `--ray` names: a cluster on this machine that ends with the command, or a running one."""

from __future__ import annotations

import re

from batchgen.errors import UsageError

LOCAL = "local"
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


def is_address(text: str) -> bool:
    return text == LOCAL or _ADDRESS.fullmatch(text) is not None


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
