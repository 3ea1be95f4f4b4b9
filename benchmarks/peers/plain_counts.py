"""The job without an engine: no late data, no recovery, all of it in memory until the end."""

import sys

from benchmarks.peers.job import plain
from benchmarks.peers.measured import main

if __name__ == "__main__":
    sys.exit(main(plain))
