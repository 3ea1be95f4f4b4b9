"""The golden state directory: `python -m tests.golden_state FILE` makes one with this version of Lapwing.

It holds a configuration, the first half of a stream with the state and results after it, and the second half.
"""

import sys
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from tests.command import lapwing
from tests.flow_under_test import Results, config_file, stream

CUT_S = 16 * 60.0
NAMES = ("config.toml", "in", "more", "state", "out")


def written(folder: Path) -> None:
    """The configuration and both halves of the stream: `in` to be read, `more` to be put there."""
    config_file(folder)
    for partition, lines in stream(4).items():
        for half, name, mine in (
            ("in", "1.ndjson", [line for at, line in lines if at < CUT_S]),
            ("more", "2.ndjson", [line for at, line in lines if at >= CUT_S]),
        ):
            (folder / half / partition).mkdir(parents=True)
            (folder / half / partition / name).write_bytes(b"".join(line + b"\n" for line in mine))


def detect(folder: Path, *more: str, state: str = "state", out: str = "out") -> None:
    """A run over what is in `in`."""
    words = ["--config", folder / "config.toml", "--input", folder / "in", "--output", folder / out]
    done = lapwing("detect", *words, "--state", folder / state, *more)
    assert done.returncode == 0, done.stderr


def add_more(folder: Path) -> None:
    """Put the second half beside the first."""
    for path in sorted((folder / "more").glob("*/*.ndjson")):
        path.rename(folder / "in" / path.parent.name / path.name)


def make(path: Path) -> None:
    """Write the golden file."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        written(folder)
        detect(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w:xz") as packed:
            for name in NAMES:
                packed.add(folder / name, name)


if __name__ == "__main__":
    make(Path(sys.argv[1]))


def without_levels(found: Results, folder: Path) -> Results:
    """All but what rules reached: the first halves of these results were written before windows said it."""
    return without(found, folder, ("levels",))


def without(found: Results, folder: Path, columns: tuple[str, ...]) -> Results:
    """All but some columns of the windows."""
    names = pq.read_schema(folder / "windows.parquet").names
    kept = [at for at, name in enumerate(names) if name not in columns]
    return replace(found, windows=[tuple(window[at] for at in kept) for window in found.windows])
