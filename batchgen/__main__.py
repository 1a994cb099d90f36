"""The entry point: `batchgen`, and `python -m batchgen`.

Importing the rest can take half a second or more on a slow disk. Nothing is imported before the
`try`, so that Ctrl-C in that time ends the program without a traceback.
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
