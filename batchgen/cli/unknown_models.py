"""Says of a model that batchgen does not know whether the vendor has it: one call, with a token."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.cli.console import print_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from batchgen.errors import ManifestError

WITHOUT_ASKING = frozenset({"--emulator", "--offline"})


def print_offers(error: ManifestError, argv: Sequence[str] | None = None) -> None:
    """Print what the vendor says of the models that a manifest names and no catalog has.

    Not if the command says that nothing leaves this machine.
    """
    if not WITHOUT_ASKING.isdisjoint(sys.argv[1:] if argv is None else argv):
        return
    for line in vendor_offers(error.unknown_models):
        print_text(f"  → {line}", to_stderr=True)


def vendor_offers(names: Iterable[str]) -> list[str]:
    """A line for each model that the vendor knows, or does not; none without a token or network."""
    from batchgen.models.own_models import is_model_id

    ids = [name for name in names if is_model_id(name)]
    if not ids:
        return []
    from batchgen.runs.vendor_catalogue import Desk, which_exist

    try:
        home = Path.home()
    except RuntimeError:
        return []
    return [
        f"the vendor has {model_id}: batchgen models add {model_id}"
        if exists
        else f"the vendor has no model {model_id}"
        for model_id, exists in which_exist(Desk(os.environ, home), ids).items()
    ]
