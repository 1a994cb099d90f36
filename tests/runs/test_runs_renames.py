"""A job that only got another id, from the manifest to the emulator's ledger."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from batchgen.engine.ports import RecoveryEntry
from batchgen.errors import ChangedJobsError
from batchgen.jobs import JobState
from batchgen.runs import api
from batchgen.runs.folder import RunFolder
from batchgen.runs.options import RunOptions
from batchgen.runs.recovery_log import RecoveryLog
from batchgen.state.database import open_for_writing
from batchgen.state.reconcile import OnChanged
from tests.runs.run_world import lines, statuses, write_manifest

REHEARSAL = RunOptions(emulator=True, emulator_latency=0.01)
KEEP = RunOptions(emulator=True, emulator_latency=0.01, on_changed=OnChanged.KEEP)


def rename(manifest: Path) -> None:
    text = manifest.read_text("utf-8").replace("id: j1", "id: ship")
    manifest.write_text(text, encoding="utf-8")


def test_a_renamed_job_is_refused_then_kept_and_paid_once(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, 2)
    assert api.run(manifest, REHEARSAL).submitted == 2
    rename(manifest)
    with pytest.raises(ChangedJobsError, match="j1 is now called ship"):
        api.run(manifest, REHEARSAL)
    plan = api.plan_run(manifest, offline=True)
    assert (plan.total.renamed, plan.total.to_do, plan.rehearsal) == (1, 0, True)
    assert api.run(manifest, KEEP).submitted == 0
    assert {one["id"] for one in lines(tmp_path / "out" / "metadata.jsonl")} == {"ship", "j2"}
    assert api.run(manifest, REHEARSAL).submitted == 0


def test_a_receipt_that_names_the_old_id_is_adopted_before_the_job_gets_the_new_one(
    tmp_path: Path,
) -> None:
    manifest = write_manifest(tmp_path, 1)
    api.run(manifest, REHEARSAL)
    folder = RunFolder(tmp_path / "out")
    with closing(open_for_writing(folder.state)) as db:
        (request,) = db.execute("SELECT request_id FROM attempt").fetchone()
        # As a run leaves it that died when its state could not be written any more.
        db.execute("DELETE FROM file")
        db.execute(
            "UPDATE attempt SET request_id = NULL, accepted_at = NULL, outcome = NULL,"
            " ended_at = NULL, cost = NULL, result = NULL"
        )
        db.execute("UPDATE job SET state = 'submitting'")
    # The log has no answer either: it is told after the state.
    log = folder.log.read_text("utf-8").splitlines(keepends=True)
    folder.log.write_text("".join(line for line in log if request not in line), "utf-8")
    receipts = RecoveryLog(folder.receipts)
    receipts.reserve()
    receipts.record(RecoveryEntry("j1", 1, request))
    rename(manifest)
    assert api.run(manifest, KEEP).submitted == 0
    assert [(one.id, one.state) for one in statuses(folder.root)] == [("ship", JobState.DONE)]
