"""Input images are looked at before money is spent, each of them once."""

from __future__ import annotations

from typing import Any

from tests.failures.picture_site import drawn, padded, picture_site
from tests.shell import EDIT, PICTURE, T2I, VIDEO, Emulator, Shell

SOUND = drawn("JPEG", (640, 480))
TOO_LARGE = padded(SOUND, 6_100_000)
SENTENCE = "File size must be less than 4.7 MB. (it has 6.1 MB)"


def clip(job_id: str, *urls: str, model: str = VIDEO) -> dict[str, Any]:
    return {"id": job_id, "model": model, "input": {"prompt": "slow pan", "image_urls": list(urls)}}


def test_a_replaced_image_lets_the_same_command_go_on(user: Shell, emulator: Emulator) -> None:
    shelf = {"/b.jpg": TOO_LARGE}
    with picture_site(shelf) as site:
        user.manifest([clip("b", f"{site}/b.jpg")], defaults={})
        user.expect(65, "run", "m.yaml")
        shelf["/b.jpg"] = SOUND
        user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 1


def test_an_image_of_many_jobs_is_looked_at_once(user: Shell, emulator: Emulator) -> None:
    seen: list[str] = []
    with picture_site({"/a.jpg": SOUND}, seen) as site:
        jobs = [clip(f"job-{n}", f"{site}/a.jpg", model=EDIT) for n in range(12)]
        user.manifest(jobs, defaults={})
        user.expect(0, "run", "m.yaml")
    assert seen == ["/a.jpg"]
    assert len(emulator.charges()) == 12


def test_without_checks_no_image_is_looked_at(user: Shell, emulator: Emulator) -> None:
    seen: list[str] = []
    with picture_site({"/b.jpg": TOO_LARGE}, seen) as site:
        user.manifest([clip("b", f"{site}/b.jpg")], defaults={}, run={"check_inputs": "off"})
        user.expect(1, "run", "m.yaml")
    assert seen == []
    (charge,) = emulator.charges()
    assert (charge["status"], charge["usd"] > 0) == ("failed", True)


def test_a_rehearsal_asks_nobody_outside_this_machine(user: Shell, emulator: Emulator) -> None:
    """The host of this picture does not exist: a look would end the run."""
    user.manifest([clip("a", PICTURE)], defaults={})
    user.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 1


def test_an_image_that_a_job_makes_is_judged_before_the_job_that_takes_it(
    user: Shell, emulator: Emulator
) -> None:
    """The still is as wide as the vendor makes them, and wider than its clip may be."""
    still = {"id": "still", "model": T2I, "input": {"prompt": "a boat", "size": "4694x3520"}}
    chained = {**clip("clip", "{{ jobs.still.image }}"), "needs": ["still"]}
    user.manifest([still, chained], defaults={})
    user.expect(1, "run", "m.yaml")
    jobs = {job["id"]: job for job in user.status()["jobs"]}
    assert jobs["still"]["state"] == "done"
    assert jobs["clip"]["state"] == "failed"
    assert "Maximum resolution is 4096x4096." in jobs["clip"]["error"]["message"]
    assert [charge["model_id"] for charge in emulator.charges()] == [T2I]
