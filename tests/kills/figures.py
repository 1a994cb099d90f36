"""What the command prints: sums over all rounds, and each violation with its round and job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mean

from tests.kills.judge import Rule, excess_charges
from tests.kills.rounds import Verdict


def figures(verdicts: Sequence[Verdict], seed: int, seconds: float) -> dict[str, str]:
    """Count everything, in the order in which it is printed."""
    unknown = [count for verdict in verdicts for count in verdict.unknown_by_kill]
    found = [verdict.evidence for verdict in verdicts]
    numbers: dict[str, object] = {
        "seed": seed,
        "kills": len(unknown),
        "rounds": len(verdicts),
        "jobs": sum(len(one.jobs) for one in found),
        "charges": sum(len(one.charges) for one in found),
        "resubmits approved": sum(verdict.approved for verdict in verdicts),
        "results rejected": sum(verdict.rejected for verdict in verdicts),
        "of these made again": sum(verdict.remade for verdict in verdicts),
        "requests adopted": sum(verdict.adopted for verdict in verdicts),
        "duplicate charges": sum(excess_charges(one).total() for one in found),
        "lost results": of_rule(verdicts, Rule.LOST),
        "other violations": violations(verdicts) - of_rule(verdicts, Rule.LOST, Rule.DUPLICATE),
        "unknown by kills": sum(unknown),
        "unknown per kill": f"mean {mean(unknown or [0]):.2f}, max {max(unknown, default=0)}",
        "files compared": sum(len(one.memory.files) for one in found),
        "seconds": f"{seconds:.0f}",
    }
    return {name: str(value) for name, value in numbers.items()}


def violations(verdicts: Sequence[Verdict]) -> int:
    return sum(len(verdict.violations) for verdict in verdicts)


def of_rule(verdicts: Sequence[Verdict], *rules: Rule) -> int:
    return sum(one.rule in rules for verdict in verdicts for one in verdict.violations)


def table(numbers: dict[str, str]) -> str:
    width = max(map(len, numbers))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in numbers.items())


def complaints(verdicts: Sequence[Verdict]) -> Iterator[str]:
    for verdict in verdicts:
        for one in verdict.violations:
            about = f", {one.job}" if one.job else ""
            yield f"{verdict.name}{about}: {one.rule.value}: {one.what}"
