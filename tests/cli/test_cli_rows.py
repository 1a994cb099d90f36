"""Rows of a data file, from first run to last: added, changed and wrong ones."""

from __future__ import annotations

import json
from typing import Any

from tests.shell import Emulator, Shell

ITEM = {
    "id": "boat-{{ sku }}",
    "from": "rows.jsonl",
    "input": {"prompt": "{{ prompt }}, {{ env.MOOD }}"},
}


def row(number: int) -> dict[str, Any]:
    return {"sku": number, "prompt": f"boat {number}"}


def write_rows(user: Shell, *rows: dict[str, Any]) -> None:
    user.write("".join(json.dumps(one) + "\n" for one in rows), "rows.jsonl")


def write_sweep(user: Shell, **header: Any) -> Shell:
    user.manifest([ITEM], env=["MOOD"], **header)
    return user.having(MOOD="calm")


def submitted(user: Shell) -> int:
    count: int = user.expect(0, "run", "m.yaml", "--json").document["submitted"]
    return count


def test_a_row_that_is_added_is_the_only_one_submitted(user: Shell, emulator: Emulator) -> None:
    write_rows(user, row(1), row(2))
    user = write_sweep(user)
    assert submitted(user) == 2
    assert submitted(user) == 0
    write_rows(user, row(0), row(1), row(2))
    assert submitted(user) == 1
    assert len(emulator.charges()) == 3


def test_a_file_that_an_include_now_matches_is_taken_up(user: Shell, emulator: Emulator) -> None:
    write_rows(user, row(1))
    (user.folder / "more").mkdir()
    more = {"version": 1, "jobs": [{"id": "more", "input": {"prompt": "more"}}]}
    more["defaults"] = {"model": "bytedance/dreamina-4-0/text-to-image"}
    user.write(json.dumps(more), "more/first.yaml")
    user = write_sweep(user, include=["more/*.yaml"])
    assert submitted(user) == 2
    user.write(json.dumps(more).replace('"more"', '"other"'), "more/second.yaml")
    assert submitted(user) == 1
    assert user.states()["other"] == "done"
    assert len(emulator.charges()) == 3


def test_a_changed_row_that_was_paid_is_named_and_nothing_is_sent(
    user: Shell, emulator: Emulator
) -> None:
    write_rows(user, row(1), row(2))
    user = write_sweep(user)
    submitted(user)
    write_rows(user, row(1), {**row(2), "prompt": "another"}, row(3))
    for _ in range(2):
        said = user.expect(65, "run", "m.yaml").said
        assert "boat-2 (done)" in said
        assert "boat-1 " not in said
    assert len(emulator.charges()) == 2


def test_an_environment_variable_that_changed_is_noticed(user: Shell, emulator: Emulator) -> None:
    write_rows(user, row(1))
    user = write_sweep(user)
    submitted(user)
    assert "boat-1 (done)" in user.having(MOOD="wild").expect(65, "run", "m.yaml").said
    assert submitted(user) == 0
    assert len(emulator.charges()) == 1


def test_a_wrong_row_is_named_by_file_and_line_before_anything_is_sent(
    user: Shell, emulator: Emulator
) -> None:
    """Far behind the rows that are made at a time."""
    rows = [row(number) for number in range(1, 301)]
    write_rows(user, *rows[:250], {"sku": 250.5}, *rows[251:], row(7))
    user = write_sweep(user)
    said = user.expect(65, "run", "m.yaml").said
    assert "rows.jsonl:251:1: job boat-250.5: " in said
    assert "'prompt'" in said
    assert "rows.jsonl:301:1: job boat-7: duplicate id 'boat-7': lines 7 and 301" in said
    assert emulator.charges() == []
    assert not (user.folder / "out").exists()
