"""State that moves: a copy of it, and one for the same events from elsewhere: another cluster, other files."""

import shutil
from functools import partial
from pathlib import Path
from typing import Final

from flows import generations, recovery_store
from flows.errors import OutputError
from flows.lineage import forget_starts, mark_moved
from flows.state_dir import forget_sources, locked
from flows.steps.assess import elsewhere

_KEPT: Final = ("assess", "decide", "latest")
"""Steps whose state is not that of a source or of a sink."""


def copied(directory: Path, to: Path, *, without_positions: bool = False) -> None:
    """Copy the state of a run that has ended to a directory that is not there, as a state of its own.

    Raises
    ------
    Refused
        A run holds it, or it is damaged.
    OutputError
        The copy cannot be written.
    """
    draft = to.with_name(f"{to.name}.copying")
    with locked(str(directory)) as state:
        state.check()
        try:
            generations.copy(directory, draft)
            if without_positions:
                forget_positions(draft)
            mark_moved(draft, copied=True)
            draft.rename(to)
        except FileExistsError:
            raise OutputError(f"{draft}: is there already, of a copy that was interrupted; remove it") from None
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise OutputError(f"{to}: cannot be written ({generations.reason(error)})") from None


def forget_positions(root: Path) -> None:
    """Leave in a copy what was learned and what is open, and nothing of where it was reading and writing."""
    log = root / "log"
    recovery_store.rewrite(root / "recovery", _KEPT.__contains__, {"assess": partial(elsewhere, log=log)})
    for path in log.iterdir():
        path.unlink()
    forget_sources(root)
    forget_starts(root)
