"""What a run costs, read from an index alone, however many attempts there are."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from batchgen.state.meta import Meta, set_meta
from batchgen.state.records import Money

if TYPE_CHECKING:
    import sqlite3

_MAY_COST = "('succeeded', 'failed', 'lost', 'written_off', 'resubmitted')"
"""Ends after which the price counts though no result named a cost."""

_ENDED = (
    "SELECT total(cost),"
    f" total(CASE WHEN cost IS NULL AND outcome IN {_MAY_COST} THEN price END),"
    f" count(CASE WHEN cost IS NULL AND price IS NULL AND outcome IN {_MAY_COST} THEN 1 END)"
    " FROM attempt INDEXED BY attempt_money WHERE outcome IS NOT NULL"
)

# The vendor has it, or had it a moment ago: a result will name the cost. Not if it is lost.
_OPEN = (
    "SELECT total(cost),"
    " total(CASE WHEN cost IS NULL AND job.state NOT IN ('unknown', 'lost') THEN price END),"
    " total(CASE WHEN cost IS NULL AND job.state IN ('unknown', 'lost') THEN price END),"
    " count(*) - count(coalesce(cost, price))"
    " FROM attempt JOIN job ON job.seq = attempt.job WHERE outcome IS NULL"
)


def money(db: sqlite3.Connection) -> Money:
    spent, ended_unknown, ended_unpriced = db.execute(_ENDED).fetchone()
    known, reserved, open_unknown, open_unpriced = db.execute(_OPEN).fetchone()
    return Money(
        spent + known, reserved, ended_unpriced + open_unpriced, ended_unknown + open_unknown
    )


def attempts_made(db: sqlite3.Connection) -> tuple[int, int]:
    """How many submits there were in all, and how many of them may have been paid for."""
    all_of_them, may_cost = db.execute(
        f"SELECT count(*), count(CASE WHEN outcome IS NULL OR outcome IN {_MAY_COST} THEN 1 END)"
        " FROM attempt INDEXED BY attempt_money"
    ).fetchone()
    return all_of_them, may_cost


def open_price(db: sqlite3.Connection, seq: int) -> float | None:
    """USD that the open attempt of a job was expected to cost; None where nobody knows."""
    row = db.execute(
        "SELECT price FROM attempt WHERE job = ? AND outcome IS NULL", (seq,)
    ).fetchone()
    return row[0] if row else None


@dataclass(frozen=True, slots=True)
class CostOwed:
    """A delivered request whose result named no cost. `price` as it was reserved."""

    seq: int
    job_id: str
    model: str
    attempt: int
    request_id: str
    price: float | None


def cost_owed(db: sqlite3.Connection, seq: int) -> CostOwed | None:
    """Of a job's latest request; None where its cost is known, or it was not delivered."""
    row = db.execute(
        "SELECT seq, id, job.model, number, request_id, price FROM job"
        " JOIN attempt ON attempt.job = seq AND number = attempts"
        " WHERE seq = ? AND outcome = 'succeeded' AND cost IS NULL AND request_id IS NOT NULL",
        (seq,),
    ).fetchone()
    return None if row is None else CostOwed(*row)


def settle_cost(db: sqlite3.Connection, owed: CostOwed, cost: float) -> bool:
    """Record a cost that came after the result. What metadata.jsonl says is stale with it."""
    settled = db.execute(
        "UPDATE attempt SET cost = ? WHERE job = ? AND number = ? AND cost IS NULL"
        " AND outcome = 'succeeded'",
        (cost, owed.seq, owed.attempt),
    ).rowcount
    if settled:
        set_meta(db, Meta.METADATA_IS_STALE, "yes")
    return bool(settled)


SAMPLE = 1000
"""Requests whose cost is looked at: enough for a median, few enough for a plan."""


def typical_cost(db: sqlite3.Connection, model: str) -> float | None:
    """USD: the median of what done requests of a model cost; None before the first."""
    rows = db.execute(
        "SELECT cost FROM job JOIN attempt ON attempt.job = job.seq AND number = attempts"
        " WHERE job.state = 'done' AND job.listed = 1 AND job.model = ? AND cost IS NOT NULL"
        " AND outcome != 'reused'"
        " LIMIT ?",
        (model, SAMPLE),
    )
    costs = [cost for (cost,) in rows]
    return median(costs) if costs else None


def money_line(money: Money) -> str:
    """Write `1.50 USD spent, 0.30 USD reserved, 0.10 USD unknown, + 2 without a known price`."""
    parts = [f"{money.spent:.2f} USD spent"]
    if money.reserved:
        parts.append(f"{money.reserved:.2f} USD reserved")
    if money.unknown:
        parts.append(f"{money.unknown:.2f} USD unknown (counted as spent)")
    if money.unpriced:
        parts.append(f"+ {money.unpriced} without a known price")
    return ", ".join(parts)
