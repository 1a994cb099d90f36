from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import sys
from pathlib import Path

import pytest

import batchgen.emulator
from batchgen.emulator import EmulatorError, EmulatorSettings, Fault, running_emulator
from batchgen.emulator.store import NewRequest, open_store
from tests.emulator.emulator_client import A_LONG_TIME, AUTHORIZATION, Client, emulating

ROOT = Path(batchgen.emulator.__file__).parent.parent.parent
SERVE = """
import asyncio, sys
from pathlib import Path
from batchgen.emulator import EmulatorSettings, running_emulator

async def main():
    settings = EmulatorSettings(state=Path(sys.argv[1]), workers=1, latency=3600)
    async with running_emulator(settings) as emulator:
        print(emulator.base_url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def slow(state: Path) -> EmulatorSettings:
    return EmulatorSettings(state=state, workers=1, latency=A_LONG_TIME)


def quick(state: Path) -> EmulatorSettings:
    return EmulatorSettings(state=state, workers=1, latency=0)


async def status_of(client: Client, request_id: str) -> str:
    return str((await client.get(f"/requests/{request_id}/status")).document["status"])


async def test_unfinished_requests_are_queued_again_in_order(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    async with emulating(slow(state)) as client:
        ids = [(await client.accepted())["request_id"] for _ in range(4)]
        await client.post(f"/requests/{ids[1]}/cancel")
    async with emulating(slow(state)) as client:
        words = [(await client.get(f"/requests/{one}/status")).document for one in ids]
        assert [word["status"] for word in words] == [
            "in_progress",
            "cancelled",
            "in_queue",
            "in_queue",
        ]
        assert [word.get("queue_position") for word in words] == [None, None, 1, 2]


async def test_a_finished_request_and_its_file_outlive_the_process(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    async with emulating(quick(state)) as client:
        receipt = await client.accepted()
        before = await client.finished(receipt)
        picture = (await client.file(before["output"]["image"])).body
        ledger = await client.ledger()
    async with emulating(quick(state)) as client:
        after = (await client.get(f"/requests/{receipt['request_id']}/result")).document
        again = (await client.file(after["output"]["image"])).body
        assert after["finished_at"] == before["finished_at"]
        assert again == picture
        assert await client.ledger() == ledger


async def test_a_fate_outlives_the_process(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    async with emulating(slow(state)) as client:
        client.emulator.arm(Fault(on="submit", kind="vendor_failed", message="too blue"))
        request_id = (await client.accepted())["request_id"]
    async with emulating(quick(state)) as client:
        url = f"{client.emulator.base_url}/requests/{request_id}/result"
        result = await client.finished({"result_url": url})
        assert (result["status"], result["error"]) == ("failed", "too blue")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
async def test_a_kill_forgets_no_accepted_request(tmp_path: Path) -> None:
    """Row 58, seen from the vendor's side."""
    state = tmp_path / "state.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SERVE,
        str(state),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    base = (await process.stdout.readline()).decode().strip()
    async with emulating() as other:
        url = f"{base}/models/bytedance/dreamina-4-0/text-to-image"
        replies = [
            await other.post(url, json={"prompt": f"boat {number}"}, headers=AUTHORIZATION)
            for number in range(20)
        ]
    process.kill()
    await process.wait()
    async with emulating(slow(state)) as client:
        told = [reply.document["request_id"] for reply in replies]
        assert [charge.request_id for charge in client.emulator.charges()] == told
        assert await status_of(client, told[0]) == "in_progress"


async def test_a_seeded_source_never_gives_an_id_twice(tmp_path: Path) -> None:
    settings = quick(tmp_path / "state.db")
    seen = []
    for _ in range(2):
        seeded = running_emulator(settings, random=random.Random(1))
        async with seeded as emulator, emulating() as other:
            url = f"{emulator.base_url}/models/bytedance/dreamina-4-0/text-to-image"
            reply = await other.post(url, json={"prompt": "x"})
            seen.append(reply.document["request_id"])
    assert len(set(seen)) == 2


async def test_a_strange_database_is_not_touched(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    connection = sqlite3.connect(state)
    connection.execute("CREATE TABLE jobs (id TEXT)")
    connection.commit()
    connection.close()
    before = state.read_bytes()
    with pytest.raises(EmulatorError, match=r"not an emulator's state[\s\S]*--state"):
        async with emulating(quick(state)):
            pass
    assert state.read_bytes() == before


async def test_the_state_of_another_version_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    async with emulating(quick(state)):
        pass
    connection = sqlite3.connect(state)
    connection.execute("PRAGMA user_version = 0")
    connection.close()
    with pytest.raises(EmulatorError, match=r"another version[\s\S]*--state"):
        async with emulating(quick(state)):
            pass


async def test_a_state_file_in_a_missing_folder_is_refused_with_a_next_step(tmp_path: Path) -> None:
    with pytest.raises(EmulatorError, match=r"cannot be used[\s\S]*folder that exists"):
        async with emulating(quick(tmp_path / "nowhere" / "state.db")):
            pass


async def test_a_taken_port_is_refused_with_a_next_step() -> None:
    async with emulating() as client:
        with pytest.raises(EmulatorError, match="--port"):
            async with emulating(EmulatorSettings(port=client.emulator.port)):
                pass


async def test_an_error_in_the_block_comes_out_as_it_is() -> None:
    async def broken_block() -> None:
        async with emulating(EmulatorSettings(latency=A_LONG_TIME)) as client:
            await client.accepted()
            raise KeyError

    with pytest.raises(KeyError):
        await broken_block()


async def test_a_long_ledger_is_one_document(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with open_store(state) as store:
        for number in range(1201):
            store.add(NewRequest(f"r{number}", "a/b", json.dumps({"n": number}), 1, 0.5, 0.0))
            store.finish(f"r{number}", "succeeded", 1.0)
        store.checkpoint()
    async with emulating(quick(state)) as client:
        charges = (await client.ledger())["charges"]
        assert [charge["input"]["n"] for charge in charges] == list(range(1201))
        assert json.dumps(charges[0]["usd"]) == "0.5"


def test_the_log_starts_over_even_if_it_is_never_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchgen.emulator.store.MOST_PAGES", 10)
    log = tmp_path / "state.db-wal"
    sizes = []
    with open_store(tmp_path / "state.db") as store:
        for start in range(0, 500, 100):
            for number in range(start, start + 100):
                store.add(NewRequest(f"r{number}", "a/b", "{}", 1, 0.5, 0.0))
            store.checkpoint()
            sizes.append(log.stat().st_size)
    assert max(sizes) < 2 * sizes[0]


@pytest.mark.parametrize(
    "wrong", [{"workers": 0}, {"latency": -1}, {"latency": float("nan")}, {"images_per_request": 0}]
)
def test_a_senseless_setting_is_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        EmulatorSettings(**wrong)  # type: ignore[arg-type]
