"""`python -m tests.failures [--full]`: run the test of every row, and count.

Each row of the list of failures has at least one test named `test_row_NN_…` in this folder. A row
passes when all of its tests do; one without a test, or whose tests were left out, does not.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree as ET

import pytest

from tests.failures.rows import ROWS
from tests.failures.test_failures_manifest import FULL_SIZE

HERE = Path(__file__).parent
NAME = re.compile(r"test_row_(\d\d)_")


@dataclass(frozen=True, slots=True)
class Row:
    number: int
    words: str
    passed: int
    failed: int
    skipped: int

    @property
    def verdict(self) -> str:
        if self.failed:
            return "failed"
        if self.skipped:
            return "skipped"
        return "passed" if self.passed else "no test"

    def __str__(self) -> str:
        tests = self.passed + self.failed + self.skipped
        return f"{self.number:>3}  {self.words:<46}{self.verdict:<9}{tests:>3}"


def main() -> int:
    options = parser().parse_args()
    if options.full:
        os.environ[FULL_SIZE] = "1"
    with TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        code = pytest.main([str(HERE), "-k", "test_row_", f"--junit-xml={report}", "-n", "2"])
        # Without a report, pytest itself could not do its work, and has said why.
        rows = counted(verdicts(report)) if report.exists() else []
    print("\n".join(map(str, rows)))
    fine = sum(row.verdict == "passed" for row in rows)
    print(f"{fine} of {len(ROWS)} failures pass")
    return int(code != pytest.ExitCode.OK or fine != len(ROWS))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.failures", description=__doc__)
    made.add_argument("--full", action="store_true", help="with the manifest of 300 MB (row 6)")
    return made


def verdicts(report: Path) -> Iterator[tuple[int, str]]:
    """Give each test's row and verdict."""
    for case in ET.parse(report).iter("testcase"):
        if name := NAME.match(case.get("name", "")):
            yield int(name[1]), verdict({child.tag for child in case})


def verdict(outcomes: set[str]) -> str:
    if outcomes & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in outcomes else "passed"


def counted(found: Iterable[tuple[int, str]]) -> list[Row]:
    counts: Mapping[tuple[int, str], int] = Counter(found)
    return [
        Row(number, words, *(counts[number, word] for word in ("passed", "failed", "skipped")))
        for number, words in ROWS.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
