"""Pack the simulated day that notebooks open on: its results lie beside them, so that nobody waits for a first run."""

import tarfile
import tempfile
from pathlib import Path

from flows import kept_scores, lab


def main() -> None:
    """Make it, and remove those of other versions."""
    target = lab.bundled()
    with tempfile.TemporaryDirectory() as place:
        lab.simulate_day(Path(place))
        kept_scores.keep(Path(place) / "windows.parquet", lab.DETECTORS, lab.COLUMNS)
        with tarfile.open(target, "w:xz") as packed:
            for path in sorted(Path(place).glob("*.*")):
                if path.is_file():
                    packed.add(path, path.name, filter=_plain)
    for old in target.parent.glob("day-*.tar.xz"):
        if old != target:
            old.unlink()
    print(f"{target}: {target.stat().st_size:,} bytes")


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o644
    return entry


if __name__ == "__main__":
    main()
