from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.export.export_world import World, job, make_world

# Asked by the loader when it is imported: nothing here may leave this machine.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[World]:
    world = make_world(tmp_path / "out")
    with closing(world.db):
        yield world


@pytest.fixture
def world(empty: World) -> World:
    """Twelve done pictures, one of them two files, some with a seed; and a job that is not done."""
    names = [f"boat-{number}" for number in range(11)]
    boats = [
        job(
            name,
            f"boat {number}",
            input={"seed": number},
            tags=("hero", "sea"),
            sweep="boat",
            axes=f'{{"number":{number}}}',
        )
        for number, name in enumerate(names)
    ]
    odd = job(
        "v1.5 café", "text\nwith 'quotes', <b>markup</b> and \u2028 \U0001f6a4", tags=("odd",)
    )
    empty.merge([*boats, odd, job("later")])
    for name in names[1:]:
        empty.finish(name)
    empty.finish(names[0], count=2)
    empty.finish("v1.5 café", cost=None)
    return empty
