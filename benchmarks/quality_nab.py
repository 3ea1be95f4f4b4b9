"""The detector of a single series on the Numenta Anomaly Benchmark (Lavin and Ahmad, 2015), one configuration for all.

Each row is scored before it is learned, in file order. The scorer is the one in the data's folder: one threshold for
all files, which it chooses; below, thresholds chosen without the category that is scored. `--made` scores series of
our own (benchmarks/made_series.py) instead, which nothing was read off the benchmark for.
"""

import argparse
import importlib.util
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.csv
from numpy.typing import NDArray

from benchmarks.made_series import made_series
from models.detectors.tables import PARAMS, default_params, detector_of

PROFILES = ("standard", "reward_low_FP_rate", "reward_low_FN_rate")
PUBLISHED = {"contextOSE": 76.38, "numenta": 76.45, "ARTime": 75.14, "randomCutForest": 62.46}
Windows = dict[str, list[list[str]]]


class Series(NamedTuple):
    """A series as the scorer names it."""

    name: str
    stamps: list[str]
    times: NDArray[np.int64]
    values: NDArray[np.float64]


def stamped(times: NDArray[np.int64]) -> list[str]:
    """Times in microseconds as the benchmark writes them."""
    return [str(time).replace("T", " ")[:19] for time in times.astype("datetime64[us]").astype("datetime64[s]")]


def read(folder: Path, windows: Windows) -> Iterator[Series]:
    """The benchmark's files."""
    for name in sorted(windows):
        table = pyarrow.csv.read_csv(folder / "data" / name)
        times = np.array(table["timestamp"].cast("timestamp[us]").cast("int64"), np.int64)
        yield Series(name, stamped(times), times, np.array(table["value"].cast("float64")))


def made() -> tuple[list[Series], Windows]:
    """Our own series, with windows as the benchmark has them: a tenth of the rows, about the anomalies."""
    series, windows = [], {}
    for name, seconds, values, anomalies in made_series():
        times = (1_396_310_400 + np.arange(len(values), dtype=np.int64) * seconds) * 1_000_000
        stamps = stamped(times)
        half = len(values) // (20 * max(len(anomalies), 1))
        windows[name] = [[stamps[at - half], stamps[min(at + half, len(values) - 1)]] for at in anomalies]
        series.append(Series(name, stamps, times, values))
    return series, windows


def scorer_of(folder: Path) -> Callable[..., dict[str, Any]]:
    """The scorer in the data's folder."""
    spec = importlib.util.spec_from_file_location("nab_score", folder / "nab_score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    score: Callable[..., dict[str, Any]] = module.score_dir
    return score


def judge(series: list[Series], detector: str, column: str, folder: Path) -> None:
    """Write each series' quantiles, or scores squeezed into 0 to 1, where the scorer looks for them."""
    params = default_params(1) if detector == "default" else PARAMS[detector]()
    for one in series:
        found = detector_of(params, 1).score_learn(one.values[:, np.newaxis], one.times)
        numbers = np.nan_to_num(found[1] if column == "quantile" else found[0] / (1.0 + found[0]))
        path = folder / one.name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{stamp},{number!r}" for stamp, number in zip(one.stamps, numbers.tolist(), strict=True)]
        path.write_text("\n".join(["timestamp,anomaly_score", *lines, ""]))


def measure(series: list[Series], windows: Windows, score: Callable[..., dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each detector and kind of number: all files, each category, each with the others' threshold."""
    categories = sorted({name.split("/")[0] for name in windows})
    out = []
    for detector, column in (("default", "quantile"), ("default", "score"), ("ewma", "quantile"), ("ewma", "score")):
        with tempfile.TemporaryDirectory() as folder:
            judge(series, detector, column, Path(folder))
            whole = score(folder, windows)
            row = {"detector": detector, "anomaly_score": column, "windows": whole["windows"]}
            row |= {profile: whole[profile]["score"] for profile in PROFILES}
            row["threshold"] = whole["standard"]["threshold"]
            row["category"], row["by_others_threshold"] = {}, {}
            for category in categories:
                others = [other for other in categories if other != category]
                theirs = {"standard": score(folder, windows, only=others)["standard"]["threshold"]}
                row["category"][category] = score(folder, windows, only=[category])["standard"]["score"]
                row["by_others_threshold"][category] = score(folder, windows, only=[category], thresholds=theirs)[
                    "standard"
                ]["score"]
            out.append(row)
    return out


def table(figures: list[dict[str, Any]], made: bool) -> str:
    """The figures to be read."""

    def number(value: float | None) -> str:
        return f"{'-' if value is None else format(value, '.2f'):>8}"

    categories = list(figures[0]["category"])
    lines = [f"{'':20}{'standard':>9}{'low FP':>9}{'low FN':>9}  threshold"]
    for row in figures:
        label = f"{row['detector']}, {row['anomaly_score']}"
        lines.append(
            f"{label:20}" + "".join(f" {number(row[each])}" for each in PROFILES) + f"  {row['threshold']:.6g}"
        )
    lines += ["", "standard profile, each category by its own best threshold and by that of the others:"]
    lines.append(" " * 20 + "".join(f"{category:>20}" for category in categories))
    for row in figures:
        label = f"{row['detector']}, {row['anomaly_score']}"
        cells = [
            f"    {number(row['category'][each])}{number(row['by_others_threshold'][each])}" for each in categories
        ]
        lines.append(f"{label:20}" + "".join(cells))
    if not made:
        lines += ["", "published on these files: " + ", ".join(f"{name} {value}" for name, value in PUBLISHED.items())]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality_nab", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/nab"), help="the benchmark's folder")
    parser.add_argument("--made", action="store_true", help="series of our own instead")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    arguments = parser.parse_args()
    if not (arguments.data / "nab_score.py").exists():
        raise SystemExit(f"there is no nab_score.py in {arguments.data}")
    if arguments.made:
        series, windows = made()
    else:
        windows = json.loads((arguments.data / "windows.json").read_text())
        series = list(read(arguments.data, windows))
    figures = measure(series, windows, scorer_of(arguments.data))
    print(json.dumps(figures, indent=2) if arguments.json else table(figures, arguments.made))


if __name__ == "__main__":
    main()
