"""An earlier run on the same machine, whose results tonight's run may take; and their judge."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.downloads.outcomes import VerifiedFile
from batchgen.jobs import Job, canonical_json
from batchgen.runcomfy.base import api_base
from batchgen.runs.ownership import provider_name
from batchgen.runs.reuse import index_of
from batchgen.runs.reuse_index import rebuild_index
from batchgen.state import files, transitions
from batchgen.state.database import open_for_writing
from batchgen.state.meta import Meta, set_meta
from batchgen.state.reviews import Pick, pick
from tests.simulation.findings import Finding
from tests.simulation.vendor import picture
from tests.state.state_world import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.night import Night


@dataclass(slots=True)
class Earlier:
    """`sound` are contents of results that may be reused, by job; `spoilt` jobs have a bad one."""

    sound: dict[str, bytes] = field(default_factory=dict)
    spoilt: set[str] = field(default_factory=set)


def run_earlier(night: Night) -> Earlier:
    """Two jobs in three were made; a few results are rejected, altered or missing."""
    earlier, dice = Earlier(), night.dice("earlier")
    root = night.place / "earlier"
    (root / "files").mkdir(parents=True)
    jobs = json.loads(night.manifest.read_text())["jobs"]
    with closing(open_for_writing(root / "state.db")) as db:
        set_meta(db, Meta.RUN_ID, "earlier")
        set_meta(db, Meta.PROVIDER, provider_name(api_base({}), emulator=False))
        state = State(root / "state.db", db)
        made = [one for one in jobs if dice.random() < 2 / 3]
        state.merge(
            [Job(one["id"], one["model"], canonical_json(one["input"]), one["id"]) for one in made]
        )
        for one in made:
            _make(night, state, earlier, one["id"], dice.random())
    memory = night.watched / "user"
    index = index_of(memory)
    assert index is not None
    rebuild_index(index, memory, [root])
    return earlier


def _make(night: Night, state: State, earlier: Earlier, job: str, fate: float) -> None:
    db, seq = state.db, state.seq(job)
    body = state.one("SELECT body FROM job WHERE seq = ?", seq)
    digest = hashlib.sha256(body.encode()).hexdigest()
    number = transitions.begin_attempt(db, seq, digest, 0.03, 1.0)
    assert number == 1
    transitions.accepted(db, seq, 1, f"earlier-{job}", "raw", 1.0)
    transitions.delivered(db, seq, 1, [f"https://x.runcomfy.net/{job}.png"], 0.03, "raw", 2.0)
    content = picture(f"earlier-{job}")
    path = night.place / "earlier/files" / f"{job}.png"
    path.write_bytes(content)
    fetch = files.files_to_fetch(db, seq)
    assert fetch is not None
    sha256 = hashlib.sha256(content).hexdigest()
    file = VerifiedFile(f"files/{job}.png", len(content), sha256, "image/png", 8, 8, None, 1)
    files.verified(db, fetch.files[0].id, file, 3.0)
    if fate > 0.3:
        earlier.sound[job] = content
        return
    earlier.spoilt.add(job)
    if fate < 0.1:
        pick(db, seq, None, Pick.REJECT)
    elif fate < 0.2:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        path.unlink()


def reuse_at_the_end(night: Night) -> Iterator[Finding]:
    """No charge that reuse should have saved, no file without its bytes."""
    earlier = night.earlier
    if earlier is None:
        return
    rows = night.query(
        "SELECT job.id, path FROM job JOIN attempt ON attempt.job = seq AND number = attempts"
        " JOIN file ON file.job = seq AND file.attempt = number"
        " WHERE outcome = 'reused' AND state = 'done'"
    )
    reused = dict(rows)
    for job, path in rows:
        content = night.result(path)
        if content != earlier.sound.get(job):
            yield Finding("reuse", f"{job} took what the earlier run has not")
    if night.scenario.rough.disk:
        return  # An index that cannot be read is no reason to stop.
    for charge in night.vendor.ledger.values():
        if charge.job in earlier.sound:
            yield Finding("reuse", f"{charge.id} was paid, and the earlier run has {charge.job}")
    for job in earlier.sound.keys() - reused.keys():
        yield Finding("reuse", f"{job} was not taken from the earlier run")
