"""The manifest that `batchgen init` writes."""

from __future__ import annotations

import json
from importlib.resources import files


def starter_manifest(name: str = "my-batch") -> str:
    """Give the text of a commented, valid manifest with one job of each model."""
    text = (files("batchgen.manifest.starters") / "starter.yaml").read_text(encoding="utf-8")
    # JSON's quotes are YAML's too, so any name is safe in them.
    return text.replace("MY-BATCH", json.dumps(name, ensure_ascii=False))
