"""The way in: `batchgen`, and `python -m batchgen`.

Ctrl-C while the rest is imported, for half a second and more on a slow disk, ends it without a
word: so nothing is imported here before somebody listens.
"""


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        from batchgen.cli import main as run  # noqa: PLC0415 - see above

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
