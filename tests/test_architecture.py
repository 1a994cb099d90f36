"""batchgen/ARCHITECTURE.md names what is there, and leaves no room out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ROOT / "batchgen"
TEXT = (PRODUCT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PICTURE = TEXT.split("```")[1]

PATHS = sorted(set(re.findall(r"`((?:[a-z_]+/)*[A-Za-z_]+(?:\.(?:py|sql|json|md|js)|/))`", TEXT)))
NAMES = sorted(set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)::(\w+)`", TEXT)))
ROOMS = sorted(
    path.stem
    for path in PRODUCT.iterdir()
    if (path / "__init__.py").exists() or (path.suffix == ".py" and not path.stem.startswith("__"))
)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_it_names_exists(path: str) -> None:
    assert (PRODUCT / path).exists() or (ROOT / path).exists()


@pytest.mark.parametrize(("path", "name"), NAMES)
def test_a_name_that_it_gives_is_defined_there(path: str, name: str) -> None:
    text = (PRODUCT / path).read_text(encoding="utf-8")
    assert re.search(rf"^ *(?:(?:async )?def |class )?{name}\b", text, re.MULTILINE)


@pytest.mark.parametrize("room", ROOMS)
def test_its_picture_shows_each_room(room: str) -> None:
    assert re.search(rf"\b{room}\b", PICTURE)
