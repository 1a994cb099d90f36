"""What a result must be for its input, and what is left open."""

from __future__ import annotations

import json
from typing import Any

from batchgen.check.checking import contract_violations
from batchgen.check.kinds import Kind
from batchgen.models.catalog import bundled
from batchgen.models.fields import SIZE_KEY
from tests.state.state_world import a_result


def broken(sent: dict[str, Any], width: int = 1024, height: int = 1024, frames: int = 1) -> Any:
    result = a_result(
        body=json.dumps(sent), path="files/a.png", width=width, height=height, frames=frames
    )
    return contract_violations(result, bundled())


def test_the_size_that_was_asked_for_is_promised() -> None:
    assert broken({SIZE_KEY: "1024x1024(1:1)"}) == {}
    text = broken({SIZE_KEY: "2304x1728(4:3)"}, 1728, 2304)
    assert text == {Kind.WRONG_SIZE: "1728x2304 pixels; 2304x1728 were asked for"}


def test_nothing_is_promised_where_nothing_was_asked_for() -> None:
    """The page names defaults, and sends none."""
    assert broken({"prompt": "a boat"}, 7, 5, 3) == {}
    assert broken({SIZE_KEY: "large"}, 7, 5) == {}


def test_the_frames_that_were_asked_for_are_promised() -> None:
    assert broken({"frames": 121}, frames=121) == {}
    text = {Kind.WRONG_LENGTH: "96 frames; 121 were asked for"}
    assert broken({"frames": 121}, frames=96) == text
