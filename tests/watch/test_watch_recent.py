"""What the server of the page keeps of a bucket in memory has a bound."""

from __future__ import annotations

from batchgen.watch.originals import Recent


def test_the_least_recently_read_is_dropped() -> None:
    recent = Recent(most=10)
    for name in ("a", "b"):
        recent.add(name, bytes(4))
    assert recent.get("a") == bytes(4)
    recent.add("c", bytes(4))
    recent.add("c", bytes(4))
    assert recent.get("b") is None
    assert recent.get("a") == recent.get("c") == bytes(4)
    recent.add("large", bytes(11))
    assert recent.get("large") is None
