"""The balance is looked at before the first submit; only the vendor refuses for it."""

from __future__ import annotations

import pytest

from batchgen.runs import vendor_facts
from batchgen.runs.estimates import Cost, Funds
from tests.shell import Shell, emulating

PRICE = 0.03
"""USD for a picture, in the emulator's list."""


def test_row_15_a_balance_that_is_too_small_is_said_before_the_first_submit(
    shell: Shell,
) -> None:
    with emulating(balance=0.1) as emulator:
        user = shell.using(emulator)
        user.manifest(10)
        plan = user.expect(0, "plan", "m.yaml").out
        assert "0.10 USD: not enough, 0.20 USD short; the run pauses when" in plan
        document = user.expect(0, "plan", "m.yaml", "--json").document
        assert (document["balance_usd"], document["balance_suffices"]) == (0.1, False)
        done = user.expect(75, "run", "m.yaml", "--json")
        words = "the balance of 0.10 USD does not cover the jobs to be submitted (~0.30 USD"
        assert done.err.index(words) < done.err.index("paused: the account's balance")
        assert "top up the account, or start fewer jobs with --limit" in done.err
        assert (done.document["balance_usd"], done.document["balance_suffices"]) == (0.1, False)
        assert done.document["paused"]["reason"] == "no_balance"
        assert len(emulator.charges()) == 3
        assert user.status()["counts"] == {"done": 3, "pending": 7}


def test_a_balance_that_is_enough_is_a_line_of_the_plan_and_nothing_in_a_run(
    shell: Shell,
) -> None:
    with emulating(balance=1.0) as emulator:
        user = shell.using(emulator)
        user.manifest(4)
        assert "  balance   1.00 USD: enough\n" in user.expect(0, "plan", "m.yaml").out
        assert "not compared" in user.expect(0, "plan", "m.yaml", "--offline").out
        assert "balance" not in user.expect(0, "plan", "m.yaml", "--offline").out
        done = user.expect(0, "run", "m.yaml", "--json")
        assert "balance" not in done.err
        assert (done.document["balance_usd"], done.document["balance_suffices"]) == (1.0, True)
        # Of what is done nothing is to pay any more.
        assert "balance" not in user.expect(0, "plan", "m.yaml").out


def test_the_price_in_the_manifest_is_what_counts(shell: Shell) -> None:
    with emulating(balance=1.0) as emulator:
        user = shell.using(emulator)
        user.manifest(4, run={"models": {"bytedance/dreamina-4-0/text-to-image": {"price": 0.5}}})
        assert "1.00 USD: not enough, 1.00 USD short" in user.expect(0, "plan", "m.yaml").out
        done = user.expect(0, "run", "m.yaml", "--limit", "2", "--json")
        assert done.document["balance_suffices"] is True


@pytest.mark.parametrize(
    ("funds", "suffice"),
    [
        (Funds(1.0, Cost(known=0.9)), True),
        (Funds(1.0, Cost(known=0.9, unpriced=1)), None),
        (Funds(1.0, Cost(known=1.1, unpriced=1)), False),
        (Funds(None, Cost(known=0.9)), None),
        (Funds(-0.5, Cost()), False),
        (Funds(0.3, Cost(estimated=0.1 * 3)), True),
        # The budget ends the submits before the wallet is empty.
        (Funds(1.0, Cost(known=9.0, unpriced=1), 0.5), True),
        (Funds(1.0, Cost(known=9.0), 5.0), False),
    ],
)
def test_a_balance_is_enough_for_what_the_budget_lets_through(
    funds: Funds, suffice: bool | None
) -> None:
    assert funds.suffice is suffice
    assert (funds.warning() is None) is (suffice is not False)


@pytest.mark.parametrize("status", [401, 404, 429, 503])
def test_a_balance_that_nobody_tells_stops_nothing(shell: Shell, status: int) -> None:
    with emulating() as emulator:
        user = shell.using(emulator)
        emulator.arm("balance", "status", status=status, times=None)
        user.manifest(1)
        assert f"  balance   not known: HTTP {status}" in user.expect(0, "plan", "m.yaml").out
        done = user.expect(0, "run", "m.yaml", "--json")
        assert "balance" not in done.err
        assert (done.document["balance_usd"], done.document["balance_suffices"]) == (None, None)


def test_a_vendor_that_does_not_answer_such_questions_delays_no_night(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four seconds are more than a test has."""
    monkeypatch.setattr(vendor_facts, "BEFORE_A_RUN", 0.2)
    with emulating() as emulator:
        user = shell.using(emulator)
        for place in ("balance", "model"):
            emulator.arm(place, "hang", times=None)
        user.manifest(1)
        assert user.expect(0, "run", "m.yaml", "--json").document["balance_usd"] is None


def test_a_wallet_elsewhere_is_asked_where_the_variable_says_so(shell: Shell) -> None:
    with emulating() as emulator, emulating(balance=7.25) as other:
        user = shell.using(emulator).having(RUNCOMFY_SERVERLESS_API_BASE=f"{other.origin}/prod/v2")
        user.manifest(1)
        assert "  balance   7.25 USD: enough\n" in user.expect(0, "plan", "m.yaml").out
        wrong = user.having(RUNCOMFY_SERVERLESS_API_BASE="http://example.org/v2")
        out = wrong.expect(0, "plan", "m.yaml").out
        assert "not known: RUNCOMFY_SERVERLESS_API_BASE: not an API base: http" in out
        assert wrong.expect(0, "run", "m.yaml", "--json").document["balance_usd"] is None


def test_a_rehearsal_asks_its_own_emulator_alone(shell: Shell) -> None:
    with emulating(balance=7.25) as other:
        user = shell.having(RUNCOMFY_SERVERLESS_API_BASE=f"{other.origin}/prod/v2")
        user.manifest(1)
        document = user.expect(0, "run", "m.yaml", "--emulator", "--json").document
        assert document["balance_usd"] not in (None, 7.25)
