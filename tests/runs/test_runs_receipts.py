"""The last trace of a paid request when the state file fails (row 51)."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from batchgen.engine.ports import RecoveryEntry
from batchgen.errors import DiskFullError, OutputError
from batchgen.runs.recovery_log import SPARE_BYTES, RecoveryLog, adopt_requests, read_recovery_log
from batchgen.state import manual_actions, transitions
from batchgen.state.store import open_store
from tests.runs.run_world import Place

FIRST, SECOND = RecoveryEntry("boat", 1, "r1"), RecoveryEntry("clip", 1, "r2")


def full_disk(_descriptor: int, _data: bytes) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_room_is_taken_before_anything_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "receipts.jsonl"
    RecoveryLog(path).reserve()
    assert path.stat().st_size == SPARE_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_recovery_log(path) == []


def test_receipts_are_written_into_that_room_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row 51: stderr and a spare file."""
    path = tmp_path / "receipts.jsonl"
    receipts = RecoveryLog(path)
    receipts.reserve()
    receipts.record(FIRST)
    receipts.record(SECOND)
    assert path.stat().st_size == SPARE_BYTES
    assert read_recovery_log(path) == [FIRST, SECOND]
    shown = capsys.readouterr().err.splitlines()
    assert [json.loads(line.split(": ", 1)[1])["request_id"] for line in shown] == ["r1", "r2"]


def test_a_receipt_that_cannot_be_kept_is_shown_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        RecoveryLog(tmp_path / "file" / "receipts.jsonl").record(FIRST)
    assert '"request_id": "r1"' in capsys.readouterr().err


def test_without_room_for_receipts_nothing_is_begun(tmp_path: Path) -> None:
    (tmp_path / "receipts.jsonl").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        RecoveryLog(tmp_path / "receipts.jsonl").reserve()


def test_a_full_disk_is_noticed_while_reserving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "write", full_disk)
    with pytest.raises(DiskFullError, match="No space left"):
        RecoveryLog(tmp_path / "receipts.jsonl").reserve()


def test_a_receipt_that_a_crash_tore_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "receipts.jsonl"
    path.write_bytes(b'{"job": "boat", "attempt": 1, "request_id": "r1"}\n{"job": "cl\xff\n[1]\n  ')
    assert read_recovery_log(path) == [FIRST]


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"job": "boat", "attempt": ' + b"9" * 5000 + b', "request_id": "r1"}',
        b'{"job": "boat", "attempt": 99999999999999999999, "request_id": "r1"}',
        b'{"job": "boat", "attempt": 1e400, "request_id": "r1"}',
        b'{"job": "bo\\ud800at", "attempt": 1, "request_id": "r1"}',
        b'{"job": ["boat"], "attempt": 1, "request_id": {"r": 1}}',
        b'{"job": "boat", "attempt": 1, "request_id": "../../r1"}',
    ],
)
def test_a_receipt_that_nobody_of_ours_wrote_is_passed_over(
    place: Place, line: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever may write here must not stop every run: that would lose what is paid."""
    good = b'{"job": "clip", "attempt": 1, "request_id": "r2"}'
    place.folder.receipts.write_bytes(line + b"\n" + good + b"\n")
    found = read_recovery_log(place.folder.receipts)
    assert found == [SECOND]
    assert adopt_requests(place.db, found, 1.0) == 0


def test_receipts_are_not_read_or_written_through_a_link(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "receipts.jsonl"
    victim.write_text("precious")
    path.symlink_to(victim)
    for act in (RecoveryLog(path).reserve, lambda: read_recovery_log(path)):
        with pytest.raises(OutputError, match="symbolic link"):
            act()
    assert victim.read_text() == "precious"


def test_no_receipts_are_no_trouble(tmp_path: Path) -> None:
    assert read_recovery_log(tmp_path / "receipts.jsonl") == []


def test_the_next_start_follows_what_was_only_kept_here(place: Place) -> None:
    transitions.begin_attempt(place.db, place.seq("boat"), "h", None, 1.0)
    manual_actions.settle_dead_run(place.db, 1.0)
    assert adopt_requests(place.db, [FIRST], 2.0) == 1
    assert place.state("boat") == "queued"
    # The same file may be read again, if the run dies before it is emptied.
    assert adopt_requests(place.db, [FIRST, RecoveryEntry("nobody", 1, "r9")], 3.0) == 0
    assert place.state("boat") == "queued"


def test_a_receipt_of_what_a_person_settled_is_kept_for_the_record(place: Place) -> None:
    transitions.begin_attempt(place.db, place.seq("boat"), "h", None, 1.0)
    manual_actions.settle_dead_run(place.db, 1.0)
    manual_actions.write_off(place.db, place.seq("boat"), 1.0)
    adopt_requests(place.db, [FIRST], 2.0)
    assert place.state("boat") == "failed"
    assert place.one("SELECT request_id FROM attempt") == "r1"


async def test_a_disk_that_fills_up_at_the_acceptance_loses_no_paid_request(place: Place) -> None:
    """Row 51, from the state's failure to the next start."""
    receipts = RecoveryLog(place.folder.receipts)
    receipts.reserve()
    async with open_store(place.db, place.folder.state, lambda: 1.0) as store:
        for job_id in ("boat", "clip"):
            job = await store.pending_job(place.seq(job_id))
            assert job is not None
            await store.begin_attempt(job, None)
        place.db.execute(f"PRAGMA max_page_count = {place.one('PRAGMA page_count')}")
        for receipt in (FIRST, SECOND):
            with pytest.raises(DiskFullError):
                await store.accepted(1, receipt.attempt, receipt.request_id, "x" * 100_000)
            receipts.record(receipt)
    place.db.execute("ROLLBACK")
    place.db.execute("PRAGMA max_page_count = 100000")
    manual_actions.settle_dead_run(place.db, 1.0)
    assert adopt_requests(place.db, read_recovery_log(place.folder.receipts), 2.0) == 2
    assert (place.state("boat"), place.state("clip")) == ("queued", "queued")
