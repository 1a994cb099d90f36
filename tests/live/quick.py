"""`batchgen` whose watcher looks twenty times a second: a test has no second to lose."""

import runpy

from batchgen.watch import watching

watching.LOOK_EVERY = 0.05

if __name__ == "__main__":
    runpy.run_module("batchgen", run_name="__main__")
