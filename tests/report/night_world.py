"""A night as a state file, written by SQL, because thousands of jobs must be there quickly."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import av
from PIL import Image

from batchgen.jobs import Job, canonical_json
from batchgen.report.making import Made, Subject, make_report
from batchgen.report.page import RunCommands
from batchgen.state.database import open_for_writing, reading
from batchgen.state.reviews import Pick, find_flaws, pick
from batchgen.storage.locations import FolderLocation
from tests.state.state_world import T2I, State

I2V = "bytedance/dreamina-3-0/pro/image-to-video"
EVENING = 1_760_000_000.0

HOSTILE = (
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">",
    "</script><!-- ]]> {{ 7 * 7 }} ${7*7} \\u003cscript\\u003e `' \"",
    "\u202eright-to-left override \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "emoji 👩‍👩‍👧‍👦 🏳️‍🌈 and \x07 bell \x1b[31m red \u2028 line",
    "long " * 160,
    "javascript:alert(1)",
)


def picture(path: Path, number: int, size: tuple[int, int] = (96, 64)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (number * 37 % 256, number * 91 % 256, number * 13 % 256)).save(path)


def clip(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for shade in range(12):
            still = Image.new("RGB", (64, 48), (shade * 20, 80, 120))
            frame = av.VideoFrame.from_image(still)  # type: ignore[no-untyped-call]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def job(job_id: str, prompt: str, **more: object) -> Job:
    inputs = {"prompt": prompt, "seed": 7, "width×height": "1024x1024(1:1)"}  # noqa: RUF001 - the vendor's key
    fields = {"model": T2I, **more}
    return Job(job_id, body=canonical_json(inputs), name=job_id, **fields)  # type: ignore[arg-type]


def harbour(**axes: object) -> dict[str, object]:
    """What makes a job one of the sweep `harbour`."""
    return {"sweep": "harbour", "axes": json.dumps(axes)}


def begin(root: Path, jobs: Iterable[Job]) -> sqlite3.Connection:
    """A state in which all jobs are pending."""
    root.mkdir(parents=True, exist_ok=True)
    db = open_for_writing(root / "state.db")
    State(root / "state.db", db).merge(jobs)
    return db


def attempt(db: sqlite3.Connection, job_id: str, outcome: str, at: float, took: float) -> int:
    """One more attempt of a job; gives its number."""
    seq, before = db.execute("SELECT seq, attempts FROM job WHERE id = ?", (job_id,)).fetchone()
    sent = outcome not in ("throttled", "refused")
    db.execute(
        "INSERT INTO attempt (job, number, body_sha256, submitted_at, request_id, accepted_at,"
        " cost, ended_at, outcome) VALUES (?, ?, 'x', ?, ?, ?, ?, ?, ?)",
        (
            seq,
            before + 1,
            at,
            f"request-{seq}-{before + 1}" if sent else None,
            at + 0.5 if sent else None,
            0.03 if outcome == "succeeded" else None,
            at + took,
            outcome,
        ),
    )
    db.execute("UPDATE job SET attempts = ? WHERE seq = ?", (before + 1, seq))
    return int(before + 1)


def done(db: sqlite3.Connection, root: Path, job_id: str, path: str, at: float) -> None:
    """A job whose one file, which is on the disk already, was verified."""
    number = attempt(db, job_id, "succeeded", at, 8.0)
    file = root / path
    video = path.endswith(".mp4")
    db.execute(
        "INSERT INTO file (job, attempt, position, url, name, name_key, path, bytes, sha256,"
        " media_type, width, height, seconds, frames, verified_at)"
        " SELECT seq, ?, 1, 'https://x.example/' || id, id, id || '/' || ?, ?, ?, ?, ?, ?, ?, ?, 1,"
        " ? FROM job WHERE id = ?",
        (
            number,
            number,
            path,
            file.stat().st_size,
            sha256(file.read_bytes()).hexdigest(),
            "video/mp4" if video else "image/png",
            64 if video else 96,
            48 if video else 64,
            1.2 if video else None,
            at + 9,
            job_id,
        ),
    )
    db.execute("UPDATE job SET state = 'done' WHERE id = ?", (job_id,))


def another_file(db: sqlite3.Connection, root: Path, job_id: str, path: str) -> None:
    """A second result of a job that is done."""
    db.execute(
        "INSERT INTO file (job, attempt, position, url, name, name_key, path, bytes, sha256,"
        " media_type, width, height, verified_at)"
        " SELECT job, attempt, 2, url || '/2', file.name || '-2', file.name_key || '/2', ?, 1, ?,"
        " media_type, width, height, verified_at FROM file JOIN job ON job.seq = file.job"
        " WHERE job.id = ?",
        (path, sha256((root / path).read_bytes()).hexdigest(), job_id),
    )


def judge(
    db: sqlite3.Connection,
    job_id: str,
    word: Pick | None = None,
    position: int | None = None,
    **flaws: str,
) -> None:
    """A person's pick, and what a check found."""
    (seq,) = db.execute("SELECT seq FROM job WHERE id = ?", (job_id,)).fetchone()
    assert pick(db, seq, position, word) is None
    assert find_flaws(db, seq, position, flaws) is None


def marked_night(root: Path) -> None:
    """Eight pictures of which some are picked, flawed or wait; `sea-4` has two files."""
    jobs = [job(f"sea-{n}", f"the sea, {n}", gate=n == 3) for n in range(8)]
    with closing(begin(root, jobs)) as db:
        for number, one in enumerate(jobs):
            picture(root / f"files/{one.id}.png", number)
            done(db, root, one.id, f"files/{one.id}.png", EVENING + number)
        picture(root / "files/sea-4-2.png", 40)
        another_file(db, root, "sea-4", "files/sea-4-2.png")
        judge(db, "sea-0", Pick.KEEP)
        judge(db, "sea-1", Pick.REJECT, near_blank="97.1 % of its pixels are <b>alike</b>")
        judge(db, "sea-2", duplicate="the same bytes as sea-0", near_blank="98 %")
        judge(db, "sea-4", Pick.KEEP, 2)


def not_done(db: sqlite3.Connection, job_id: str, state: str, code: str, words: str) -> None:
    db.execute(
        "UPDATE job SET state = ?, error_code = ?, error = ? WHERE id = ?",
        (state, code, words, job_id),
    )


def small_night(root: Path) -> None:
    """Six pictures of a sweep, one clip, hostile prompts, and failures of two causes."""
    hours, looks = ("dawn", "noon", "dusk"), ("ink", "oil")
    cells = [(hour, look) for hour in hours for look in looks]
    swept = [
        job(f"harbour-{h}-{k}", f"a harbour at {h}, {k}", tags=(h, k), **harbour(hour=h, look=k))
        for h, k in cells
    ]
    hostile = [job(f"hostile-{n}", text, tags=("<b>tag</b>",)) for n, text in enumerate(HOSTILE)]
    bad = [job(f"bad-{n}", "what the vendor does not draw") for n in range(3)]
    others = [job("clip", "slow pan", model=I2V), job("late", "too slow"), job("lost", "no answer")]
    with closing(begin(root, [*swept, *hostile, *bad, *others])) as db:
        for number, one in enumerate([*swept, *hostile]):
            picture(root / f"files/{one.id}.png", number)
            done(db, root, one.id, f"files/{one.id}.png", EVENING + number)
        clip(root / "files/clip #1.mp4")
        done(db, root, "clip", "files/clip #1.mp4", EVENING + 60)
        for number, one in enumerate(bad):
            attempt(db, one.id, "throttled", EVENING + 20, 0.2)
            attempt(db, one.id, "failed", EVENING + 30, 4.0)
            words = f"policy <b>violation</b> in request {number}00"
            not_done(db, one.id, "failed", "content_policy", words)
        attempt(db, "late", "failed", EVENING + 30, 30.0)
        not_done(db, "late", "failed", "timeout", "the vendor gave up after 30 s")
        attempt(db, "lost", "throttled", EVENING + 40, 0.2)
        not_done(db, "lost", "unknown", "no_answer", "the connection was reset")


def big_night(root: Path, count: int) -> None:
    """So many jobs: some failed, some are kept, some flawed. Eight pictures between them."""
    for number in range(8):
        picture(root / f"files/{number}.png", number + 1)
    prompts = ("a lighthouse in the fog", "a ferry at night", "gulls over the harbour wall")
    jobs = (
        job(
            f"poster-{n:06}",
            f"{prompts[n % 3]}, take {n}",
            model=I2V if n % 10 == 0 else T2I,
            tags=(("fog", "night", "gulls")[n % 3], f"row-{n % 40}"),
            sweep="poster",
            axes=json.dumps({"subject": ("fog", "night", "gulls")[n % 3], "row": n % 40}),
        )
        for n in range(count)
    )
    with closing(begin(root, jobs)) as db:
        db.executescript(_BIG)


_BIG = f"""
    BEGIN;
    INSERT INTO attempt (job, number, body_sha256, price, submitted_at, request_id, accepted_at,
        cost, ended_at, outcome)
    SELECT seq, 1, 'x', 0.03, {EVENING} + seq * 2.5, 'r' || seq, {EVENING} + 1 + seq * 2.5,
        0.03, {EVENING} + 20 + seq * 2.5 + seq % 17, iif(seq % 50, 'succeeded', 'failed') FROM job;
    INSERT INTO file (job, attempt, position, url, name, name_key, path, bytes, sha256, media_type,
        width, height, verified_at)
    SELECT seq, 1, 1, 'https://x.example/' || seq, id, id, 'files/' || (seq % 8) || '.png', 1000,
        printf('%d%063d', seq % 8, 0), 'image/png', 96, 64, {EVENING} + 25 + seq * 2.5 + seq % 17
        FROM job WHERE seq % 50;
    UPDATE job SET attempts = 1, state = iif(seq % 50, 'done', 'failed'),
        error_code = iif(seq % 50, NULL, 'content_policy'),
        error = iif(seq % 50, NULL, 'the prompt was refused, request ' || seq);
    UPDATE file SET pick = 'keep' WHERE id % 9 = 0;
    INSERT INTO flaw (file, kind, words) SELECT id, 'near_duplicate', '3 bits from another'
        FROM file WHERE id % 30 = 0;
    COMMIT;
"""


def _nobody(_made: int, _total: int) -> None:
    pass


NIGHT = RunCommands("night.yaml", rehearsal=False)


def make(
    root: Path, out: Path | None = None, on_progress: Callable[[int, int], None] = _nobody
) -> Made:
    subject = Subject("night", FolderLocation(root), NIGHT, EVENING + 3600)
    with reading(root / "state.db") as db:
        return make_report(db, subject, out or root / "report", on_progress)


def chunks(report: Path) -> Iterator[dict[str, list[object]]]:
    """The data of a report, as its page reads it."""
    for path in sorted((report / "data").glob("jobs-*.js")):
        text = path.read_text("ascii")
        yield json.loads(text.removeprefix("batchgen.take(").removesuffix(");\n"))


def head(report: Path) -> Any:
    (path,) = (report / "data").glob("head-*.js")
    text = path.read_text("ascii")
    return json.loads(text.removeprefix("batchgen.begin(").removesuffix(");\n"))
