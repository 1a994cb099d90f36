"""One verb, one file: each wires the rooms, prints, and returns an exit code."""
