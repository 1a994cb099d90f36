"""Chains: stills, edits of them, clips of the edits; each link is paid once."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from typing import Any

import pytest

from tests.shell import EDIT, PATIENCE, T2I, VIDEO, Emulator, Shell, wait_until

HOURS = ["dawn", "noon", "dusk", "night"]
PLACES = ["harbour", "cliff", "beach", "island", "river"]
CELLS = {"hour": HOURS, "place": PLACES}
PICKED = ["still-dawn-harbour", "still-noon-cliff", "still-dusk-beach", "still-night-island"]
PICKED.append("still-night-river")


def chain(matrix: dict[str, Any], **still: Any) -> list[dict[str, Any]]:
    """A still, an edit and a clip of each cell; the prompt says which cell it is."""
    cell = " ".join(f"{{{{ {axis} }}}}" for axis in matrix)
    return [
        {"id": "still", "matrix": matrix, "input": {"prompt": f"a {cell}"}, **still},
        {
            "id": "paint",
            "model": EDIT,
            "matrix": matrix,
            "needs": ["still"],
            "input": {"prompt": f"paint {cell}", "image_urls": ["{{ jobs.still.image }}"]},
        },
        {
            "id": "clip",
            "model": VIDEO,
            "matrix": matrix,
            "needs": ["paint"],
            "input": {
                "prompt": f"pan {cell}",
                "image_urls": ["{{ jobs.paint.image }}"],
                "seed": "{{ index }}",
            },
        },
    ]


def charged(emulator: Emulator) -> Counter[str]:
    return Counter(charge["model_id"] for charge in emulator.charges())


def prompts(emulator: Emulator) -> list[str]:
    return [charge["input"]["prompt"] for charge in emulator.charges()]


def count(user: Shell) -> Counter[str]:
    return Counter(user.states().values())


def faults_are_met(emulator: Emulator) -> bool:
    with urllib.request.urlopen(f"{emulator.origin}/emulator/faults", timeout=PATIENCE) as answer:
        armed: list[object] = json.load(answer)["faults"]
    return not armed


def kill_in_the_middle_of_the_clips(user: Shell, emulator: Emulator) -> None:
    """Two clips stay in the vendor's queue, so no other one can go and none is on the wire."""
    emulator.hold(VIDEO)
    with user.start("run", "m.yaml", "--quiet") as process:
        wait_until(lambda: count(user)["done"] == 25, "the edits are home")
        wait_until(lambda: count(user)["queued"] + count(user)["running"] == 2, "two clips wait")
        process.kill()
    emulator.disarm()


def test_of_twenty_stills_those_that_are_approved_go_on_and_nothing_is_paid_twice(
    user: Shell, emulator: Emulator
) -> None:
    run = {"concurrency": 8, "models": {VIDEO: {"concurrency": 2}}}
    user.manifest(chain(CELLS, gate=True), run=run)
    said = user.expect(75, "run", "m.yaml").said
    assert "batchgen approve m.yaml" in said
    assert charged(emulator) == {T2I: 20}

    user.expect(0, "approve", "m.yaml", *PICKED)
    kill_in_the_middle_of_the_clips(user, emulator)
    assert charged(emulator) == {T2I: 20, EDIT: 5, VIDEO: 2}
    user.expect(75, "run", "m.yaml")
    assert charged(emulator) == {T2I: 20, EDIT: 5, VIDEO: 5}
    cells = {one.removeprefix("still-").replace("-", " ") for one in PICKED}
    for verb in ("paint", "pan"):
        assert {f"{verb} {cell}" for cell in cells} == {
            prompt for prompt in prompts(emulator) if prompt.startswith(verb)
        }
    assert count(user) == {"done": 30, "pending": 30}

    user.expect(0, "approve", "m.yaml", "--all")
    user.expect(0, "run", "m.yaml")
    assert charged(emulator) == {T2I: 20, EDIT: 20, VIDEO: 20}
    assert len(set(prompts(emulator))) == 60
    assert set(user.states().values()) == {"done"}
    assert user.expect(0, "run", "m.yaml", "--json").document["submitted"] == 0


def test_each_link_is_given_the_url_of_the_one_before(user: Shell, emulator: Emulator) -> None:
    user.manifest(chain({"hour": HOURS[:2]}))
    user.expect(0, "run", "m.yaml")
    by_prompt = {charge["input"]["prompt"]: charge for charge in emulator.charges()}
    for hour in HOURS[:2]:
        for before, after in (("a", "paint"), ("paint", "pan")):
            (url,) = by_prompt[f"{after} {hour}"]["input"]["image_urls"]
            assert url.startswith(emulator.origin)
            assert by_prompt[f"{before} {hour}"]["request_id"] in url


def test_what_a_failed_still_blocks_goes_on_once_it_is_retried(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(chain({"hour": HOURS[:2]}), run={"concurrency": 1})
    emulator.arm("submit", "vendor_failed", model=T2I, message="The brushes are dry.")
    said = user.expect(1, "run", "m.yaml").said
    assert "The brushes are dry." in said
    jobs = {job["id"]: job for job in user.status()["jobs"]}
    assert jobs["still-dawn"]["state"] == "failed"
    assert jobs["paint-dawn"]["state"] == jobs["clip-dawn"]["state"] == "blocked"
    assert "still-dawn" in jobs["paint-dawn"]["error"]["message"]
    assert "paint-dawn" in jobs["clip-dawn"]["error"]["message"]
    assert jobs["clip-noon"]["state"] == "done"
    assert charged(emulator) == {T2I: 2, EDIT: 1, VIDEO: 1}

    user.expect(0, "retry", "m.yaml")
    assert set(user.states().values()) == {"done"}
    assert charged(emulator) == {T2I: 3, EDIT: 2, VIDEO: 2}


def test_an_expired_url_is_asked_for_again_and_nothing_upstream_is_paid_again(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(chain({"hour": HOURS[:1]}, gate=True))
    user.expect(75, "run", "m.yaml")
    user.expect(0, "approve", "m.yaml", "still-dawn")
    emulator.arm("file", "expired", model=T2I)
    user.expect(0, "run", "m.yaml")
    assert faults_are_met(emulator)
    assert charged(emulator) == {T2I: 1, EDIT: 1, VIDEO: 1}


def test_where_the_url_stays_expired_the_edit_fails_and_is_not_paid(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(chain({"hour": HOURS[:1]}, gate=True))
    user.expect(75, "run", "m.yaml")
    user.expect(0, "approve", "m.yaml", "still-dawn")
    emulator.arm("file", "expired", model=T2I, times=None)
    user.expect(1, "run", "m.yaml")
    jobs = {job["id"]: job for job in user.status()["jobs"]}
    assert jobs["paint-dawn"]["state"] == "failed"
    assert "still-dawn" in jobs["paint-dawn"]["error"]["message"]
    assert jobs["clip-dawn"]["state"] == "blocked"
    assert charged(emulator) == {T2I: 1}


def boats(user: Shell, rows: int, **choice: Any) -> None:
    lines = [
        json.dumps({"name": f"boat {n}", "split": "even" if n % 2 == 0 else "odd"})
        for n in range(1, rows + 1)
    ]
    user.write("\n".join(lines) + "\n", "rows.jsonl")
    item = {
        "id": "{{ name }}-{{ repeat }}",
        "from": "rows.jsonl",
        "input": {"prompt": "{{ name }}", "image_urls": ["https://pictures.example.com/a.png"]},
        "repeat": 2,
        **choice,
    }
    item["input"]["seed"] = "{{ index }}"
    user.manifest([item], defaults={"model": VIDEO})


def test_a_seed_from_the_index_stays_when_rows_are_added_and_chosen_otherwise(
    user: Shell, emulator: Emulator
) -> None:
    boats(user, 4, where={"split": "even"}, limit=1)
    user.expect(0, "run", "m.yaml")
    boats(user, 6, where={"split": "even"})
    user.expect(0, "run", "m.yaml")
    boats(user, 6, offset=2)
    user.expect(0, "run", "m.yaml")
    boats(user, 6)
    user.expect(0, "run", "m.yaml")
    seeds = {(charge["input"]["prompt"], charge["input"]["seed"]) for charge in emulator.charges()}
    expected = {(f"boat {n}", 2 * (n - 1) + repeat) for n in range(1, 7) for repeat in (1, 2)}
    assert seeds == expected
    # Had a seed moved, its job would have changed after it was paid.
    assert len(emulator.charges()) == 12


def sketches(*names: str) -> list[dict[str, Any]]:
    cells = {"n": [1, 2, 3, 4]}
    return [
        {"id": name, "matrix": cells, "input": {"prompt": f"{name} {{{{ n }}}}"}} for name in names
    ]


def test_a_canary_that_fails_holds_its_own_sweep_after_one_charge(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(sketches("boat", "tree"), run={"canary": 1})
    emulator.arm("submit", "vendor_failed", times=1)
    said = user.expect(75, "run", "m.yaml").said
    assert "the others wait" in said
    assert "batchgen status" in said
    assert sorted(Counter(one.split()[0] for one in prompts(emulator)).values()) == [1, 4]


def test_behind_a_canary_that_is_done_the_others_follow(user: Shell, emulator: Emulator) -> None:
    user.manifest(sketches("boat", "tree"), run={"canary": 1})
    user.expect(0, "run", "m.yaml")
    assert set(prompts(emulator)[:2]) == {"boat 1", "tree 1"}
    assert len(emulator.charges()) == 8


@pytest.mark.parametrize("priorities", [(0, 10, 5), (1, -1, 0)])
def test_a_higher_priority_is_submitted_first(
    user: Shell, emulator: Emulator, priorities: tuple[int, ...]
) -> None:
    jobs = [
        {"id": f"j{n}", "input": {"prompt": f"{priority}"}, "priority": priority}
        for n, priority in enumerate(priorities)
    ]
    user.manifest(jobs, run={"concurrency": 1})
    user.expect(0, "run", "m.yaml")
    assert prompts(emulator) == [str(priority) for priority in sorted(priorities, reverse=True)]
