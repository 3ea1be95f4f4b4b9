"""One side of a backtest: the production flow over the input into a directory, however often it is interrupted."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from flows import durable, log
from flows.backtest import inputs
from flows.config import Config, config_hash
from flows.detect import run
from flows.errors import InputError, UsageError
from flows.moving import copied
from flows.parts import make_source
from flows.state_dir import locked
from flows.state_identity import this_version
from flows.totals import Progress
from flows.trail.replay import Replay

_NOTE: Final = "side.json"
READ_ON_MS: Final = 3_600_000
"""So much event time is read beyond the end of a range: by then all that is told of it has been told."""


class Note(msgspec.Struct):
    """What a side was made of, and the event time (epoch ms) up to which it is done; -1 while it is not.

    `ENDED` is all of the input. `lost` counts, by minute, messages of a trail that could not be played again.
    """

    made_of: dict[str, str]
    done_to: int = -1
    lost: dict[int, int] = {}


ENDED: Final = 1 << 62


class _Ending(threading.Event):
    """Set by itself, or when the user asks to stop."""

    def __init__(self, user: threading.Event) -> None:
        super().__init__()
        self.user = user

    def is_set(self) -> bool:
        """Whether either is."""
        return super().is_set() or self.user.is_set()


def run_side(
    directory: Path,
    config: Config,
    source: str,
    state: str | None,
    end: int | None,
    stop: threading.Event,
    on_progress: Callable[[Progress], None] | None,
    tell: log.Say,
    *,
    accept_rewarm: bool = False,
    replay: Replay | None = None,
) -> bool:
    """Run the flow into a directory, or go on with it; whether it is done.

    It is read to an hour of event time after `end` (epoch ms), or to the input's end. What is done already is not run
    again; what was made of another configuration, input or state is removed and run from the beginning. `replay` is the
    trail that is read instead of `source`.

    Raises
    ------
    LapwingError
        As of `flows.detect.run`; or the directory has something else in it.
    """
    made_of = {
        "lapwing": this_version(),
        "config": config_hash(config),
        "input": replay.identity if replay else inputs.identity(source, config.kafka),
        "state": inputs.state_identity(state),
    }
    note = _begun(directory, made_of, tell)
    limit = ENDED if end is None else end + READ_ON_MS
    if note.done_to >= limit:
        tell(f"{directory}: is done already")
        return True
    own = directory / "state"
    if state is not None and not own.exists():
        shutil.rmtree(own.with_name("state.copying"), ignore_errors=True)  # of a copy that was interrupted
        copied(Path(state), own)
    ending = _Ending(stop)

    def watch(seen: Progress) -> None:
        if seen.event_time >= limit * 1000:
            ending.set()
        if on_progress is not None:
            on_progress(seen)

    run(
        config, source, str(directory), str(own), True, config.input.format, ending, watch,
        accept_rewarm=accept_rewarm, tell=tell if accept_rewarm else log.silent,
        sources=replay.source if replay else make_source,
    )  # fmt: skip
    if stop.is_set():
        return False
    done_to = limit if threading.Event.is_set(ending) else ENDED
    _write(directory, Note(made_of, done_to, dict(replay.lost) if replay else {}))
    return True


def lost(directory: Path) -> dict[int, int]:
    """Messages that were not played again in a side that is done, by minute of event time."""
    return msgspec.json.decode((directory / _NOTE).read_bytes(), type=Note).lost


def _begun(directory: Path, made_of: dict[str, str], tell: Callable[[str], None]) -> Note:
    """What is known of a directory, which is emptied first if it was made of something else."""
    path = directory / _NOTE
    try:
        if path.exists():
            note = msgspec.json.decode(path.read_bytes(), type=Note)
            if note.made_of == made_of:
                return note
            changed = ", ".join(key for key in made_of if note.made_of.get(key) != made_of[key])
            tell(f"{directory}: has another {changed} than before; running it from the beginning")
            with locked(str(directory / "state"), make=True):
                shutil.rmtree(directory)
        elif directory.exists() and any(directory.iterdir()):
            raise UsageError(f"{directory}: has something else than a backtest in it; give another --output")
        directory.mkdir(parents=True, exist_ok=True)
    except msgspec.DecodeError:
        raise InputError(f"{path}: is damaged; remove {directory} to run it from the beginning") from None
    except OSError as error:
        raise durable.cannot_write(directory, error) from error
    return _write(directory, Note(made_of))


def _write(directory: Path, note: Note) -> Note:
    try:
        durable.write(directory / _NOTE, msgspec.json.encode(note))
    except OSError as error:
        raise durable.cannot_write(directory / _NOTE, error) from error
    return note
