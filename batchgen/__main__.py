"""`python -m batchgen` does what `batchgen` does."""

import sys

from batchgen.cli import main

sys.exit(main())
