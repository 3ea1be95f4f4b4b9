"""A small trail of simulated events, and what a test wants to know of one."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bytewax.errors import BytewaxRuntimeError

from flows.archive import Archived, run
from flows.commands.engine import mistake
from flows.config import load
from flows.trail.keys import KeyStore
from flows.trail.reader import Trail, TrailEvent
from flows.trail.schema import KINDS
from flows.trail.store import Store
from tests.simulated_runs import run as simulated


def lines(count: int, seed: int = 3) -> list[bytes]:
    """So many simulated events, some of them none."""
    return simulated(count, seed, hours=30.0).lines.splitlines()


def archived(source: Path | str, folder: Path, **more: Any) -> Archived:
    """Archive an input into the trail of a folder."""
    try:
        return run(load(None), str(source), str(folder / "trail"), folder / "keys", threading.Event(), **more)
    except BytewaxRuntimeError as error:
        raise mistake(error) or error from None


def opened(folder: Path) -> Trail:
    """The trail of a folder, to be read."""
    return Trail.open(str(folder / "trail"), folder / "keys")


def events(folder: Path, **wanted: Any) -> list[TrailEvent]:
    """Its events."""
    return list(opened(folder).events(**wanted))


def leaves(folder: Path, kind: str = "events") -> dict[tuple[str, str], list[int]]:
    """The leaves of each log of each tree, sorted."""
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for batch in opened(folder).table(kind, ["tree", "log", "leaf"]):
        for row in batch.to_pylist():
            found[row["tree"], row["log"]].append(row["leaf"])
    return {place: sorted(numbers) for place, numbers in found.items()}


def whole(folder: Path) -> bool:
    """Whether no log of any table has a gap or a leaf twice, and each table knows how many there are."""
    trail = str(folder / "trail")
    for kind in KINDS:
        if not (folder / "trail" / kind).exists():
            continue
        store = Store.open(trail, kind)
        for (tree, log), numbers in leaves(folder, kind).items():
            if numbers != list(range(len(numbers))) or store.size(tree, log) != len(numbers):
                return False
    return True


def valid(messages: Iterable[bytes]) -> list[dict[str, Any]]:
    """The messages that are JSON objects."""
    found = []
    for message in messages:
        try:
            found.append(json.loads(message))
        except ValueError:
            continue
    return [one for one in found if isinstance(one, dict)]


def keys(folder: Path) -> KeyStore:
    """The keys of a folder's trail."""
    return KeyStore.open(folder / "keys")
