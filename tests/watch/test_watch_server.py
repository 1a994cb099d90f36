"""Over real HTTP: what changes arrives, who may not ask is refused, files are given safely."""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from batchgen.errors import CopiedStateError, DamagedStateError, OutputError, SchemaVersionError
from batchgen.state.database import open_for_writing
from batchgen.watch import figures, thumbs
from batchgen.watch.doors import Heard, Said, Word
from tests.report.night_world import attempt, done, make, not_done, picture, small_night
from tests.watch.watch_world import Run, change, states, watching

if TYPE_CHECKING:
    from pathlib import Path

    from batchgen.report.thumbnails import Wanted


@pytest.fixture
def root(tmp_path: Path) -> Path:
    small_night(tmp_path / "out")
    return tmp_path / "out"


async def test_the_page_is_the_reports_and_its_rows_the_states(root: Path) -> None:
    async with watching(root) as page:
        html = await page.text()
        assert "night" in html
        assert '<script src="assets/live.js" defer>' in html
        for part in ("assets/style.css", "assets/live.js", "assets/icon.svg", "night"):
            assert await page.text(part)
        rows = await page.rows()
        assert len(rows) == 18
        assert rows["harbour-dawn-ink"] == "done"
        assert rows["lost"] == "unknown"


async def test_every_answer_forbids_what_the_page_does_not_need(root: Path) -> None:
    async with watching(root) as page:
        for path in ("", "data/head.js", "nothing", "originals/1/harbour-dawn-ink.png"):
            _, _, headers = await page.get(path)
            assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src")
            assert "connect-src 'self'" in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
        _, _, headers = await page.get("data/head.js")
        assert headers["Cache-Control"] == "no-store"


async def test_without_the_key_or_under_another_name_nothing_is_told(root: Path) -> None:
    async with watching(root) as page:
        assert (await page.get("", Host="evil.example"))[0] == 403
        assert (await page.get("data/head.js", Host="evil.example"))[0] == 403
        for path in ("/", "/data/head.js", "/wrong-key/", "/wrong-key/data/head.js", "/../"):
            async with page.http.get(page.origin + path) as answer:
                assert answer.status == 404
                assert "night" not in await answer.text()
        # Each start has another key.
        async with watching(root) as other:
            assert other.url.rsplit("/", 2)[1] != page.url.rsplit("/", 2)[1]


async def test_what_another_process_changes_arrives(root: Path) -> None:
    async with watching(root) as page:
        live = (await page.head())["live"]
        async with page.stream(f"{live['instance']}-{live['moment']}") as events:
            facts = await events.until("facts")
            assert "<b>13</b> done" in facts["line"]
            change(root, "UPDATE job SET state = 'cancelled' WHERE id = 'late'")
            rows = await events.until("rows")
            assert states(rows) == {"late": "cancelled"}
            facts = await events.until("facts")
            assert "<b>1</b> cancelled" in facts["line"]
            assert [cause["state"] for cause in facts["head"]["causes"]].count("cancelled") == 1


async def test_picks_and_flaws_of_others_arrive_and_a_job_that_left_is_gone(root: Path) -> None:
    async with watching(root) as page:
        live = (await page.head())["live"]
        async with page.stream(f"{live['instance']}-{live['moment']}") as events:
            change(root, "UPDATE file SET pick = 'keep' WHERE id = 1")
            (row,) = (await events.until("rows"))["rows"]
            assert row[14][0][9] == "keep"
            change(root, "INSERT INTO flaw VALUES (2, 'blank', 'all of one colour')")
            rows = await events.until("rows")
            assert [rows["texts"][place] for place in rows["rows"][0][14][0][10]] == [
                "blank",
                "all of one colour",
            ]
            change(root, "UPDATE job SET listed = 0 WHERE id = 'bad-0'")
            rows = await events.until("rows")
            assert (len(rows["gone"]), rows["rows"]) == (1, [])


async def test_a_page_that_comes_back_is_told_what_it_missed_and_nothing_else(root: Path) -> None:
    async with watching(root) as page, page.stream("x-1") as anew:
        assert (await anew.next())[0] == "reload"
        live = (await page.head())["live"]
        place = f"{live['instance']}-{live['moment']}"
        async with page.stream(place) as other:
            await other.until("facts")
            change(root, "UPDATE job SET state = 'cancelled' WHERE id = 'late'")
            await other.until("rows")
            change(root, "UPDATE job SET state = 'lost' WHERE id = 'bad-1'")
            await other.until("rows")
            reached = other.last_id
        async with page.stream(place) as events:
            assert states(await events.until("rows")) == {"late": "cancelled", "bad-1": "lost"}
            assert events.last_id == reached
        # As a browser does by itself; the header is newer than the address.
        async with page.stream(place, **{"Last-Event-ID": reached}) as events:
            assert (await events.next())[0] == "facts"


async def test_a_manifest_that_was_read_anew_and_another_state_begin_anew(root: Path) -> None:
    change(root, "INSERT INTO meta VALUES ('inputs', 'one')")
    async with watching(root) as page:
        for statement in ("UPDATE meta SET value = 'two' WHERE key = 'inputs'", ""):
            live = (await page.head())["live"]
            async with page.stream(f"{live['instance']}-{live['moment']}") as events:
                await events.until("facts")
                if statement:
                    change(root, statement)
                else:
                    shutil.copy(root / "state.db", root / "copy.db")
                    (root / "copy.db").replace(root / "state.db")
                assert await events.until("reload") == {}
                assert await events.next() == ("", None)


async def test_before_the_first_run_the_page_waits_and_then_comes_alive(tmp_path: Path) -> None:
    root = tmp_path / "out"
    async with watching(root) as page:
        live = (await page.head())["live"]
        async with page.stream(f"{live['instance']}-{live['moment']}") as events:
            facts = await events.until("facts")
            assert facts["waiting"] is True
            assert facts["goesOn"] == "batchgen run night.yaml"
            small_night(root)
            await events.until("reload")
        assert len(await page.rows()) == 18


async def test_a_state_that_is_damaged_later_is_told_and_watched_on(root: Path) -> None:
    async with watching(root) as page:
        live = (await page.head())["live"]
        async with page.stream(f"{live['instance']}-{live['moment']}") as events:
            assert (await events.until("facts"))["trouble"] is None
            sound = (root / "state.db").read_bytes()
            (root / "broken.db").write_bytes(b"no state " * 1000)
            (root / "broken.db").replace(root / "state.db")
            facts = await events.until("facts")
            assert "the state file is damaged" in facts["trouble"]
            assert (await page.get("data/jobs-0.js"))[0] == 503
            (root / "state.db").write_bytes(sound)
            await events.until("reload")


async def test_a_runner_at_work_and_what_goes_on_without_one_are_told(root: Path) -> None:
    change(root, "UPDATE job SET state = 'pending' WHERE id = 'late'")
    run = Run(at_work=True)
    async with watching(root, run) as page:
        live = (await page.head())["live"]
        async with page.stream(f"{live['instance']}-{live['moment']}") as events:
            assert (await events.until("facts"))["atWork"] is True
            run.at_work = False
            facts = await events.until("facts")
            assert (facts["atWork"], facts["goesOn"]) == (False, "batchgen run night.yaml")
            change(root, "UPDATE job SET waiting = 1 WHERE id = 'late'")
            facts = await events.until("facts")
            assert (facts["goesOn"], facts["approves"]) == (
                None,
                "batchgen approve night.yaml --all",
            )


async def test_a_night_of_too_many_requests_is_left_to_the_report(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(root) as page:
        assert "<svg" in await page.text("night")
    monkeypatch.setattr(figures, "MOST_REQUESTS", 3)
    async with watching(root) as page:
        assert await page.text("night") == (
            '<p class="empty">So many requests are drawn by'
            " <code>batchgen report night.yaml</code></p>"
        )


async def test_picks_are_handed_on_by_job_attempt_and_position(root: Path) -> None:
    run = Run()
    async with watching(root, run) as page:
        words = [{"word": "keep", "file": 1}, {"word": "", "file": 2}]
        approval = {"word": "approve", "job": "clip", "attempt": 1}
        assert await page.say(*words, approval) == (200, {"handed": True, "objections": []})
        run.answer = Heard(False, (("clip", "clip has no gate"), ("late", "somebody else's")))
        status, heard = await page.say(approval, {"word": "keep", "file": 99})
        assert status == 200
        assert heard["objections"] == ["clip has no gate", "file 99 is not there any more"]
    assert run.said[:3] == [
        Said(Word.KEEP, "harbour-dawn-ink", 1, 1),
        Said(Word.NEITHER, "harbour-dawn-oil", 1, 1),
        Said(Word.APPROVE, "clip", 1, None),
    ]


async def test_many_keys_in_a_row_are_few_decisions(root: Path) -> None:
    run = Run()
    async with watching(root, run) as page:
        words = [{"word": "keep", "file": number} for number in range(1, 14)]
        answers = await asyncio.gather(*(page.say(word) for word in words * 3))
    assert {status for status, _ in answers} == {200}
    assert len(run.said) == 39
    assert run.calls < 39


async def test_a_word_that_cannot_be_taken_is_answered_with_the_reason(root: Path) -> None:
    run = Run(answer=CopiedStateError("this state file is a copy"))
    async with watching(root, run) as page:
        word = {"word": "keep", "file": 1}
        assert await page.say(word) == (503, {"error": "this state file is a copy"})
        assert (await page.post({"words": [{"word": "burn", "file": 1}]}))[0] == 400
        assert (await page.post([]))[0] == 400
        async with page.http.post(
            page.url + "words",
            data=b"{",
            headers={"Origin": page.origin, "Content-Type": "application/json"},
        ) as answer:
            assert answer.status == 400
        assert (await page.post({"words": [word] * 100_000}))[0] == 413


async def test_what_a_runner_was_handed_in_its_last_moment_is_done_after_it(root: Path) -> None:
    run = Run(at_work=True)
    async with watching(root, run) as page:
        await page.say({"word": "keep", "file": 1})
        live = (await page.head())["live"]
        async with page.stream(f"{live['instance']}-{live['moment']}") as events:
            assert (await events.until("facts"))["atWork"] is True
            run.answer, run.at_work = Heard(handed=False), False
            assert (await events.until("facts"))["atWork"] is False
            change(root, "UPDATE job SET state = 'cancelled' WHERE id = 'late'")
            await events.until("rows")
    # Once more, and with no further word.
    assert (run.calls, len(run.said)) == (2, 1)


async def test_the_end_comes_also_while_a_runner_has_something_in_hand(root: Path) -> None:
    run = Run(at_work=True)
    async with asyncio.timeout(20), watching(root, run) as page:
        await page.say({"word": "keep", "file": 1})
    assert run.calls == 1


async def test_no_other_page_can_pick(root: Path) -> None:
    run = Run()
    async with watching(root, run) as page:
        word = {"word": "reject", "file": 1}
        for headers in (
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Host": "evil.example", "Origin": "http://evil.example"},
            {"Content-Type": "text/plain"},
        ):
            assert (await page.say(word, **headers))[0] == 403
        assert (await page.get("words"))[0] == 405
    assert run.said == []


async def test_originals_come_by_their_key_and_in_ranges(root: Path) -> None:
    async with watching(root) as page:
        status, body, headers = await page.get("originals/1/harbour-dawn-ink.png")
        assert (status, headers["Content-Type"]) == (200, "image/png")
        assert body == (root / "files/harbour-dawn-ink.png").read_bytes()
        clip = (root / "files/clip #1.mp4").read_bytes()
        path = "originals/13/clip%20%231.mp4"
        status, body, headers = await page.get(path, Range="bytes=100-199")
        assert (status, headers["Content-Type"]) == (206, "video/mp4")
        assert body == clip[100:200]
        assert headers["Content-Range"] == f"bytes 100-199/{len(clip)}"


@pytest.mark.parametrize(
    "path",
    [
        "originals/999/harbour-dawn-ink.png",
        "originals/1/state.db",
        "originals/1/..%2f..%2fstate.db",
        "originals/0/x",
        "originals/99999999999999999999/x",
        "assets/..%2fpage.py",
        "assets/page.py",
        "data/jobs--1.js",
        "data/jobs-99999999.js",
        "thumbs/aa/bb.webp?file=1",
        "thumbs/..%2f..%2fstate.db?file=1",
        "thumbs/aa/bb.webp",
        "state.db",
    ],
)
async def test_nothing_else_can_be_asked_for(root: Path, path: str) -> None:
    async with watching(root) as page:
        assert (await page.get(path))[0] == 404


async def test_a_state_cannot_lead_out_of_its_folder(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (root / "files/link.png").symlink_to(tmp_path / "secret.png")
    (root / "linked").symlink_to(tmp_path)
    (root / "files/page.html").write_text("<script>")
    paths = ["../secret.png", str(tmp_path / "secret.png"), "files/link.png", "linked/secret.png"]
    async with watching(root) as page:
        for path in paths:
            change(root, f"UPDATE file SET path = '{path}' WHERE id = 1")
            assert (await page.get(f"originals/1/{path.rsplit('/', 1)[1]}"))[0] == 404
        page_html = "UPDATE file SET path = 'files/page.html', media_type = 'text/html'"
        change(root, f"{page_html} WHERE id = 1")
        assert (await page.get("originals/1/page.html"))[0] == 404


async def test_previews_are_made_once_and_a_later_report_takes_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = []
    submit = thumbs.Thumbs._submit

    def counted(self: thumbs.Thumbs, wanted: Wanted) -> object:
        submitted.append(wanted.target)
        return submit(self, wanted)

    monkeypatch.setattr(thumbs.Thumbs, "_submit", counted)
    async with watching(root) as page:
        chunk = await page.text("data/jobs-0.js")
        rows = json.loads(chunk.removeprefix("batchgen.take(").removesuffix(");\n"))["rows"]
        files = [file for row in rows for file in row[14]]
        names = [f"thumbs/{file[1][:2]}/{file[1]}.webp?file={file[7]}" for file in files]
        answers = await asyncio.gather(*(page.get(name) for name in names * 2))
        assert {status for status, _, _ in answers} == {200}
        assert all(body[8:12] == b"WEBP" for _, body, _ in answers)
        assert "immutable" in answers[0][2]["Cache-Control"]
        assert (await page.get(names[0]))[0] == 200
    assert len(submitted) == len(set(submitted)) == 13
    made = make(root)
    assert (made.new, made.files) == (0, 13)


async def test_a_file_without_a_preview_is_said_to_have_none(root: Path) -> None:
    (root / "files/harbour-dawn-ink.png").write_bytes(b"no picture")
    async with watching(root) as page:
        chunk = await page.text("data/jobs-0.js")
        row = json.loads(chunk.removeprefix("batchgen.take(").removesuffix(");\n"))["rows"][0]
        name = row[14][0][1]
        status, body, _ = await page.get(f"thumbs/{name[:2]}/{name}.webp?file=1")
        assert (status, body) == (404, b"there is no preview: the file could not be read")


async def test_a_folder_of_somebody_else_keeps_its_files(root: Path) -> None:
    (root / "report").mkdir()
    (root / "report/mine.txt").write_text("mine")
    async with watching(root) as page:
        chunk = await page.text("data/jobs-0.js")
        row = json.loads(chunk.removeprefix("batchgen.take(").removesuffix(");\n"))["rows"][0]
        name = row[14][0][1]
        assert (await page.get(f"thumbs/{name[:2]}/{name}.webp?file=1"))[0] == 200
    assert [path.name for path in (root / "report").iterdir()] == ["mine.txt"]


async def test_results_that_come_home_are_told_with_their_files(root: Path) -> None:
    async with watching(root) as page:
        live = (await page.head())["live"]
        async with page.stream(f"{live['instance']}-{live['moment']}") as events:
            await events.until("facts")
            with closing(open_for_writing(root / "state.db")) as db:
                picture(root / "files/late.png", 77)
                done(db, root, "late", "files/late.png", 1_760_000_000.0)
                attempt(db, "bad-0", "failed", 1_760_000_100.0, 1.0)
                not_done(db, "bad-0", "failed", "other", "another reason")
            rows = await events.until("rows")
            while "late" not in states(rows):
                rows = await events.until("rows")
            (late,) = [row for row in rows["rows"] if row[1] == "late"]
            assert late[14][0][0] == "files/late.png"


async def test_open_streams_do_not_hold_up_the_end(root: Path) -> None:
    loop = asyncio.get_running_loop()
    async with watching(root) as page:
        live = (await page.head())["live"]
        place = f"{live['instance']}-{live['moment']}"
        async with page.stream(place) as one, page.stream(place) as other:
            await one.until("facts")
            await other.until("facts")
            began = loop.time()
            # Leaving the blocks from the outside in would wait for these two.
            await page.http.close()
    assert loop.time() - began < 5


async def test_a_port_that_is_taken_and_a_state_that_cannot_be_read_are_errors(
    root: Path, tmp_path: Path
) -> None:
    async with watching(root) as page:
        port = int(page.origin.rsplit(":", 1)[1])
        with pytest.raises(OutputError, match=f"port {port} of 127.0.0.1 cannot be had"):
            async with watching(root, port=port):
                pass
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "state.db").write_bytes(b"no state " * 1000)
    with pytest.raises(DamagedStateError):
        async with watching(broken):
            pass
    with closing(open_for_writing(root / "state.db")) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(SchemaVersionError, match="version 99"):
        async with watching(root):
            pass
