"""State for the same events from elsewhere: another cluster, other files."""

from functools import partial
from pathlib import Path
from typing import Final

from flows import recovery_store
from flows.lineage import forget_starts
from flows.state_dir import forget_sources
from flows.steps.assess import elsewhere

_KEPT: Final = ("assess", "decide", "latest")
"""Steps whose state is not that of a source or of a sink."""


def forget_positions(root: Path) -> None:
    """Leave in a copy what was learned and what is open, and nothing of where it was reading and writing."""
    log = root / "log"
    recovery_store.rewrite(root / "recovery", _KEPT.__contains__, {"assess": partial(elsewhere, log=log)})
    for path in log.iterdir():
        path.unlink()
    forget_sources(root)
    forget_starts(root)
