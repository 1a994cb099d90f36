"""One round: a fresh folder, an emulator of its own process, some hundred jobs, many kills."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from tests.kills.evidence import SECONDS_TO_ANSWER, Scene, gather
from tests.kills.judge import Evidence, Violation, judge
from tests.kills.person import Person
from tests.kills.plan import PHOTOS, Plan, photo
from tests.shell import Emulator, Shell, emulating

TOKEN = "s3cr3t-0f-th3-m4n-wh0-c0m3s-b4ck"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a round went. `unknown_by_kill` has an entry for each kill that hit a live process."""

    name: str
    violations: tuple[Violation, ...]
    unknown_by_kill: tuple[int, ...]
    approved: int
    rejected: int
    remade: int
    adopted: int
    evidence: Evidence

    @property
    def kills(self) -> int:
        return len(self.unknown_by_kill)


def play(plan: Plan, folder: Path) -> Verdict:
    """Carry a round out in `folder`, which must not exist yet."""
    shell = Shell(folder / "user", apart=True)
    shell.folder.mkdir(parents=True)
    write_photos(shell.folder)
    manifest = shell.manifest(plan.items, run={"concurrency": plan.concurrency})
    with emulating(latency=plan.latency) as emulator:
        scene = Scene(emulator, shell.folder, manifest, TOKEN)
        # Its own dice: what the person says must not depend on how many faults were drawn.
        person = Person(shell.using(emulator, TOKEN), scene, plan, Random(plan.name))
        with failing(emulator, plan.faults):
            for kill in plan.kills:
                if person.has_work():
                    person.strike(kill)
        person.settle()
        evidence = gather(scene, plan, person.approved + person.picks.remade, person.said)
    return Verdict(
        name=plan.name,
        violations=(*person.violations, *judge(evidence)),
        unknown_by_kill=tuple(person.unknown_by_kill),
        approved=person.approved.total(),
        rejected=person.picks.said,
        remade=person.picks.remade.total(),
        adopted=person.adopted,
        evidence=evidence,
    )


def write_photos(folder: Path) -> None:
    (folder / "photos").mkdir()
    for name, side in PHOTOS.items():
        dice = Random(name)
        Image.frombytes("RGB", (side, side), dice.randbytes(3 * side * side)).save(
            folder / photo(name)
        )


@contextmanager
def failing(emulator: Emulator, faults: Sequence[dict[str, Any]]) -> Iterator[None]:
    """Arm the faults, and take away what is left of them at the end."""
    control = f"{emulator.origin}/emulator/faults"
    body = json.dumps({"faults": faults}).encode()
    post = urllib.request.Request(control, body, {"Content-Type": "application/json"})
    urllib.request.urlopen(post, timeout=SECONDS_TO_ANSWER).close()
    yield
    # Not in a finally: a round that broke off leaves its emulator as it was, and ends it.
    clear = urllib.request.Request(control, method="DELETE")
    urllib.request.urlopen(clear, timeout=SECONDS_TO_ANSWER).close()
