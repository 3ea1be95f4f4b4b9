"""The one input that all sides of a backtest read, and what makes it the same one at the next start."""

import os
import stat
import time
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import msgspec

from flows import durable, generations
from flows.backtest.figures import moment
from flows.config import Config
from flows.connectors.file_tree import find_files
from flows.errors import InputError, OutputError, Refused, UsageError
from flows.kafka_block import EARLIEST, Kafka
from flows.state_identity import read_identity

KAFKA = "kafka"
TRAIL = "trail"
_PLAN = "backtest.json"


class Plan(msgspec.Struct):
    """What a directory of a backtest was begun with: a topic is read up to what was written to it by `read_until`."""

    read_until: str


def check_input(source: str, output: Path) -> None:
    """Refuse an input that cannot be read again and again, or that the results would lie in.

    Raises
    ------
    UsageError
        It cannot be used.
    InputError
        It is not there.
    """
    if source in (KAFKA, TRAIL, "synthetic"):
        return
    if source == "-":
        raise UsageError("--input -: a backtest reads its input again after a stop; give a file, a directory, or kafka")
    find_files(source)
    if not stat.S_ISREG(os.stat(source).st_mode) and not os.path.isdir(source):
        raise UsageError(f"--input {source}: a pipe can be read once; give a file, a directory, or kafka")
    inside = os.path.realpath(source)
    if os.path.isdir(source) and os.path.commonpath([inside, os.path.realpath(output)]) == inside:
        raise UsageError(f"the output {output} lies inside the input {source}, so a next run would read its results")


def identity(source: str, kafka: Kafka) -> str:
    """What changes when the input does: for files their names, sizes and times; for a topic where it ends, too."""
    if source == KAFKA:
        return f"kafka {kafka.bootstrap} {kafka.topics.events} until {kafka.until}"
    if source == "synthetic":
        return source
    tree = find_files(source)
    paths = [(name, file, tree.path(name, file)) for name in tree.partitions for file in tree.files[name]]
    return _digest((name, file, *_traits(Path(path))) for name, file, path in paths)


def state_identity(state: str | None) -> str:
    """What changes when the state that is begun from does; "" for none.

    Raises
    ------
    Refused
        There is no state.
    """
    if state is None:
        return ""
    root = Path(state)
    if not root.is_dir() or read_identity(root) is None:
        raise Refused(f"{state}: holds no state; `lapwing state save` writes one to begin from")
    found = (root / name for name in generations.content(root))
    files = [one for path in found for one in (path.rglob("*") if path.is_dir() else [path]) if one.is_file()]
    return _digest((str(one.relative_to(root)), *_traits(one)) for one in sorted(files))


def as_history(config: Config, kafka: Kafka, read_until: str) -> Config:
    """The configuration to go through history with: all brokers are `kafka`'s, and nothing is passed over in silence.

    A topic is read from its beginning, where no state says otherwise, by a consumer group of its own.
    """
    name = f"{kafka.application[:80]}-backtest"
    ours = msgspec.structs.replace(kafka, start=EARLIEST, until=read_until, application=name)
    time_block = msgspec.structs.replace(config.time, learn_until="")
    return msgspec.structs.replace(config, kafka=ours, time=time_block)


def plan(directory: Path) -> Plan:
    """What the directory was begun with; it begins now if it was not.

    Raises
    ------
    InputError
        It is damaged.
    OutputError
        It cannot be written.
    """
    path = directory / _PLAN
    try:
        if path.exists():
            return msgspec.json.decode(path.read_bytes(), type=Plan)
        new = Plan(moment(time.time_ns() // 1_000_000))
        directory.mkdir(parents=True, exist_ok=True)
        durable.write(path, msgspec.json.encode(new))
        return new
    except msgspec.DecodeError:
        raise InputError(f"{path}: is damaged; give another --output") from None
    except (FileExistsError, NotADirectoryError):
        raise OutputError(f"{directory}: not a directory, so no results can be written there") from None
    except OSError as error:
        raise durable.cannot_write(path, error) from error


def _traits(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _digest(rows: Iterable[tuple[object, ...]]) -> str:
    return blake2b(msgspec.json.encode([[str(cell) for cell in row] for row in rows]), digest_size=16).hexdigest()
