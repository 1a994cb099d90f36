"""What the end of a request teaches about how long the work takes."""

from __future__ import annotations

from math import inf

import pytest

from batchgen.engine.followed_request import CERTAIN, FollowedRequest
from batchgen.engine.limits import UNSURE, Expectations
from batchgen.jobs import JobState
from batchgen.state.records import LiveRequest
from tests.engine.virtual_loop import virtually

MODEL = "some/model"


def after_ends(ends: int, *, age: float, work_from: float, unsure: float) -> Expectations:
    """So many requests have ended at this age; the start of their work is known that well."""
    expectations = Expectations()

    async def teach() -> None:
        for seq in range(ends):
            request = LiveRequest(
                seq, f"job-{seq}", MODEL, "{}", 0, JobState.QUEUED, 1, f"r{seq}", 0.0, None
            )
            followed = FollowedRequest.begin(request, age, sent_now=False)
            followed.going_until, followed.polls = age, 1
            followed.work_from, followed.start_unsure = work_from, unsure
            followed.teach(expectations)

    virtually(teach())
    return expectations


def test_an_end_whose_start_was_seen_teaches_how_long_the_work_takes() -> None:
    traffic = after_ends(8, age=50.0, work_from=30.0, unsure=20.0 * CERTAIN).traffic(MODEL)
    assert traffic.service.mean == pytest.approx(20.0, rel=0.01)
    assert not traffic.wants_a_start


def test_a_guessed_start_teaches_nothing_more() -> None:
    """Otherwise a queue that is slower than guessed makes the work seem quicker with each end."""
    expectations = after_ends(8, age=50.0, work_from=30.0, unsure=0.0)
    before = expectations.traffic(MODEL).service.mean
    guessed = after_ends(4 + UNSURE, age=50.0, work_from=49.0, unsure=inf).traffic(MODEL)
    assert before == pytest.approx(20.0, rel=0.01)
    assert guessed.unsure_in_a_row == UNSURE
    assert guessed.wants_a_start
