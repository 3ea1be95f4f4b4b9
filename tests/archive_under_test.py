"""`lapwing archive` with short epochs, so that a test sees many commits: `... EPOCH_MS MOST_WAITING ARGUMENTS`."""

import sys
from datetime import timedelta

from flows import archive
from flows.cli import main

if __name__ == "__main__":
    archive.EPOCH, archive.MOST_WAITING = timedelta(milliseconds=int(sys.argv[1])), int(sys.argv[2])  # type: ignore[misc]
    sys.argv[1:] = ["archive", *sys.argv[3:]]
    main()
