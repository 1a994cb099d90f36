"""One round: a fresh folder, an emulator of its own process, some hundred jobs, many kills."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from tests.kills.evidence import SECONDS_TO_ANSWER, Scene, Shelf, gather
from tests.kills.judge import Evidence, Violation, judge
from tests.kills.person import Person
from tests.kills.plan import PHOTOS, Plan, photo
from tests.shell import Emulator, Shell, emulating
from tests.storage.s3_server import s3_server

TOKEN = "s3cr3t-0f-th3-m4n-wh0-c0m3s-b4ck"
SLOW, REFUSED, LOST = 0.2, 0.03, 0.05
"""Shares of the requests to a bucket."""


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


def play(plan: Plan, folder: Path, *, stores: bool = False) -> Verdict:
    """Carry a round out in `folder`, which must not exist yet; `stores`: results go to a bucket."""
    shell = Shell(folder / "user", apart=True)
    shell.folder.mkdir(parents=True)
    write_photos(shell.folder)
    with (
        shelf_of(plan) if stores else nullcontext() as shelf,
        emulating(latency=plan.latency) as emulator,
    ):
        output = {"dir": "out"} if shelf is None else {"dir": shelf.url, "state": "out"}
        manifest = shell.manifest(plan.items, run={"concurrency": plan.concurrency}, output=output)
        if shelf is not None:
            shell = shell.having(**shelf.s3.env)
        scene = Scene(emulator, shell.folder, manifest, TOKEN, shelf)
        # Its own dice: what the person says must not depend on how many faults were drawn.
        person = Person(shell.using(emulator, TOKEN), scene, plan, Random(plan.name))
        rough = (
            nullcontext() if shelf is None else rough_weather(shelf, Random(f"{plan.name} bucket"))
        )
        with failing(emulator, plan.faults), rough:
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


@contextmanager
def shelf_of(plan: Plan) -> Iterator[Shelf]:
    """A bucket of the round's own: all servers of this process share their memory."""
    with s3_server() as s3:
        shelf = Shelf(s3, plan.name.replace(" ", "-"))
        s3.make_bucket(shelf.bucket)
        yield shelf


@contextmanager
def rough_weather(shelf: Shelf, dice: Random) -> Iterator[None]:
    """Some requests are refused, some obeyed without an answer, some wait until a kill may come."""
    slowly = threading.Event()

    def refuse(_method: str, _path: str) -> int | None:
        if dice.random() < SLOW:
            slowly.wait(dice.uniform(0.1, 1.0))
        return 503 if dice.random() < REFUSED else None

    shelf.s3.refuse = refuse
    shelf.s3.lose = lambda method, _path: method in {"PUT", "POST"} and dice.random() < LOST
    yield
    slowly.set()
    shelf.s3.refuse = lambda _method, _path: None
    shelf.s3.lose = lambda _method, _path: False


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
